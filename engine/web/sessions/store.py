"""Sessions: who has signed in to the pages, in LMDB, shared by all web processes; they survive a restart.

======== ================================= ==============================================
database key                               value
======== ================================= ==============================================
sessions SHA-256 of the token              MessagePack list: see _Stored
accounts account's id (8 octets), the same empty
steps    SHA-256 of the token              MessagePack list: see Step
people   account's id (8 octets)           MessagePack map: see Person
secrets  what it is for                    octets that nobody else knows
invited  account's id (8 octets)           see Invitations
======== ================================= ==============================================

No token is kept: who reads the store can be nobody by it.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import lmdb
import msgspec

from engine.config import Web
from engine.storage.environment import forget, open_environment
from engine.storage.store import Store
from engine.web.sessions.invitations import Invitations

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MAP_SIZE = 2**30
"""Address space in octets."""

MOST_OF_ACCOUNT = 50
"""Sessions of one account; then the one that was not used for longest ends."""

MOST_STEPS = 100_000
"""Sign-ins that are under way at once: nobody fills our disk by beginning many."""

_SEEN = 60.0
"""Seconds before it is written down again that a session is used: no disk is to sync for every request."""

_SWEEP = 600.0
"""Seconds between two looks for what is over."""

_AGENT = 200
"""Characters of what a browser says that it is."""


class Provided(msgspec.Struct, frozen=True, array_like=True):
    """Who has let somebody in, where that was a provider ([web.oidc])."""

    name: str  # of its table
    issuer: str
    subject: str
    until: float  # Unix time at which it must be asked anew
    session: str = ""  # what it calls its own
    groups: tuple[str, ...] = ()  # that give roles
    hint: str = ""  # by which it knows whom to sign out


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    account: int
    address: str
    created: float  # Unix time
    seen: float
    peer: str
    agent: str
    how: str  # what proved it: "password", "totp", "passkey", "oidc"
    provided: Provided | None = None


class Step(msgspec.Struct, frozen=True, array_like=True):
    """Something that is begun, and that the same browser is to end soon."""

    kind: str
    until: float  # Unix time
    account: int = 0
    address: str = ""
    state: bytes = b""
    provided: Provided | None = None


class Passkey(msgspec.Struct, frozen=True, array_like=True):
    """A WebAuthn credential."""

    name: str
    created: float  # Unix time
    credential: bytes  # AttestedCredentialData (WebAuthn 6.5.1)
    count: int = 0  # of its signatures, as far as it tells
    used: float = 0.0


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an account wants of the pages."""

    language: str = ""  # as the browser wants it
    theme: str = ""  # as the browser wants it
    address: str = ""  # of the account, where it has passkeys
    passkeys: tuple[Passkey, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A session."""

    id: bytes
    account: int
    address: str
    created: float  # Unix time
    seen: float
    peer: str
    agent: str
    how: str
    provided: Provided | None


_STORED = msgspec.msgpack.Decoder(_Stored)
_STEP = msgspec.msgpack.Decoder(Step)
_PERSON = msgspec.msgpack.Decoder(Person)
_encode = msgspec.msgpack.Encoder().encode


class Sessions(Store):
    """The open store. One object a process, shared by its threads. Every method may raise StorageError."""

    def __init__(self, environment: lmdb.Environment, settings: Web, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self.settings = settings  # may be replaced at any time
        self._clock = clock
        self._swept = clock()
        self._sessions, self._accounts, self._steps, self._people, self._secrets = (
            environment.open_db(name) for name in (b"sessions", b"accounts", b"steps", b"people", b"secrets")
        )
        self.invitations = Invitations(environment, clock)

    @classmethod
    def open(cls, path: Path, settings: Web, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the store in the folder ``path``. StorageError."""
        return cls(open_environment(path, map_size=MAP_SIZE, databases=6), settings, clock)

    def now(self) -> float:
        """Unix time, as the store has it."""
        return self._clock()

    # Sessions

    def begin(
        self, account: int, address: str, *, peer: str, agent: str, how: str, provided: Provided | None = None
    ) -> str:
        """A new one; its token. Blocks."""
        token, now = secrets.token_urlsafe(32), self._clock()
        stored = _Stored(account, address, now, now, peer, agent[:_AGENT], how, provided)
        self._do(lambda txn: self._begin(txn, digest(token), stored))
        return token

    def find(self, token: str) -> Found | None:
        """The session of a token, unless it has ended."""
        return self.of_id(digest(token))

    def of_id(self, session: bytes) -> Found | None:
        """The session of this id, unless it has ended."""
        return self._do(lambda txn: self._found(txn, session), write=False)

    def see(self, session: Found) -> None:
        """It is used now. Blocks, once in a while."""
        if self._clock() - session.seen > _SEEN:
            self._do(lambda txn: self._see(txn, session.id))

    def end(self, session: bytes) -> None:
        """Nobody comes in by it any more. Blocks."""
        self._do(lambda txn: self._end(txn, session))

    def end_others(self, account: int, kept: bytes = b"") -> int:
        """End all sessions of an account but one; how many those were. Blocks."""
        return self._do(lambda txn: self._end_others(txn, account, kept))

    def end_provided(self, name: str, issuer: str, *, subject: str, session: str, before: float) -> int:
        """End those that a provider has let in until then: of its session, else all of the subject. Blocks.

        How many those were.
        """

        def is_meant(stored: _Stored) -> bool:
            by = stored.provided
            return (
                by is not None and (by.name, by.issuer) == (name, issuer) and stored.created <= before
                and subject in ("", by.subject) and session in ("", by.session)
            )  # fmt: skip

        return self._do(lambda txn: self._end_all(txn, is_meant))

    def of(self, account: int) -> list[Found]:
        """The sessions of an account, that which was used last first."""
        found = self._do(lambda txn: list(self._of(txn, account)), write=False)
        return sorted(found, key=lambda one: one.seen, reverse=True)

    # Steps

    def await_step(
        self, kind: str, seconds: float, *, account: int = 0, address: str = "", state: bytes = b"",
        provided: Provided | None = None,
    ) -> str:  # fmt: skip
        """Keep what a browser has begun; the token by which it goes on. Blocks."""
        token = secrets.token_urlsafe(32)
        self._begin_step(token, Step(kind, self._clock() + seconds, account, address, state, provided))
        return token

    def name_step(self, token: str, kind: str, seconds: float) -> None:
        """Keep that something was begun, by a token that is known already. Blocks."""
        self._begin_step(token, Step(kind, self._clock() + seconds))

    def _begin_step(self, token: str, step: Step) -> None:
        self._do(lambda txn: self._put_step(txn, digest(token), step))

    def take_step(self, token: str, kind: str) -> Step | None:
        """What was begun, this once. Blocks."""
        key = digest(token)
        return self._do(lambda txn: self._take_step(txn, key, kind))

    # People

    def person(self, account: int) -> Person:
        return self._do(lambda txn: self._person(txn, account), write=False)

    def change_person(self, account: int, change: Callable[[Person], Person]) -> Person:
        """Write down what ``change`` makes of it. Blocks."""
        return self._do(lambda txn: self._change_person(txn, account, change))

    # Secrets

    def secret(self, name: str) -> bytes:
        """32 octets that all web processes know by that name, and nobody else; they are made once. Blocks."""
        return self._do(lambda txn: self._secret(txn, name.encode()))

    # Transactions

    def _secret(self, txn: Transaction, name: bytes) -> bytes:
        found = txn.get(name, db=self._secrets)
        if found is None:
            found = secrets.token_bytes(32)
            txn.put(name, found, db=self._secrets)
        return bytes(found)

    def _begin(self, txn: Transaction, key: bytes, stored: _Stored) -> None:
        self._sweep(txn)
        others = sorted(self._of(txn, stored.account), key=lambda one: one.seen, reverse=True)
        for one in others[MOST_OF_ACCOUNT - 1 :]:
            self._end(txn, one.id)
        txn.put(key, _encode(stored), db=self._sessions)
        txn.put(_number(stored.account) + key, b"", db=self._accounts)

    def _found(self, txn: Transaction, key: bytes) -> Found | None:
        value = txn.get(key, db=self._sessions)
        stored = _STORED.decode(value) if value else None
        if stored is None or self._is_over(stored):
            return None
        return Found(key, *msgspec.structs.astuple(stored))

    def _is_over(self, stored: _Stored) -> bool:
        now = self._clock()
        if stored.provided is not None and now > stored.provided.until:
            return True
        return now - stored.seen > self.settings.idle or now - stored.created > self.settings.lifetime

    def _see(self, txn: Transaction, key: bytes) -> None:
        value = txn.get(key, db=self._sessions)
        if value:  # it may have been ended meanwhile
            seen = msgspec.structs.replace(_STORED.decode(value), seen=self._clock())
            txn.put(key, _encode(seen), db=self._sessions)

    def _end(self, txn: Transaction, key: bytes) -> None:
        value = txn.get(key, db=self._sessions)
        if value:
            txn.delete(_number(_STORED.decode(value).account) + key, db=self._accounts)
            txn.delete(key, db=self._sessions)

    def _end_others(self, txn: Transaction, account: int, kept: bytes) -> int:
        gone = [one.id for one in self._of(txn, account) if one.id != kept]
        for key in gone:
            self._end(txn, key)
        return len(gone)

    def _end_all(self, txn: Transaction, is_meant: Callable[[_Stored], bool]) -> int:
        gone = [bytes(key) for key, value in txn.cursor(self._sessions) if is_meant(_STORED.decode(value))]
        for key in gone:
            self._end(txn, key)
        return len(gone)

    def _of(self, txn: Transaction, account: int) -> Iterator[Found]:
        prefix, cursor = _number(account), txn.cursor(self._accounts)
        keys = []
        if cursor.set_range(prefix):
            for key in cursor.iternext(values=False):
                if not bytes(key).startswith(prefix):
                    break
                keys.append(bytes(key)[len(prefix) :])
        for key in keys:
            found = self._found(txn, key)
            if found is not None:
                yield found

    def _sweep(self, txn: Transaction) -> None:
        """Forget what is over, now and then."""
        now = self._clock()
        if now - self._swept > _SWEEP:
            self._swept = now
            self._end_all(txn, self._is_over)
            forget(txn, self._steps, lambda value: _STEP.decode(value).until < now)

    def _put_step(self, txn: Transaction, key: bytes, step: Step) -> None:
        self._sweep(txn)
        if txn.stat(self._steps)["entries"] >= MOST_STEPS:
            forget(txn, self._steps, lambda _: True)
        txn.put(key, _encode(step), db=self._steps)

    def _take_step(self, txn: Transaction, key: bytes, kind: str) -> Step | None:
        value = txn.get(key, db=self._steps)
        step = _STEP.decode(value) if value else None
        if step is None or step.kind != kind:
            return None
        txn.delete(key, db=self._steps)
        return step if step.until >= self._clock() else None

    def _person(self, txn: Transaction, account: int) -> Person:
        value = txn.get(_number(account), db=self._people)
        return _PERSON.decode(value) if value else Person()

    def _change_person(self, txn: Transaction, account: int, change: Callable[[Person], Person]) -> Person:
        after = change(self._person(txn, account))
        txn.put(_number(account), _encode(after), db=self._people)
        return after


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def csrf(token: str) -> str:
    """What a page of the session says to prove that it is ours: nobody can tell the token by it."""
    return hmac.digest(token.encode("utf-8", "surrogatepass"), b"csrf", "sha256").hex()[:32]


def _number(account: int) -> bytes:
    return account.to_bytes(8, "big")
