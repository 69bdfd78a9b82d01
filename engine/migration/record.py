"""What has come from a source into an account: so that a migration that was broken off, or comes again, doubles none.

A message is known by its folder, that folder's UIDVALIDITY, and its UID (RFC 9051 2.3.1.1). Before messages are
appended, the record says which, into what mailbox, and from which UID on they will be found, and is synced; after a
crash the store itself is asked which of them came. A digest of each message is kept besides: where the source has
numbered a folder anew, or shows a message in two folders, its content tells that it was taken.

The file is a row of MessagePack arrays, each of which begins with a letter:

    f  number, name as the source says it, UIDVALIDITY, number of our mailbox     a folder
    b  number, UIDNEXT of our mailbox, UIDs, digests                              about to be appended
    a  UIDs, UIDs in our mailbox                                                  those of the last ``b`` that came
    d  number, UIDs, digests                                                      are there already, by another way
    s  number, UID, size, received, why, name of the folder                       could not be taken
    m  number, MODSEQ                                                             flags are known up to there
"""

import fcntl
import hashlib
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from engine.mailbox import Mailboxes
from engine.migration.progress import Left
from engine.storage.environment import StorageError
from engine.storage.files import give_to, private

FOLDER = "migrations"
"""Beside the store's files: who puts the store back from a backup puts the records back too."""

MOST_LEFT = 100_000
"""Messages that could not be taken, of which each is told."""

_LONGEST_WHY = 300


def digest_of(octets: bytes = b"") -> "hashlib.blake2b":
    """Of a message as it is stored; more octets may follow."""
    return hashlib.blake2b(octets, digest_size=16)


def key_of(host: str, user: str) -> str:
    """What a source is known by: part of its record's name."""
    return hashlib.blake2b(f"{host.lower()}\0{user}".encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Known:
    """What has come of one folder. The arrays are of equal length; a target of 0: it is there by another way."""

    number: int
    raw: bytes
    validity: int
    mailbox: int
    uids: "array[int]" = field(default_factory=lambda: array("I"))
    targets: "array[int]" = field(default_factory=lambda: array("I"))
    left: dict[int, Left] = field(default_factory=dict)
    modseq: int = 0

    def took(self, uids: Iterable[int], targets: Iterable[int]) -> None:
        self.uids.extend(uids)
        self.targets.extend(targets)
        if self.left:
            for uid in uids:
                self.left.pop(uid, None)


@dataclass(frozen=True, slots=True)
class _Note:
    """What is about to be appended."""

    folder: Known
    uidnext: int
    uids: Sequence[int]
    digests: Sequence[bytes]


class Record:
    """Of one account and one source, for one run at a time. StorageError when another one is at it; OSError."""

    def __init__(self, store: Path, account: int, key: str, mailboxes: Mailboxes) -> None:
        folder = store / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / f"{account}-{key}"
        self._file: BinaryIO = open(self._path, "a+b", opener=private)  # noqa: SIM115, it is held
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StorageError("another migration of this mail runs") from error
        give_to(store.stat(), folder)
        self._account, self._mailboxes = account, mailboxes
        self.folders: dict[tuple[bytes, int], Known] = {}
        self._numbered: list[Known] = []
        self._open: _Note | None = None
        self._load()

    def close(self) -> None:
        self._file.close()

    def folder(self, raw: bytes, validity: int, mailbox: int) -> Known:
        """What is known of a folder, whose messages go into that mailbox of ours."""
        known = self.folders.get((raw, validity))
        if known is None or known.mailbox != mailbox:
            number = known.number if known is not None else len(self._numbered)
            self._write("f", number, raw, validity, mailbox)
            known = self._meet(number, raw, validity, mailbox)
        return known

    def before(self, folder: Known, uids: Sequence[int], digests: Sequence[bytes]) -> None:
        """These are about to be appended. Blocks on the disk."""
        status = self._mailboxes.status(self._account, folder.mailbox)
        self._open = _Note(folder, status.uidnext if status else 1, uids, digests)
        self._write("b", folder.number, self._open.uidnext, uids, digests)
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def after(self, targets: Sequence[int]) -> None:
        """They came, with these UIDs; or none: nothing was done."""
        assert self._open is not None
        self._came(self._open.uids if targets else (), targets)

    def there(self, folder: Known, uids: Sequence[int], digests: Sequence[bytes]) -> None:
        """These need not come: they are there."""
        self._write("d", folder.number, uids, digests)
        folder.took(uids, [0] * len(uids))

    def leave(self, folder: Known, left: Left) -> None:
        """This one could not be taken; another try may."""
        left = Left(left.folder, left.uid, left.why[:_LONGEST_WHY], left.size, left.received)
        if folder.left.get(left.uid) != left and len(folder.left) < MOST_LEFT:
            self._write("s", folder.number, left.uid, left.size, left.received, left.why, left.folder)
            folder.left[left.uid] = left

    def looked(self, folder: Known, modseq: int) -> None:
        """The flags of what is known of the folder are as they were at the source then."""
        if modseq and modseq != folder.modseq:
            self._write("m", folder.number, modseq)
            folder.modseq = modseq

    def settle(self) -> None:
        """Ask the store which of those that were about to be appended came, if nobody has said so."""
        if (note := self._open) is None:
            return
        view = self._mailboxes.select(self._account, note.folder.mailbox)
        there: dict[bytes, list[int]] = defaultdict(list)
        for uid in (uid for uid in (view.uids if view else ()) if uid >= note.uidnext):
            found = digest_of()
            for piece in self._mailboxes.chunks(self._account, uid, note.folder.mailbox):
                found.update(piece)
            there[found.digest()].append(uid)
        pairs = [(uid, there[one].pop(0)) for uid, one in zip(note.uids, note.digests, strict=True) if there[one]]
        self._came([uid for uid, _ in pairs], [target for _, target in pairs])

    def elsewhere(self, folder: Known) -> Counter[bytes]:
        """Digests of what was taken of this folder under other numbers, and has not been met under these."""
        found: Counter[bytes] = Counter()
        for one, digest in self._digests():
            if one.raw == folder.raw:
                found[digest] += 1 if one is not folder else -1
        return +found

    def all_digests(self) -> set[bytes]:
        """Of all that was taken, from whichever folder."""
        return {digest for _, digest in self._digests()}

    def renumbered(self, raw: bytes, validity: int) -> bool:
        """Whether messages of this folder came under another UIDVALIDITY."""
        return any(one.raw == raw and one.validity != validity and one.uids for one in self.folders.values())

    def _digests(self) -> Iterator[tuple[Known, bytes]]:
        """Of all that is known to have come: read from the file, for they are seldom asked for."""
        self._file.flush()
        note: tuple[Known, Mapping[int, bytes]] | None = None
        with open(self._path, "rb") as file:
            for kind, *rest in msgpack.Unpacker(file, use_list=False):
                if kind == "b":
                    note = self._numbered[rest[0]], dict(zip(rest[2], rest[3], strict=True))
                elif kind == "a" and note is not None:
                    yield from ((note[0], note[1][uid]) for uid in rest[0])
                    note = None
                elif kind == "d":
                    yield from ((self._numbered[rest[0]], digest) for digest in rest[2])

    def _meet(self, number: int, raw: bytes, validity: int, mailbox: int) -> Known:
        """A folder; or that its messages go into another mailbox from now on, for the first one was deleted."""
        if number < len(self._numbered):
            known = self._numbered[number]
            known.mailbox = mailbox
            known.targets = array("I", bytes(known.targets.itemsize * len(known.targets)))
        else:
            known = Known(number, raw, validity, mailbox)
            self._numbered.append(known)
            self.folders[raw, validity] = known
        return known

    def _came(self, uids: Sequence[int], targets: Sequence[int]) -> None:
        assert self._open is not None
        self._write("a", uids, targets)
        self._open.folder.took(uids, targets)
        self._open = None

    def _write(self, kind: str, *values: Any) -> None:
        self._file.write(msgpack.packb((kind, *values)))

    def _load(self) -> None:
        self._file.seek(0)
        reader = msgpack.Unpacker(self._file, use_list=False)
        whole = 0
        with suppress(msgpack.OutOfData, TypeError, ValueError, LookupError, AttributeError, OverflowError):
            while True:
                self._read(*reader.unpack())
                whole = reader.tell()
        self._file.truncate(whole)  # what a crash cut off was not waited for
        self._file.seek(0, os.SEEK_END)
        self.settle()
        self._file.flush()

    def _read(self, kind: str, *values: Any) -> None:
        match kind, values:
            case "f", (number, raw, validity, mailbox):
                self._meet(number, raw, validity, mailbox)
            case "b", (number, uidnext, uids, digests):
                if len(uids) != len(digests):
                    raise ValueError
                self._open = _Note(self._numbered[number], uidnext, uids, digests)
            case "a", (uids, targets) if self._open is not None and len(uids) == len(targets):
                self._open.folder.took(uids, targets)
                self._open = None
            case "d", (number, uids, digests) if len(uids) == len(digests):
                self._numbered[number].took(uids, [0] * len(uids))
            case "s", (number, uid, size, received, why, name):
                self._numbered[number].left[uid] = Left(name, uid, why, size, received)
            case "m", (number, modseq):
                self._numbered[number].modseq = modseq
            case _:
                raise ValueError
