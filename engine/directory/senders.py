"""In whose name an account may send."""

from collections.abc import Collection, Iterator

from engine.directory.addresses import split, without_tag
from engine.directory.entries import ACCOUNTS, ANYBODY, Account, Alias, Group
from engine.directory.interface import Directory

_OPENED = 1000
"""Aliases that are opened to see whether one leads to an account."""


def may_send_as(directory: Directory, account: str, sender: str) -> bool:
    """Whether mail for ``sender`` would come to the account, or to one in whose name it was granted to send.

    So the name may be that of an alias that leads to the account, or of a group that it is a member of.
    """
    own = directory.account(account)
    return _may(directory, own, sender, own.send_as if own else ())


def may_send_on_behalf(directory: Directory, account: str, author: str) -> bool:
    """Whether the account may send what says that ``author`` wrote it, if it says as well who has sent it."""
    own = directory.account(account)
    granted = own.on_behalf if own else ()
    return bool(granted) and _may(directory, own, author, granted)


def _may(directory: Directory, own: Account | None, sender: str, granted: Collection[str]) -> bool:
    if own and own.suspended:
        return False
    for addresses, accounts in _layers(directory, sender):
        if own and own.id in accounts:
            return True
        if granted and any(_covers(granted, address) for address in addresses):
            return True
    return False


def is_member(directory: Directory, account: Account, group: str) -> bool:
    """Whether ``group``, as it compares, stands for others in the directory, and the account is among them.

    Who gets the mail for members that are not there any more is none.
    """
    found = directory.find(group, subaddress="")
    if not isinstance(found, Alias) or found.address != group:
        return False
    return any(account.id in accounts for _, accounts in _layers(directory, group, catch_all=False))


def members(directory: Directory, group: str) -> list[Account]:
    """All accounts to which a group leads, by number: its members, those of groups among them, and so on."""
    found: dict[int, Account] = {}
    for layer, _ in _layers(directory, group, catch_all=False):
        some = [directory.find(one) for one in layer]
        found |= {one.id: one for one in some if isinstance(one, Account)}
    return [found[number] for number in sorted(found)]


def may_post(directory: Directory, group: str, login: str) -> bool:
    """Whether who has logged in as that account, empty for nobody, may write to ``group``, as it compares."""
    found = directory.find(group, subaddress="")
    if not isinstance(found, Group) or found.posting == ANYBODY:
        return True
    account = directory.account(login) if login else None
    if account is None:
        return False
    return found.posting == ACCOUNTS or account.address in found.owners or is_member(directory, account, group)


def _layers(directory: Directory, address: str, *, catch_all: bool = True) -> Iterator[tuple[list[str], set[int]]]:
    """The address, then those it stands for, and so on; with each layer the accounts in it."""
    opened: set[str] = set()
    layer = [address]
    while layer and len(opened) < _OPENED:
        found = [directory.find(address) for address in layer]
        yield layer, {one.id for one in found if isinstance(one, Account)}
        aliases = {one.address: one for one in found if isinstance(one, Alias) and one.address not in opened}
        if not catch_all:
            aliases = {address: one for address, one in aliases.items() if not address.startswith("@")}
        opened |= aliases.keys()
        layer = [target for alias in aliases.values() for target in alias.targets]


def _covers(granted: Collection[str], address: str) -> bool:
    name = split(address)
    if name is None:
        return False
    local, domain = name
    return any(f"{one}@{domain}" in granted for one in (local, without_tag(local, "+"), ""))
