"""mbox: RFC 4155 and its kin. Written as mboxrd; read whether quoted or not, with Content-Length or without.

Flags are in Status and X-Status, keywords in X-Keywords, numbers in X-UID and X-IMAPbase, as Dovecot, mutt and Pine
have them; Mozilla's X-Mozilla-Status and X-Mozilla-Keys are read too. None of these fields is part of the message.
"""

import os
import re
import time
from calendar import timegm
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from engine.exchange.files import PART, replacing
from engine.exchange.letters import Broken, Found, Letter, is_keyword, with_crlf, with_lf
from engine.exchange.scanned import Scanned
from engine.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from engine.protocols.imap.dates import MONTHS
from engine.storage.files import sync

MOST_FIELDS = 2**20
"""Octets in which the header section must end: what is longer is taken for all body."""

MARK = 64 * 2**20
"""Octets after which an mbox in the making is synced: so much is written again when it was broken off."""

_DATE = re.compile(
    rb"From .*?\b(%s) +(\d{1,2}) +(\d{1,2}):(\d\d)(?::(\d\d))?"
    rb"(?: +(?:[A-Z]{1,5}|([+-]\d{4})))? +(\d{4})(?: +([+-]\d{4}))?" % b"|".join(MONTHS)
)
_FIELD = re.compile(rb"[!-9;-~]+:")
_END = re.compile(rb"^\r?\n", re.MULTILINE)
_OURS = re.compile(
    rb"^(?:(Status|X-Status|X-UID|Content-Length|X-Mozilla-Status2?):([^\n]*)\n"
    # These may be folded. The others may not: what follows them could be the message's own first line.
    rb"|(X-Keywords|X-IMAPbase|X-IMAP|X-Mozilla-Keys):([^\n]*\n(?:[ \t][^\n]*\n)*))",
    re.IGNORECASE | re.MULTILINE,
)
_LETTERS = {
    b"status": {b"R": SEEN},
    b"x-status": {b"A": ANSWERED, b"F": FLAGGED, b"T": DRAFT, b"D": DELETED},
}
_MOZILLA = {0x0001: SEEN, 0x0002: ANSWERED, 0x0004: FLAGGED, 0x0008: DELETED}

_QUOTED = re.compile(rb"\n>(>*From )")
_TO_QUOTE = re.compile(rb"\n(>*From )")
_PERHAPS = re.compile(rb"\n>*(?:F(?:r(?:om?)?)?)?\Z")


def read(path: Path, folder: str) -> Iterator[Found | Broken]:
    """Each message of a file. OSError."""
    with closing(Scanned(path)) as file:
        start = file.skip(0, b"\r\n")
        if file.size > start and not file.begins(start, b"From "):
            yield Broken(str(path), "it does not begin as an mbox does, with a line From")
            return
        number = 0
        while start < file.size:
            number += 1
            message = _message(file, start)
            if not message.internal:
                yield Found(f"{path}, message {number}", folder, message.letter)
            start = message.end


def parsed_date(line: bytes) -> int:
    """The date in a line From, Unix milliseconds, in UTC where it names no zone; 0: there is none."""
    match = _DATE.match(line)
    if match is None:
        return 0
    month, day, hour, minute, second, zone, year, late_zone = match.groups()
    sign = zone or late_zone or b"+0000"
    offset = (int(sign[1:3]) * 60 + int(sign[3:5])) * (-60 if sign[:1] == b"-" else 60)
    moment = (int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second or 0))
    return max(0, (timegm(moment) - offset) * 1000)


def quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that begin with From, or that with any number of > before it, with one > more."""
    return _lines_changed(pieces, _TO_QUOTE, rb"\n>\1")


def unquoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return _lines_changed(pieces, _QUOTED, rb"\n\1")


def _as_it_is(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return iter(pieces)


def _lines_changed(pieces: Iterable[bytes], pattern: re.Pattern[bytes], to: bytes) -> Iterator[bytes]:
    held, first = b"\n", 1  # a line end before the first line, which is left out again
    for piece in pieces:
        octets = held + piece
        match = _PERHAPS.search(octets)  # a line that may go on as one of those
        cut = match.start() if match else len(octets)
        octets, held = octets[:cut], octets[cut:]
        if octets:
            yield pattern.sub(to, octets)[first:]
            first = 0
    yield pattern.sub(to, held)[first:]


@dataclass(frozen=True, slots=True)
class _Message:
    letter: Letter
    end: int  # where the next one begins
    internal: bool  # a note of Pine's to itself


def _message(file: Scanned, start: int) -> _Message:
    line = file.line(start, MOST_FIELDS)
    fields_at = start + len(line)
    fields, blank = _fields(file, fields_at)
    body_at = fields_at + len(fields) + len(blank)
    flags, keywords, length = _marks(fields)
    if length >= 0 and _ends_at(file, body_at + length):
        # Who says the length has no need to quote, and Dovecot does not (mboxcl2).
        end, change = body_at + length, _as_it_is
        following = file.skip(end, b"\r\n")
    else:
        # The line end of the header section may be the one before the next message.
        following, change = _separator(file, body_at - 1), unquoted
        end = _without_separator(file, body_at, following)
    pieces = chain((_OURS.sub(b"", fields) + blank,), file.pieces(body_at, end))
    letter = Letter(with_crlf(change(pieces)), flags, keywords, parsed_date(line))
    internal = b"FOLDER INTERNAL DATA" in fields and b"x-imap" in fields.lower()
    return _Message(letter, following, internal)


def _fields(file: Scanned, start: int) -> tuple[bytes, bytes]:
    """The header section and the empty line behind it, each perhaps empty."""
    limit, window = min(file.size, start + MOST_FIELDS), 8192
    while True:
        octets = file.read(start, min(limit, start + window))
        match = _END.search(octets)
        if match is None and start + window < limit:
            window *= 16
            continue
        fields, blank = (octets[: match.start()], match[0]) if match else (octets, b"")
        if b"\nFrom " in b"\n" + fields and (following := _separator(file, start - 1)) < start + len(fields):
            return fields[: following - start], b""  # the next message begins before any empty line
        return (fields, blank) if match or start + len(fields) == file.size else (b"", b"")


def _marks(fields: bytes) -> tuple[int, tuple[str, ...], int]:
    """Flags, keywords and Content-Length; less than zero: there is none."""
    flags, length = 0, -1
    keywords: dict[str, None] = {}
    for match in _OURS.finditer(fields):
        name, value = (match[1] or match[3]).lower(), (match[2] or match[4] or b"").strip()
        if name in _LETTERS:
            flags |= sum(bit for letter, bit in _LETTERS[name].items() if letter in value)
        elif name == b"content-length" and value.isdigit():
            length = int(value)
        elif name in (b"x-keywords", b"x-mozilla-keys"):
            keywords.update(dict.fromkeys(filter(is_keyword, value.decode("utf-8", "replace").split())))
        elif name == b"x-mozilla-status" and re.fullmatch(rb"[0-9A-Fa-f]+", value):
            flags |= sum(bit for mark, bit in _MOZILLA.items() if int(value, 16) & mark)
    return flags, tuple(keywords), length


def _separator(file: Scanned, start: int) -> int:
    """Where the next message begins, of those behind the line end at ``start`` or later; or the end of the file."""
    at = start
    while (at := file.find(b"\nFrom ", at)) >= 0:
        at += 1
        line = file.line(at, MOST_FIELDS)
        if _DATE.match(line):
            return at
        after_blank = file.read(at - 3, at).endswith((b"\n\n", b"\n\r\n"))
        if after_blank and _FIELD.match(file.line(at + len(line), MOST_FIELDS)):
            return at
    return file.size


def _ends_at(file: Scanned, end: int) -> bool:
    """Whether a message that ends there is followed by another one, or by nothing."""
    return end <= file.size and (file.size == (behind := file.skip(end, b"\r\n")) or file.begins(behind, b"From "))


def _without_separator(file: Scanned, start: int, end: int) -> int:
    """Where the text ends, without the empty line that parts it from the next message."""
    tail = file.read(max(start, end - 4), end)
    for both, one in ((b"\r\n\r\n", 2), (b"\n\n", 1)):
        if tail.endswith(both) or (end - start == one and tail == both[:one]):
            return end - one
    return end


class Mailbox:
    """A new mbox of one mailbox. Broken off, it goes on behind what was last ``marked``. OSError from every method.

    Use it as a context manager: at the end of the block it is put in its place.
    """

    def __init__(self, path: Path, uidvalidity: int, uidnext: int, keywords: Sequence[str]) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._mark = path.with_name(path.name + PART + ".mark")
        self._first = f"X-IMAPbase: {uidvalidity:010d} {uidnext - 1:010d} {' '.join(keywords)}".rstrip()
        self._validity = uidvalidity
        self._last = 0  # the UID up to which all is written
        self._since = 0  # octets since the last mark
        self._file = self._opened()

    def put(self, uid: int, letter: Letter) -> None:
        """UIDs ascend."""
        if uid <= self._last:
            return
        start = self._file.tell()
        try:
            self._file.write(self._head(uid, letter))
            last = b"\n"
            for piece in quoted(with_lf(_without_ours(letter.pieces))):
                self._file.write(piece)
                last = piece[-1:] or last
            self._file.write(b"\n" if last == b"\n" else b"\n\n")
        except LookupError:  # expunged meanwhile
            self._file.seek(start)
            self._file.truncate()
            raise
        self._last = uid
        self._since += self._file.tell() - start
        if self._since >= MARK:
            self._marked()

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._marked()
            self._part.replace(self._path)
            self._mark.unlink(missing_ok=True)
            sync(self._path.parent)
        self._file.close()

    def _head(self, uid: int, letter: Letter) -> bytes:
        lines = [f"From MAILER-DAEMON {time.asctime(time.gmtime(letter.received / 1000))}"]
        lines += [] if self._file.tell() else [self._first]
        lines.append("Status: RO" if letter.flags & SEEN else "Status: O")
        marks = "".join(mark.decode() for mark, bit in _LETTERS[b"x-status"].items() if letter.flags & bit)
        lines += [f"X-Status: {marks}"] if marks else []
        lines += [f"X-Keywords: {' '.join(letter.keywords)}"] if letter.keywords else []
        return "".join(f"{line}\n" for line in (*lines, f"X-UID: {uid}")).encode()

    def _opened(self) -> BinaryIO:
        try:
            validity, uid, size = map(int, self._mark.read_text().split())
        except (OSError, ValueError):
            validity = uid = size = 0
        descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "r+b")
        if validity != self._validity:
            uid = size = 0
        file.truncate(size)
        file.seek(size)
        self._last = uid
        return file

    def _marked(self) -> None:
        """What has been written is on disk, and known to be."""
        self._file.flush()
        os.fsync(self._file.fileno())
        with replacing(self._mark) as file:
            file.write(f"{self._validity} {self._last} {self._file.tell()}".encode())
        self._since = 0


def _without_ours(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Without the fields by which an mbox says flags: those of the message itself would be taken for them."""
    rest = iter(pieces)
    octets = b""
    for piece in rest:
        octets += piece
        match = _END.search(octets)
        if match or len(octets) > MOST_FIELDS:
            end = match.start() if match else 0
            yield _OURS.sub(b"", octets[:end]) + octets[end:]
            yield from rest
            return
    yield _OURS.sub(b"", octets)
