"""Strings as IMAP sends them (RFC 9051 4.3)."""

import re

_SPECIAL = re.compile(rb"[\0\r\n\"\\\x80-\xff]")
_NEEDS_LITERAL = re.compile(rb"[\r\n\x80-\xff]")


def string(octets: bytes) -> bytes:
    """A quoted string, or a literal where octets are not ASCII or end a line. NUL, which fits neither, is left out.

    Both forms are right for IMAP4rev1, IMAP4rev2 and UTF8=ACCEPT alike.
    """
    if not _SPECIAL.search(octets):
        return b'"%b"' % octets
    octets = octets.replace(b"\0", b"")
    if _NEEDS_LITERAL.search(octets):
        return b"{%d}\r\n%b" % (len(octets), octets)
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def nstring(octets: bytes | None) -> bytes:
    """`string`, and NIL for None or nothing."""
    return string(octets) if octets else b"NIL"
