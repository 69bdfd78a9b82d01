"""Header fields of our own making: encoded where they must be (RFC 2047), folded (RFC 5322 2.1.1)."""

import re
from email.header import Header

_LINE_ENDS = re.compile(r"[\r\n\0]+[ \t]*")
_WIDTH = 78


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
    for word in re.findall(r"[ \t]*[^ \t]+|[ \t]+$", value):
        if line + len(word) > _WIDTH and pieces and word[0] in " \t":
            pieces.append("\r\n")
            line = 0
        pieces.append(word)
        line += len(word)
    return "".join(pieces)
