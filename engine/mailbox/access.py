"""What somebody may see and do beyond their own mailboxes: those that others share with them, and public ones.

Names of RFC 2342: ``Other Users/ADDRESS/FOLDER`` and ``Public/FOLDER``. A mailbox of one's own that has such a name
from an older Postroad stands before them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from engine.directory import Account, Directory, is_member
from engine.mailbox import metadata, views
from engine.mailbox.grants import grants
from engine.mailbox.layout import PUBLIC, Databases, name_key, shared_prefix, sharer_key, sharer_name_key
from engine.mailbox.names import LONGEST, OTHERS, SEPARATOR, above, below, canonical, is_reserved
from engine.mailbox.names import PUBLIC as PUBLIC_NAME
from engine.mailbox.reader import Mailboxes
from engine.mailbox.rights import ANYONE, GROUP, MINUS, RIGHTS, Identity, held
from engine.mailbox.rows import MailboxRow
from engine.mailbox.snapshot import Snapshot
from engine.mailbox.views import Folder
from engine.storage.batch import Database

__all__ = ["Access", "Identity", "Place"]

NOBODY = Identity(0, "")

ADMIN = "/shared/admin"
"""The entry of the server that says who runs it (RFC 5464 6.2.1.2)."""


class Place(NamedTuple):
    """What the name of a mailbox means to somebody."""

    account: int  # whose mailbox it is
    name: str  # in that account
    mailbox: int  # 0: there is none
    rights: str  # to it; where there is none, to the nearest one above it (RFC 4314 4: that of CREATE)


class Access:
    """What the accounts may do with each other's mailboxes. Every method may block on the disk; StorageError.

    ``admin``: the URI of whoever runs the server, such as ``mailto:postmaster@example.org``.
    """

    def __init__(self, mailboxes: Mailboxes, *, admin: str = "") -> None:
        self._mailboxes = mailboxes
        self._databases: Databases = mailboxes.databases
        self.admin = admin

    def identity(self, directory: Directory, account: Account) -> Identity:
        """Who that is: of all groups that are named in lists of rights, those that they are in. Unavailable."""
        with self._mailboxes.snapshot() as snapshot:
            named = _groups(snapshot, self._databases)
        groups = frozenset(group for group in named if is_member(directory, account, group))
        return Identity(account.id, account.address, groups)

    @staticmethod
    def spaces() -> tuple[str, str, str]:
        """What names of one's own mailboxes, those of others and public ones begin with (RFC 2342)."""
        return "", below(OTHERS), below(PUBLIC_NAME)

    def place(self, me: Identity, name: str) -> Place | None:
        """What a name means, in whatever form it comes. None: nothing can have it, or nothing that they may know of."""
        with self._mailboxes.snapshot() as snapshot:
            own = _own(snapshot, self._databases, me.account, name)
            if not is_reserved(name) or (own is not None and own.mailbox):
                return own
            found = self._owner(snapshot, name)
            if found is None or found[0] == me.account:
                return None
            return self._shared(snapshot, me, *found)

    def listed(self, me: Identity) -> list[tuple[str, Folder, str]]:
        """All that others share with them and all public mailboxes that they may look up: name, folder, rights.

        The folder has that name too, and no special use: that is its owner's.
        """
        databases = self._databases
        found: dict[str, tuple[int, MailboxRow, str]] = {}
        with self._mailboxes.snapshot() as snapshot:
            own, subscribed = (
                _reserved(snapshot, database, me) for database in (databases.entry, databases.subscribed)
            )
            seen = {key for name in me.names for key in _mailboxes_of(snapshot, databases, name)}
            prefixes = {account: self._prefix(snapshot, account) for account, _ in seen}
            for account, mailbox in seen:
                status = views.status_of(snapshot, databases, account, mailbox)
                prefix = prefixes[account]
                if prefix is None or status is None or account == me.account:
                    continue
                name, rights = prefix + status.name, held(grants(snapshot, databases, account, mailbox), me)
                if "l" in rights and name not in own:
                    found[name] = mailbox, status, rights
        parents = {parent for name in found for parent in above(name)}
        return [
            (name, Folder(name, mailbox, "", True, name in subscribed, name in parents, status), rights)
            for name, (mailbox, status, rights) in sorted(found.items())
        ]

    def rights(self, me: Identity, account: int, mailbox: int) -> str:
        """The rights that they hold to a mailbox: all to their own."""
        if account == me.account:
            return RIGHTS
        with self._mailboxes.snapshot() as snapshot:
            return held(grants(snapshot, self._databases, account, mailbox), me)

    def rights_of_anyone(self, account: int, mailbox: int) -> str:
        """The rights of somebody of whom nothing is known."""
        with self._mailboxes.snapshot() as snapshot:
            found = grants(snapshot, self._databases, account, mailbox)
            return held([one for one in found if one.identifier.removeprefix(MINUS) == ANYONE], NOBODY)

    def acl(self, account: int, mailbox: int) -> list[tuple[str, str]]:
        """Who was given which rights, negative ones too. That the owner has all is not in it."""
        with self._mailboxes.snapshot() as snapshot:
            return [(one.identifier, one.rights) for one in grants(snapshot, self._databases, account, mailbox)]

    def metadata(
        self, me: Identity, account: int, mailbox: int, entries: Iterable[str], depth: int | None = 0
    ) -> list[tuple[str, bytes]]:
        """Entries that are there, and ``depth`` levels below them (None: all). Mailbox 0: of the server."""
        entries = [entry.lower() for entry in entries]
        if mailbox:
            return self._mailboxes.metadata(account, mailbox, entries, depth, me=me.account)
        private = [entry for entry in entries if f"{entry}/".startswith(metadata.PRIVATE)]
        found = dict(self._mailboxes.metadata(me.account, 0, private, depth))
        found |= self._mailboxes.metadata(PUBLIC, 0, [entry for entry in entries if entry not in private], depth)
        if ADMIN in entries and self.admin:
            found.setdefault(ADMIN, self.admin.encode())
        return list(found.items())

    def _owner(self, snapshot: Snapshot, name: str) -> tuple[int, str] | None:
        """The account that a reserved name leads to, and the name that is left."""
        space, _, rest = name.partition(SEPARATOR)
        if space == PUBLIC_NAME:
            return (PUBLIC, rest) if rest else None
        parts = rest.split(SEPARATOR)
        for end in range(1, len(parts)):  # the local part of an address may have a separator in it
            key = sharer_name_key(SEPARATOR.join(parts[:end]))
            if len(key) > LONGEST:
                break
            account = snapshot.get(self._databases.sharer, key)
            if account is not None:
                return int.from_bytes(account, "big"), SEPARATOR.join(parts[end:])
        return None

    def _prefix(self, snapshot: Snapshot, account: int) -> str | None:
        """What the names of an account's mailboxes begin with for others."""
        if account == PUBLIC:
            return below(PUBLIC_NAME)
        address = snapshot.get(self._databases.sharer, sharer_key(account))
        return below(below(OTHERS) + address.decode()) if address is not None else None

    def _shared(self, snapshot: Snapshot, me: Identity, account: int, name: str) -> Place | None:
        place = _own(snapshot, self._databases, account, name)
        if place is None:
            return None
        mailbox = place.mailbox
        for parent in above(place.name):
            if mailbox:
                break
            mailbox = _mailbox(snapshot, self._databases, account, parent)
        rights = held(grants(snapshot, self._databases, account, mailbox), me) if mailbox else ""
        return place._replace(rights=rights) if rights else None


def _own(snapshot: Snapshot, databases: Databases, account: int, name: str) -> Place | None:
    """What a name means to the owner of the account; None: it can be no name."""
    try:
        name = canonical(name)
    except ValueError:
        return None
    return Place(account, name, _mailbox(snapshot, databases, account, name), RIGHTS)


def _mailbox(snapshot: Snapshot, databases: Databases, account: int, name: str) -> int:
    return views.number_in(snapshot.get(databases.entry, name_key(account, name)))


def _reserved(snapshot: Snapshot, database: Database, me: Identity) -> set[str]:
    """The names among an account's own, or among those it is subscribed to, that mean mailboxes of others."""
    prefixes = (name_key(me.account, below(space)) for space in (OTHERS, PUBLIC_NAME))
    return {key[8:].decode() for prefix in prefixes for key, _ in snapshot.scan(database, prefix)}


def _mailboxes_of(snapshot: Snapshot, databases: Databases, identifier: str) -> Iterable[tuple[int, int]]:
    """Those to which an identifier was given rights: account and number."""
    for key, _ in snapshot.scan(databases.shared, shared_prefix(identifier)):
        yield int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big")


def _groups(snapshot: Snapshot, databases: Databases) -> set[str]:
    """The groups that are named in any list of rights: one look for each."""
    found = set()
    for sign in (GROUP, MINUS + GROUP):
        start = b""
        while (item := next(snapshot.scan(databases.shared, sign.encode(), start), None)) is not None:
            identifier = item[0][:-13]
            found.add(identifier.decode()[len(sign) :])
            start = identifier + b"\1"
    return found
