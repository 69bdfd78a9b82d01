"""Mail for public folders that have an address: who may post it (right ``p`` of RFC 4314 2.1)."""

from collections.abc import Callable

from engine.directory import Directory
from engine.mailbox.access import Access
from engine.mailbox.layout import PUBLIC
from engine.mailbox.reader import Mailboxes
from engine.storage.environment import StorageError
from engine.verdict import Reject

POST = "p"

MAY_NOT = Reject("you may not post to this folder", code="5.7.1")


class Posting:
    """One a process. ``reader`` gives its mailboxes; StorageError when they cannot be read now."""

    def __init__(self, directory: Directory | None = None, reader: Callable[[], Mailboxes] | None = None) -> None:
        self._directory = directory
        self._reader = reader

    def may(self, folder: int, login: str) -> bool:
        """Whether who has logged in as that account may post there; an empty ``login``: whether anyone may.

        False where there is no such folder. Unavailable, StorageError.
        """
        if self._directory is None or self._reader is None:
            return False
        mailboxes = self._reader()
        if mailboxes.status(PUBLIC, folder) is None:
            return False
        access = Access(mailboxes)
        account = self._directory.account(login) if login else None
        if account is None:
            return POST in access.rights_of_anyone(PUBLIC, folder)
        return POST in access.rights(access.identity(self._directory, account), PUBLIC, folder)

    def would_be_refused(self, folder: int, login: str) -> bool:
        """The same before the mail comes. False when the mailboxes cannot be read: delivery will tell. Unavailable."""
        try:
            return not self.may(folder, login)
        except StorageError:
            return False
