"""Header fields of our own making: encoded where they must be (RFC 2047), folded (RFC 5322 2.1.1)."""

import re
from email.header import Header
from email.utils import formataddr, parseaddr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.sieve.compiled import Node
    from engine.sieve.run import Run

_LINE_ENDS = re.compile(r"[\r\n\0]+[ \t]*")
_WIDTH = 78


def author(run: "Run", node: "Node") -> bytes:
    """The From of what a script sends: as its ``:from`` says, if the account may write so, else the recipient."""
    name, address = parseaddr(run.option(node, "from"))
    if "@" not in address or not run.world.may_write_as(address):
        name, address = "", run.world.recipient
    return folded("From", formataddr((name, address)) if name and address.isascii() else address)


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
