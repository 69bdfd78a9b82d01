"""XFORWARD: who brought a message, told across a filter that stands between two servers (Postfix's XFORWARD_README)."""

import re
from collections.abc import Iterable, Mapping

ATTRIBUTES = ("NAME", "ADDR", "PROTO", "HELO")
"""Those that we take."""

UNAVAILABLE = "[UNAVAILABLE]"

LIMIT = 512
"""Octets of a command line (RFC 5321 4.5.3.1.4): more attributes go in another one."""

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def commands(told: Mapping[str, str], offered: str) -> Iterable[bytes]:
    """What to say before MAIL to a server that offers these attributes: an empty value is one that we do not know."""
    names = offered.upper().split()
    line = b"XFORWARD"
    for name, value in told.items():
        if name not in names:
            continue
        attribute = f" {name}={_xtext(value or UNAVAILABLE)}".encode()
        if len(line) + len(attribute) + 2 > LIMIT:
            yield line + b"\r\n"
            line = b"XFORWARD"
        line += attribute
    if line != b"XFORWARD":
        yield line + b"\r\n"


def parse(argument: str) -> dict[str, str] | None:
    """The attributes of a command, without those that are unavailable; None where it is none."""
    found = {}
    for word in argument.split():
        name, equals, value = word.partition("=")
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value)
        if not equals or not _XTEXT.fullmatch(value) or _CONTROL.search(text):
            return None
        found[name.upper()] = "" if text == UNAVAILABLE else text
    return found or None


def _xtext(value: str) -> str:
    """RFC 3461 4; what is not ASCII stands as ``?``, as in Postfix."""
    return re.sub(r"[^!-*,-<>-~]", lambda match: f"+{ord(match[0]):02X}" if match[0].isascii() else "?", value)
