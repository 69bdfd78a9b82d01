"""Header fields of what a script sends."""

from email.utils import formataddr, parseaddr
from typing import TYPE_CHECKING

from engine.mime.folding import folded

if TYPE_CHECKING:
    from engine.sieve.compiled import Node
    from engine.sieve.run import Run


def author(run: "Run", node: "Node") -> bytes:
    """The From of what a script sends: as its ``:from`` says, if the account may write so, else the recipient."""
    name, address = parseaddr(run.option(node, "from"))
    if "@" not in address or not run.world.may_write_as(address):
        name, address = "", run.world.recipient
    return folded("From", formataddr((name, address)) if name and address.isascii() else address)
