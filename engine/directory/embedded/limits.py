"""How much mailboxes may hold, as it is said in the embedded directory of accounts, groups and domains."""

from collections.abc import Callable, Mapping

import lmdb

from engine.directory.addresses import split
from engine.directory.embedded.domains import Domains
from engine.directory.embedded.names import known_name
from engine.directory.embedded.records import (
    LIMITS,
    Name,
    StoredLimits,
    Transaction,
    encode,
    get,
    items,
    key_of,
)
from engine.directory.entries import Account, Domain, Group
from engine.directory.errors import NotFound
from engine.directory.limits import UNSAID, DomainLimits, Layers, Limit, Limits, gathered


class SaidLimits(Domains):
    """What was said of how much."""

    def __init__(self, environment: lmdb.Environment, local_domains: tuple[str, ...], *, read_only: bool) -> None:
        super().__init__(environment, local_domains, read_only=read_only)
        self._said: tuple[int, Limits] = (-1, Limits())  # with the transaction that it was read in

    def limits(self, account: Account) -> Layers:
        """What was said about how much the account may hold, the nearest first."""
        return self._read(self._limits_now).of(known_name(account.address), account.limit)

    def _limits_now(self, txn: Transaction) -> Limits:
        state, said = self._said
        if state != txn.id():
            said = self._gathered(txn)
            self._said = txn.id(), said
        return said

    def _gathered(self, txn: Transaction) -> Limits:
        domains, groups = {}, []
        for name, value in items(txn, self._limits):
            stored = LIMITS.decode(value)
            if not name[0]:
                domains[name[1]] = DomainLimits(stored.each, stored.total)
            elif isinstance(group := self._alias(txn, name), Group):
                groups.append((group.address, stored.each, map(split, group.targets)))
        return gathered(domains, groups)

    def domain_limits(self, domain: str) -> DomainLimits:
        """What was said of a domain. NotFound: it is not local."""
        return self._read(self._limits_now).domains.get(self._local_domain(domain), DomainLimits())

    def totals(self) -> Mapping[str, Limit]:
        """By domain, what its accounts may hold all together, where that is said."""
        domains = self._read(self._limits_now).domains
        return {name: said.total for name, said in domains.items() if said.total != UNSAID}

    def group_limit(self, address: str) -> Limit:
        """What was said of the members of a group. NotFound."""
        return self._read(self._group_limit, known_name(address))

    def _group_limit(self, txn: Transaction, name: Name) -> Limit:
        self._limited_group(txn, name)
        value = get(txn, self._limits, key_of(name))
        return LIMITS.decode(value).each if value is not None else UNSAID

    def _limited_group(self, txn: Transaction, name: Name) -> Group:
        """The group of which, as of an account, a limit can be said."""
        found = self._alias(txn, name)
        if not isinstance(found, Group):
            address = "@".join(name)
            raise NotFound(f"no such account or group: {address}; postroad account list shows the accounts there are")
        return found

    def limit(self, name: str, limit: Limit) -> Account | Group | Domain:
        """Say how much may be held by the account, by each member of the group, or by each account of the domain.

        UNSAID takes it back. NotFound.
        """
        if "@" in name:
            return self._write(self._limit, known_name(name), limit)
        return self._limit_domain(name, lambda old: StoredLimits(limit, old.total))

    def _limit(self, txn: Transaction, name: Name, limit: Limit) -> Account | Group:
        if self._record(txn, name):
            return self._change(txn, name, {"limit": limit})
        found = self._limited_group(txn, name)
        self._put_limits(txn, name, lambda old: StoredLimits(limit, old.total))
        return found

    def limit_total(self, domain: str, limit: Limit) -> Domain:
        """Say how much all accounts of a domain may hold together. NotFound."""
        return self._limit_domain(domain, lambda old: StoredLimits(old.each, limit))

    def _limit_domain(self, domain: str, change: Callable[[StoredLimits], StoredLimits]) -> Domain:
        name = self._local_domain(domain)
        self._write(self._put_limits, ("", name), change)
        return Domain(name, configured=name in self._configured_set)

    def _put_limits(self, txn: Transaction, name: Name, change: Callable[[StoredLimits], StoredLimits]) -> None:
        value = get(txn, self._limits, key_of(name))
        limits = change(LIMITS.decode(value) if value is not None else StoredLimits())
        if limits == StoredLimits():
            txn.delete(key_of(name), db=self._limits)
        else:
            txn.put(key_of(name), encode(limits), db=self._limits)
