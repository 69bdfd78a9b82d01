"""Invitations: links by which somebody sets the password of an account, once. The store keeps no link, only its hash.

======== ====================== ===================================
database key                    value
======== ====================== ===================================
invited  account's id (8 octets) MessagePack list: see Invitation
======== ====================== ===================================

An account has one at most: the next one ends it.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

import lmdb
import msgspec

from engine.directory import Account
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

LASTS = 7 * 86_400.0
"""Seconds for which a link is good: somebody may be ill for some days of the first week."""

_TOKEN = re.compile(r"([0-9a-f]{1,15})-([A-Za-z0-9_-]{43})")


class Invitation(msgspec.Struct, frozen=True, array_like=True):
    """Whom a link is for."""

    account: int
    address: str
    made: float  # Unix time
    by: str  # who has made it
    digest: bytes
    roles: tuple[str, ...] = ()  # of the account, then: who made it may not be more by it than they could then


_decode = msgspec.msgpack.Decoder(Invitation).decode
_encode = msgspec.msgpack.Encoder().encode


class Invitations(Store):
    """Those of the store of sessions, in its environment. Every method blocks, and may raise StorageError."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._clock = clock
        self._invited = environment.open_db(b"invited")

    def invite(self, account: Account, by: str) -> str:
        """A new one; its token, which is told this once."""
        secret = secrets.token_urlsafe(32)
        made = Invitation(account.id, account.address, self._clock(), by, _digest(secret), account.roles)
        self._do(lambda txn: txn.put(_key(account.id), _encode(made), db=self._invited))
        return f"{account.id:x}-{secret}"

    def find(self, token: str) -> Invitation | None:
        """Whom a token is for, while it is good."""
        return self._do(lambda txn: self._found(txn, token), write=False)

    def take(self, token: str) -> Invitation | None:
        """The same, this once."""
        return self._do(lambda txn: self._taken(txn, token))

    def end(self, account: int) -> None:
        """The account's link is good no longer."""
        self._do(lambda txn: txn.delete(_key(account), db=self._invited))

    def of(self, account: int) -> Invitation | None:
        """That of an account, while it is good."""
        return self._do(lambda txn: self._good(txn, account), write=False)

    def _good(self, txn: Transaction, account: int) -> Invitation | None:
        value = txn.get(_key(account), db=self._invited)
        found = _decode(value) if value else None
        return found if found is not None and self._clock() - found.made < LASTS else None

    def _found(self, txn: Transaction, token: str) -> Invitation | None:
        parts = _TOKEN.fullmatch(token)
        found = self._good(txn, int(parts[1], 16)) if parts else None
        if parts is None or found is None or not hmac.compare_digest(found.digest, _digest(parts[2])):
            return None
        return found

    def _taken(self, txn: Transaction, token: str) -> Invitation | None:
        found = self._found(txn, token)
        if found is not None:
            txn.delete(_key(found.account), db=self._invited)
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _key(account: int) -> bytes:
    return account.to_bytes(8, "big")
