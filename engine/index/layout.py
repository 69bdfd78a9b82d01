"""The index of digests on disk: its databases and the keys in them.

    database   key                        value
    meta       a name                     "format", and the Stamp of the store of mailboxes that the marks are of
    envelope   content key                ENVELOPE as IMAP sends it
    structure  content key                BODYSTRUCTURE as IMAP sends it
    header     content key                what is kept of the header section (``row``)
    digest     content key                ``engine.mime.digest.dump``
    mark       account u64, mailbox u32   how far a mailbox is done: uidvalidity u32, uid u32

What is asked for together lies together: a mailbox's ENVELOPEs are read without the rest. Content keys begin with the
time at which the message came (``engine.mailbox.layout``), so new ones are put at the end.
"""

import struct
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from engine.mime.digest import VERSION
from engine.storage.batch import Database
from engine.storage.environment import StorageError, open_environment

FORMAT = bytes([1, VERSION])
"""Of what is here, and of what it is computed by. Another one is thrown away and built anew."""

MAP_SIZE = 2**38
"""Octets of address space, not of disk."""

DIGESTS = "digests"
"""The folder of LMDB's files, in that of the index."""

FORMAT_KEY, STAMP_KEY = b"format", b"stamp"

_PLACE = struct.Struct(">QI")
_MARK = struct.Struct(">II")
_STAMP = struct.Struct(">QQQ?")


class Damaged(StorageError):
    """What is there is no index, or one of another format: throw it away."""


class Mark(NamedTuple):
    """Of a mailbox with this UIDVALIDITY, all messages up to this UID are done."""

    uidvalidity: int
    uid: int = 0

    def octets(self) -> bytes:
        return _MARK.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make(_MARK.unpack(octets))


class Stamp(NamedTuple):
    """What the marks are of: a store of mailboxes as it was at some time, with full text or without."""

    device: int = 0
    inode: int = 0
    change: int = 0
    full_text: bool = False

    def octets(self) -> bytes:
        return _STAMP.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make(_STAMP.unpack(octets))

    def follows(self, old: "Stamp") -> bool:
        """Whether it is the same store, not put back to an earlier time; and nothing new is wanted."""
        same = (self.device, self.inode) == (old.device, old.inode) and self.change >= old.change
        return same and old.full_text >= self.full_text


class Databases:
    """Handles of the named databases. lmdb.Error when they cannot be opened."""

    def __init__(self, environment: lmdb.Environment, *, create: bool) -> None:
        def opened(name: bytes) -> Database:
            return environment.open_db(name, create=create)

        self.meta = opened(b"meta")
        self.envelope = opened(b"envelope")
        self.structure = opened(b"structure")
        self.header = opened(b"header")
        self.digest = opened(b"digest")
        self.mark = opened(b"mark")

    @property
    def by_content(self) -> tuple[Database, ...]:
        return self.envelope, self.structure, self.header, self.digest


def opened(folder: Path, *, map_size: int, read_only: bool) -> lmdb.Environment:
    """StorageError, also for a file that was cut off: to read behind its end would kill the process."""
    environment = open_environment(folder / DIGESTS, map_size=map_size, databases=8, read_only=read_only)
    pages = environment.info()["last_pgno"] + 1
    if (folder / DIGESTS / "data.mdb").stat().st_size < pages * environment.stat()["psize"]:
        environment.close()
        raise StorageError(f"the index in {folder} has lost its end")
    return environment


def place_key(account: int, mailbox: int) -> bytes:
    return _PLACE.pack(account, mailbox)


def place_of(key: bytes) -> tuple[int, int]:
    """(account, mailbox)."""
    account, mailbox = _PLACE.unpack(key)
    return account, mailbox
