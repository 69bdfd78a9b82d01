"""IMAP flags in a script (RFC 5232): lists of words, in which case does not count."""

import re
from collections.abc import Iterable

_FLAG = re.compile(r"[^\x00-\x20\x7f(){%*\"\\\]]+")
_SYSTEM = {"\\" + name.lower(): "\\" + name for name in ("Answered", "Flagged", "Deleted", "Seen", "Draft")}

LIMIT = 100
"""Flags that a message is given."""


def split(texts: Iterable[str]) -> tuple[str, ...]:
    """The flags in these texts, each once. What is no flag that a client may set is left out (RFC 5232 2)."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split():
            flag = _SYSTEM.get(word.lower()) if word.startswith("\\") else word
            if flag and (word.startswith("\\") or _FLAG.fullmatch(flag)) and len(found) < LIMIT:
                found.setdefault(flag.lower(), flag)
    return tuple(found.values())


def without(flags: Iterable[str], unwanted: Iterable[str]) -> tuple[str, ...]:
    gone = {flag.lower() for flag in unwanted}
    return tuple(flag for flag in flags if flag.lower() not in gone)
