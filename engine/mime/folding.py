"""Header fields of our own making: encoded where they must be (RFC 2047), folded (RFC 5322 2.1.1)."""

import re
from email.header import Header

_LINE_ENDS = re.compile(r"[\r\n\0]+[ \t]*")
_GAP = re.compile(r"[ \t]{90,}")
_WIDTH = 78

LINE = 998
"""Octets of a line without its end (RFC 5322 2.1.1): servers refuse longer ones."""

_WORDS = re.compile(r"[ \t]*[^ \t]{1,900}|[ \t]+$")
"""What stays together. A word that is longer gets spaces: better that than a field that nobody takes."""


def folded(name: str, value: str) -> bytes:
    """A whole header field. A value of more than ASCII is encoded; line ends in it become spaces."""
    value = _LINE_ENDS.sub(" ", value)
    if value.isascii():
        return f"{name}: {_broken(value, len(name) + 2)}\r\n".encode()
    encoded = Header(value, "utf-8", header_name=name, maxlinelen=_WIDTH).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n".encode()


def _broken(value: str, used: int) -> str:
    """The value with line ends before some of its spaces, so that lines are short where they can be."""
    pieces: list[str] = []
    line = used
    for word in _WORDS.findall(_GAP.sub(" ", value)):
        if line + len(word) > _WIDTH and pieces and word[0] in " \t":
            pieces.append("\r\n")
            line = 0
        elif line + len(word) > LINE:
            pieces.append("\r\n ")
            line = 1
        pieces.append(word)
        line += len(word)
    return "".join(pieces)
