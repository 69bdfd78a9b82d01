"""One shard of the queue on disk: its databases, its records, and what may change them.

envelopes  id → record           every message of the shard, in whatever state
content    id + number → octets  chunks of content that is not in a file
due        time + id → decided   waiting messages by the time at which their next attempt is owed, or their last, and
                                 when that was decided; behind it a brief, of those that have waited before
parked     time + id → decided   parked messages, by the time at which they were parked, and a brief
held       time + id → decided   messages that an operator holds back, by what they were owed, since when, and a brief
lines      line → turn, name     the lines, with the time at which one is tried next
           line + position → ""  the messages that stand in it: whose they are, how urgent, their ids
turns      time + line → decided the lines by that time
"""

import os
import struct
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import lmdb
import msgpack
from msgspec import Struct
from msgspec.structs import replace

from engine.links import wire
from engine.message import Content, Envelope, Message, MessageId, Recipient
from engine.queue.briefs import brief
from engine.queue.content import CHUNK, FileContent, QueueContent, chunk_key, cut
from engine.queue.shares import flow_of, mark
from engine.storage.batch import Batch
from engine.storage.environment import StorageError, open_environment, reason

FORMAT = 6
"""Version of the records. A shard of another version is refused, not guessed at."""

EARLIER = (3, 4, 5)
"""Versions that the owner brings up when it opens the shard. In 3 parked messages were in no index; in 3 and 4 a
message stood in its line by its id alone; in 5 none was held."""

_NOW, _EARLIER = str(FORMAT).encode(), [str(number).encode() for number in EARLIER]

WAITING, QUARANTINED, HELD = "waiting", "quarantined", "held"

LOWEST = 9
"""The priority furthest from zero (RFC 6710 3)."""

_EVER = 2.0**40  # seconds

_TIME = struct.Struct(">Q")
_SITES = 10  # where they stand behind the envelope; not in what an earlier release has stored
_LINE, _MARK = 8, 4  # octets of a line's key that name the line, and whose mail it is


class Record(Struct, frozen=True):
    """A message at rest. Its envelope names only the recipients that are not done."""

    id: MessageId
    envelope: Envelope
    lane: str  # where it came in: after `queue` it goes on there
    size: int  # octets of content
    in_file: bool = False  # content lies in a file of its own, named by the id
    state: str = WAITING
    due: float = 0.0  # Unix time of the next attempt; in a line: when it goes out all the same; parked: since when
    reason: str = ""  # why it waits, or is parked
    line: str = ""  # the name of the line that it stands in: a domain, or what a stage calls it
    deaths: int = 0  # of owners, one after the other, while it was away
    decided: float = 0.0  # when ``due`` was, in Unix time: later than now, by a clock that was ahead
    warned: bool = False  # its sender has been told that it is late, if that was wanted
    sites: tuple[str, ...] = ()  # where it was to go at its last attempt, for those who still wait
    back: str = ""  # held: the line that it stood in


class Counts(NamedTuple):
    """Messages of a shard."""

    waiting: int  # in a line or not, away or not
    parked: int
    in_line: int
    held: int


class View:
    """Records of a page where they lie in the map, uncopied: once the transaction is over, others may be there."""

    def __init__(self, cursor: Any, position: bytes, limit: int, *, reverse: bool) -> None:
        self._cursor, self._position, self._limit, self._reverse = cursor, position, limit, reverse
        self.records: Sequence[memoryview] = self._each(values=True)
        self.last = bytes(cursor.key()) if len(self.records) == limit else b""  # its id; empty: behind it is none

    def ids(self) -> Sequence[memoryview]:
        """The ids of these records."""
        return self._each(values=False)

    def _each(self, *, values: bool) -> Sequence[memoryview]:
        if not self._find():
            return ()
        step = self._cursor.iterprev if self._reverse else self._cursor.iternext
        return list(islice(step(keys=not values, values=values), self._limit))

    def _find(self) -> bool:
        """Put the cursor on the first one, if there is any."""
        cursor, position = self._cursor, self._position
        if not self._reverse:
            return bool(cursor.set_range(position + b"\0"))
        return bool(cursor.prev() if position and cursor.set_range(position) else cursor.last())


class Briefs:
    """What the indexes say of messages, in one view of the store."""

    def __init__(self, transaction: Any, indexes: Mapping[str, Any], envelopes: Any) -> None:
        self._transaction, self._indexes, self._envelopes = transaction, indexes, envelopes

    def pages(self, state: str, limit: int) -> Iterator[tuple[list[memoryview], list[bytes]]]:
        """Some at a time: the briefs of messages in that state, and the ids of those that have none."""
        with self._transaction.cursor(self._indexes[state]) as cursor:
            there = cursor.first()
            while there:
                start = bytes(cursor.key())
                values = list(islice(cursor.iternext(keys=False), limit))
                if min(map(len, values)) > _TIME.size:
                    yield [value[_TIME.size :] for value in values], []
                else:
                    yield self._parted(state, start, len(values))
                there = len(values) == limit and cursor.next()

    def _parted(self, state: str, start: bytes, count: int) -> tuple[list[memoryview], list[bytes]]:
        with self._transaction.cursor(self._indexes[state]) as cursor:
            cursor.set_range(start)
            items = list(islice(cursor.iternext(), count))
        briefs = [value[_TIME.size :] for _, value in items if len(value) > _TIME.size]
        return briefs, [bytes(key[8:]) for key, value in items if len(value) <= _TIME.size]

    def records(self, identities: Sequence[bytes]) -> list[tuple[memoryview, memoryview]]:
        """Ids and records as they are stored, of those that are there."""
        with self._transaction.cursor(self._envelopes) as cursor:
            found: list[tuple[memoryview, memoryview]] = cursor.getmulti(identities)
            return found


class Shard:
    """Shard ``number`` under the data folder. The owner opens it for writing, other workers to read content."""

    def __init__(self, data: Path, number: int, *, map_size: int, read_only: bool = False) -> None:
        self.number = number
        self.path = data / "queue" / str(number)
        self.data = data
        self.environment = open_environment(self.path, map_size=map_size, databases=8, read_only=read_only)
        if read_only:
            self._check_readable()
        self._envelopes = self._database(b"envelopes", read_only)
        self._content = self._database(b"content", read_only)
        self._due = self._database(b"due", read_only)
        self._lines = self._database(b"lines", read_only)
        self._turns = self._database(b"turns", read_only)
        self._parked = self._database(b"parked", read_only)
        self._held = self._database(b"held", read_only)
        if not read_only:
            self._check_format()

    def _database(self, name: bytes, read_only: bool) -> Any:
        try:
            return self.environment.open_db(name, create=not read_only)
        except lmdb.NotFoundError as error:
            self.environment.close()
            raise StorageError(f"the store in {self.path} is not finished: a server that starts finishes it") from error
        except lmdb.Error as error:
            self.environment.close()
            raise StorageError(f"cannot open the store in {self.path}: {reason(error)}") from error

    def _check_format(self) -> None:
        with self.environment.begin(write=True) as transaction:
            found = transaction.get(b"format")
            if found in _EARLIER:
                self._bring_up(transaction, found)
            elif found is None:
                transaction.put(b"format", _NOW)
            elif found != _NOW:
                self._refuse(found)

    def _check_readable(self) -> None:
        try:
            with self.environment.begin() as transaction:
                found = transaction.get(b"format")
        except lmdb.Error as error:
            self.environment.close()
            raise StorageError(f"cannot open the store in {self.path}: {reason(error)}") from error
        if found in _EARLIER:
            self.environment.close()
            raise StorageError(f"{self.path} is of an earlier release: a server that starts brings it up")
        if found is not None and found != _NOW:
            self._refuse(found)

    def _refuse(self, found: bytes) -> NoReturn:
        raise StorageError(
            f"{self.path} has format {found.decode()}, this release knows {FORMAT}: run the one that made it, "
            "and change only when the queue is empty"
        )

    def _bring_up(self, transaction: lmdb.Transaction, found: bytes) -> None:
        for key, packed in transaction.cursor(self._envelopes) if found in (b"3", b"4") else ():
            record = unpack(MessageId(key), bytes(packed))
            if record.state == QUARANTINED:
                transaction.put(due_key(record), noted(record), db=self._parked)
            if record.line:
                transaction.delete(digest(record.line) + record.id, db=self._lines)
                transaction.put(line_key(record), b"", db=self._lines)
        transaction.put(b"format", _NOW)

    def _index(self, record: Record) -> Any:
        """The index of those that are in the same state."""
        return self._due if record.state == WAITING else self._held if record.state == HELD else self._parked

    def close(self) -> None:
        self.environment.close()

    # -- changes: each is called inside the writer's transaction

    def put_new(self, batch: Batch, record: Record, content: Content) -> None:
        """Store a message that was just accepted."""
        batch.put(self._envelopes, record.id, pack(record))
        batch.put(self._index(record), due_key(record), noted(record))
        if record.line:
            batch.put(self._lines, line_key(record), b"")
        if not record.in_file:
            for number, chunk in enumerate(cut(b"".join(content.chunks()))):
                batch.put(self._content, chunk_key(record.id, number), chunk)

    def replace(self, batch: Batch, old: Record, new: Record) -> None:
        """Another envelope, due time or state of the same message."""
        batch.put(self._envelopes, new.id, pack(new))
        if (old.state, due_key(old)) != (new.state, due_key(new)):
            batch.delete(self._index(old), due_key(old))
            batch.put(self._index(new), due_key(new), noted(new))
        elif has_brief(old) or has_brief(new):
            batch.put(self._index(new), due_key(new), noted(new))
        if old.line and old.line != new.line:
            batch.delete(self._lines, line_key(old))
        if new.line and old.line != new.line:
            batch.put(self._lines, line_key(new), b"")

    def remove(self, batch: Batch, record: Record) -> None:
        """The message is done. Its file, if it has one, is removed by the caller once this is committed."""
        batch.delete(self._envelopes, record.id)
        batch.delete(self._index(record), due_key(record))
        if record.line:
            batch.delete(self._lines, line_key(record))
        if not record.in_file:
            for number in range(-(-record.size // CHUNK)):
                batch.delete(self._content, chunk_key(record.id, number))

    def set_turn(self, batch: Batch, name: str, when: float, decided: float) -> None:
        """The line of that name is tried next at ``when``, in Unix time, and at no other time."""
        line = digest(name)
        self._drop_turn(batch, line)
        batch.put(self._lines, line, msgpack.packb([when, name]))
        batch.put(self._turns, time_key(when) + line, time_key(decided))

    def ensure_turn(self, batch: Batch, name: str, when: float, decided: float) -> None:
        """The same, unless it is to be tried at some time already."""
        if batch.get(self._lines, digest(name)) is None:
            self.set_turn(batch, name, when, decided)

    def hasten_turns(self, batch: Batch, now: float, latest: float) -> None:
        """Lines whose turns were decided later than ``latest``, by a clock that was ahead, have them now."""
        with batch.transaction.cursor(self._turns) as cursor:
            turns = cursor.iternext() if cursor.set_range(time_key(now)) else ()
            lines = [bytes(key[8:]) for key, decided in turns if bytes(decided) > time_key(latest)]
        for line in lines:
            self.set_turn(batch, msgpack.unpackb(batch.get(self._lines, line))[1], now, now)

    def end_line(self, batch: Batch, name: str) -> None:
        """The line needs no more turns, if nothing stands in it."""
        line = digest(name)
        with batch.transaction.cursor(self._lines) as cursor:
            occupied = cursor.set_range(line + b"\0") and bytes(cursor.key()).startswith(line)
        if not occupied and self._drop_turn(batch, line):
            batch.delete(self._lines, line)

    def _drop_turn(self, batch: Batch, line: bytes) -> bool:
        packed = batch.get(self._lines, line)
        if packed is None:
            return False
        batch.delete(self._turns, time_key(msgpack.unpackb(packed)[0]) + line)
        return True

    # -- reading: each in a short transaction of its own

    def due_from(self, position: bytes, limit: int, until: float) -> tuple[list[MessageId], bytes]:
        """Ids whose due key is above ``position`` and not later than ``until``, and the last key looked at."""
        return self._from(self._due, position, limit, until)

    def parked_from(self, position: bytes, limit: int, until: float) -> tuple[list[MessageId], bytes]:
        """The same of what is parked, by the time at which it was."""
        return self._from(self._parked, position, limit, until)

    def held_from(self, position: bytes, limit: int) -> tuple[list[MessageId], bytes]:
        """The same of what is held, whatever it was owed."""
        return self._from(self._held, position, limit, _EVER)

    def _from(self, index: Any, position: bytes, limit: int, until: float) -> tuple[list[MessageId], bytes]:
        found: list[MessageId] = []
        last = _TIME.pack(int(until * 1000) + 1)
        with self.environment.begin() as transaction, transaction.cursor(index) as cursor:
            if cursor.set_range(position + b"\0"):
                for key in cursor.iternext(values=False):
                    if key >= last or len(found) == limit:
                        break
                    found.append(MessageId(key[8:]))
                    position = bytes(key)
        return found, position

    def decided_after(self, when: float, position: bytes, limit: int) -> tuple[list[MessageId], bytes | None]:
        """Ids whose due time was decided later than ``when``, among the next ``limit`` keys above ``position``, and the
        last key looked at: None when there are no more."""
        found: list[MessageId] = []
        latest = time_key(when)
        with self.environment.begin() as transaction, transaction.cursor(self._due) as cursor:
            if cursor.set_range(position + b"\0"):
                for key, decided in islice(cursor, limit):
                    position = bytes(key)
                    if decided[: _TIME.size] > latest:
                        found.append(MessageId(key[8:]))
                return found, position
        return found, None

    def counts(self) -> "Counts":
        """How many messages there are in each state, of which LMDB keeps count."""
        indexes = self._due, self._parked, self._lines, self._turns, self._held
        with self.environment.begin() as transaction:
            due, parked, lines, turns, held = (int(transaction.stat(index)["entries"]) for index in indexes)
        return Counts(due, parked, lines - turns, held)  # each line that has a turn is an entry of its own

    def oldest_waiting(self, position: bytes, limit: int) -> tuple[Record | None, bytes]:
        """The first message from ``position`` on that is not parked, among the next ``limit``, and where it is."""
        for record in self._page(position, limit):
            position = record.id
            if record.state == WAITING:
                return record, position
        return None, position

    def next_due(self, position: bytes) -> float | None:
        """Unix time of the first due key above ``position``."""
        with self.environment.begin() as transaction, transaction.cursor(self._due) as cursor:
            if not cursor.set_range(position + b"\0"):
                return None
            return _time(cursor.key())

    def turns(
        self, position: bytes, limit: int, until: float, besides: Container[str]
    ) -> tuple[list[str], float | None, bytes]:
        """Lines whose turns are above ``position`` and not later than ``until``, when the first one of the others is,
        and the last key looked at."""
        found: list[str] = []
        last = _TIME.pack(int(until * 1000) + 1)
        with self.environment.begin() as transaction, transaction.cursor(self._turns) as cursor:
            for key in cursor.iternext(values=False) if cursor.set_range(position + b"\0") else ():
                if key >= last or len(found) == limit:
                    return found, _time(key), position
                name = msgpack.unpackb(transaction.get(key[8:], db=self._lines))[1]
                if name not in besides:
                    found.append(name)
                position = bytes(key)
        return found, None, position

    def line_names(self) -> list[str]:
        """The names of all lines."""
        with self.environment.begin() as transaction, transaction.cursor(self._turns) as cursor:
            return [
                msgpack.unpackb(transaction.get(key[8:], db=self._lines))[1] for key in cursor.iternext(values=False)
            ]

    def line_from(self, name: str, position: bytes, limit: int) -> tuple[list[MessageId], bytes]:
        """Ids of those that stand in the line, behind ``position``, and the last position looked at."""
        line = digest(name)
        found: list[MessageId] = []
        with self.environment.begin() as transaction, transaction.cursor(self._lines) as cursor:
            there = cursor.set_range((position or line) + b"\0")
            for key in cursor.iternext(values=False) if there else ():
                if len(found) == limit or not key.startswith(line):
                    break
                found.append(MessageId(key[_LINE + _MARK + 1 :]))
                position = bytes(key)
        return found, position

    def flows(self, name: str) -> list[bytes]:
        """The marks of those whose mail stands in the line."""
        line = digest(name)
        found: list[bytes] = []
        with self.environment.begin() as transaction, transaction.cursor(self._lines) as cursor:
            there = cursor.set_range(line + b"\0")
            while there and (key := bytes(cursor.key())).startswith(line):
                if len(key) > len(line):
                    found.append(key[_LINE : _LINE + _MARK])
                there = cursor.set_range(key[: _LINE + _MARK] + b"\xff" * 17)
        return found

    def in_line(self, name: str, flow: bytes, start: bytes, limit: int) -> list[bytes]:
        """Positions of those of one flow that stand in the line, from ``start`` on, in their order."""
        prefix = digest(name) + flow
        found: list[bytes] = []
        with self.environment.begin() as transaction, transaction.cursor(self._lines) as cursor:
            if cursor.set_range(prefix + start):
                for key in cursor.iternext(values=False):
                    if len(found) == limit or not key.startswith(prefix):
                        break
                    found.append(bytes(key[len(prefix) :]))
        return found

    def turn(self, name: str) -> float | None:
        """When the line of that name is tried next, in Unix time; None when there is none."""
        with self.environment.begin() as transaction:
            packed = transaction.get(digest(name), db=self._lines)
        return None if packed is None else msgpack.unpackb(packed)[0]

    def records(self, identities: list[MessageId]) -> list[Record]:
        """The records of those that are there."""
        with self.environment.begin() as transaction:
            found = [(identity, transaction.get(identity, db=self._envelopes)) for identity in identities]
        return [unpack(identity, packed) for identity, packed in found if packed is not None]

    def all_records(self) -> Iterator[Record]:
        """Every record, in pages: no transaction is open while the caller looks at one."""
        position = b""
        while page := self._page(position):
            yield from page
            position = page[-1].id + b"\0"

    def _page(self, position: bytes, limit: int = 1000) -> list[Record]:
        page = []
        with self.environment.begin() as transaction, transaction.cursor(self._envelopes) as cursor:
            if cursor.set_range(position):
                for key, packed in cursor:
                    page.append(unpack(MessageId(key), packed))
                    if len(page) == limit:
                        break
        return page

    def packed(self, identities: Sequence[MessageId]) -> list[tuple[bytes, bytes]]:
        """Ids and records as they are stored, of those that are there."""
        with self.environment.begin() as transaction, transaction.cursor(self._envelopes) as cursor:
            found: list[tuple[bytes, bytes]] = cursor.getmulti(identities)
            return found

    @contextmanager
    def view(self, position: bytes, limit: int, *, reverse: bool = False) -> Iterator["View"]:
        """The next ``limit`` records above ``position``, or below it; empty: from the beginning, or the end."""
        with self.environment.begin(buffers=True) as transaction, transaction.cursor(self._envelopes) as cursor:
            yield View(cursor, position, limit, reverse=reverse)

    @contextmanager
    def briefs(self) -> Iterator["Briefs"]:
        """What the indexes say of all messages. While it is looked at, pages that become free are not used again."""
        indexes = {WAITING: self._due, HELD: self._held, QUARANTINED: self._parked}
        with self.environment.begin(buffers=True) as transaction:
            yield Briefs(transaction, indexes, self._envelopes)

    def count(self) -> int:
        """Messages in the shard."""
        with self.environment.begin() as transaction:
            entries: int = transaction.stat(self._envelopes)["entries"]
            return entries

    def content(self, record: Record) -> Content:
        if record.in_file:
            return FileContent(self.file(record.id), record.size)
        return self.stored(record.id, record.size)

    def file(self, identity: MessageId) -> Path:
        """Where content of that message lies that is too large for LMDB."""
        return content_folder(self.data) / str(identity)

    def holds(self, identity: MessageId) -> bool:
        with self.environment.begin() as transaction:
            return transaction.get(identity, db=self._envelopes) is not None

    def refers_to_file(self, identity: MessageId) -> bool:
        """Whether the message is there and its content lies in its file."""
        return any(record.in_file for record in self.records([identity]))

    def stored(self, identity: MessageId, size: int) -> Content:
        return QueueContent(self.environment, self._content, self.number, identity, size)

    def message(self, record: Record) -> Message:
        """The message as stages see it."""
        return Message(record.id, record.envelope, self.content(record))


def content_folder(data: Path) -> Path:
    """Where content too large for LMDB lies, for all shards."""
    return data / "content"


def shard_numbers(data: Path) -> list[int]:
    """The shards that a data folder has. OSError when nobody can tell: that is no empty queue.

    A folder without a store is what a crash has left while a shard was made.
    """
    try:
        names = os.listdir(data / "queue")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit() and "data.mdb" in os.listdir(data / "queue" / name))


def with_recipients(record: Record, recipients: tuple[Recipient, ...]) -> Record:
    return replace(record, envelope=replace(record.envelope, recipients=recipients))


def position_before(record: Record) -> bytes:
    """A position from which ``due_from`` finds the record."""
    return time_key(record.due) + bytes(16)


def time_key(when: float) -> bytes:
    return _TIME.pack(int(when * 1000))


def _time(key: bytes) -> float:
    """Unix time in seconds of a key that begins with a time."""
    milliseconds: int = _TIME.unpack(key[:8])[0]
    return milliseconds / 1000


def due_key(record: Record) -> bytes:
    return time_key(record.due) + record.id


def has_brief(record: Record) -> bool:
    """Whether its index has more of it than when it was decided. Mail that passes at once need not pay for that."""
    return bool(record.reason or record.line) or record.state != WAITING


def noted(record: Record) -> bytes:
    """What stands in its index."""
    decided = time_key(record.decided)
    return decided + brief(record) if has_brief(record) else decided


def digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=_LINE).digest()


def position_of(record: Record) -> bytes:
    """Where it stands among those of its flow: what is urgent before what is not, then the oldest first."""
    return bytes([LOWEST - record.envelope.timing.priority]) + record.id


def identity_at(position: bytes) -> MessageId:
    """Who stands at that position."""
    return MessageId(position[1:])


def line_key(record: Record) -> bytes:
    return digest(record.line) + mark(flow_of(record.envelope)) + position_of(record)


def pack(record: Record) -> bytes:
    packed: bytes = msgpack.packb(
        [
            wire.pack_envelope(record.envelope),
            record.lane,
            record.size,
            record.in_file,
            record.state,
            record.due,
            record.reason,
            record.line,
            record.deaths,
            record.decided,
            record.warned,
            record.sites,
            record.back,
        ]
    )
    return packed


def unpack(identity: MessageId, packed: bytes) -> Record:
    envelope, *rest = msgpack.unpackb(packed)
    if len(rest) > _SITES:
        rest[_SITES] = tuple(rest[_SITES])
    return Record(identity, wire.unpack_envelope(envelope), *rest)
