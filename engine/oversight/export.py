"""Mail taken out for others to read: an mbox of messages as they came, and a manifest by which each can be checked."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.exchange.files import replacing
from engine.exchange.letters import flag_names, with_lf
from engine.exchange.mbox import quoted
from engine.mailbox import Mailboxes, MessageGone
from engine.mime import fields
from engine.oversight.grants import Whose
from engine.storage.files import private, sync

MBOX, MANIFEST = "mail.mbox", "manifest.json"
"""The two files of an export."""

FORMAT = 1

_PIECE = 2**20
_HEADER = 64 * 1024
_END = re.compile(rb"\r?\n\r?\n")


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A message of an export. Times are Unix times in seconds; sizes and places are octets."""

    number: int  # in the mbox, from 1
    account: int
    address: str  # whose mailbox it was
    folder: str
    mailbox: int  # the folder's number, which is never used again
    uidvalidity: int  # 0: it had been removed
    uid: int
    message_id: str  # as it says itself
    received: float
    saved: float  # when it came into the folder; 0: not known
    removed: float  # when it was removed, though it is kept; 0: it was not
    flags: tuple[str, ...]
    size: int  # as it is in the mailbox
    sha256: str  # of these octets
    place: int  # where in the mbox it begins, behind its line From
    length: int  # octets of it there
    sha256_there: str  # of these: lines end in LF there, and lines that begin with From have a > before it


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is, who has made it and why."""

    format: int = FORMAT
    entry: int  # of the audit log, that was written before it began
    grant: int
    by: str
    reason: str
    consented_by: str
    begun: float
    until: float
    accounts: tuple[Whose, ...]
    query: str  # what was searched for; empty: it is all mail
    made: float
    file: str = MBOX
    size: int
    sha256: str  # of the whole file
    messages: tuple[Exported, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A message, by where it is."""

    account: int
    mailbox: int
    uid: int


@dataclass(slots=True)
class Out:
    """One run. ``step`` is told of messages that are done."""

    mailboxes: Mailboxes
    step: Callable[[int], None] = lambda _: None
    messages: list[Exported] = field(default_factory=list)
    _whole: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _size: int = 0

    def write(self, folder: Path, whose: Iterable[Whose], only: Collection[Place] | None = None) -> tuple[int, str]:
        """All mail of these, with what was removed and is kept, or only these messages, into a new mbox in ``folder``,
        which must be there. Octets of the file, and its hash. OSError, StorageError.
        """
        path = folder / MBOX
        with open(path, "xb", opener=private) as file:
            for one in whose:
                self._account(file, one, only)
            file.flush()
            os.fsync(file.fileno())
        sync(folder)
        return self._size, self._whole.hexdigest()

    def _account(self, file: BinaryIO, whose: Whose, only: Collection[Place] | None) -> None:
        for folder in self.mailboxes.folders(whose.account):
            view = self.mailboxes.select(whose.account, folder.number) if folder.number else None
            for index, uid in enumerate(view.uids) if view is not None else ():
                assert view is not None
                if only is not None and Place(whose.account, folder.number, uid) not in only:
                    continue
                words = tuple(word for bit, word in enumerate(view.keywords) if view.bits[index] >> bit & 1)
                about = self._about(
                    whose, folder.name, folder.number, uid, uidvalidity=view.status.uidvalidity,
                    received=view.received[index] / 1000, saved=view.saved[index] / 1000,
                    flags=(*flag_names(view.flags[index]), *words),
                )  # fmt: skip
                with suppress(MessageGone):  # expunged meanwhile: then it is among what is kept, if it is
                    self._put(file, about, self.mailboxes.chunks(whose.account, uid, folder.number))
        if only is None:
            self._kept(file, whose)

    def _kept(self, file: BinaryIO, whose: Whose) -> None:
        for one in self.mailboxes.kept(whose.account):
            message = one.message
            about = self._about(
                whose, one.folder, one.mailbox, one.uid, received=message.received / 1000,
                removed=one.removed / 1000, flags=tuple(flag_names(message.flags)),
            )  # fmt: skip
            with suppress(MessageGone):
                self._put(file, about, self._with_heading(message.heading, message.content))

    def _with_heading(self, heading: bytes, content: bytes) -> Iterator[bytes]:
        yield heading
        yield from self.mailboxes.content(content)

    def _about(self, whose: Whose, folder: str, mailbox: int, uid: int, **values: object) -> Exported:
        known = {"uidvalidity": 0, "saved": 0.0, "removed": 0.0, "message_id": "", "size": 0, "sha256": ""} | values
        return Exported(
            number=len(self.messages) + 1, account=whose.account, address=whose.address, folder=folder,
            mailbox=mailbox, uid=uid, place=0, length=0, sha256_there="", **known,  # type: ignore[arg-type]
        )  # fmt: skip

    def _put(self, file: BinaryIO, about: Exported, pieces: Iterator[bytes]) -> None:
        source = _Source(pieces)
        first = next(source, b"")  # MessageGone comes here, before anything is written
        start = self._size
        try:
            self._write(file, f"From MAILER-DAEMON {time.asctime(time.gmtime(about.received))}\n".encode())
            there, place, last = hashlib.sha256(), self._size, b"\n"
            for piece in quoted(with_lf(_again(first, source))):
                self._write(file, piece)
                there.update(piece)
                last = piece[-1:] or last
        except MessageGone:
            self._cut(file, start)
            raise
        length = self._size - place
        self._write(file, b"\n" if last == b"\n" else b"\n\n")
        self.messages.append(
            msgspec.structs.replace(
                about, message_id=_message_id(source.head), size=source.size, sha256=source.hash.hexdigest(),
                place=place, length=length, sha256_there=there.hexdigest(),
            )
        )  # fmt: skip
        self.step(len(self.messages))

    def _write(self, file: BinaryIO, octets: bytes) -> None:
        file.write(octets)
        self._whole.update(octets)
        self._size += len(octets)

    def _cut(self, file: BinaryIO, size: int) -> None:
        """Take back what was written of a message that went in the midst of it."""
        file.seek(size)
        file.truncate()
        file.flush()
        self._size, self._whole = size, hashlib.sha256()
        with open(file.name, "rb") as written:
            while piece := written.read(_PIECE):
                self._whole.update(piece)


class _Source:
    """Pieces of a message, counted and hashed as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.hash = hashlib.sha256()
        self.size = 0
        self.head = b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.hash.update(piece)
        self.size += len(piece)
        if len(self.head) < _HEADER:
            self.head += piece[:_HEADER]
        return piece


def written(folder: Path, manifest: Manifest) -> str:
    """Put the manifest beside its mbox; its hash. OSError."""
    octets = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    with replacing(folder / MANIFEST) as file:
        file.write(octets)
    return hashlib.sha256(octets).hexdigest()


def read(folder: Path) -> tuple[Manifest, str]:
    """The manifest in a folder, and its hash. OSError, ValueError."""
    octets = (folder / MANIFEST).read_bytes()
    return msgspec.json.decode(octets, type=Manifest), hashlib.sha256(octets).hexdigest()


def problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is not as the manifest says. OSError."""
    with (folder / MBOX).open("rb") as file:
        whole, size = hashlib.sha256(), 0
        while piece := file.read(_PIECE):
            whole.update(piece)
            size += len(piece)
        if (size, whole.hexdigest()) != (manifest.size, manifest.sha256):
            yield f"{MBOX} is not as it was written"
        for message in manifest.messages:
            file.seek(message.place)
            if hashlib.sha256(file.read(message.length)).hexdigest() != message.sha256_there:
                yield f"message {message.number} is not as it was written"


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _message_id(head: bytes) -> str:
    match = _END.search(head)
    section = head[: match.end()] if match else head
    found = (value for name, value in fields.fields(section) if name.lower() == b"message-id")
    return fields.unfolded(next(found, b"")).decode("utf-8", "replace").strip()[:998]
