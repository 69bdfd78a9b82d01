"""Replies of a server (RFC 5321 4.2), as a client hears them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

REPLY_LINE = 4096
"""Octets of one reply line. RFC 5321 4.5.3.1.5 says 512; some servers put a whole explanation into one line."""

REPLY_TOTAL = 64 * 1024
"""Octets of one reply with all its lines. What is longer is no reply, and must not fill the memory."""

KEPT = 2_000
"""Characters of a reply that are told of. They stand in the queue, in logs and in reports, for each recipient and at
each attempt: a server that likes to talk must not fill our disks."""

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|$)")
_TOO_MANY = re.compile(r"too many (?:recipients|rcpts?)\b", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class PeerError(Exception):
    """The other side broke the protocol. The connection is of no use any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``enhanced`` is the code of RFC 3463, or "". ``local``: we know the answer without asking."""

    code: int
    text: str = ""  # without the codes; lines joined by "\n", which is the only control character left
    enhanced: str = ""
    local: bool = False

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def status(self) -> str:
        """The enhanced code where its class is the reply's, else one derived: "5.0.0" (RFC 3463 2)."""
        first = str(self.code)[0]
        return self.enhanced if self.enhanced.startswith(first) else f"{first}.0.0"

    @property
    def is_one_too_many(self) -> bool:
        """Whether a recipient was refused because the transaction has enough of them.

        RFC 5321 4.5.3.1.10: 452 is the code for that, and 552 to be taken for it.
        """
        return self.code in {452, 552} and (self.enhanced[1:] == ".5.3" or _TOO_MANY.search(self.text) is not None)

    def __str__(self) -> str:
        told = " ".join([part for part in (str(self.code), self.enhanced, self.text.replace("\n", " ")) if part])
        return told if len(told) <= KEPT else f"{told[: KEPT - 1]}…"


class Replies:
    """Cuts octets into replies. Memory is bounded by REPLY_TOTAL, whatever arrives."""

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether octets are left that make no whole reply."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that ``data`` completes. PeerError for what is no reply, behind those that came before it."""
        *lines, self._buffer = (self._buffer + data if self._buffer else data).split(b"\n")
        for line in lines:
            reply = self._line(line)
            if reply is not None:
                yield reply
        if len(self._buffer) > REPLY_LINE:
            raise PeerError("a reply line has no end")

    def _line(self, line: bytes) -> Reply | None:
        if not self._lines and line[3:4] == b" " and len(line) <= _COMMON:
            return _one_line_reply(line)
        match = _REPLY_LINE.fullmatch(line.removesuffix(b"\r"))
        if not match or len(line) > REPLY_LINE:
            raise _no_reply(line)
        code = int(match[1])
        if self._lines and code != self._code:
            raise PeerError(f"a reply that began with {self._code} goes on with {code}")
        self._code = code
        self._size += len(line)
        if self._size > REPLY_TOTAL:
            raise PeerError("a reply has no end")
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return None
        reply = _reply(code, self._lines)
        self._lines, self._size = [], 0
        return reply


_COMMON = 80  # octets


@lru_cache(256)
def _one_line_reply(line: bytes) -> Reply:
    """A server says the same few lines again and again."""
    match = _REPLY_LINE.fullmatch(line.removesuffix(b"\r"))
    if not match:
        raise _no_reply(line)
    return _reply(int(match[1]), [match[3]])


def _no_reply(line: bytes) -> PeerError:
    return PeerError(f"no SMTP reply: {_clean(line[:80])!r}")


def _reply(code: int, lines: list[bytes]) -> Reply:
    texts = [_clean(line) for line in lines]
    found = _ENHANCED.match(texts[0])
    if not found:
        return Reply(code, "\n".join(texts) if len(texts) > 1 else texts[0])
    # RFC 2034 repeats the enhanced code on each line; once is enough for a reader.
    texts = [text[match.end() :] if (match := _ENHANCED.match(text)) else text for text in texts]
    return Reply(code, "\n".join(texts) if len(texts) > 1 else texts[0], found[1])


def _clean(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return text.strip() if text.isprintable() else _CONTROL.sub(" ", text).strip()
