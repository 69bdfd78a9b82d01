"""What operators do with aliases and groups: addresses that stand for others."""

from collections.abc import Iterable, Sequence

import msgspec

from engine.directory import Alias, Directory, Embedded, Group, NotFound
from engine.operations.operator import Operator


class AliasRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alias, or a group and its members. ``unknown``: those of them in our domains who are not there, of what was
    just changed. ``posting``: who may write to a group; ``owners``: who says who its members are.
    """

    address: str
    targets: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    posting: str = ""
    owners: tuple[str, ...] = ()


def add(directory: Embedded, by: Operator, address: str, targets: Sequence[str]) -> AliasRow:
    """Let an address, or ``@domain`` for all that are not known there, stand for others. Invalid, AlreadyThere,
    NotFound.
    """
    by.check(address)
    added = directory.add_alias(address, targets)
    by.tell("alias-added", address=added.address, targets=added.targets)
    return _row(added, unknown(directory, by, added.targets))


def change(directory: Embedded, by: Operator, address: str, targets: Sequence[str]) -> AliasRow:
    """Let an alias stand for others than before. Invalid, NotFound."""
    by.check(address)
    changed = directory.change_alias(address, targets)
    by.tell("alias-changed", address=changed.address, targets=changed.targets)
    return _row(changed, unknown(directory, by, changed.targets))


def listed(directory: Embedded, by: Operator) -> list[AliasRow]:
    """All aliases, by domain and name."""
    return [_row(found) for found in directory.aliases() if by.may(found.address)]


def remove(directory: Embedded, by: Operator, address: str) -> AliasRow:
    """Remove the alias. NotFound."""
    by.check(address)
    removed = directory.remove_alias(address)
    by.tell("alias-removed", address=removed.address, targets=removed.targets)
    return _row(removed)


def add_group(directory: Embedded, by: Operator, address: str, members: Sequence[str] = ()) -> AliasRow:
    """A group, at first of these members. Invalid, AlreadyThere, NotFound."""
    by.check(address)
    added = directory.add_group(address, members)
    by.tell("group-added", address=added.address, members=added.targets)
    return _row(added, unknown(directory, by, added.targets))


def groups(directory: Embedded, by: Operator) -> list[AliasRow]:
    """All groups, by domain and name."""
    return [_row(found) for found in directory.groups() if by.may(found.address)]


def change_group(
    directory: Embedded, by: Operator, address: str, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> AliasRow:
    """The group, after such a change if one is asked for. Invalid, NotFound."""
    by.check(address)
    found = directory.change_group(address, added, removed)
    if added or removed:
        by.tell("group-changed", address=found.address, added=list(added), removed=list(removed))
    return _row(found, unknown(directory, by, [target for target in found.targets if target in added]))


def rule_group(
    directory: Embedded, by: Operator, address: str, posting: str | None = None, owners: Sequence[str] | None = None
) -> AliasRow:
    """Say who may write to the group ("anybody", "accounts", "members"), and which accounts say who its members are;
    None: as before. Invalid, NotFound.
    """
    by.check(address)
    before = directory.change_group(address)
    for owner in () if owners is None else owners:
        if directory.account(owner) is None:
            raise NotFound(f"there is no account {owner}")
    found = directory.rule_group(
        address, before.posting if posting is None else posting, before.owners if owners is None else owners
    )
    by.tell("group-changed", address=found.address, posting=found.posting, owners=list(found.owners))
    return _row(found)


def remove_group(directory: Embedded, by: Operator, address: str) -> AliasRow:
    """Remove the group; its members stay. NotFound."""
    by.check(address)
    removed = directory.remove_group(address)
    by.tell("group-removed", address=removed.address)
    return _row(removed)


def unknown(directory: Directory, by: Operator, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those whose domain is local, but who are not there; of domains that are not for the operator nothing is told."""
    return tuple(
        address
        for address in by.seen(addresses)
        if directory.is_local(address.rpartition("@")[2]) and directory.find(address) is None
    )


def _row(alias: Alias, strangers: tuple[str, ...] = ()) -> AliasRow:
    if isinstance(alias, Group):
        return AliasRow(
            address=alias.address, targets=alias.targets, unknown=strangers, posting=alias.posting, owners=alias.owners
        )
    return AliasRow(address=alias.address, targets=alias.targets, unknown=strangers)
