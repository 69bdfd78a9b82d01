"""The Sieve scripts of accounts (RFC 5804): texts with a name, of which one may be active. Nobody runs them here."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.mailbox.commands import ActivateScript, Answer, DeleteScript, Problem, PutScript, RenameScript
from engine.mailbox.layout import Databases, account_key, digest, digest_key
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rows import ScriptRow
from engine.mailbox.snapshot import Snapshot

_DIGEST = 16


class Script(NamedTuple):
    """One line of a listing."""

    name: str
    size: int  # octets
    active: bool


class Active(NamedTuple):
    """Which script is active. The digest of its text is new with each change, and so a key for caches."""

    name: bytes  # its digest
    text: bytes  # its digest

    @classmethod
    def parse(cls, octets: bytes) -> "Active":
        return cls(octets[:_DIGEST], octets[_DIGEST:])


def put(account: OpenAccount, command: PutScript) -> Answer:
    others = [row for row in _rows(account) if row.name != command.name]
    if len(others) >= command.most:
        return Answer(Problem.LIMIT)
    if sum(len(row.content) for row in others) + len(command.content) > command.room:
        return Answer(Problem.OVERQUOTA)
    _write(account, ScriptRow(command.name, command.content))
    if _active(account) == digest(command.name.encode()):
        _activate(account, ScriptRow(command.name, command.content))
    return Answer()


def activate(account: OpenAccount, command: ActivateScript) -> Answer:
    if not command.name:
        account.batch.delete(account.databases.script, account_key(account.id))
        return Answer()
    row = _row(account, command.name)
    if row is None:
        return Answer(Problem.NONEXISTENT)
    _activate(account, row)
    return Answer()


def delete(account: OpenAccount, command: DeleteScript) -> Answer:
    if _row(account, command.name) is None:
        return Answer(Problem.NONEXISTENT)
    if _active(account) == digest(command.name.encode()):
        return Answer(Problem.ACTIVE)
    account.batch.delete(account.databases.script, digest_key(account.id, command.name))
    return Answer()


def rename(account: OpenAccount, command: RenameScript) -> Answer:
    row = _row(account, command.name)
    if row is None:
        return Answer(Problem.NONEXISTENT)
    if _row(account, command.to) is not None:
        return Answer(Problem.ALREADYEXISTS)
    new = row._replace(name=command.to)
    account.batch.delete(account.databases.script, digest_key(account.id, command.name))
    _write(account, new)
    if _active(account) == digest(command.name.encode()):
        _activate(account, new)
    return Answer()


def listed(snapshot: Snapshot, databases: Databases, account_id: int) -> list[Script]:
    key = account_key(account_id)
    active = (snapshot.get(databases.script, key) or b"")[:_DIGEST]
    rows = {found[8:]: ScriptRow.parse(value) for found, value in snapshot.scan(databases.script, key) if found != key}
    return sorted(Script(row.name, len(row.content), name == active) for name, row in rows.items())


def text(snapshot: Snapshot, databases: Databases, account_id: int, name: str) -> bytes | None:
    octets = snapshot.get(databases.script, digest_key(account_id, name))
    return ScriptRow.parse(octets).content if octets is not None else None


def active(snapshot: Snapshot, databases: Databases, account_ids: Iterable[int]) -> dict[int, Active]:
    found = ((account, snapshot.get(databases.script, account_key(account))) for account in account_ids)
    return {account: Active.parse(octets) for account, octets in found if octets is not None}


def accounts(snapshot: Snapshot, databases: Databases) -> set[int]:
    """The accounts that have an active script: one look at each that has any."""
    found, start = set(), b""
    while (item := next(snapshot.scan(databases.script, start=start), None)) is not None:
        account = int.from_bytes(item[0][:8], "big")
        if len(item[0]) == 8:
            found.add(account)
        start = account_key(account + 1)
    return found


def active_text(snapshot: Snapshot, databases: Databases, account_id: int, wanted: Active) -> bytes | None:
    octets = snapshot.get(databases.script, account_key(account_id) + wanted.name)
    content = ScriptRow.parse(octets).content if octets is not None else None
    return content if content is not None and digest(content) == wanted.text else None


def _rows(account: OpenAccount) -> Iterator[ScriptRow]:
    key = account_key(account.id)
    for found, value in Snapshot(account.batch.transaction).scan(account.databases.script, key):
        if found != key:
            yield ScriptRow.parse(value)


def _row(account: OpenAccount, name: str) -> ScriptRow | None:
    octets = account.batch.get(account.databases.script, digest_key(account.id, name))
    return ScriptRow.parse(octets) if octets is not None else None


def _write(account: OpenAccount, row: ScriptRow) -> None:
    account.batch.put(account.databases.script, digest_key(account.id, row.name), row.octets())


def _active(account: OpenAccount) -> bytes:
    return (account.batch.get(account.databases.script, account_key(account.id)) or b"")[:_DIGEST]


def _activate(account: OpenAccount, row: ScriptRow) -> None:
    value = digest(row.name.encode()) + digest(row.content)
    account.batch.put(account.databases.script, account_key(account.id), value)
