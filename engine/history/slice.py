"""A slice of the history: what one process has noted within a time, in an LMDB environment that goes as a whole.

blocks  number → entries  in the order in which they came, many in one compressed value
runs    number → keys     sorted, each a digest and the number of a block: by what the entries in blocks are found

Nothing is ever changed, and all puts go to the end: that costs a fifth of what a row for each key does.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import lmdb
import msgspec

from engine.history.entries import FORMAT, Entry, Happened, decode, encode
from engine.storage.environment import StorageError, open_environment, translated

BLOCK = 64
"""Entries of one block: some 10 KB, compressed to two, of which one is unpacked within a millisecond."""

RUN = 4096
"""Keys that a run has at least, but for the last ones: these are joined when there are as many."""

LARGE = 128 * 1024
"""Octets that an entry may have. What stages have found out may be more: then it is left out."""

_LARGE_BLOCK = 1024 * 1024
"""Octets of a block from which on each of its entries is looked at."""

_NUMBER = struct.Struct(">I")
_DIGEST = 6
_KEY = _DIGEST + _NUMBER.size
_VERSION = str(FORMAT).encode()


@lru_cache(maxsize=4096)  # few senders write most mail
def digest_of(text: str) -> bytes:
    """The key of an address, or of a Message-ID. Two may share one: whoever finds something by it looks again."""
    return blake2b(text.lower().encode(errors="surrogatepass"), digest_size=_DIGEST).digest()


def digest_of_id(identity: bytes) -> bytes:
    """The key of the id of a message: its last octets are random."""
    return identity[-_DIGEST:]


class OtherRelease(StorageError):
    """It was written by another release of Postroad."""


class Slice:
    """Written by the one process that it is of; any may read it beside that."""

    def __init__(self, path: Path, *, map_size: int, read_only: bool = False) -> None:
        """StorageError when it is damaged, or of another release."""
        self.path = path
        self._environment = open_environment(path, map_size=map_size, databases=2, read_only=read_only)
        try:
            self._blocks: Any = self._environment.open_db(b"blocks", create=not read_only)
            self._runs: Any = self._environment.open_db(b"runs", create=not read_only)
            self._check_format(read_only)
            self._last = -1
            self._short: list[bytes] = []  # runs at the end that are to be joined
            self._keys: list[bytes] = []  # that these have
            if not read_only:
                self._go_on()
        except lmdb.Error as error:
            self.close()
            raise StorageError(f"cannot open the history in {path}: {translated(error)}") from error
        except StorageError:
            self.close()
            raise

    def _check_format(self, read_only: bool) -> None:
        with self._environment.begin(write=not read_only) as transaction:
            found = transaction.get(b"format")
            if found is None and not read_only:
                transaction.put(b"format", _VERSION)
            elif found != _VERSION:
                raise OtherRelease(f"{self.path} is of another release")

    def _go_on(self) -> None:
        """Where whoever wrote it before has ended."""
        with self._environment.begin() as transaction:
            with transaction.cursor(self._blocks) as cursor:
                self._last = _number(cursor.key()) if cursor.last() else -1
            with transaction.cursor(self._runs) as cursor:
                for key, run in cursor.iterprev() if cursor.last() else ():
                    if len(run) >= RUN * _KEY or len(self._keys) >= RUN:
                        break
                    self._short.append(bytes(key))
                    self._keys += _keys(bytes(run))

    @property
    def octets(self) -> int:
        """How large it is on disk."""
        return (self.path / "data.mdb").stat().st_size

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries, in one synced commit. StorageError."""
        blocks: list[tuple[bytes, bytes]] = []
        keys: set[bytes] = set()
        last = self._last
        for some in _cut(entries):
            last += 1
            number = _NUMBER.pack(last)
            blocks.append((number, zlib.compress(_encoded(some), 1)))
            keys.update([digest + number for digest in _digests(some)])
        try:
            with self._environment.begin(write=True) as transaction:
                transaction.cursor(self._blocks).putmulti(blocks, append=True)
                short, left = self._put_run(transaction, _NUMBER.pack(last), sorted(keys))
        except lmdb.Error as error:
            raise translated(error) from error
        self._last, self._short, self._keys = last, short, left

    def _put_run(
        self, transaction: lmdb.Transaction, number: bytes, keys: list[bytes]
    ) -> tuple[list[bytes], list[bytes]]:
        """Put a run, with the short ones before it if there is enough for a long one; those that are short then."""
        together = self._keys + keys
        if len(together) < RUN:
            transaction.put(number, b"".join(keys), db=self._runs, append=True)
            return [*self._short, number], together
        for one in self._short:
            transaction.delete(one, db=self._runs)
        transaction.put(number, b"".join(sorted(together)), db=self._runs, append=True)
        return [], []

    def find(self, digest: bytes) -> list[int]:
        """The numbers of blocks with entries that may have that key, the newest first. StorageError."""
        found: list[int] = []
        try:
            with self._environment.begin(buffers=True) as transaction, transaction.cursor(self._runs) as cursor:
                for run in cursor.iterprev(keys=False) if cursor.last() else ():
                    found += _found(run, digest)
        except lmdb.Error as error:
            raise translated(error) from error
        return found

    def block(self, number: int) -> list[Happened]:
        """The entries of a block, in the order in which they came. StorageError."""
        try:
            with self._environment.begin() as transaction:
                packed = transaction.get(_NUMBER.pack(number), db=self._blocks)
            return decode(zlib.decompress(packed or b""))
        except lmdb.Error as error:
            raise translated(error) from error
        except (zlib.error, msgspec.MsgspecError) as error:
            raise StorageError(f"block {number} of {self.path} is damaged: {error}") from error

    def count(self) -> int:
        """How many blocks there are."""
        with self._environment.begin() as transaction:
            entries: int = transaction.stat(self._blocks)["entries"]
            return entries

    def close(self) -> None:
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    gathered = list(entries)
    for start in range(0, len(gathered), BLOCK):
        yield gathered[start : start + BLOCK]


def _digests(entries: list[Entry]) -> set[bytes]:
    """The keys of a block."""
    texts: set[str] = set()
    ids: set[bytes] = set()
    for entry in entries:
        texts.update(entry.texts)
        ids.update(entry.ids)
    texts.discard("")
    ids.discard(b"")
    return {digest_of_id(one) for one in ids} | {digest_of(one) for one in texts}


def _encoded(entries: list[Entry]) -> bytes:
    try:
        octets = encode(entries)
    except (TypeError, ValueError, OverflowError):
        octets = b""
    if octets and len(octets) <= _LARGE_BLOCK:
        return octets
    return encode([small for entry in entries if (small := _shortened(entry)) is not None])


def _shortened(entry: Entry) -> Entry | None:
    """The entry, without what makes it too large or impossible to write; None if it is so all the same."""
    for one in (entry, without_details(entry)):
        try:
            if len(encode([one])) <= LARGE:
                return one
        except (TypeError, ValueError, OverflowError):
            pass
    return None


def without_details(entry: Entry) -> Entry:
    """Without what stages have found out."""
    legs = getattr(entry, "legs", ())
    bare = tuple(msgspec.structs.replace(leg, steps=[tuple(step[:3]) for step in leg.steps]) for leg in legs)
    return msgspec.structs.replace(entry, legs=bare) if legs else entry


def _number(key: bytes) -> int:
    number: int = _NUMBER.unpack(key)[0]
    return number


def _keys(run: bytes) -> list[bytes]:
    return [run[place : place + _KEY] for place in range(0, len(run), _KEY)]


def _found(run: Any, digest: bytes) -> list[int]:
    """The numbers behind that digest in a sorted run, the largest first."""
    low, high = 0, len(run) // _KEY
    while low < high:
        middle = (low + high) // 2
        if bytes(run[middle * _KEY : middle * _KEY + _DIGEST]) < digest:
            low = middle + 1
        else:
            high = middle
    found: list[int] = []
    place = low * _KEY
    while bytes(run[place : place + _DIGEST]) == digest:
        found.append(_number(bytes(run[place + _DIGEST : place + _KEY])))
        place += _KEY
    return found[::-1]
