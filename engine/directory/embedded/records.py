"""What the embedded directory stores, and the keys it is found by.

======== ============================== ==============================================
database key                            value
======== ============================== ==============================================
domains  domain                         empty
accounts domain NUL local part          MessagePack map: see Record
aliases  domain NUL local part          MessagePack list of addresses; of a group, a map: see StoredGroup
admins   domain NUL id (8 octets)       local part
limits   domain NUL local part          MessagePack list: see StoredLimits; with no local part, of the domain
counters "account"                      the last id that was given out (8 octets)
counters "salt"                         a secret that the salt of every name is made from
counters "leaver" id (8 octets)         empty: the account was removed, its mail is still to be
======== ============================== ==============================================

Domains are A-labels, local parts are lower-cased; a catch-all is an alias whose local part is empty. The domain
stands first, so that what belongs to one domain lies together.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import lmdb
import msgspec

from engine.directory import passwords
from engine.directory.entries import ANYBODY, Account, Alias, AppPassword, Group
from engine.directory.limits import UNSAID, Limit
from engine.protocols import scram

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Database: TypeAlias = Any  # what py-lmdb's open_db() returns: an opaque handle
Name: TypeAlias = tuple[str, str]
"""Local part and domain as they compare; an empty local part is the catch-all."""

LEAVER = b"leaver"

_MAX_KEY = 511  # LMDB's limit; no valid address comes near it, so a longer one is unknown


class Key(msgspec.Struct, frozen=True, array_like=True):
    """What proves a password by SCRAM (RFC 5802), as it is stored."""

    iterations: int
    stored: bytes
    server: bytes


class StoredAppPassword(msgspec.Struct, frozen=True, array_like=True):
    """An app password as it is stored."""

    name: str
    created: float
    services: tuple[str, ...]
    digest: bytes
    scram: Key


class Totp(msgspec.Struct, frozen=True, array_like=True):
    """The second factor as it is stored."""

    secret: bytes
    used: int = 0  # the last step whose code was used


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account as it is stored."""

    id: int
    created: float
    password: str = ""  # PHC string; empty: no login
    admin: bool = False
    scram: Key | None = None  # of the same password; None where that was last set or used before SCRAM was known
    app_passwords: tuple[StoredAppPassword, ...] = ()
    totp: Totp | None = None
    send_as: tuple[str, ...] = ()
    limit: Limit = UNSAID
    folder: int = 0
    roles: tuple[str, ...] = ()
    changed: float = 0.0  # when its password or second factor was set anew
    suspended: float = 0.0  # since when; 0: it is not
    on_behalf: tuple[str, ...] = ()


class StoredLimits(msgspec.Struct, frozen=True, array_like=True):
    """What was said of a group or a domain, as it is stored."""

    each: Limit = UNSAID
    total: Limit = UNSAID


class StoredGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """A group as it is stored."""

    members: tuple[str, ...]
    posting: str = ANYBODY
    owners: tuple[str, ...] = ()


RECORD = msgspec.msgpack.Decoder(Record)
LIMITS = msgspec.msgpack.Decoder(StoredLimits)
_TARGETS = msgspec.msgpack.Decoder(tuple[str, ...] | StoredGroup)
encode = msgspec.msgpack.Encoder().encode


def account_of(name: Name, record: Record) -> Account:
    return Account(
        record.id,
        "@".join(name),
        record.created,
        record.admin,
        bool(record.password),
        record.totp is not None,
        record.send_as,
        record.limit,
        record.folder,
        record.roles,
        record.changed,
        record.suspended,
        record.on_behalf,
    )


def alias_of(name: Name, value: bytes) -> Alias:
    address, found = "@".join(name), _TARGETS.decode(value)
    if isinstance(found, StoredGroup):
        return Group(address, found.members, found.posting, found.owners)
    return Alias(address, found)


def app_password_of(stored: StoredAppPassword) -> AppPassword:
    return AppPassword(stored.name, stored.created, stored.services)


def keys_of(record: Record | None, service: str, *, main: bool) -> Iterator[tuple[Key, AppPassword | None]]:
    """What may prove a login by SCRAM, and the app password that each belongs to."""
    if record is None or record.suspended:
        return
    if main and record.totp is None and record.scram is not None and _current(record.scram):
        yield record.scram, None
    for one in record.app_passwords:
        if service in one.services and _current(one.scram):
            yield one.scram, app_password_of(one)


def is_outdated(record: Record) -> bool:
    return passwords.outdated(record.password) or not _current(record.scram)


def _current(key: Key | None) -> bool:
    return key is not None and key.iterations == scram.ITERATIONS


def octets(text: str) -> bytes:
    # An envelope may hold surrogates for octets that are no UTF-8; they equal nothing that is stored.
    return text.encode("utf-8", "surrogatepass")


def key_of(name: Name) -> bytes:
    return octets(f"{name[1]}\0{name[0]}")


def admin_key(name: Name, record: Record) -> bytes:
    return f"{name[1]}\0".encode() + record.id.to_bytes(8, "big")


def leaver_key(account_id: int) -> bytes:
    return LEAVER + account_id.to_bytes(8, "big")


def get(txn: Transaction, database: Database, key: bytes) -> bytes | None:
    return txn.get(key, db=database) if 0 < len(key) <= _MAX_KEY else None


def items(txn: Transaction, database: Database) -> list[tuple[Name, bytes]]:
    found = []
    for key, value in txn.cursor(database):
        domain, _, local = key.decode().partition("\0")
        found.append(((local, domain), value))
    return found


def within(txn: Transaction, database: Database, domain: str) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of one domain."""
    prefix = f"{domain}\0".encode()
    cursor = txn.cursor(database)
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
