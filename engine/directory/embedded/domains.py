"""Domains of the embedded directory: those of pipeline.toml, and those that were added.

A domain that is local no more (removed with ``force``, or taken out of pipeline.toml) is *closed*: its accounts and
aliases stay stored, but are not found and cannot log in, until it is local again.
"""

from engine.directory.addresses import a_label, valid_domain
from engine.directory.embedded.records import Transaction, key_of, within
from engine.directory.embedded.rows import Rows
from engine.directory.entries import Domain
from engine.directory.errors import AlreadyThere, InUse, NotFound


class Domains(Rows):
    """What is local."""

    def is_local(self, domain: str) -> bool:
        """Whether mail for ``domain`` (in any case, as U-label or A-label) stays here."""
        name = a_label(domain)
        return name in self._configured_set or self._read(self._is_local, name)

    def domains(self) -> list[Domain]:
        """All local domains: those of pipeline.toml in its order, then the added ones by name."""
        added = self._read(self._added)
        return [Domain(name, configured=True) for name in self._configured] + [
            Domain(name, configured=False) for name in added if name not in self._configured_set
        ]

    def add_domain(self, domain: str) -> Domain:
        """Make ``domain`` local. Invalid, AlreadyThere."""
        name = valid_domain(domain)
        if name in self._configured_set:
            raise AlreadyThere(f"{name} is local already, by [domains] local in pipeline.toml")
        self._write(self._add_domain, name)
        return Domain(name, configured=False)

    def remove_domain(self, domain: str, *, force: bool = False) -> Domain:
        """Take back ``add_domain``; one that is ``configured`` too stays local.

        NotFound; InUse when it has accounts or aliases, unless ``force`` closes it.
        """
        name = valid_domain(domain)
        self._write(self._remove_domain, name, force)
        return Domain(name, configured=name in self._configured_set)

    def _add_domain(self, txn: Transaction, name: str) -> None:
        if not txn.put(name.encode(), b"", db=self._domains, overwrite=False):
            raise AlreadyThere(f"{name} is local already")

    def _remove_domain(self, txn: Transaction, name: str, force: bool) -> None:
        configured = name in self._configured_set
        if not txn.delete(name.encode(), db=self._domains):
            if configured:
                raise InUse(f"{name} is local by [domains] local in pipeline.toml; remove it there")
            raise NotFound(f"no such domain: {name}; postroad domain list shows those there are")
        accounts = sum(1 for _ in within(txn, self._accounts, name))
        aliases = sum(1 for _ in within(txn, self._aliases, name))
        if (accounts or aliases) and not (force or configured):
            raise InUse(
                f"{name} still has {accounts} account(s) and {aliases} alias(es): remove them first, or close the "
                f"domain with --force; then they are kept, unused, until it is added again"
            )
        if not (accounts or aliases or configured):
            txn.delete(key_of(("", name)), db=self._limits)

    def _local_domain(self, domain: str) -> str:
        name = valid_domain(domain)
        if not self.is_local(name):
            raise NotFound(f"{name} is no local domain; add it with postroad domain add {name}")
        return name
