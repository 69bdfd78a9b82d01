"""Contacts: whom people have noted, and whom they write to, in LMDB, shared by all web processes.

========= =================================== ===========================================
database  key                                 value
========= =================================== ===========================================
contacts  account's id (8 octets), id (16)    MessagePack list: see Contact
learnt    account's id, digest of the address MessagePack list: see Learnt
owners    account's id                        MessagePack list: see Owner
========= =================================== ===========================================

It lies in the folder ``web/contacts`` of the data folder. What an account has is erased some time after it is gone.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import lmdb
import msgspec

from engine.storage.environment import Full, free_space, open_environment
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MAP_SIZE: Final = 2**36
"""Address space in octets."""

CONTACTS: Final = 10_000
"""Of one account."""

LEARNT: Final = 2000
"""People to whom one account has written; then those are forgotten to whom it has not for longest."""

LEFT: Final = 30 * 86_400.0
"""Seconds after which what an account had is erased, once the directory does not know it any more."""

_ID: Final = 16


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """Somebody."""

    name: str
    addresses: tuple[str, ...] = ()  # in lower case; the first is the one that is used
    groups: tuple[str, ...] = ()
    note: str = ""
    organization: str = ""
    telephones: tuple[str, ...] = ()
    uid: str = ""  # of a vCard
    rest: tuple[str, ...] = ()  # lines of a vCard that are kept for others


class Learnt(msgspec.Struct, frozen=True, array_like=True):
    """Somebody to whom mail was sent."""

    address: str
    name: str
    count: int
    last: float  # Unix time


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Whose contacts these are, and up to which message in which mailbox it is known whom they have written to."""

    address: str
    mailbox: int = 0
    uid: int = 0
    missing: float = 0.0  # Unix time since when there is no such account; 0: there is


class TooMany(Exception):
    """There is no room for more contacts."""


_CONTACT = msgspec.msgpack.Decoder(Contact)
_LEARNT = msgspec.msgpack.Decoder(Learnt)
_OWNER = msgspec.msgpack.Decoder(Owner)
_encode = msgspec.msgpack.Encoder().encode


class Contacts(Store):
    """The open store. One object a process, shared by its threads. Every method blocks, and may raise StorageError.

    ``reserve``: octets of the disk that are left to the mail.
    """

    def __init__(
        self, environment: lmdb.Environment, reserve: Callable[[], int], clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(environment)
        self._reserve = reserve
        self._clock = clock
        self._contacts, self._learnt, self._owners = (
            environment.open_db(name) for name in (b"contacts", b"learnt", b"owners")
        )

    @classmethod
    def open(cls, path: Path, reserve: Callable[[], int] = lambda: 0, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the store in the folder ``path``. StorageError."""
        return cls(open_environment(path, map_size=MAP_SIZE, databases=3), reserve, clock)

    # People whom somebody has noted

    def all(self, account: int) -> list[tuple[str, Contact]]:
        """Those of an account with their ids."""
        return self._do(
            lambda txn: [(key.hex(), _CONTACT.decode(value)) for key, value in self._of(txn, self._contacts, account)],
            write=False,
        )

    def get(self, account: int, identity: str) -> Contact | None:
        key = _key(account, identity)
        value = self._do(lambda txn: txn.get(key, db=self._contacts), write=False) if key else None
        return _CONTACT.decode(value) if value else None

    def put(self, account: int, contact: Contact, identity: str = "") -> str:
        """Keep one, in the place of that of this id; its id. TooMany, Full; KeyError: there is none of this id."""
        key = _key(account, identity) if identity else _number(account) + secrets.token_bytes(_ID)
        self._guard()

        def put(txn: Transaction) -> None:
            if key is None or (identity and txn.get(key, db=self._contacts) is None):
                raise KeyError(identity)
            if not identity and self._count(txn, self._contacts, account) >= CONTACTS:
                raise TooMany
            txn.put(key, _encode(contact), db=self._contacts)

        self._do(put)
        return key[8:].hex() if key else ""

    def remove(self, account: int, identities: Iterable[str]) -> list[Contact]:
        """Take them away; what they were, so that they can be put again."""

        def remove(txn: Transaction) -> list[Contact]:
            found = []
            for identity in identities:
                key = _key(account, identity)
                value = txn.pop(key, db=self._contacts) if key else None
                if value:
                    found.append(_CONTACT.decode(value))
            return found

        return self._do(remove)

    def take(self, account: int, contacts: Iterable[Contact]) -> tuple[int, int]:
        """Those of a file: how many are new, and how many have taken the place of one of the same UID. TooMany, Full.

        One that is there already as it is counts as neither. All or none.
        """
        self._guard()

        def take(txn: Transaction) -> tuple[int, int]:
            known = {key: _CONTACT.decode(value) for key, value in self._of(txn, self._contacts, account)}
            by_uid = {contact.uid: key for key, contact in known.items() if contact.uid}
            alike = set(known.values())
            new = changed = 0
            for contact in contacts:
                if contact in alike:
                    continue
                key = by_uid.get(contact.uid) if contact.uid else None
                new, changed = new + (key is None), changed + (key is not None)
                if len(known) + new > CONTACTS:
                    raise TooMany
                alike.add(contact)
                key = key or secrets.token_bytes(_ID)
                by_uid |= {contact.uid: key} if contact.uid else {}
                txn.put(_number(account) + key, _encode(contact), db=self._contacts)
            return new, changed

        return self._do(take)

    # People whom somebody writes to

    def owner(self, account: int) -> Owner | None:
        value = self._do(lambda txn: txn.get(_number(account), db=self._owners), write=False)
        return _OWNER.decode(value) if value else None

    def learn(self, account: int, before: Owner | None, owner: Owner, written: Mapping[str, Learnt]) -> None:
        """Add to what is known of whom an account has written to, by address; ``owner`` says up to where that is.

        Nothing is done if that is not as it was ``before``: somebody else has done it meanwhile.
        """

        def learn(txn: Transaction) -> None:
            known = txn.get(_number(account), db=self._owners)
            if (_OWNER.decode(known) if known else None) != before:
                return
            for address, one in written.items():
                key = _number(account) + _digest(address)
                value = txn.get(key, db=self._learnt)
                had = _LEARNT.decode(value) if value else Learnt(address, "", 0, 0.0)
                merged = Learnt(
                    address, one.name or had.name, had.count + one.count, max(had.last, one.last)
                )  # fmt: skip
                txn.put(key, _encode(merged), db=self._learnt)
            txn.put(_number(account), _encode(owner), db=self._owners)
            if self._count(txn, self._learnt, account) > LEARNT:
                self._forget_oldest(txn, account)

        if not written or free_space(self.folder) > self._reserve():
            self._do(learn)

    def learnt(self, account: int) -> list[Learnt]:
        return self._do(
            lambda txn: [_LEARNT.decode(value) for _, value in self._of(txn, self._learnt, account)], write=False
        )

    def forget(self, account: int, addresses: Iterable[str]) -> None:
        """Propose these no more, until they are written to again."""

        def forget(txn: Transaction) -> None:
            for address in addresses:
                txn.delete(_number(account) + _digest(address), db=self._learnt)

        self._do(forget)

    # Those who are gone

    def tend(self, is_there: Callable[[str, int], bool]) -> int:
        """Erase what accounts had that are gone for LEFT seconds; how many. ``is_there`` raises if it cannot tell."""
        erased, now = 0, self._clock()
        for key, owner in self._do(self._all_owners, write=False):
            there = is_there(owner.address, int.from_bytes(key, "big"))
            if not there and owner.missing and now - owner.missing > LEFT:
                self._do(partial(self._erase, prefix=key))
                erased += 1
            elif there == bool(owner.missing):
                self._do(partial(self._mark, key=key, missing=0.0 if there else now))
        return erased

    def _all_owners(self, txn: Transaction) -> list[tuple[bytes, Owner]]:
        return [(bytes(key), _OWNER.decode(value)) for key, value in txn.cursor(self._owners)]

    def _mark(self, txn: Transaction, key: bytes, missing: float) -> None:
        value = txn.get(key, db=self._owners)
        if value:
            txn.put(key, _encode(msgspec.structs.replace(_OWNER.decode(value), missing=missing)), db=self._owners)

    def _erase(self, txn: Transaction, prefix: bytes) -> None:
        for database in (self._contacts, self._learnt):
            for key in [key for key, _ in _within(txn, database, prefix)]:
                txn.delete(key, db=database)
        txn.delete(prefix, db=self._owners)

    def _forget_oldest(self, txn: Transaction, account: int) -> None:
        found = [(_LEARNT.decode(value), key) for key, value in self._of(txn, self._learnt, account)]
        found.sort(key=lambda one: one[0].last)
        for _, key in found[: len(found) - LEARNT]:
            txn.delete(_number(account) + key, db=self._learnt)

    def _count(self, txn: Transaction, database: Any, account: int) -> int:
        return sum(1 for _ in self._of(txn, database, account))

    def _of(self, txn: Transaction, database: Any, account: int) -> Iterator[tuple[bytes, bytes]]:
        """What an account has, by what follows its id in the key."""
        return ((key[8:], value) for key, value in _within(txn, database, _number(account)))

    def _guard(self) -> None:
        if free_space(self.folder) <= self._reserve():
            raise Full("what is free of the disk is for the mail")


def _within(txn: Transaction, database: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = txn.cursor(database)
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            yield bytes(key), bytes(value)


def _number(account: int) -> bytes:
    return account.to_bytes(8, "big")


def _key(account: int, identity: str) -> bytes | None:
    """None: nothing has such an id."""
    try:
        octets = bytes.fromhex(identity)
    except ValueError:
        return None
    return _number(account) + octets if len(octets) == _ID else None


def _digest(address: str) -> bytes:
    return hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=16).digest()
