"""Which replies are alike, although each names the message, the time, or the client in words of its own."""

import re

SHOWN = 120
"""Characters of a reply by which it is known."""

_CODES = re.compile(r"[245][0-9]{2}(?:[ -][245]\.[0-9]{1,3}\.[0-9]{1,3})?(?!\S)")
_OWN = re.compile(r"[0-9@]")


def alike(reply: str) -> str:
    """The reply with its codes, and without words that have digits or addresses in them."""
    codes = _CODES.match(reply)
    start = codes.end() if codes else 0
    words = ("…" if _OWN.search(word) else word for word in reply[start:].split())
    return " ".join([*reply[:start].split(), *words])[:SHOWN].rstrip()
