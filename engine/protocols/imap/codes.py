"""Response codes, without their brackets (RFC 9051 7.1, RFC 5530), and the status lines that bear them."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from engine.protocols.imap.sets import SequenceSet
from engine.protocols.imap.strings import quoted

TEXT_LIMIT: Final = 400
"""Octets of a text for people."""

_UNPRINTABLE = re.compile(r"[^ -~]")


def status_line(tag: bytes, status: bytes, text: str, code: bytes = b"") -> bytes:
    """A whole line. What is no printable ASCII turns into ``?``, so that no text smuggles in a line, or a code."""
    shown = _shown(text)
    if code:
        return b"%b %b [%b] %b\r\n" % (tag, status, code, shown)
    return b"%b %b %b\r\n" % (tag, status, b"?" + shown[1:] if shown.startswith(b"[") else shown)


@lru_cache(maxsize=512)
def _shown(text: str) -> bytes:
    return _UNPRINTABLE.sub("?", text)[:TEXT_LIMIT].encode("ascii") or b"Done"


def untagged_ok(text: str, code: bytes = b"") -> bytes:
    return status_line(b"*", b"OK", text, code)


@lru_cache(maxsize=64)
def capability(names: tuple[str, ...]) -> bytes:
    return b"CAPABILITY %b" % " ".join(names).encode()


def uid_next(uid: int) -> bytes:
    return b"UIDNEXT %d" % uid


def uid_validity(value: int) -> bytes:
    return b"UIDVALIDITY %d" % value


def unseen(number: int) -> bytes:
    """RFC 3501 7.1: the first message without \\Seen."""
    return b"UNSEEN %d" % number


def permanent_flags(flags: Iterable[bytes]) -> bytes:
    return b"PERMANENTFLAGS (%b)" % b" ".join(flags)


def highest_modseq(value: int) -> bytes:
    """RFC 7162 3.1.2.1; NOMODSEQ for a mailbox that keeps none."""
    return b"HIGHESTMODSEQ %d" % value if value else b"NOMODSEQ"


def mailbox_id(name: str) -> bytes:
    """RFC 8474 4.1."""
    return b"MAILBOXID (%b)" % name.encode()


def append_uid(validity: int, uids: SequenceSet) -> bytes:
    """RFC 4315 3."""
    return b"APPENDUID %d %b" % (validity, uids.render())


def copy_uid(validity: int, source: SequenceSet, target: SequenceSet) -> bytes:
    """RFC 4315 3; both sets in the same order."""
    return b"COPYUID %d %b %b" % (validity, source.render(), target.render())


def modified(messages: SequenceSet) -> bytes:
    """RFC 7162 3.1.3: the messages that UNCHANGEDSINCE has kept from being stored."""
    return b"MODIFIED %b" % messages.render()


def bad_url(url: bytes) -> bytes:
    """RFC 4469 4; what could leave the brackets is left out."""
    return b"BADURL %b" % quoted(re.sub(rb"[^!-\\^-~]", b"", url))


def metadata_longer(size: int) -> bytes:
    """RFC 5464 4.2.1: octets of the largest value that MAXSIZE has kept back."""
    return b"METADATA LONGENTRIES %d" % size


def message_limit(most: int, lowest: int = 0) -> bytes:
    """RFC 9738 3.1: messages that one command may be for, and the lowest UID of those that it was done to."""
    return b"MESSAGELIMIT %d %d" % (most, lowest) if lowest else b"MESSAGELIMIT %d" % most


def in_progress(tag: bytes, done: int | None = None, goal: int | None = None) -> bytes:
    """RFC 9585 4."""
    shown = (b"NIL" if number is None else b"%d" % number for number in (done, goal))
    return b"INPROGRESS (%b %b %b)" % (quoted(tag), *shown)
