"""Who gets mail, by the embedded directory."""

import lmdb

from engine.directory.addresses import without_tag
from engine.directory.embedded.accounts import Accounts
from engine.directory.embedded.domains import Domains
from engine.directory.embedded.records import Name, Transaction, account_of, within
from engine.directory.entries import FEW, Account, Alias
from engine.directory.memory import Memory


class Finding(Accounts, Domains):
    """Look-ups, whose answers are remembered until anything changes."""

    def __init__(self, environment: lmdb.Environment, local_domains: tuple[str, ...], *, read_only: bool) -> None:
        super().__init__(environment, local_domains, read_only=read_only)
        self._known: Memory[Name, Account | Alias] = Memory()

    @property
    def state(self) -> object:
        """Another one when anything has changed, by whatever process. What was found since it was read is as new."""
        return self._read(lmdb.Transaction.id), self._configured

    def find(self, address: str, *, subaddress: str = "+") -> Account | Alias | None:
        """Who gets mail for ``address``: the exact name, else the name without its tag, else the catch-all.

        ``subaddress`` is the character before a tag ("user+tag", RFC 5233), empty for no tags. The postmaster of a
        local domain is always somebody (RFC 5321 4.5.1), by this order:

        1. who is found for the address as for any other: an account, an alias, the catch-all;
        2. the oldest account of the domain that is flagged admin;
        3. the postmaster of the first local domain, found in the same way; ``postmaster`` alone means that one;
        4. an account of that name, which is made on this first need and has no password. A read-only directory
           cannot make it, and answers None.
        """
        name = self._name(address)
        if name is None:
            return None
        found = self._read(self._find, name, subaddress)
        if found is None and without_tag(name[0], subaddress) == "postmaster" and self.is_local(name[1]):
            return self._postmaster(name[1])
        return found

    def account(self, address: str) -> Account | None:
        """The account of exactly this address, in a domain that is local."""
        name = self._name(address)
        found = self._read(self._local_entry, name) if name else None
        return found if isinstance(found, Account) else None

    def _find(self, txn: Transaction, name: Name, subaddress: str) -> Account | Alias | None:
        local, domain = name
        if not self._is_local(txn, domain):
            return None
        found = self._remembered(txn, name)
        base = without_tag(local, subaddress)
        if found is None and base and base != local:
            found = self._remembered(txn, (base, domain))
        return found or self._alias(txn, ("", domain))

    def _local_entry(self, txn: Transaction, name: Name) -> Account | Alias | None:
        return self._remembered(txn, name) if self._is_local(txn, name[1]) else None

    def _remembered(self, txn: Transaction, name: Name) -> Account | Alias | None:
        """What ``_entry`` finds, for transactions that only read. Valid until any process has changed anything."""
        found = self._known.get(txn.id(), name)
        if found is None:
            found = self._entry(txn, name)
            if isinstance(found, Account) or (found is not None and len(found.targets) <= FEW):
                self._known.put(txn.id(), name, found)
        return found

    def _postmaster(self, domain: str) -> Account | Alias | None:
        admin = self._read(self._oldest_admin, domain)
        if admin:
            return admin
        first = self._read(self._first_domain)
        if domain != first:
            return self.find(f"postmaster@{first}")
        return None if self._read_only else self._write(self._reserve, ("postmaster", first))

    def _oldest_admin(self, txn: Transaction, domain: str) -> Account | None:
        for _, value in within(txn, self._admins, domain):
            name = (value.decode(), domain)
            return account_of(name, self._record_or_error(txn, name))
        return None

    def _reserve(self, txn: Transaction, name: Name) -> Account | Alias:
        # Another process may have been faster.
        return self._entry(txn, name) or self._add_account(txn, name, {}, admin=False)
