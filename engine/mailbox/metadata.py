"""Entries of mailboxes and of the server (RFC 5464): what people and programs note about them, by name.

Each is stored under an account and a mailbox, 0 for the server's own; a private one also under the account that it is
private to. A removed one stays as a mark, so that sessions can be told of it.
"""

from collections.abc import Iterable

from engine.mailbox.commands import Answer, Problem, SetMetadata
from engine.mailbox.content import keys
from engine.mailbox.layout import PUBLIC, Databases, metadata_key, metadata_prefix
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rows import MetadataRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch

LARGEST = 16 * 1024
"""Octets of a value: mail programs store comments, colours and small settings."""

MOST = 100
"""Entries of one mailbox that all share, or that one account has for itself."""

LONGEST = 255
"""Octets of a name, which is part of a key."""

PRIVATE, SHARED = "/private/", "/shared/"

_NOTHING = MetadataRow()


def set_metadata(account: OpenAccount, command: SetMetadata) -> Answer:
    """All or nothing (RFC 5464 4.3)."""
    mailbox = account.mailbox(command.mailbox) if command.mailbox else None
    if command.mailbox and mailbox is None:
        return Answer(Problem.NONEXISTENT)
    if any(value is not None and len(value) > LARGEST for _, value in command.values):
        return Answer(Problem.TOO_BIG)
    values = {name.lower(): value for name, value in command.values}
    me = command.me or account.id
    spaces = (PRIVATE, SHARED) if me != PUBLIC else SHARED  # nobody logs in as that
    if not all(name.startswith(spaces) and len(name.encode()) <= LONGEST for name in values):
        return Answer(Problem.CANNOT)
    viewers = {_viewer(name, me) for name in values}
    before = {viewer: _rows(account, command.mailbox, viewer) for viewer in viewers}
    after = {viewer: dict(rows) for viewer, rows in before.items()}
    for name, value in values.items():
        rows = after[_viewer(name, me)]
        if rows.get(name, _NOTHING).value != value:
            rows[name] = MetadataRow(account.modseq, value)
    if before == after:
        return Answer()
    if any(sum(row.value is not None for row in rows.values()) > MOST for rows in after.values()):
        return Answer(Problem.TOO_MANY)
    for viewer in viewers:
        _write(account, command.mailbox, viewer, before[viewer], _pruned(after[viewer]))
    if mailbox is not None:
        mailbox.changed = True
    else:
        account.tell(account.id)
    return Answer(modseq=account.modseq)


def values(
    snapshot: Snapshot,
    databases: Databases,
    account: int,
    mailbox: int,
    names: Iterable[str],
    *,
    depth: int | None,
    me: int,
) -> list[tuple[str, bytes]]:
    """The entries of these names that are there, and as many levels below them as ``depth`` says; None: all.

    ``me`` is the account that asks: of private entries it sees its own.
    """
    found: dict[str, bytes] = {}
    for name in names:
        if len(name.encode()) > LONGEST:
            continue
        prefix = metadata_prefix(account, mailbox, _viewer(name, me))
        for key, octets in snapshot.scan(databases.metadata, prefix + name.encode()):
            entry = key[len(prefix) :].decode()
            below = entry[len(name) :]
            if below[:1] not in ("", "/") or (depth is not None and below.count("/") > depth):
                continue
            row = MetadataRow.parse(octets)
            if row.value is not None:
                found[entry] = row.value
    return list(found.items())


def changes(snapshot: Snapshot, databases: Databases, account: int, mailbox: int, since: int, *, me: int) -> list[str]:
    """The names of the entries that were set or removed after that MODSEQ of the account."""
    found = []
    for viewer in dict.fromkeys((me, 0)):
        prefix = metadata_prefix(account, mailbox, viewer)
        for key, octets in snapshot.scan(databases.metadata, prefix):
            if MetadataRow.parse(octets).modseq > since:
                found.append(key[len(prefix) :].decode())
    return found


def forget_viewer(batch: Batch, databases: Databases, viewer: int, limit: int) -> int:
    """Remove up to ``limit`` entries that were private to an account, on whatever mailboxes; how many there were.

    It looks at all that there are: only for removing an account.
    """
    mark, found = viewer.to_bytes(8, "big"), []
    for key, _ in Snapshot(batch.transaction).scan(databases.metadata):
        if key[12:20] == mark:
            found.append(key)
            if len(found) == limit:
                break
    for key in found:
        batch.delete(databases.metadata, key)
    return len(found)


def _viewer(name: str, me: int) -> int:
    return me if f"{name}/".startswith(PRIVATE) else 0


def _rows(account: OpenAccount, mailbox: int, viewer: int) -> dict[str, MetadataRow]:
    prefix = metadata_prefix(account.id, mailbox, viewer)
    found = {}
    for key in keys(account.batch, account.databases.metadata, prefix):
        octets = account.batch.get(account.databases.metadata, key)
        assert octets is not None
        found[key[len(prefix) :].decode()] = MetadataRow.parse(octets)
    return found


def _pruned(rows: dict[str, MetadataRow]) -> dict[str, MetadataRow]:
    """Without the oldest marks of removed entries, where there is no room for all."""
    marks = sorted((name for name, row in rows.items() if row.value is None), key=lambda name: rows[name].modseq)
    surplus = set(marks[: max(0, len(rows) - MOST)])
    return {name: row for name, row in rows.items() if name not in surplus}


def _write(
    account: OpenAccount, mailbox: int, viewer: int, before: dict[str, MetadataRow], after: dict[str, MetadataRow]
) -> None:
    database = account.databases.metadata
    for name in before.keys() - after.keys():
        account.batch.delete(database, metadata_key(account.id, mailbox, viewer, name))
    for name, row in after.items():
        if before.get(name) != row:
            account.batch.put(database, metadata_key(account.id, mailbox, viewer, name), row.octets())
