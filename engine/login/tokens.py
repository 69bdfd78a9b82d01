"""Tokens by which programs use the admin API: what each may do, where, from where and until when. Never the token.

All processes share them by LMDB. A token is PREFIX, ten characters that say which one it is, and 256 random bits: so a
fast digest is enough to keep, and nobody guesses at it.

======== ===== =================================================
database key   value
======== ===== =================================================
tokens   id    MessagePack table: a Token
used     id    Unix time of its last use (float), to the minute
======== ===== =================================================
"""

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import lmdb
import msgspec

from engine.net.targets import address_of
from engine.storage.environment import open_environment
from engine.storage.store import Store
from engine.units import Rate

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "tokens"
"""In the data folder."""

MAP_SIZE = 2**26
"""Octets of address space: far more than MOST tokens take."""

MOST = 10_000

PREFIX = "postroad_"
"""By it programs that look for secrets in texts find ours."""

RATE = "1200/1m"
"""Requests of a token, where nothing else is said: 20 a second, as a program makes that looks at much."""

_FORM = re.compile(rf"{PREFIX}([a-z2-7]{{10}})_([A-Za-z0-9_-]{{43}})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_REFRESH = 60.0
"""Seconds before a use is written down again: no disk is to sync for every request."""

_TIME = struct.Struct(">d")


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token, without the secret. Times are Unix times."""

    id: str
    name: str
    digest: bytes  # SHA-256 of the secret part
    scopes: tuple[str, ...]
    created: float
    by: str = ""  # the operator
    domains: tuple[str, ...] = ()  # that it is limited to; empty: none
    networks: tuple[str, ...] = ()  # that it may be used from; empty: anywhere
    expires: float = 0.0  # 0: never
    rate: str = RATE
    auditor: str = ""  # the account by whose grants it looks at people's mail; empty: by nobody's

    def is_over(self, now: float) -> bool:
        return bool(self.expires) and now >= self.expires

    def is_for(self, peer: str) -> bool:
        """Whether it may be used from that IP address."""
        if not self.networks:
            return True
        try:
            address = address_of(peer)
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(network) for network in self.networks)


class NameTaken(Exception):
    """There is a token of that name."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Token).decode
_NOBODY = secrets.token_bytes(32)


class Tokens(Store):
    """The open store. One object a process, shared by its threads. Every method blocks, and may raise StorageError."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._tokens = environment.open_db(b"tokens")
        self._used = environment.open_db(b"used")
        self._clock = clock

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the tokens in the data folder. StorageError."""
        return cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=2), clock)

    def all(self) -> list[tuple[Token, float]]:
        """Each with its last use, 0 if there was none; the oldest first."""

        def look(txn: Transaction) -> list[tuple[Token, float]]:
            return [(_decode(value), self._last(txn, bytes(key))) for key, value in txn.cursor(self._tokens)]

        return sorted(self._do(look, write=False), key=lambda one: one[0].created)

    def add(
        self, name: str, scopes: Sequence[str], *, by: str = "", domains: Sequence[str] = (),
        networks: Sequence[str] = (), expires: float = 0.0, rate: str = RATE, auditor: str = "",
    ) -> tuple[Token, str]:  # fmt: skip
        """A new token, and its text, which nobody can find out later. ValueError for what cannot be; NameTaken."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: letters, digits, dot, hyphen and underscore, 64 at most")
        checked = tuple(str(ipaddress.ip_network(network)) for network in networks)
        Rate(rate)
        identity = base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]
        secret = secrets.token_urlsafe(32)
        token = Token(
            identity, name, _digest(secret), tuple(sorted(set(scopes))), self._clock(), by,
            tuple(sorted(set(domains))), checked, expires, rate, auditor,
        )  # fmt: skip
        self._do(lambda txn: self._put(txn, token))
        return token, f"{PREFIX}{identity}_{secret}"

    def revoke(self, name: str) -> Token | None:
        """End it at once; it, if there was one of that name."""

        def change(txn: Transaction) -> Token | None:
            found = self._named(txn, name)
            if found is not None:
                txn.delete(found.id.encode(), db=self._tokens)
                txn.delete(found.id.encode(), db=self._used)
            return found

        return self._do(change)

    def of(self, shown: str) -> Token | None:
        """The token of that text, be it over or not; None when it is none of ours. The same time for both."""
        parts = _FORM.fullmatch(shown)
        identity, secret = parts.groups() if parts else ("", "")
        found = self._do(lambda txn: txn.get(identity.encode() or b"-", db=self._tokens), write=False)
        token = _decode(found) if found else None
        is_same = hmac.compare_digest(_digest(secret), token.digest if token else _NOBODY)
        return token if is_same else None

    def has_noted(self, token: Token) -> bool:
        """Whether a use now need not be written down."""
        last = self._do(lambda txn: self._last(txn, token.id.encode()), write=False)
        return 0 <= self._clock() - last < _REFRESH

    def use(self, token: Token) -> None:
        """It is being used."""

        def change(txn: Transaction) -> None:
            if txn.get(token.id.encode(), db=self._tokens) is not None:  # it may just have been revoked
                txn.put(token.id.encode(), _TIME.pack(self._clock()), db=self._used)

        self._do(change)

    def _put(self, txn: Transaction, token: Token) -> None:
        if self._named(txn, token.name) is not None:
            raise NameTaken(token.name)
        if txn.stat(self._tokens)["entries"] >= MOST:
            raise ValueError(f"there are {MOST:,} tokens already; revoke some")
        txn.put(token.id.encode(), _encode(token), db=self._tokens)

    def _named(self, txn: Transaction, name: str) -> Token | None:
        found = (_decode(value) for _, value in txn.cursor(self._tokens))
        return next((token for token in found if token.name == name), None)

    def _last(self, txn: Transaction, key: bytes) -> float:
        value: Any = txn.get(key, db=self._used)
        return float(_TIME.unpack(value)[0]) if value else 0.0


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
