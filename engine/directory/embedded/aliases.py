"""Aliases and groups of the embedded directory: addresses that stand for others."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from engine.directory.addresses import a_label, split, valid_domain
from engine.directory.embedded.names import known_name, new_name, targets_of
from engine.directory.embedded.records import Name, StoredGroup, Transaction, alias_of, encode, items, key_of
from engine.directory.embedded.rows import Rows
from engine.directory.entries import POSTING, Alias, Group
from engine.directory.errors import Invalid, NotFound

MOST_OWNERS = 50
"""Of one group."""


class Aliases(Rows):
    """Who stands for whom."""

    def aliases(self) -> list[Alias]:
        """All aliases, those of closed domains too, by domain and name; a catch-all is first in its domain."""
        return [found for found in self._standing() if not isinstance(found, Group)]

    def add_alias(self, address: str, targets: Iterable[str]) -> Alias:
        """An alias that stands for ``targets``; ``@domain`` is a catch-all. Invalid, AlreadyThere, NotFound: as above.

        That a target exists is not asked: it may come later, or be elsewhere.
        """
        name = ("", valid_domain(address[1:])) if address.startswith("@") else new_name(address)
        alias = Alias("@".join(name), targets_of(name, targets))
        if not alias.targets:
            raise Invalid(f"the alias {alias.address} needs at least one address that it stands for")
        self._write(self._add_alias, name, alias)
        return alias

    def _add_alias(self, txn: Transaction, name: Name, alias: Alias) -> None:
        self._check_free(txn, name)
        self._put_alias(txn, name, alias)

    def change_alias(self, address: str, targets: Iterable[str]) -> Alias:
        """Let an alias that is there stand for others. Invalid, NotFound."""
        local, _, domain = address.rpartition("@")
        name = split(address) or (local, a_label(domain))
        alias = Alias("@".join(name), targets_of(name, targets))
        if not alias.targets:
            raise Invalid(f"the alias {alias.address} needs at least one address that it stands for")
        self._write(self._change_alias, name, alias)
        return alias

    def _change_alias(self, txn: Transaction, name: Name, alias: Alias) -> None:
        self._plain_alias(txn, name)
        self._put_alias(txn, name, alias)

    def _plain_alias(self, txn: Transaction, name: Name) -> Alias:
        alias = self._alias(txn, name)
        if alias is None or isinstance(alias, Group):
            raise NotFound(f"no such alias: {'@'.join(name)}; postroad alias list shows those there are")
        return alias

    def remove_alias(self, address: str) -> Alias:
        """Remove the alias. NotFound."""
        local, _, domain = address.rpartition("@")
        return self._write(self._remove_alias, split(address) or (local, a_label(domain)))

    def _remove_alias(self, txn: Transaction, name: Name) -> Alias:
        alias = self._plain_alias(txn, name)
        txn.delete(key_of(name), db=self._aliases)
        return alias

    def _put_alias(self, txn: Transaction, name: Name, alias: Alias) -> None:
        value: StoredGroup | tuple[str, ...] = alias.targets
        if isinstance(alias, Group):
            value = StoredGroup(alias.targets, alias.posting, alias.owners)
        txn.put(key_of(name), encode(value), db=self._aliases)

    def _standing(self) -> Iterator[Alias]:
        return (alias_of(name, value) for name, value in self._read(items, self._aliases))

    # Groups

    def groups(self) -> list[Group]:
        """All groups, those of closed domains too, by domain and name."""
        return [found for found in self._standing() if isinstance(found, Group)]

    def add_group(self, address: str, members: Iterable[str] = ()) -> Group:
        """A group, at first of these members. Invalid, AlreadyThere; NotFound: no local domain."""
        name = new_name(address)
        group = Group("@".join(name), targets_of(name, members))
        self._write(self._add_alias, name, group)
        return group

    def change_group(self, address: str, added: Iterable[str] = (), removed: Iterable[str] = ()) -> Group:
        """The group with other members. Invalid; NotFound: no such group, or one who is to go is no member."""
        name = known_name(address)
        come, gone = targets_of(name, added), {known_name(member) for member in removed}
        return self._write(self._change_group, name, come, gone) if come or gone else self._read(self._group, name)

    def _change_group(self, txn: Transaction, name: Name, added: tuple[str, ...], removed: set[Name]) -> Group:
        group = self._group(txn, name)
        before = group.targets
        for stranger in removed - set(map(split, before)):
            raise NotFound(f"{'@'.join(stranger)} is no member of {'@'.join(name)}")
        # One who is named twice, in another case perhaps, is a member once.
        members: dict[Name | None, str] = {}
        for member in (*before, *added):
            members.setdefault(split(member), member)
        group = replace(group, targets=tuple(member for one, member in members.items() if one not in removed))
        self._put_alias(txn, name, group)
        return group

    def rule_group(self, address: str, posting: str, owners: Iterable[str] = ()) -> Group:
        """Say who may write to the group (POSTING), and who says who its members are. Invalid, NotFound."""
        if posting not in POSTING:
            raise Invalid(f"{posting!r} is none of {', '.join(POSTING)}")
        named = tuple(dict.fromkeys("@".join(known_name(owner)) for owner in owners))
        if len(named) > MOST_OWNERS:
            raise Invalid(f"a group has {MOST_OWNERS} owners at most")
        return self._write(self._rule_group, known_name(address), posting, named)

    def _rule_group(self, txn: Transaction, name: Name, posting: str, owners: tuple[str, ...]) -> Group:
        group = replace(self._group(txn, name), posting=posting, owners=owners)
        self._put_alias(txn, name, group)
        return group

    def remove_group(self, address: str) -> Group:
        """Remove the group. NotFound."""
        return self._write(self._remove_group, known_name(address))

    def _remove_group(self, txn: Transaction, name: Name) -> Group:
        group = self._group(txn, name)
        txn.delete(key_of(name), db=self._aliases)
        txn.delete(key_of(name), db=self._limits)
        return group
