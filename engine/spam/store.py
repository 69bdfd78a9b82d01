"""What was learnt: in how many messages of spam and of ham each token was, for the server and for each account.

All processes share it by LMDB. Who scans only reads, and waits for nobody. Who learns writes some messages at a time,
and lets others who learn come between.

token    owner, hash of the token → messages of spam and of ham it was in, the day it was last learnt
message  owner, digest of a message → what it was learnt as, and the day
total    owner → messages of spam and of ham

An owner is the number of an account, or SERVER. Days count from the first of 1970. All numbers are big endian.
"""

import hashlib
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import lmdb
from msgspec import Struct

from engine.spam.classify import Count
from engine.storage.environment import StorageError, open_environment, plain, translated
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Kind: TypeAlias = Literal["spam", "ham"]

FOLDER = "spam"
"""Where it is, within the data folder of the server."""

SERVER = 0
"""The owner of what was learnt for everybody. No account has this number."""

MAP_SIZE = 2**32
"""Octets of address space: more than MOST entries take."""

MOST = 2_000_000
"""Tokens that are kept, those of all accounts together: some 100 MB of disk."""

KEPT = 0.8
"""The part of them that stays when there are too many."""

AT_ONCE = 100
"""Messages that are learnt in one commit."""

SWEPT = 5_000
"""Tokens that are forgotten in one commit."""

MONTH = 30
"""Days of age that one doubling of a token's count makes good when the least useful are sought."""

_OWNER = struct.Struct(">I")
_TOKEN = struct.Struct(">IIH")
_MESSAGE = struct.Struct(">BH")
_TOTAL = struct.Struct(">II")
_KINDS: tuple[Kind, ...] = ("ham", "spam")
_HASH = 8
_DIGEST = 16
_FULL = 2**32 - 1


class Lesson(NamedTuple):
    """One message to be learnt for an owner, or to be forgotten (``kind`` is None)."""

    owner: int
    digest: bytes
    tokens: frozenset[str]
    kind: Kind | None


class Learnt(Struct, frozen=True):
    """What came of lessons, in messages."""

    new: int = 0
    changed: int = 0  # were learnt as the other kind before, or are forgotten now
    known: int = 0  # nothing was to be done

    def __add__(self, more: "Learnt") -> "Learnt":
        return Learnt(self.new + more.new, self.changed + more.changed, self.known + more.known)


class Holding(NamedTuple):
    """What is kept of one owner."""

    owner: int
    messages: Count
    tokens: int


def hashed(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=_HASH).digest()


class Words(Store):
    """The open store. One object a process, shared by its threads. StorageError from every method."""

    def __init__(
        self, environment: lmdb.Environment, *, most: int = MOST, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(environment)
        self._most = most
        self._clock = clock
        self._token = environment.open_db(b"token")
        self._message = environment.open_db(b"message")
        self._total = environment.open_db(b"total")

    @classmethod
    def open(cls, folder: Path, *, most: int = MOST, clock: Callable[[], float] = time.time) -> Self:
        """Open the store in ``folder``, and make it if need be."""
        try:
            return cls(open_environment(folder, map_size=MAP_SIZE, databases=3), most=most, clock=clock)
        except (OSError, lmdb.Error) as error:
            raise StorageError(plain(error)) from error

    # Reading

    def messages(self, owner: int) -> Count:
        """How many messages were learnt for an owner."""
        with self._reading() as transaction:
            return self._messages(transaction, owner)

    def counts(self, owner: int, tokens: Iterable[str]) -> dict[str, Count]:
        """Those of the tokens that were learnt."""
        prefix = _OWNER.pack(owner)
        keys = {prefix + hashed(token): token for token in tokens}
        with self._reading() as transaction:
            found = transaction.cursor(self._token).getmulti(sorted(keys))
        return {keys[key]: Count(*_TOKEN.unpack(value)[:2]) for key, value in found}

    def holdings(self) -> list[Holding]:
        """What is kept of each owner, the server first. Slow: it counts the tokens."""
        with self._reading() as transaction:
            tokens = Counter(key[:4] for key in transaction.cursor(self._token).iternext(values=False))
            totals = {bytes(key): Count(*_TOTAL.unpack(value)) for key, value in transaction.cursor(self._total)}
        return [
            Holding(_OWNER.unpack(owner)[0], totals.get(owner, Count()), tokens[owner])
            for owner in sorted(tokens.keys() | totals.keys())
        ]

    # Learning

    def learn(self, lessons: Sequence[Lesson]) -> Learnt:
        """Learn these, all or none; no message twice, and one that is now of the other kind only as that."""
        done = Counter[str]()
        with self._writing() as transaction:
            changes: dict[bytes, list[int]] = {}
            for lesson in lessons:
                done[self._take(transaction, lesson, changes)] += 1
            self._apply(transaction, changes)
        return Learnt(done["new"], done["changed"], done["known"])

    def forget(self, owner: int) -> None:
        """Forget all that was learnt for an owner."""
        prefix = _OWNER.pack(owner)
        with self._writing() as transaction:
            transaction.delete(prefix, db=self._total)
            _delete_below(transaction, self._message, prefix)
        while self._forget_some(prefix):
            pass

    def sweep(self) -> int:
        """If there are too many tokens, forget those of least use: the rare ones that were not seen for long.

        How many were. It reads all, but in no transaction that keeps others from learning.
        """
        with self._reading() as transaction:
            entries = transaction.stat(self._token)["entries"]
            if entries <= self._most:
                return 0
            uses = Counter(_use(value) for value in transaction.cursor(self._token).iternext(keys=False))
        limit, left = _limit(uses, entries - int(self._most * KEPT))
        gone = 0
        for keys in self._useless(limit, left):
            with self._writing() as transaction:
                for key in keys:
                    transaction.delete(key, db=self._token)
            gone += len(keys)
        self._drop_old_messages()
        return gone

    # Transactions

    @contextmanager
    def _reading(self, *, write: bool = False) -> Iterator[Transaction]:
        try:
            with self._environment.begin(write=write) as transaction:
                yield transaction
        except lmdb.Error as error:
            raise translated(error) from error

    def _writing(self) -> AbstractContextManager[Transaction]:
        return self._reading(write=True)

    def _messages(self, transaction: Transaction, owner: int) -> Count:
        value = transaction.get(_OWNER.pack(owner), db=self._total)
        return Count(*_TOTAL.unpack(value)) if value is not None else Count()

    def _take(self, transaction: Transaction, lesson: Lesson, changes: dict[bytes, list[int]]) -> str:
        """Note a lesson, and add up what it changes; how it counts."""
        owner = _OWNER.pack(lesson.owner)
        key = owner + lesson.digest[:_DIGEST]
        noted = transaction.get(key, db=self._message)
        before = _KINDS[_MESSAGE.unpack(noted)[0]] if noted is not None else None
        if before == lesson.kind:
            return "known"
        if lesson.kind is None:
            transaction.delete(key, db=self._message)
        else:
            transaction.put(key, _MESSAGE.pack(_KINDS.index(lesson.kind), self._day()), db=self._message)
        change = [(lesson.kind == kind) - (before == kind) for kind in ("spam", "ham")]
        total = _changed(self._messages(transaction, lesson.owner), change)
        if any(total):
            transaction.put(owner, _TOTAL.pack(*total), db=self._total)
        else:
            transaction.delete(owner, db=self._total)
        for token in lesson.tokens:
            sums = changes.setdefault(owner + hashed(token), [0, 0])
            sums[0] += change[0]
            sums[1] += change[1]
        return "new" if before is None else "changed"

    def _apply(self, transaction: Transaction, changes: Mapping[bytes, Sequence[int]]) -> None:
        keys = sorted(key for key, change in changes.items() if any(change))
        cursor, day = transaction.cursor(self._token), self._day()
        before = {key: Count(*_TOKEN.unpack(value)[:2]) for key, value in cursor.getmulti(keys)}
        after = {key: _changed(before.get(key, Count()), changes[key]) for key in keys}
        cursor.putmulti([(key, _TOKEN.pack(*count, day)) for key, count in after.items() if any(count)])
        for key, count in after.items():
            if not any(count):
                transaction.delete(key, db=self._token)

    def _forget_some(self, prefix: bytes) -> bool:
        with self._writing() as transaction:
            return _delete_below(transaction, self._token, prefix, SWEPT)

    def _useless(self, limit: int, left: int) -> Iterator[list[bytes]]:
        """The keys of tokens of less use than ``limit``, and ``left`` of just that, some at a time."""
        after = b""
        while True:
            keys: list[bytes] = []
            with self._reading() as transaction:
                cursor = transaction.cursor(self._token)
                found = cursor.set_range(after)
                while found and len(keys) < SWEPT:
                    use = _use(cursor.value())
                    if use < limit or (use == limit and left > 0):
                        left -= use == limit
                        keys.append(bytes(cursor.key()))
                    after = bytes(cursor.key()) + b"\0"
                    found = cursor.next()
            if not keys:
                return
            yield keys

    def _drop_old_messages(self) -> None:
        """Forget which messages were learnt where that was long ago: one that comes again then counts again."""
        most = max(self._most // 10, 1)
        with self._writing() as transaction:
            over = transaction.stat(self._message)["entries"] - most
            if over > 0:
                days = ((_MESSAGE.unpack(value)[1], bytes(key)) for key, value in transaction.cursor(self._message))
                for _, key in sorted(days)[:over]:
                    transaction.delete(key, db=self._message)

    def _day(self) -> int:
        return int(self._clock() // 86_400)


def _changed(count: Count, change: Sequence[int]) -> Count:
    spam, ham = (min(max(old + new, 0), _FULL) for old, new in zip(count, change, strict=True))
    return Count(spam, ham)


def _use(value: bytes) -> int:
    """How useful a token is: the day it was last learnt, and a month for each doubling of its count."""
    spam, ham, day = _TOKEN.unpack(value)
    return int(day) + MONTH * int(spam + ham).bit_length()


def _limit(uses: Mapping[int, int], wanted: int) -> tuple[int, int]:
    """The use below which tokens go so that ``wanted`` do, and how many of just that use go too."""
    for use in sorted(uses):
        if uses[use] >= wanted:
            return use, wanted
        wanted -= uses[use]
    return max(uses, default=0) + 1, 0


def _delete_below(transaction: Transaction, database: Any, prefix: bytes, most: int = 2**31) -> bool:
    """Delete entries whose keys begin so; whether there were as many as ``most``."""
    cursor = transaction.cursor(database)
    number = 0
    found = cursor.set_range(prefix)
    while found and cursor.key().startswith(prefix) and number < most:
        found = cursor.delete()
        number += 1
    return number == most
