"""The embedded directory: domains, accounts and aliases in LMDB, read by every worker, changed while they run.

Every look-up is a short read transaction of its own, so a change made by another process is seen by the next one.

======== ============================== ==============================================
database key                            value
======== ============================== ==============================================
domains  domain                         empty
accounts domain NUL local part          MessagePack map: see _Record
aliases  domain NUL local part          MessagePack list of addresses; of a group, a map: see _Group
admins   domain NUL id (8 octets)       local part
limits   domain NUL local part          MessagePack list: see _Limits; of a group, or with no local part of the domain
counters "account"                      the last id that was given out (8 octets)
counters "salt"                         a secret that the salt of every name is made from
======== ============================== ==============================================

Domains are A-labels, local parts are lower-cased; a catch-all is an alias whose local part is empty. The domain
stands first, so that what belongs to one domain lies together.

A domain that is local no more (removed with ``force``, or taken out of pipeline.toml) is *closed*: its accounts and
aliases stay stored, but are not found and cannot log in, until it is local again.
"""

import contextlib
import hmac
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.directory import passwords, totp
from engine.directory.addresses import a_label, is_bare_postmaster, split, valid_address, valid_domain, without_tag
from engine.directory.entries import FEW, SERVICES, Account, Alias, AppPassword, Domain, Group, Login
from engine.directory.errors import AlreadyThere, InUse, Invalid, NotFound, Unavailable
from engine.directory.limits import UNSAID, DomainLimits, Layers, Limit, Limits, gathered
from engine.directory.memory import Memory
from engine.protocols import scram
from engine.storage.environment import StorageError, open_environment, reason, translated
from engine.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Database: TypeAlias = Any  # what py-lmdb's open_db() returns: an opaque handle
Name: TypeAlias = tuple[str, str]
"""Local part and domain as they compare; an empty local part is the catch-all."""

MAP_SIZE = 2**30
"""Address space in octets: room for some millions of accounts."""

_MAX_KEY = 511  # LMDB's limit; no valid address comes near it, so a longer one is unknown

MOST_APP_PASSWORDS = 50
"""Of one account: each is tried at a login by SCRAM."""

MOST_GRANTS = 100
"""Of one account: the directory remembers them with it."""

_APP_NAME = 64
"""Characters of the name of an app password."""


class _Key(msgspec.Struct, frozen=True, array_like=True):
    """What proves a password by SCRAM (RFC 5802), as it is stored."""

    iterations: int
    stored: bytes
    server: bytes


class _AppPassword(msgspec.Struct, frozen=True, array_like=True):
    """An app password as it is stored."""

    name: str
    created: float
    services: tuple[str, ...]
    digest: bytes
    scram: _Key


class _Totp(msgspec.Struct, frozen=True, array_like=True):
    """The second factor as it is stored."""

    secret: bytes
    used: int = 0  # the last step whose code was used


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account as it is stored."""

    id: int
    created: float
    password: str = ""  # PHC string; empty: no login
    admin: bool = False
    scram: _Key | None = None  # of the same password; None where that was last set or used before SCRAM was known
    app_passwords: tuple[_AppPassword, ...] = ()
    totp: _Totp | None = None
    send_as: tuple[str, ...] = ()
    limit: Limit = UNSAID


class _Limits(msgspec.Struct, frozen=True, array_like=True):
    """What was said of a group or a domain, as it is stored."""

    each: Limit = UNSAID
    total: Limit = UNSAID


class _Group(msgspec.Struct, frozen=True):
    """A group as it is stored."""

    members: tuple[str, ...]


_RECORD = msgspec.msgpack.Decoder(_Record)
_LIMITS = msgspec.msgpack.Decoder(_Limits)
_TARGETS = msgspec.msgpack.Decoder(tuple[str, ...] | _Group)
_encode = msgspec.msgpack.Encoder().encode


class Embedded(Store):
    """The open directory. One object a process (LMDB refuses a second one), shared by its threads; never forked.

    All methods are synchronous; look-ups take microseconds, changes wait for the disk, and those that hash a
    password (``verify``, ``add_account``, ``set_password``) block for longer: run them in a thread.
    Every method may raise Unavailable.
    """

    limiter: ClassVar[None] = None
    checks: ClassVar[int] = 2  # each takes 64 MiB and most of a core for a while (argon2id)
    holds_keys: ClassVar[bool] = True

    def __init__(self, environment: lmdb.Environment, local_domains: tuple[str, ...], *, read_only: bool) -> None:
        super().__init__(environment)
        self._configured = local_domains
        self._configured_set = frozenset(local_domains)
        self._read_only = read_only
        self._known: Memory[Name, Account | Alias] = Memory()
        self._said: tuple[int, Limits] = (-1, Limits())  # with the transaction that it was read in
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

    # Looking up

    @property
    def state(self) -> object:
        """Another one when anything has changed, by whatever process. What was found since it was read is as new."""
        return self._read(lmdb.Transaction.id), self._configured

    def is_local(self, domain: str) -> bool:
        """Whether mail for ``domain`` (in any case, as U-label or A-label) stays here."""
        name = a_label(domain)
        return name in self._configured_set or self._read(self._is_local, name)

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

    def verify(self, address: str, password: str) -> Account | None:
        """The account, if ``password`` is its own. Takes as long when there is none (see passwords.PROFILE). Blocks."""
        name, record = self._stored(address)
        stored = record.password if record else ""
        good = passwords.matches(stored or passwords.DUMMY, password)
        if not good or not stored or not name or not record:
            return None
        if not self._read_only and _is_outdated(record):
            # A full disk is no reason to refuse the right password; the next login tries again.
            with contextlib.suppress(Unavailable):
                self._write(self._renew, name, stored, self._secrets(name, password))
        return _account(name, record)

    def recalls(self, address: str, password: str) -> bool:
        """Whether ``verify`` would say yes and take no time: the password was right a moment ago, and is still."""
        _, record = self._stored(address)
        if record is None or not record.password or not passwords.is_proven(record.password, password):
            return False
        return self._read_only or not _is_outdated(record)

    def keys(self, address: str, service: str = "", *, main: bool = True) -> scram.Keys:
        """What may prove a login to ``service`` by SCRAM (RFC 5802): keys that nothing fits where nothing may.

        They are those of the account's app passwords, and with ``main`` of its password. The salt belongs to the name,
        whether there is such an account or not, so that nobody can tell by it. Accounts whose password was set before
        SCRAM was known cannot log in so until it has been checked by ``verify``.
        """
        name, record = self._stored(address)
        found = tuple(scram.Key(key.stored, key.server) for key, _ in _keys(record, service, main=main))
        nothing = scram.Key(os.urandom(32), os.urandom(32))
        return scram.Keys(self._salt(name or (address.lower(), "")), scram.ITERATIONS, found or (nothing,))

    def proven(self, address: str, key: scram.Key, service: str = "", *, main: bool = True) -> Login | None:
        """The login, if ``key`` is one of those that ``keys`` gives for it."""
        name, record = self._stored(address)
        for known, app_password in _keys(record, service, main=main):
            if name and record and (known.stored, known.server) == (key.stored, key.server):
                return Login(_account(name, record), app_password)
        return None

    def verify_app_password(self, address: str, password: str, service: str) -> Login | None:
        """The login, if ``password`` is an app password of the account that is good for ``service``. Does not block."""
        name, record = self._stored(address)
        for one in record.app_passwords if record else ():
            if name and record and service in one.services and passwords.same(one.digest, password):
                return Login(_account(name, record), _app_password(one))
        return None

    # Domains

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

    # Accounts

    def accounts(self) -> list[Account]:
        """All accounts, those of closed domains too, by domain and name."""
        return [_account(name, _RECORD.decode(value)) for name, value in self._read(_items, self._accounts)]

    def add_account(self, address: str, password: str | None = None, *, admin: bool = False) -> Account:
        """A new account, which can log in if it has a password. Invalid, AlreadyThere; NotFound: no local domain."""
        name = _checked(address)
        self._read(self._check_free, name)  # says no before the password is hashed
        return self._write(self._add_account, name, {} if password is None else self._secrets(name, password), admin)

    def remove_account(self, address: str) -> Account:
        """Remove the account; its id is not used again, so its mailbox is nobody's. NotFound."""
        return self._write(self._remove_account, _known(address))

    def set_password(self, address: str, password: str) -> Account:
        """Give the account its password. Invalid, NotFound. Blocks."""
        name = _known(address)
        self._read(self._record_or_error, name)
        return self._write(self._change, name, self._secrets(name, password))

    def set_admin(self, address: str, admin: bool) -> Account:
        """Say whether the account gets the postmaster's mail of its domain. NotFound."""
        return self._write(self._change, _known(address), {"admin": admin})

    def grant(self, address: str, added: Iterable[str], removed: Iterable[str] = ()) -> Account:
        """Let the account send in other names, or no longer: addresses, or ``@domain`` for all of one.

        Invalid, NotFound. That a name is one of ours is not asked.
        """
        return self._write(self._grant, _known(address), list(map(_sender, added)), set(map(_sender, removed)))

    # The second factor

    def set_totp(self, address: str, secret: bytes | None) -> Account:
        """From now on a login wants a code that is made from ``secret`` (RFC 6238), or none. NotFound."""
        return self._write(self._change, _known(address), {"totp": _Totp(secret) if secret else None})

    def verify_totp(self, address: str, code: str) -> bool:
        """Whether this is the code of now; each counts once. False for who has no second factor. NotFound."""
        return self._write(self._use_totp, _known(address), code)

    # App passwords

    def app_passwords(self, address: str) -> list[AppPassword]:
        """All of the account. NotFound."""
        return [_app_password(one) for one in self._read(self._record_or_error, _known(address)).app_passwords]

    def add_app_password(self, address: str, name: str, services: Iterable[str] = SERVICES) -> str:
        """A new password for some SERVICES, which is told this once. NotFound, AlreadyThere, Invalid. Blocks."""
        account, wanted = _known(address), tuple(dict.fromkeys(services))
        if not name.isprintable() or not 0 < len(name.strip()) <= _APP_NAME:
            raise Invalid(f"the name of an app password has 1 to {_APP_NAME} printable characters")
        if not wanted or not set(wanted) <= set(SERVICES):
            raise Invalid(f"an app password is for one or more of {', '.join(SERVICES)}")
        password = passwords.generated()
        key = self._key(account, password)
        added = _AppPassword(name.strip(), time.time(), wanted, passwords.digest(password), key)
        self._write(self._add_app_password, account, added)
        return password

    def revoke_app_password(self, address: str, name: str) -> AppPassword:
        """Nobody logs in by it any more; whoever has, stays. NotFound."""
        return self._write(self._revoke_app_password, _known(address), name)

    # Aliases

    def aliases(self) -> list[Alias]:
        """All aliases, those of closed domains too, by domain and name; a catch-all is first in its domain."""
        return [found for found in self._standing() if not isinstance(found, Group)]

    def add_alias(self, address: str, targets: Iterable[str]) -> Alias:
        """An alias that stands for ``targets``; ``@domain`` is a catch-all. Invalid, AlreadyThere, NotFound: as above.

        That a target exists is not asked: it may come later, or be elsewhere.
        """
        name = ("", valid_domain(address[1:])) if address.startswith("@") else _checked(address)
        alias = Alias("@".join(name), _targets(name, targets))
        if not alias.targets:
            raise Invalid(f"the alias {alias.address} needs at least one address that it stands for")
        self._write(self._add_alias, name, alias)
        return alias

    def remove_alias(self, address: str) -> Alias:
        """Remove the alias. NotFound."""
        local, _, domain = address.rpartition("@")
        return self._write(self._remove_alias, split(address) or (local, a_label(domain)))

    # Groups

    def groups(self) -> list[Group]:
        """All groups, those of closed domains too, by domain and name."""
        return [found for found in self._standing() if isinstance(found, Group)]

    def add_group(self, address: str, members: Iterable[str] = ()) -> Group:
        """A group, at first of these members. Invalid, AlreadyThere; NotFound: no local domain."""
        name = _checked(address)
        group = Group("@".join(name), _targets(name, members))
        self._write(self._add_alias, name, group)
        return group

    def change_group(self, address: str, added: Iterable[str] = (), removed: Iterable[str] = ()) -> Group:
        """The group with other members. Invalid; NotFound: no such group, or one who is to go is no member."""
        name = _known(address)
        come, gone = _targets(name, added), {_known(member) for member in removed}
        return self._write(self._change_group, name, come, gone) if come or gone else self._read(self._group, name)

    def remove_group(self, address: str) -> Group:
        """Remove the group. NotFound."""
        return self._write(self._remove_group, _known(address))

    # How much mailboxes may hold

    def limits(self, account: Account) -> Layers:
        """What was said about how much the account may hold, the nearest first."""
        return self._read(self._limits_now).of(_known(account.address), account.limit)

    def domain_limits(self, domain: str) -> DomainLimits:
        """What was said of a domain. NotFound: it is not local."""
        return self._read(self._limits_now).domains.get(self._local_domain(domain), DomainLimits())

    def group_limit(self, address: str) -> Limit:
        """What was said of the members of a group. NotFound."""
        return self._read(self._group_limit, _known(address))

    def totals(self) -> Mapping[str, Limit]:
        """By domain, what its accounts may hold all together, where that is said."""
        domains = self._read(self._limits_now).domains
        return {name: said.total for name, said in domains.items() if said.total != UNSAID}

    def numbers(self, domain: str) -> list[int]:
        """The ids of all accounts of a domain."""
        return self._read(self._numbers, a_label(domain))

    def limit(self, name: str, limit: Limit) -> Account | Group | Domain:
        """Say how much may be held by the account, by each member of the group, or by each account of the domain.

        UNSAID takes it back. NotFound.
        """
        if "@" in name:
            return self._write(self._limit, _known(name), limit)
        return self._limit_domain(name, lambda old: _Limits(limit, old.total))

    def limit_total(self, domain: str, limit: Limit) -> Domain:
        """Say how much all accounts of a domain may hold together. NotFound."""
        return self._limit_domain(domain, lambda old: _Limits(old.each, limit))

    # Transactions

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

    # What they make

    def _salt(self, name: Name) -> bytes:
        """The name's own, and the same for ever: RFC 5802 wants one that no other server has."""
        return hmac.digest(self._secret, _key(name), "sha256")[:16]

    def _secrets(self, name: Name, password: str) -> dict[str, Any]:
        """What a record keeps of the password. Blocks."""
        return {"password": passwords.hashed(password), "scram": self._key(name, password)}

    def _key(self, name: Name, password: str) -> _Key:
        made = scram.key(password, self._salt(name), scram.ITERATIONS)
        return _Key(scram.ITERATIONS, made.stored, made.server)

    # What they look at

    def _stored(self, address: str) -> tuple[Name | None, _Record | None]:
        """The name that an address is, and the record of its account; None for what is not there, or not local."""
        name = self._name(address)
        return name, self._read(self._local_record, name) if name else None

    def _name(self, address: str) -> Name | None:
        if is_bare_postmaster(address):
            first = self._read(self._first_domain)
            return ("postmaster", first) if first else None
        return split(address)

    def _is_local(self, txn: Transaction, domain: str) -> bool:
        return domain in self._configured_set or _get(txn, self._domains, _octets(domain)) is not None

    def _added(self, txn: Transaction) -> list[str]:
        return [key.decode() for key, _ in txn.cursor(self._domains)]

    def _first_domain(self, txn: Transaction) -> str:
        return next(iter(self._configured or self._added(txn)), "")

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

    def _entry(self, txn: Transaction, name: Name) -> Account | Alias | None:
        record = self._record(txn, name)
        return _account(name, record) if record else self._alias(txn, name)

    def _standing(self) -> Iterator[Alias]:
        return (_alias(name, value) for name, value in self._read(_items, self._aliases))

    def _alias(self, txn: Transaction, name: Name) -> Alias | None:
        value = _get(txn, self._aliases, _key(name))
        return None if value is None else _alias(name, value)

    def _group(self, txn: Transaction, name: Name) -> Group:
        found = self._alias(txn, name)
        if not isinstance(found, Group):
            raise NotFound(f"no such group: {'@'.join(name)}; postroad group list shows those there are")
        return found

    def _record(self, txn: Transaction, name: Name) -> _Record | None:
        value = _get(txn, self._accounts, _key(name))
        return None if value is None else _RECORD.decode(value)

    def _local_record(self, txn: Transaction, name: Name) -> _Record | None:
        return self._record(txn, name) if self._is_local(txn, name[1]) else None

    def _record_or_error(self, txn: Transaction, name: Name) -> _Record:
        record = self._record(txn, name)
        if record is None:
            address = "@".join(name)
            raise NotFound(f"no such account: {address}; add it with postroad account add {address}")
        return record

    def _oldest_admin(self, txn: Transaction, domain: str) -> Account | None:
        for _, value in _within(txn, self._admins, domain):
            name = (value.decode(), domain)
            return _account(name, self._record_or_error(txn, name))
        return None

    def _postmaster(self, domain: str) -> Account | Alias | None:
        admin = self._read(self._oldest_admin, domain)
        if admin:
            return admin
        first = self._read(self._first_domain)
        if domain != first:
            return self.find(f"postmaster@{first}")
        return None if self._read_only else self._write(self._reserve, ("postmaster", first))

    def _limits_now(self, txn: Transaction) -> Limits:
        state, said = self._said
        if state != txn.id():
            said = self._gathered(txn)
            self._said = txn.id(), said
        return said

    def _gathered(self, txn: Transaction) -> Limits:
        domains, groups = {}, []
        for name, value in _items(txn, self._limits):
            stored = _LIMITS.decode(value)
            if not name[0]:
                domains[name[1]] = DomainLimits(stored.each, stored.total)
            elif isinstance(group := self._alias(txn, name), Group):
                groups.append((group.address, stored.each, map(split, group.targets)))
        return gathered(domains, groups)

    def _numbers(self, txn: Transaction, domain: str) -> list[int]:
        return [_RECORD.decode(value).id for _, value in _within(txn, self._accounts, domain)]

    def _limit_domain(self, domain: str, change: Callable[[_Limits], _Limits]) -> Domain:
        name = self._local_domain(domain)
        self._write(self._put_limits, ("", name), change)
        return Domain(name, configured=name in self._configured_set)

    def _local_domain(self, domain: str) -> str:
        name = valid_domain(domain)
        if not self.is_local(name):
            raise NotFound(f"{name} is no local domain; add it with postroad domain add {name}")
        return name

    def _group_limit(self, txn: Transaction, name: Name) -> Limit:
        self._limited_group(txn, name)
        value = _get(txn, self._limits, _key(name))
        return _LIMITS.decode(value).each if value is not None else UNSAID

    def _limited_group(self, txn: Transaction, name: Name) -> Group:
        """The group of which, as of an account, a limit can be said."""
        found = self._alias(txn, name)
        if not isinstance(found, Group):
            address = "@".join(name)
            raise NotFound(f"no such account or group: {address}; postroad account list shows the accounts there are")
        return found

    def _limit(self, txn: Transaction, name: Name, limit: Limit) -> Account | Group:
        if self._record(txn, name):
            return self._change(txn, name, {"limit": limit})
        found = self._limited_group(txn, name)
        self._put_limits(txn, name, lambda old: _Limits(limit, old.total))
        return found

    def _put_limits(self, txn: Transaction, name: Name, change: Callable[[_Limits], _Limits]) -> None:
        value = _get(txn, self._limits, _key(name))
        limits = change(_LIMITS.decode(value) if value is not None else _Limits())
        if limits == _Limits():
            txn.delete(_key(name), db=self._limits)
        else:
            txn.put(_key(name), _encode(limits), db=self._limits)

    # What they change

    def _add_domain(self, txn: Transaction, name: str) -> None:
        if not txn.put(name.encode(), b"", db=self._domains, overwrite=False):
            raise AlreadyThere(f"{name} is local already")

    def _remove_domain(self, txn: Transaction, name: str, force: bool) -> None:
        configured = name in self._configured_set
        if not txn.delete(name.encode(), db=self._domains):
            if configured:
                raise InUse(f"{name} is local by [domains] local in pipeline.toml; remove it there")
            raise NotFound(f"no such domain: {name}; postroad domain list shows those there are")
        accounts = sum(1 for _ in _within(txn, self._accounts, name))
        aliases = sum(1 for _ in _within(txn, self._aliases, name))
        if (accounts or aliases) and not (force or configured):
            raise InUse(
                f"{name} still has {accounts} account(s) and {aliases} alias(es): remove them first, or close the "
                f"domain with --force; then they are kept, unused, until it is added again"
            )
        if not (accounts or aliases or configured):
            txn.delete(_key(("", name)), db=self._limits)

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

    def _add_account(self, txn: Transaction, name: Name, secrets: dict[str, Any], admin: bool) -> Account:
        self._check_free(txn, name)
        last = txn.get(b"account", db=self._counters)
        record = _Record(int.from_bytes(last or b"", "big") + 1, time.time(), **secrets)
        txn.put(b"account", record.id.to_bytes(8, "big"), db=self._counters)
        self._put(txn, name, record)
        return self._change(txn, name, {"admin": True}) if admin else _account(name, record)

    def _reserve(self, txn: Transaction, name: Name) -> Account | Alias:
        # Another process may have been faster.
        return self._entry(txn, name) or self._add_account(txn, name, {}, admin=False)

    def _change(self, txn: Transaction, name: Name, changes: dict[str, Any]) -> Account:
        record = msgspec.structs.replace(self._record_or_error(txn, name), **changes)
        self._put(txn, name, record)
        if record.admin:
            txn.put(_admin_key(name, record), name[0].encode(), db=self._admins)
        else:
            txn.delete(_admin_key(name, record), db=self._admins)
        return _account(name, record)

    def _renew(self, txn: Transaction, name: Name, stored: str, secrets: dict[str, Any]) -> None:
        # A password that was changed meanwhile stands.
        record = self._record(txn, name)
        if record and record.password == stored:
            self._change(txn, name, secrets)

    def _salt_secret(self, txn: Transaction) -> bytes | None:
        return txn.get(b"salt", db=self._counters)

    def _make_salt_secret(self, txn: Transaction) -> bytes:
        # Another process may have been faster.
        secret = self._salt_secret(txn) or os.urandom(32)
        txn.put(b"salt", secret, db=self._counters)
        return secret

    def _put(self, txn: Transaction, name: Name, record: _Record) -> None:
        txn.put(_key(name), _encode(record), db=self._accounts)

    def _remove_account(self, txn: Transaction, name: Name) -> Account:
        record = self._record_or_error(txn, name)
        txn.delete(_key(name), db=self._accounts)
        txn.delete(_admin_key(name, record), db=self._admins)
        return _account(name, record)

    def _use_totp(self, txn: Transaction, name: Name, code: str) -> bool:
        found = self._record_or_error(txn, name).totp
        step = totp.matching_step(found.secret, code, time.time(), found.used) if found else None
        if found is None or step is None:
            return False
        self._change(txn, name, {"totp": _Totp(found.secret, step)})
        return True

    def _add_app_password(self, txn: Transaction, name: Name, added: _AppPassword) -> None:
        before = self._record_or_error(txn, name).app_passwords
        if any(one.name == added.name for one in before):
            raise AlreadyThere(f"there is an app password {added.name} already; revoke it first")
        if len(before) >= MOST_APP_PASSWORDS:
            raise Invalid(f"an account has {MOST_APP_PASSWORDS} app passwords at most; revoke one first")
        self._change(txn, name, {"app_passwords": (*before, added)})

    def _revoke_app_password(self, txn: Transaction, name: Name, revoked: str) -> AppPassword:
        before = self._record_or_error(txn, name).app_passwords
        gone = next((one for one in before if one.name == revoked), None)
        if gone is None:
            raise NotFound(f"no such app password: {revoked}; postroad account app-password list shows those there are")
        self._change(txn, name, {"app_passwords": tuple(one for one in before if one is not gone)})
        return _app_password(gone)

    def _grant(self, txn: Transaction, name: Name, added: list[str], removed: set[str]) -> Account:
        before = self._record_or_error(txn, name).send_as
        for sender in removed - set(before):
            raise NotFound(f"{'@'.join(name)} was not granted to send as {sender}")
        after = tuple(sender for sender in dict.fromkeys([*before, *added]) if sender not in removed)
        if len(after) > MOST_GRANTS:
            raise Invalid(f"an account may send in {MOST_GRANTS} other names at most; grant a whole domain")
        return self._change(txn, name, {"send_as": after})

    def _add_alias(self, txn: Transaction, name: Name, alias: Alias) -> None:
        self._check_free(txn, name)
        self._put_alias(txn, name, alias)

    def _put_alias(self, txn: Transaction, name: Name, alias: Alias) -> None:
        value = _Group(alias.targets) if isinstance(alias, Group) else alias.targets
        txn.put(_key(name), _encode(value), db=self._aliases)

    def _change_group(self, txn: Transaction, name: Name, added: tuple[str, ...], removed: set[Name]) -> Group:
        before = self._group(txn, name).targets
        for stranger in removed - set(map(split, before)):
            raise NotFound(f"{'@'.join(stranger)} is no member of {'@'.join(name)}")
        # One who is named twice, in another case perhaps, is a member once.
        members: dict[Name | None, str] = {}
        for member in (*before, *added):
            members.setdefault(split(member), member)
        group = Group("@".join(name), tuple(member for one, member in members.items() if one not in removed))
        self._put_alias(txn, name, group)
        return group

    def _remove_group(self, txn: Transaction, name: Name) -> Group:
        group = self._group(txn, name)
        txn.delete(_key(name), db=self._aliases)
        txn.delete(_key(name), db=self._limits)
        return group

    def _remove_alias(self, txn: Transaction, name: Name) -> Alias:
        alias = self._alias(txn, name)
        if alias is None or isinstance(alias, Group):
            raise NotFound(f"no such alias: {'@'.join(name)}; postroad alias list shows those there are")
        txn.delete(_key(name), db=self._aliases)
        return alias


def _account(name: Name, record: _Record) -> Account:
    return Account(
        record.id,
        "@".join(name),
        record.created,
        record.admin,
        bool(record.password),
        record.totp is not None,
        record.send_as,
        record.limit,
    )


def _alias(name: Name, value: bytes) -> Alias:
    address, found = "@".join(name), _TARGETS.decode(value)
    return Group(address, found.members) if isinstance(found, _Group) else Alias(address, found)


def _kind(alias: Alias) -> str:
    return "a group" if isinstance(alias, Group) else "an alias"


def _app_password(stored: _AppPassword) -> AppPassword:
    return AppPassword(stored.name, stored.created, stored.services)


def _keys(record: _Record | None, service: str, *, main: bool) -> Iterator[tuple[_Key, AppPassword | None]]:
    """What may prove a login by SCRAM, and the app password that each belongs to."""
    if record is None:
        return
    if main and record.totp is None and record.scram is not None and _current(record.scram):
        yield record.scram, None
    for one in record.app_passwords:
        if service in one.services and _current(one.scram):
            yield one.scram, _app_password(one)


def _is_outdated(record: _Record) -> bool:
    return passwords.outdated(record.password) or not _current(record.scram)


def _current(key: _Key | None) -> bool:
    return key is not None and key.iterations == scram.ITERATIONS


def _checked(address: str) -> Name:
    name = split(valid_address(address))
    if name is None:
        raise Invalid(f"{address!r} is no address")
    return name


def _targets(name: Name, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those whom ``name`` is to stand for. Invalid."""
    targets = tuple(dict.fromkeys(map(valid_address, addresses)))
    if any(split(target) == name for target in targets):
        raise Invalid(f"{'@'.join(name)} stands for itself")
    return targets


def _sender(text: str) -> str:
    """A name to send in, as it compares. Invalid."""
    return "@" + valid_domain(text[1:]) if text.startswith("@") else "@".join(_checked(text))


def _known(address: str) -> Name:
    name = split(address)
    if name is None:
        raise Invalid(f'{address!r} is no address; write it like "user@example.org"')
    return name


def _octets(text: str) -> bytes:
    # An envelope may hold surrogates for octets that are no UTF-8; they equal nothing that is stored.
    return text.encode("utf-8", "surrogatepass")


def _key(name: Name) -> bytes:
    return _octets(f"{name[1]}\0{name[0]}")


def _admin_key(name: Name, record: _Record) -> bytes:
    return f"{name[1]}\0".encode() + record.id.to_bytes(8, "big")


def _get(txn: Transaction, database: Database, key: bytes) -> bytes | None:
    return txn.get(key, db=database) if 0 < len(key) <= _MAX_KEY else None


def _items(txn: Transaction, database: Database) -> list[tuple[Name, bytes]]:
    found = []
    for key, value in txn.cursor(database):
        domain, _, local = key.decode().partition("\0")
        found.append(((local, domain), value))
    return found


def _within(txn: Transaction, database: Database, domain: str) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of one domain."""
    prefix = f"{domain}\0".encode()
    cursor = txn.cursor(database)
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
