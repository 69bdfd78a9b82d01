"""The open embedded directory: its databases, and what is looked up and changed in one transaction."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import lmdb
import msgspec

from engine.directory.addresses import valid_domain
from engine.directory.embedded.records import (
    RECORD,
    Name,
    Record,
    Transaction,
    account_of,
    admin_key,
    alias_of,
    encode,
    get,
    key_of,
    octets,
)
from engine.directory.entries import Account, Alias, Group
from engine.directory.errors import AlreadyThere, NotFound, Unavailable
from engine.storage.environment import StorageError, open_environment, reason, translated
from engine.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")

MAP_SIZE = 2**30
"""Address space in octets: room for some millions of accounts."""


class Rows(Store):
    """What the parts of the directory have in common. Every method may raise Unavailable."""

    def __init__(self, environment: lmdb.Environment, local_domains: tuple[str, ...], *, read_only: bool) -> None:
        super().__init__(environment)
        self._configured = local_domains
        self._configured_set = frozenset(local_domains)
        self._read_only = read_only
        try:
            self._domains, self._accounts, self._aliases, self._admins, self._counters, self._limits = (
                environment.open_db(name, create=not read_only)
                for name in (b"domains", b"accounts", b"aliases", b"admins", b"counters", b"limits")
            )
        except lmdb.Error as error:
            path = environment.path()
            environment.close()
            raise Unavailable(f"cannot read the directory in {path}: {reason(error)}") from error
        self._secret = self._read(self._salt_secret) or (b"" if read_only else self._write(self._make_salt_secret))

    @classmethod
    def open(cls, path: Path, local_domains: Iterable[str] = (), *, read_only: bool = False) -> Self:
        """Open, and unless ``read_only`` make, the directory in the folder ``path``.

        ``local_domains`` are local besides those that were added. Invalid when one of them is no domain name.
        """
        names = tuple(dict.fromkeys(map(valid_domain, local_domains)))
        try:
            environment = open_environment(path, map_size=MAP_SIZE, databases=6, read_only=read_only)
        except StorageError as error:
            raise Unavailable(str(error)) from error
        return cls(environment, names, read_only=read_only)

    def set_local(self, local_domains: Iterable[str]) -> None:
        """Other domains are local by configuration from now on. Invalid when one of them is no domain name."""
        self._configured = tuple(dict.fromkeys(map(valid_domain, local_domains)))
        self._configured_set = frozenset(self._configured)

    def _read(self, look: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._environment.begin() as txn:
                return look(txn, *args, **kwargs)
        except lmdb.Error as error:
            raise Unavailable(f"cannot read the directory: {reason(error)}") from error

    def _write(self, change: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``change`` alone in the world; what it raises undoes it. Returns when the disk has it."""
        if self._read_only:
            raise Unavailable("the directory is open for reading only")
        try:
            with self._environment.begin(write=True) as txn:
                return change(txn, *args, **kwargs)
        except lmdb.Error as error:
            raise Unavailable(f"cannot change the directory: {translated(error)}") from error

    def _salt_secret(self, txn: Transaction) -> bytes | None:
        return txn.get(b"salt", db=self._counters)

    def _make_salt_secret(self, txn: Transaction) -> bytes:
        # Another process may have been faster.
        secret = self._salt_secret(txn) or os.urandom(32)
        txn.put(b"salt", secret, db=self._counters)
        return secret

    def _is_local(self, txn: Transaction, domain: str) -> bool:
        return domain in self._configured_set or get(txn, self._domains, octets(domain)) is not None

    def _added(self, txn: Transaction) -> list[str]:
        return [key.decode() for key, _ in txn.cursor(self._domains)]

    def _first_domain(self, txn: Transaction) -> str:
        return next(iter(self._configured or self._added(txn)), "")

    def _entry(self, txn: Transaction, name: Name) -> Account | Alias | None:
        record = self._record(txn, name)
        return account_of(name, record) if record else self._alias(txn, name)

    def _record(self, txn: Transaction, name: Name) -> Record | None:
        value = get(txn, self._accounts, key_of(name))
        return None if value is None else RECORD.decode(value)

    def _record_or_error(self, txn: Transaction, name: Name) -> Record:
        record = self._record(txn, name)
        if record is None:
            address = "@".join(name)
            raise NotFound(f"no such account: {address}; add it with postroad account add {address}")
        return record

    def _alias(self, txn: Transaction, name: Name) -> Alias | None:
        value = get(txn, self._aliases, key_of(name))
        return None if value is None else alias_of(name, value)

    def _group(self, txn: Transaction, name: Name) -> Group:
        found = self._alias(txn, name)
        if not isinstance(found, Group):
            raise NotFound(f"no such group: {'@'.join(name)}; postroad group list shows those there are")
        return found

    def _check_free(self, txn: Transaction, name: Name) -> None:
        address, domain = "@".join(name), name[1]
        if not self._is_local(txn, domain):
            raise NotFound(f"{domain} is no local domain; add it with postroad domain add {domain}")
        if self._record(txn, name):
            raise AlreadyThere(f"there is an account {address} already")
        found = self._alias(txn, name)
        if found:
            kind = _kind(found)
            raise AlreadyThere(
                f"there is {kind} {address} already; remove it first with postroad {kind.split()[1]} remove {address}"
            )

    def _put(self, txn: Transaction, name: Name, record: Record) -> None:
        txn.put(key_of(name), encode(record), db=self._accounts)

    def _change(self, txn: Transaction, name: Name, changes: dict[str, Any]) -> Account:
        record = msgspec.structs.replace(self._record_or_error(txn, name), **changes)
        self._put(txn, name, record)
        if record.admin:
            txn.put(admin_key(name, record), name[0].encode(), db=self._admins)
        else:
            txn.delete(admin_key(name, record), db=self._admins)
        return account_of(name, record)


def _kind(alias: Alias) -> str:
    return "a group" if isinstance(alias, Group) else "an alias"
