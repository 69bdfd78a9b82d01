"""What a directory knows: domains, accounts, and addresses that stand for others."""

from dataclasses import dataclass

from engine.directory.limits import UNSAID, Limit

SERVICES = ("smtp", "imap", "pop3", "sieve")
"""What an app password may be good for."""

FEW = 10
"""Those an alias stands for at most, to be remembered: some 1,000 octets. A list is looked up anew."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain whose mail stays here."""

    name: str  # A-label
    configured: bool  # by [domains] local in pipeline.toml, not by `postroad domain add`


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody with a mailbox. The mailbox belongs to ``id``, which is never given to another account."""

    id: int
    address: str  # as it compares: lower case, the domain an A-label
    created: float  # Unix time in seconds
    admin: bool = False  # gets the postmaster's mail of the domain
    has_password: bool = True  # without one nobody can log in but by an app password
    has_totp: bool = False  # then the password alone opens nothing: mail programs need app passwords
    send_as: tuple[str, ...] = ()  # in whose name it may send besides its own; "@domain": all of it
    limit: Limit = UNSAID  # what it may hold, where that is said of the account itself
    folder: int = 0  # the number of the public folder to which its mail goes; 0: to its own mailboxes
    roles: tuple[str, ...] = ()  # what it may do beyond its own mail: see Roles
    changed: float = 0.0  # Unix time at which its password or second factor was set; who came in before is out
    suspended: float = 0.0  # Unix time since which nobody logs in as it; 0: it is not. Its mail comes all the same
    on_behalf: tuple[str, ...] = ()  # whose letters it may write, with its own name in Sender (RFC 5322 3.6.2)

    @property
    def domain(self) -> str:
        """That of its address, as an A-label."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password of one program, good for some services and nothing else. The account may have several."""

    name: str
    created: float  # Unix time in seconds
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """Who has logged in, and by which app password; None: by the account's own password."""

    account: Account
    app_password: AppPassword | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """An address that stands for others, here or elsewhere; ``@domain`` stands for all that are not known there."""

    address: str
    targets: tuple[str, ...]


ANYBODY, ACCOUNTS, MEMBERS = "anybody", "accounts", "members"

POSTING = (ANYBODY, ACCOUNTS, MEMBERS)
"""Who may write to a group: everybody, who has logged in here, or who is a member or an owner and has logged in."""


@dataclass(frozen=True, slots=True)
class Group(Alias):
    """An alias whose ``targets``, its members, come and go."""

    posting: str = ANYBODY  # who may write to it
    owners: tuple[str, ...] = ()  # accounts that say who is a member, as they compare
