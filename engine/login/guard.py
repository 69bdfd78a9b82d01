"""Guessing: who has guessed how often, who is kept out for it, and from where each account's own people come.

All processes share it by LMDB, and it survives a restart. Every call is one short transaction.

======== ================================= ==============================================
database key                               value
======== ================================= ==============================================
guesses  "network" or "account" NUL name   MessagePack list: count, since, until
known    account's id (8 octets), network  Unix time of the last login from there (float)
used     account's id, time of creation    Unix time of an app password's last use
======== ================================= ==============================================

``until`` is the end of a ban, 0 without one. A name that somebody tries is an "account" whether there is one or not.
"""

import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.config import Login as Settings
from engine.directory import Unavailable, split
from engine.net.targets import address_of, network_of, overlap
from engine.storage.environment import StorageError, forget, open_environment, reason, translated
from engine.storage.store import Store

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MAP_SIZE = 2**28
"""Address space in octets: far more than MOST entries take."""

MOST = 200_000
"""Names and networks that are counted at once: nobody fills our disk by making up more of them."""

WIDEST = 256
"""Networks that are kept out together, where somebody says so."""

KNOWN_FOR = 90 * 86_400.0
"""Seconds for which an account is known from a network after a login."""

_KNOWN_IPV4, _KNOWN_IPV6 = 24, 48
"""Prefixes of a network that an account is known from: people's addresses change within what one provider has."""

_SWEEP = 600.0
"""Seconds between two looks for what is over."""

_REFRESH, _REFRESH_USE = 86_400.0, 3600.0
"""Seconds before a login from a known network, or by an app password, is written down again: no disk is to sync for
every login."""

_NAME = 255
"""Octets of the name of an account, as long as any is; a longer one, which nobody has, is told by its hash."""

NETWORK, ACCOUNT = "network", "account"


class _Count(msgspec.Struct, frozen=True, array_like=True):
    count: int  # wrong guesses
    since: float  # Unix time of the first one
    until: float = 0.0  # Unix time of the end of the ban


_COUNT = msgspec.msgpack.Decoder(_Count)
_TIME = struct.Struct(">d")
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Ban:
    """Somebody who is kept out: a network, or all who try an account from networks that it is not known from."""

    kind: str  # NETWORK or ACCOUNT
    name: str
    guesses: int
    until: float  # Unix time in seconds


@dataclass(frozen=True, slots=True)
class Standing:
    """What one who wants to log in has coming."""

    network: bool = False  # is banned
    account: bool = False  # is banned for this network
    counts: bool = True  # its guesses are counted


class Guard(Store):
    """The open store. One object a process, shared by its threads. Every method may raise Unavailable."""

    def __init__(
        self, environment: lmdb.Environment, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings  # may be replaced at any time
        super().__init__(environment)
        self._clock = clock
        self._swept = clock()
        self._guesses, self._known, self._used = (environment.open_db(name) for name in (b"guesses", b"known", b"used"))

    @classmethod
    def open(cls, path: Path, settings: Settings, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the store in the folder ``path``. Unavailable."""
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=3), settings, clock)
        except StorageError as error:
            raise Unavailable(str(error)) from error
        except lmdb.Error as error:
            raise Unavailable(f"cannot open the store in {path}: {reason(error)}") from error

    def network(self, peer: str) -> str:
        """What the IP address ``peer`` belongs to: all in it are counted as one."""
        return _network(peer, self.settings.network_ipv4, self.settings.network_ipv6)

    def standing(self, peer: str, login: str, account: int | None) -> Standing:
        """How one who comes from ``peer`` as ``login`` is to be met. ``account`` is that one's id, if there is one."""
        if self._allowed(peer):
            return Standing(counts=False)
        return self._run(self._standing, self.network(peer), _name(login), _known_key(peer, account))

    def failed(self, peer: str, login: str, account: int | None) -> tuple[int, list[Ban]]:
        """Count a wrong guess; how many the network has made now, and the bans that begin with this one.

        The account's own people make mistakes too: what comes from a network that it is known from keeps out no other.
        """
        return self._change(self._failed, self.network(peer), _name(login), _known_key(peer, account))

    def guessed(self, peer: str) -> list[Ban]:
        """Count what was no guess at an account, but at a token; the ban that begins with it, if one does."""
        return self._change(self._guessed, self.network(peer))

    def guesses(self, peer: str) -> int:
        """How many the network has made."""
        return self._run(self._counted, _key(NETWORK, self.network(peer)), self._clock()).count

    def succeeded(self, peer: str, account: int) -> None:
        """The account is known from there."""
        self._note(self._known, _known_key(peer, account), _REFRESH)

    def used(self, account: int, created: float) -> None:
        """The account's app password of that time of creation has been used."""
        self._note(self._used, _used_key(account, created), _REFRESH_USE)

    def has_noted(self, peer: str, account: int, created: float) -> bool:
        """Whether there is nothing to be written down where the app password of that time lets in from there."""
        return self._run(self._noted, _known_key(peer, account), _used_key(account, created), self._clock())

    def last_use(self, account: int, created: float) -> float | None:
        """When that was, to the hour: Unix time in seconds."""
        found = self._run(self._last, self._used, _used_key(account, created))
        return found if found > 0 else None

    def last_login(self, account: int) -> float | None:
        """When the account has logged in last, to the day, within KNOWN_FOR: Unix time in seconds."""
        found = self._run(self._last_known, account.to_bytes(8, "big"))
        return found if found > 0 else None

    def bans(self) -> list[Ban]:
        """All that are in force."""
        return self._run(lambda txn: list(self._bans(txn, self._clock())))

    def ban(self, what: str, lasts: float) -> list[Ban]:
        """Keep an IP address, a network or an account out for so many seconds, whatever it has guessed; the bans.

        A network that is wider than what is counted as one is kept out piece by piece. ValueError for one that has more
        than WIDEST pieces, and for what is neither.
        """
        names = [(ACCOUNT, _name(what))] if "@" in what else [(NETWORK, one) for one in self._pieces(what)]
        return self._change(self._ban, names, lasts)

    def _pieces(self, what: str) -> list[str]:
        whole = ip_network(what.strip(), strict=False)
        prefix = self.settings.network_ipv4 if whole.version == 4 else self.settings.network_ipv6
        if whole.prefixlen >= prefix:
            return [self.network(str(whole.network_address))]
        if 2 ** (prefix - whole.prefixlen) > WIDEST:
            raise ValueError(f"{what} is too wide: {WIDEST} networks of /{prefix} at most")
        return [self.network(str(one.network_address)) for one in whole.subnets(new_prefix=prefix)]

    def lift(self, what: str) -> list[Ban]:
        """End the bans of an IP address, a network or an account; those that were in force. Forgets its guesses."""
        return self._change(self._lift, what)

    # Transactions

    def _run(self, look: Callable[..., T], *args: Any) -> T:
        try:
            with self._environment.begin() as txn:
                return look(txn, *args)
        except lmdb.Error as error:
            raise Unavailable(f"cannot read who has guessed: {error}") from error

    def _change(self, change: Callable[..., T], *args: Any) -> T:
        try:
            with self._environment.begin(write=True) as txn:
                return change(txn, *args)
        except lmdb.Error as error:
            raise Unavailable(f"cannot write down who has guessed: {translated(error)}") from error

    def _note(self, database: Any, key: bytes, refresh: float) -> None:
        now = self._clock()
        if now - self._run(self._last, database, key) > refresh:
            self._change(_put, key, _TIME.pack(now), database)

    def _allowed(self, peer: str) -> bool:
        if not self.settings.allow_networks:
            return False
        try:
            address = address_of(peer)
        except ValueError:
            return False
        return any(address in network for network in self.settings.allow_networks)

    def _standing(self, txn: Transaction, network: str, name: str, known: bytes) -> Standing:
        now = self._clock()
        return Standing(
            network=self._counted(txn, _key(NETWORK, network), now).until > now,
            account=self._counted(txn, _key(ACCOUNT, name), now).until > now and not self._is_known(txn, known, now),
        )

    def _failed(self, txn: Transaction, network: str, name: str, known: bytes) -> tuple[int, list[Ban]]:
        now = self._clock()
        self._make_room(txn, now)
        found = [self._counted_up(txn, NETWORK, network, self.settings.network_guesses, now)]
        if not self._is_known(txn, known, now):
            found.append(self._counted_up(txn, ACCOUNT, name, self.settings.account_guesses, now))
        return found[0].guesses, [ban for ban in found if ban.until]

    def _guessed(self, txn: Transaction, network: str) -> list[Ban]:
        now = self._clock()
        self._make_room(txn, now)
        found = self._counted_up(txn, NETWORK, network, self.settings.network_guesses, now)
        return [found] if found.until else []

    def _counted_up(self, txn: Transaction, kind: str, name: str, limit: int, now: float) -> Ban:
        """The new count, as a ban that has an end if it begins now."""
        key = _key(kind, name)
        before = self._counted(txn, key, now)
        begins = before.count + 1 >= limit and not before.until
        after = _Count(before.count + 1, before.since, now + self.settings.ban if begins else before.until)
        txn.put(key, _encode(after), db=self._guesses)
        return Ban(kind, name, after.count, after.until if begins else 0.0)

    def _counted(self, txn: Transaction, key: bytes, now: float) -> _Count:
        value = txn.get(key, db=self._guesses)
        found = _COUNT.decode(value) if value else None
        return found if found and self._counts(found, now) else _Count(0, now)

    def _counts(self, found: _Count, now: float) -> bool:
        return found.until > now if found.until else now - found.since < self.settings.window

    def _last(self, txn: Transaction, database: Any, key: bytes) -> float:
        value = txn.get(key, db=database)
        return float(_TIME.unpack(value)[0]) if value else -math.inf

    def _last_known(self, txn: Transaction, account: bytes) -> float:
        cursor, last = txn.cursor(self._known), 0.0
        if cursor.set_range(account):
            for key, value in cursor:
                if not key.startswith(account):
                    break
                last = max(last, float(_TIME.unpack(value)[0]))
        return last

    def _noted(self, txn: Transaction, known: bytes, used: bytes, now: float) -> bool:
        return (
            now - self._last(txn, self._known, known) <= _REFRESH
            and now - self._last(txn, self._used, used) <= _REFRESH_USE
        )

    def _is_known(self, txn: Transaction, key: bytes, now: float) -> bool:
        return bool(key) and now - self._last(txn, self._known, key) < KNOWN_FOR

    def _bans(self, txn: Transaction, now: float) -> Iterator[Ban]:
        for key, value in txn.cursor(self._guesses):
            found = _COUNT.decode(value)
            if found.until > now:
                kind, _, name = key.decode("utf-8", "surrogatepass").partition("\0")
                yield Ban(kind, name, found.count, found.until)

    def _ban(self, txn: Transaction, names: list[tuple[str, str]], lasts: float) -> list[Ban]:
        now = self._clock()
        self._make_room(txn, now)
        bans = [Ban(kind, name, self._counted(txn, _key(kind, name), now).count, now + lasts) for kind, name in names]
        for ban in bans:
            txn.put(_key(ban.kind, ban.name), _encode(_Count(ban.guesses, now, ban.until)), db=self._guesses)
        return bans

    def _lift(self, txn: Transaction, what: str) -> list[Ban]:
        name = _name(what)
        lifted = [
            ban
            for ban in self._bans(txn, self._clock())
            if (ban.name == name if ban.kind == ACCOUNT else overlap(ban.name, what))
        ]
        for ban in lifted:
            txn.delete(_key(ban.kind, ban.name), db=self._guesses)
        return lifted

    def _make_room(self, txn: Transaction, now: float) -> None:
        """Forget what is over, now and then; and where there is too much, counts before bans, and bans at last."""
        if now - self._swept > _SWEEP:
            self._swept = now
            forget(txn, self._guesses, lambda value: not self._counts(_COUNT.decode(value), now))
            forget(txn, self._known, lambda value: now - _TIME.unpack(value)[0] > KNOWN_FOR)
        for over in (lambda value: _COUNT.decode(value).until <= now, lambda _: True):
            if txn.stat(self._guesses)["entries"] >= MOST:
                forget(txn, self._guesses, over)


def _put(txn: Transaction, key: bytes, value: bytes, database: Any) -> None:
    txn.put(key, value, db=database)


def _key(kind: str, name: str) -> bytes:
    return f"{kind}\0{name}".encode("utf-8", "surrogatepass")


def _known_key(peer: str, account: int | None) -> bytes:
    """Empty where there is no such account."""
    if account is None:
        return b""
    return account.to_bytes(8, "big") + _network(peer, _KNOWN_IPV4, _KNOWN_IPV6).encode()


def _used_key(account: int, created: float) -> bytes:
    return account.to_bytes(8, "big") + _TIME.pack(created)


def _name(login: str) -> str:
    """An account as it compares, whether there is one or not."""
    name = "@".join(split(login) or (login.lower(),))
    octets = name.encode("utf-8", "surrogatepass")
    return name if len(octets) <= _NAME else hashlib.sha256(octets).hexdigest()


def _network(peer: str, ipv4: int, ipv6: int) -> str:
    try:
        return network_of(peer, ipv4, ipv6)
    except ValueError:
        return peer  # one that is gone already has no address
