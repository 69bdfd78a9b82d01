"""A tree of folders with one file a message: ``.eml`` as many programs write it, and Apple's ``.emlx``.

Our own has a file ``index.jsonl`` in each folder, one line a message: ``file``, ``flags``, ``keywords`` and
``received`` (RFC 3339). Without it, a message is unseen, and its date is the file's.
"""

import json
import os
import plistlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from engine.exchange.files import PART, messages_in, opened, replacing, settle, text_of, unsafe
from engine.exchange.letters import Broken, Found, Letter, flag_bits, flag_names, is_keyword, pieces_of, with_crlf
from engine.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from engine.mailbox.names import INBOX_NAME, SEPARATOR
from engine.storage.files import private, sync

INDEX = "index.jsonl"

SUFFIXES = (".eml", ".emlx")

_APPLE = {1 << 0: SEEN, 1 << 1: DELETED, 1 << 2: ANSWERED, 1 << 4: FLAGGED, 1 << 6: DRAFT}
"""Bits of ``flags`` in an .emlx. Apple has not documented them; these are what Mail.app sets."""

_MOST = 2**20
"""Octets of the property list behind the message of an .emlx."""


def folders(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders of a tree that hold messages: name and path, sorted by path."""
    for path in sorted(Path(found) for found, _, files in os.walk(root) if any(map(_is_ours, files))):
        yield folder_name(path.relative_to(root).parts), path


def folder_name(parts: tuple[str, ...]) -> str:
    """The name of the mailbox that lies there. Of Apple's folders, those that end in .mbox are mailboxes."""
    apple = [part.removesuffix(".mbox") for part in parts if part.endswith(".mbox")]
    return SEPARATOR.join(apple or map(unsafe, parts)) or INBOX_NAME


def read(path: Path, folder: str) -> Iterator[Found | Broken]:
    """Each message of a folder, by name."""
    index = _index(path)
    for file in sorted(file for file in messages_in(path) if _is_ours(file.name)):
        try:
            octets = opened(file)
        except OSError as error:
            yield Broken(str(file), error.strerror or str(error))
            continue
        with octets:
            received = os.fstat(octets.fileno()).st_mtime_ns // 1_000_000
            if file.suffix.lower() == ".emlx":
                yield _apple(file, folder, octets.read(), received)
                continue
            said = index.get(file.name, {})
            pieces = with_crlf(pieces_of(octets))
            words = tuple(filter(is_keyword, said.get("keywords", ())))
            received = _moment(said.get("received", "")) or received
            yield Found(str(file), folder, Letter(pieces, flag_bits(said.get("flags", ())), words, received))


def _is_ours(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _apple(file: Path, folder: str, octets: bytes, received: int) -> Found | Broken:
    """The length of the message on a line of its own, the message, and a property list."""
    length, _, rest = octets.partition(b"\n")
    if not length.strip().isdigit() or len(rest) < (size := int(length)):
        return Broken(str(file), "its first line does not say how long the message is")
    try:
        said = plistlib.loads(rest[size : size + _MOST])
        flags = sum(bit for mark, bit in _APPLE.items() if int(said.get("flags", 0)) & mark)
        received = int(said.get("date-received", 0)) * 1000 or received
    except (ValueError, AttributeError, TypeError, plistlib.InvalidFileException, ExpatError):
        flags = 0
    return Found(str(file), folder, Letter(with_crlf((rest[:size],)), flags, (), received))


def _index(path: Path) -> dict[str, Any]:
    """What the index says of each file. A line that cannot be read says nothing."""
    found = {}
    try:
        lines = text_of(path / INDEX).splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            said = json.loads(line)
            found[said["file"]] = said
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _moment(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, TypeError):
        return 0


class Mailbox:
    """A folder that takes the messages of one mailbox, octet by octet. What is there already is not written again.

    ``put`` may be called in several threads at once. OSError from every method. The index is written at the end.
    """

    def __init__(self, path: Path, uidvalidity: int) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._validity = path, uidvalidity
        self._lines: dict[str, str] = {}
        self._there = {entry.name for entry in os.scandir(path)}

    def put(self, uid: int, letter: Letter) -> None:
        name = f"{self._validity}-{uid:010d}.eml"
        received = datetime.fromtimestamp(letter.received / 1000, UTC).isoformat(timespec="milliseconds")
        said = {"file": name, "flags": flag_names(letter.flags), "keywords": letter.keywords, "received": received}
        self._lines[name] = json.dumps(said, ensure_ascii=False) + "\n"
        if name in self._there:
            return
        path = self._path / name
        part = path.with_name(name + PART)
        try:
            with open(part, "wb", opener=private) as file:
                for piece in letter.pieces:
                    file.write(piece)
                settle(file, letter.received)
        except LookupError:  # expunged meanwhile
            part.unlink()
            del self._lines[name]
            raise
        part.rename(path)

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            with replacing(self._path / INDEX) as file:
                file.writelines(self._lines[name].encode() for name in sorted(self._lines))
            sync(self._path)
