"""Does a shard agree with itself? Every index against every record and its content, in one view of the store."""

from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from engine.message import MessageId
from engine.queue.content import CHUNK, chunk_key
from engine.queue.store import HELD, WAITING, Record, Shard, digest, due_key, line_key, noted, time_key, unpack

_LINE = len(digest(""))
_IN_LINE = _LINE + 5  # octets before the id of who stands in line
_TIME = len(time_key(0.0))  # octets of an index that stand before a brief
_STEP = 1000


class Verification:
    """The contradictions of a shard. ``messages`` were looked at."""

    def __init__(self, shard: Shard) -> None:
        self.messages = 0
        self._shard = shard
        self._unreadable: set[bytes] = set()
        self._counts = {"due": 0, "parked": 0, "held": 0, "lines": 0, "content": 0}  # entries that records account for

    def problems(self, told: Callable[[int], None] = lambda _: None) -> Iterator[str]:
        """Each contradiction, in words. Reads beside a running server; memory does not grow with the queue.

        ``told`` hears now and then how many messages were looked at.
        """
        environment = self._shard.environment
        names = ("envelopes", "content", "due", "parked", "held", "lines", "turns")
        databases = {name: environment.open_db(name.encode(), create=False) for name in names}
        with environment.begin() as transaction:
            yield from self._records(transaction, databases, told)
            yield from self._lines(transaction, databases)
            for name, count in self._counts.items():
                if transaction.stat(databases[name])["entries"] != count:
                    yield from self._orphans(transaction, databases, name)

    def _records(self, transaction: Any, databases: dict[str, Any], told: Callable[[int], None]) -> Iterator[str]:
        with transaction.cursor(databases["envelopes"]) as cursor:
            for key, packed in cursor:
                self.messages += 1
                if self.messages % _STEP == 0:
                    told(self.messages)
                try:
                    record = unpack(MessageId(key), packed)
                except (ValueError, TypeError, msgpack.UnpackException) as error:
                    self._unreadable.add(bytes(key))
                    yield f"the record of {MessageId(key)} cannot be read: {error}"
                    continue
                yield from self._record(transaction, databases, record)

    def _record(self, transaction: Any, databases: dict[str, Any], record: Record) -> Iterator[str]:
        if not record.envelope.recipients:
            yield f"{record.id} has no recipient left"
        index, what = _index(record)
        found = transaction.get(due_key(record), db=databases[index])
        if found is None:
            yield f"{record.id} {what}, and is not in the index {index}"
        else:
            self._counts[index] += 1
            if len(found) > _TIME and found != noted(record):
                yield f"{record.id} {what}, and the index {index} says something else of it than its record"
        if record.line:
            if transaction.get(line_key(record), db=databases["lines"]) is None:
                yield f"{record.id} does not stand in the line of {record.line}"
            else:
                self._counts["lines"] += 1
            if transaction.get(digest(record.line), db=databases["lines"]) is None:
                yield f"{record.id} stands in the line of {record.line}, which has no turn"
        yield from self._file(record) if record.in_file else self._chunks(transaction, databases["content"], record)

    def _file(self, record: Record) -> Iterator[str]:
        try:
            size = self._shard.file(record.id).stat().st_size
        except FileNotFoundError:
            if self._shard.holds(record.id):  # else it was delivered since
                yield f"{record.id} has lost its file"
            return
        if size != record.size:
            yield f"the file of {record.id} has {size} octets instead of {record.size}"

    def _chunks(self, transaction: Any, content: Any, record: Record) -> Iterator[str]:
        size = 0
        for number in range(-(-record.size // CHUNK)):
            chunk = transaction.get(chunk_key(record.id, number), db=content)
            if chunk is None:
                yield f"{record.id} lacks chunk {number} of its content"
                continue
            self._counts["content"] += 1
            size += len(chunk)
        if size != record.size:
            yield f"the content of {record.id} has {size} octets instead of {record.size}"

    def _lines(self, transaction: Any, databases: dict[str, Any]) -> Iterator[str]:
        """Each line has its turn, and each turn its line."""
        lines = 0
        with transaction.cursor(databases["lines"]) as cursor:
            found = cursor.first()
            while found:
                line, packed = cursor.item()
                if len(line) != _LINE:
                    yield f"{MessageId(line[_IN_LINE:])} stands in a line that has no turn"
                else:
                    lines += 1
                    when, domain = msgpack.unpackb(packed)
                    if transaction.get(time_key(when) + line, db=databases["turns"]) is None:
                        yield f"the turn of {domain} is not in the index of turns"
                found = cursor.set_range(line[:_LINE] + b"\xff" * 21)  # past all that stand in it
        self._counts["lines"] += lines
        turns = transaction.stat(databases["turns"])["entries"]
        if turns != lines:
            yield f"there are {lines} lines, and {turns} turns"

    def _orphans(self, transaction: Any, databases: dict[str, Any], name: str) -> Iterator[str]:
        """Entries of an index or of content that no record accounts for."""
        start = {"due": 8, "parked": 8, "held": 8, "lines": _IN_LINE, "content": 0}[name]
        with transaction.cursor(databases[name]) as cursor:
            for key in cursor.iternext(values=False):
                identity = MessageId(key[start : start + 16])
                if len(identity) < 16:
                    continue  # the turn of a line
                if identity in self._unreadable:
                    continue  # nobody can tell
                packed = transaction.get(identity, db=databases["envelopes"])
                if packed is None:
                    yield f"{name} has an entry for {identity}, which is not in the queue"
                elif not _belongs(bytes(key), name, unpack(identity, packed)):
                    yield f"{name} has an entry for {identity} that should not be there"


def _index(record: Record) -> tuple[str, str]:
    """The index that a record must be in, and what that says of it."""
    return {WAITING: ("due", "waits"), HELD: ("held", "is held")}.get(record.state, ("parked", "is parked"))


def _belongs(key: bytes, name: str, record: Record) -> bool:
    """Whether the record should have that entry."""
    if name in ("due", "parked", "held"):
        return _index(record)[0] == name and key == due_key(record)
    if name == "lines":
        return bool(record.line) and key == line_key(record)
    return not record.in_file and int.from_bytes(key[16:], "big") < -(-record.size // CHUNK)
