"""Files looked into, whatever they are packed in: what each is, down to a depth, a number, a size and a time.

Nothing is unpacked whole into memory: what is read goes through in pieces, and is counted as it comes out. What must be
read out of order, a zip, is kept in a temporary file without a name.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, NamedTuple, cast

from engine.mime import rewriting
from engine.mime.part import Part
from engine.mime.structure import structure
from engine.mime.transfer import decoded, is_known
from engine.scanning import kinds, macros, tars, zips
from engine.scanning.kinds import BZIP2, CLOSED, CONTAINERS, FLAT, GZIP, HEAD, MAIL, MARKS, OLE, TAR, XZ, ZIP
from engine.scanning.parts import Forward, attachments, is_overfull
from engine.scanning.unpacking import PIECE, Flaw, bunzipped, gunzipped, unxzed

IN_MEMORY = 1024 * 1024
"""Octets of a zip that are held in memory; a larger one goes to a temporary file."""

RATIO_FROM = 10_000_000
"""Octets that may come out before it counts how few they were packed into: a table of zeros is no bomb."""

NAME = 120
"""Characters of a name that are shown."""

Chunks = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a message is looked into."""

    depth: int = 5  # archives within each other
    files: int = 2000  # in all archives of a message
    size: int = 200_000_000  # octets that come out of them
    ratio: int = 150  # octets out of one that is packed
    seconds: float = 10.0
    oletools: bool = False  # which are asked about documents in which we find no macros


class File(NamedTuple):
    """A file, or an archive, and what it is. ``path`` has the names of what it is in, from the outside."""

    path: tuple[str, ...]
    kinds: frozenset[str]

    @property
    def name(self) -> str:
        return self.path[-1]

    def __str__(self) -> str:
        return " in ".join(map(shown, reversed(self.path)))


def shown(name: str) -> str:
    """A name as people and logs can have it: not endless, and without what cannot be seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:NAME])


class Bomb(Exception):
    """It unpacks to more than anybody would send."""


class _TooLong(Exception):
    """The time is over."""


class Examination:
    """One look into the attachments of a message, within limits that all of them share."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._until = time.monotonic() + limits.seconds
        self._files = 0
        self._in = self._out = 0  # octets that went into unpacking, and came out

    def of(self, name: str, content: Iterable[bytes]) -> list[File]:
        """The file and all in it. What cannot be read is of kind `unreadable`, what has no end of kind `bomb`."""
        found: list[File] = []
        try:
            self._look((name,), self._taken(content), found)
        except Bomb:
            found.append(File((name,), frozenset({"bomb"})))
        except _TooLong:
            found.append(File((name,), frozenset({"unreadable"})))
        return found

    # -- counting

    def _taken(self, chunks: Iterable[bytes]) -> Chunks:
        for chunk in chunks:
            self._in += len(chunk)
            self._check_time()
            yield chunk

    def _counted(self, chunks: Iterable[bytes]) -> Chunks:
        """What has come out of an archive."""
        limits = self._limits
        for chunk in chunks:
            self._out += len(chunk)
            if self._out > limits.size or (self._out > RATIO_FROM and self._out > limits.ratio * self._in):
                raise Bomb
            self._check_time()
            yield chunk

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise _TooLong

    def _one_more(self) -> None:
        self._files += 1
        if self._files > self._limits.files:
            raise Bomb

    # -- looking

    def _look(self, path: tuple[str, ...], chunks: Chunks, found: list[File]) -> None:
        head, pieces = _head(chunks)
        seen, form = kinds.by_content(head)
        seen |= kinds.by_name(path[-1])
        named = kinds.opened_by_name(path[-1], form)
        inside: list[File] = []
        try:
            if form in CONTAINERS and len(path) > self._limits.depth:
                raise Bomb
            if named != form and len(path) > self._limits.depth:
                raise Flaw("it is too deep to be looked at, if it is what its name says")
            seen |= self._inside(named, path, chain(pieces, chunks), inside)
            if len(path) > 1:
                for _ in chunks:  # all that comes out of an archive is counted
                    pass
            if "office" in seen:
                seen.discard("archive")  # as it is packed, not as it is meant
        except Flaw:
            seen.add("unreadable")
        found.append(File(path, frozenset(seen)))
        found += inside

    def _inside(self, form: str, path: tuple[str, ...], chunks: Chunks, inside: list[File]) -> set[str]:
        """What more there is to say of a file of that format; what it holds goes to ``inside``."""
        if form == CLOSED:
            return {"unreadable"}
        if form in _PACKED:
            unpack, endings = _PACKED[form]
            self._look((*path, _without(path[-1], endings)), self._counted(unpack(chunks)), inside)
        elif form == TAR:
            for member in tars.members(chunks):
                self._one_more()
                self._look((*path, member.name), member.pieces(), inside)
        elif form == ZIP:
            return self._zip(path, chunks, inside)
        elif form == MAIL:
            return self._mail(path, chunks, inside)
        elif form in {OLE, FLAT} and self._limits.oletools:
            with _spooled(chunks) as file:
                return self._asked(file, kinds.searched(_read(file), MARKS[form]))
        elif form in MARKS:
            return kinds.searched(chunks, MARKS[form])
        return set()

    def _mail(self, path: tuple[str, ...], chunks: Chunks, inside: list[File]) -> set[str]:
        with _spooled(chunks) as file:
            root = structure(_read(file))
            for part, name, content in _parts(_read(file), root):
                self._one_more()
                self._look((*path, name), content, inside)
                inside += _of_part(path, name, part)
        return {"unreadable"} if is_overfull(root) else set()

    def _zip(self, path: tuple[str, ...], chunks: Chunks, inside: list[File]) -> set[str]:
        with _spooled(chunks) as file:
            try:
                entries = zips.entries(file, self._limits.files)
            except (zips.Overlap, zips.TooMany) as error:
                raise Bomb from error
            more = kinds.of_zip(name for entry in entries for name in entry.names)
            if "office" in more and self._limits.oletools:
                more = self._asked(file, more)
            for entry in entries:
                self._one_more()
                more |= self._entry(path, file, entry, inside)
        return more

    def _asked(self, file: BinaryIO, found: set[str]) -> set[str]:
        """With what oletools say of a document."""
        if "macros" not in found and macros.has_macros(_read(file), self._until - time.monotonic()):
            return found | {"macros"}
        return found

    def _entry(self, path: tuple[str, ...], file: BinaryIO, entry: zips.Entry, inside: list[File]) -> set[str]:
        name, *others = sorted(entry.names)
        if others:
            inside.append(File((*path, others[0]), frozenset(kinds.by_name(others[0]))))
        if entry.encrypted:
            inside.append(File((*path, name), frozenset(kinds.by_name(name))))
            return {"encrypted"}
        try:
            self._look((*path, name), self._counted(zips.pieces(file, entry)), inside)
        except Flaw:
            inside.append(File((*path, name), frozenset({*kinds.by_name(name), "unreadable"})))
        return set()


_PACKED: dict[str, tuple[Callable[[Chunks], Chunks], dict[str, str]]] = {
    GZIP: (gunzipped, {".tgz": ".tar", ".gz": ""}),
    BZIP2: (bunzipped, {".tbz2": ".tar", ".tbz": ".tar", ".bz2": ""}),
    XZ: (unxzed, {".txz": ".tar", ".xz": "", ".lzma": ""}),
}


def _without(name: str, endings: dict[str, str]) -> str:
    for ending, then in endings.items():
        if name.lower().endswith(ending):
            return name[: -len(ending)] + then
    return name


def _head(chunks: Chunks) -> tuple[bytes, list[bytes]]:
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size >= HEAD:
            break
    head = b"".join(pieces)
    return head[:HEAD], [head] if head else []


@contextlib.contextmanager
def _spooled(chunks: Chunks) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        for chunk in chunks:
            file.write(chunk)
        yield cast("BinaryIO", file)


def _read(file: BinaryIO) -> Chunks:
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece


# -- the attachments of a message


def examined(chunks: Callable[[], Iterable[bytes]], root: Part, limits: Limits) -> Iterator[tuple[Part, list[File]]]:
    """Each attachment of a message with what it is and holds. ``chunks`` gives the whole message from its start."""
    examination = Examination(limits)
    for part, name, content in _parts(chunks(), root):
        yield part, examination.of(name, content) + _of_part((), name, part)


def _parts(chunks: Iterable[bytes], root: Part) -> Iterator[tuple[Part, str, Chunks]]:
    forward = Forward(chunks)
    for part in attachments(root):
        yield part, rewriting.name(part), decoded(forward.between(part.body, part.end), part.encoding)


def _of_part(path: tuple[str, ...], name: str, part: Part) -> list[File]:
    """What a part says of its file beside ``name``: other names, by which some readers keep it; and that nobody here
    can read it. A piece of a message (RFC 2046 5.2.2), and what is encoded in a way that we do not know, only readers
    see."""
    others = dict.fromkeys(rewriting.names(part))
    found = [File((*path, other), frozenset(kinds.by_name(other))) for other in others if other != name]
    if part.media == b"message/partial" or not is_known(part.encoding):
        found.append(File((*path, name), frozenset({"unreadable"})))
    return found
