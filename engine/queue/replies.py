"""Which replies are alike, although each names the message, the time, or the client in words of its own."""

import re
from typing import TypeAlias

SHOWN = 120
"""Characters of a reply by which it is known."""

_CODES = re.compile(r"[245][0-9]{2}(?:[ -][245]\.[0-9]{1,3}\.[0-9]{1,3})?(?!\S)")
_OWN = re.compile(r"[0-9@]")
_AT_MOST = len("451 4.999.999")  # characters of what `_CODES` takes
_DIGITS = bytes.maketrans(b"0123456789", b"0000000000")

Outline: TypeAlias = tuple[str, bytes]


def alike(reply: str) -> str:
    """The reply with its codes, and without words that have digits or addresses in them."""
    codes = _CODES.match(reply)
    start = codes.end() if codes else 0
    words = ("…" if _OWN.search(word) else word for word in reply[start:].split())
    return " ".join([*reply[:start].split(), *words])[:SHOWN].rstrip()


def outline(reply: str) -> Outline:
    """What few replies differ in that are alike: where the codes may be as it is, and behind that one digit for all."""
    return reply[:_AT_MOST], reply.encode().translate(_DIGITS)


def said(outlined: Outline) -> str:
    """A reply of that outline."""
    beginning, whole = outlined
    return beginning + whole.decode()[_AT_MOST:]
