"""Strings as they are written: an atom, quoted, a literal or NIL, whichever their octets allow (RFC 9051 4.3)."""

import re
from functools import lru_cache
from typing import Final

from engine.protocols.imap import names

NIL: Final = b"NIL"

QUOTED_LIMIT: Final = 1000
"""Octets; what is longer is a literal, for clients that read lines into a buffer of some size."""

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]{1,1000}')
_ASCII = re.compile(rb"[^\x00\r\n\x80-\xff]*+")
_SPECIAL = re.compile(rb'(["\\])')


def quoted(octets: bytes) -> bytes:
    """In quotes, whatever is in it."""
    return b'"%b"' % (_SPECIAL.sub(rb"\\\1", octets) if b'"' in octets or b"\\" in octets else octets)


def literal_head(size: int, *, binary: bool = False) -> bytes:
    """What goes before so many octets; ``binary``: of any kind (RFC 3516 4.2)."""
    return b"~{%d}\r\n" % size if binary else b"{%d}\r\n" % size


def string(octets: bytes, *, utf8: bool = False) -> bytes:
    """Quoted where that may be, else a literal; a literal8 if it holds NUL.

    ``utf8``: the client has enabled IMAP4rev2 or UTF8=ACCEPT, so that UTF-8 may stand in quotes (RFC 6855 3).
    """
    if len(octets) <= QUOTED_LIMIT and (_ASCII.fullmatch(octets) or (utf8 and _is_quotable_utf8(octets))):
        return quoted(octets)
    return literal_head(len(octets), binary=b"\0" in octets) + octets


def nstring(octets: bytes | None, *, utf8: bool = False) -> bytes:
    return NIL if octets is None else string(octets, utf8=utf8)


def astring(octets: bytes, *, utf8: bool = False) -> bytes:
    """As an atom where that may be."""
    return octets if _ATOM.fullmatch(octets) and octets.upper() != NIL else string(octets, utf8=utf8)


@lru_cache(maxsize=2048)
def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """The name of a mailbox, in modified UTF-7 unless ``utf8``."""
    return astring(names.encode(name, utf8=utf8), utf8=utf8)


def _is_quotable_utf8(octets: bytes) -> bool:
    if any(octet in octets for octet in b"\0\r\n"):
        return False
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
