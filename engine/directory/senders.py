"""In whose name an account may send."""

from engine.directory.entries import Account, Alias
from engine.directory.interface import Directory

_OPENED = 1000
"""Aliases that are opened to see whether one leads to an account."""


def may_send_as(directory: Directory, account: str, sender: str) -> bool:
    """Whether mail for ``sender`` would come to the account."""
    opened: set[str] = set()
    layer = [sender]
    while layer and len(opened) < _OPENED:
        found = [directory.find(address) for address in layer]
        if any(isinstance(one, Account) and one.address == account for one in found):
            return True
        aliases = {one.address: one for one in found if isinstance(one, Alias) and one.address not in opened}
        opened |= aliases.keys()
        layer = [target for alias in aliases.values() for target in alias.targets]
    return False
