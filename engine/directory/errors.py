"""What can go wrong with the directory: one family, whose texts say what to do."""


class DirectoryError(Exception):
    """A look-up or a change that the directory cannot do."""


class NotFound(DirectoryError):
    """There is no such domain, account or alias."""


class AlreadyThere(DirectoryError):
    """The domain, account or alias exists."""


class InUse(DirectoryError):
    """A domain that still has accounts or aliases."""


class Invalid(DirectoryError, ValueError):
    """Text that is no address, domain or password."""


class Unavailable(DirectoryError):
    """The store cannot be opened, read or written."""
