"""In whose name an account may send."""

from collections.abc import Collection

from engine.directory.addresses import split, without_tag
from engine.directory.entries import Account, Alias
from engine.directory.interface import Directory

_OPENED = 1000
"""Aliases that are opened to see whether one leads to an account."""


def may_send_as(directory: Directory, account: str, sender: str) -> bool:
    """Whether mail for ``sender`` would come to the account, or to one in whose name it was granted to send.

    So the name may be that of an alias that leads to the account, or of a group that it is a member of.
    """
    own = directory.account(account)
    granted = own.send_as if own else ()
    opened: set[str] = set()
    layer = [sender]
    while layer and len(opened) < _OPENED:
        found = [directory.find(address) for address in layer]
        if own and any(isinstance(one, Account) and one.id == own.id for one in found):
            return True
        if granted and any(_covers(granted, address) for address in layer):
            return True
        aliases = {one.address: one for one in found if isinstance(one, Alias) and one.address not in opened}
        opened |= aliases.keys()
        layer = [target for alias in aliases.values() for target in alias.targets]
    return False


def _covers(granted: Collection[str], address: str) -> bool:
    name = split(address)
    if name is None:
        return False
    local, domain = name
    return any(f"{one}@{domain}" in granted for one in (local, without_tag(local, "+"), ""))
