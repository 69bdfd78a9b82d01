"""Which messages were imported into an account: so that an import that was broken off, or comes again, doubles nothing.

A message is known by its mailbox and a digest of its octets, and counted: a source that has it twice gives it twice.
Before messages are appended, the journal says which, into what mailbox, and from which UID on they will be found; after
a crash the store itself is asked whether they came. The file is a row of MessagePack values: [mailbox's name, mailbox's
number, UIDNEXT, digests] before, and nil after.
"""

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgpack

from engine.mailbox import Mailboxes
from engine.storage.environment import StorageError
from engine.storage.files import private

FOLDER = "imports"
"""Beside the store's files: who puts the store back from a backup puts the journals back too."""


def digest(folder: str) -> hashlib.blake2b:
    """To be fed with the octets of a message that goes into the mailbox of that name."""
    return hashlib.blake2b(folder.encode() + b"\0", digest_size=16)


class _Note(NamedTuple):
    """What is about to be appended."""

    folder: str
    number: int
    uidnext: int
    fingerprints: Sequence[bytes]


class Journal:
    """The journal of one account, for one import at a time. StorageError when another one is at it; OSError."""

    def __init__(self, store: Path, account: int, mailboxes: Mailboxes, *, anew: bool = False) -> None:
        folder = store / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._file = open(folder / str(account), "a+b", opener=private)  # noqa: SIM115, it is held
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StorageError("another import into this account runs") from error
        self._account, self._mailboxes = account, mailboxes
        if anew:
            self._file.truncate(0)
        self._left: Counter[bytes] = Counter()  # taken before, and not met yet in this run
        self._load()

    def taken(self, fingerprint: bytes) -> bool:
        """Whether this message was taken in an earlier run. Ask once for each message."""
        if not self._left[fingerprint]:
            return False
        self._left[fingerprint] -= 1
        return True

    def before(self, folder: str, number: int, fingerprints: Sequence[bytes]) -> None:
        """These are about to be appended."""
        status = self._mailboxes.status(self._account, number)
        self._file.write(msgpack.packb(_Note(folder, number, status.uidnext if status else 1, fingerprints)))
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def after(self) -> None:
        """They are in the store."""
        self._file.write(msgpack.packb(None))

    def close(self) -> None:
        self._file.close()

    def _load(self) -> None:
        self._file.seek(0)
        reader = msgpack.Unpacker(self._file)
        last: _Note | None = None
        whole = 0
        for entry in reader:
            if isinstance(entry, list):
                last = _Note(*entry)
            elif entry is None and last is not None:
                self._left.update(last.fingerprints)
                last = None
            else:
                break
            whole = reader.tell()
        self._file.truncate(whole)  # what a crash cut off was not waited for
        if last is not None:
            self._ask(last)

    def _ask(self, note: _Note) -> None:
        """Which of the last ones came."""
        view = self._mailboxes.select(self._account, note.number)
        there: Counter[bytes] = Counter()
        for uid in (uid for uid in (view.uids if view else ()) if uid >= note.uidnext):
            found = digest(note.folder)
            for piece in self._mailboxes.chunks(self._account, uid, note.number):
                found.update(piece)
            there[found.digest()] += 1
        came = list((there & Counter(note.fingerprints)).elements())
        self._left.update(came)
        self._file.write(msgpack.packb(note._replace(fingerprints=came)) + msgpack.packb(None))
