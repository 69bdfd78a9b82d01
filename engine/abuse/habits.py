"""What an account usually sends, and when it suddenly sends unlike itself: then somebody else has its password.

For each signal the count of the present hour is held against a limit: so many times what is usual for the account, and
never less than what anybody may do. The hour begins with its first message.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.abuse.table import Changes, Kept, key_of
from engine.abuse.tables import Tables
from engine.protocols.address import domain_of, normalised

HOUR, DAY = 3600.0, 86_400.0

REMEMBER = 90 * DAY
"""How long habits are known of an account that sends nothing: a long holiday."""

CONTACT = 365 * DAY
"""How long somebody is known to whom an account has written: there are letters once a year."""

FLAGRANT = 4
"""So many times the limit, and the signal counts twice."""

_LEARN = 0.1
"""The part of an hour in what is usual, once there were some."""

_DISTINCT = 1000
"""Domains, networks and countries of an hour that are told from one another. No limit is higher."""

SIGNALS = ("recipients", "new_recipients", "domains", "networks", "countries", "spam", "refused")


@dataclass(frozen=True, slots=True)
class Limits:
    """What anybody may do in an hour. 0: the signal does not count."""

    recipients: int = 200
    new_recipients: int = 100  # never written to before
    domains: int = 50  # of recipients
    networks: int = 5  # that it sends from
    countries: int = 3  # of these: a journey has two, and a telephone may seem to be in a third
    spam: int = 5  # messages that a scanner took for spam
    refused: int = 20  # recipients that came back, and messages that were refused at once
    times: float = 10.0  # what is usual
    signals: int = 2  # that must be above their limit

    def of(self, signal: str, usual: float) -> float:
        limit: int = getattr(self, signal)
        return max(limit, self.times * usual) if limit else float("inf")


@dataclass(frozen=True, slots=True)
class Sending:
    """What an account wants to send; or (``refused``) how many recipients of what it has sent came back, or how many
    messages were refused."""

    account: str
    network: str = ""
    recipients: Sequence[str] = ()
    is_spam: bool = False
    refused: int = 0
    country: str = ""


class Hour(msgspec.Struct, array_like=True):
    """The present one. ``domains``: digests of names."""

    since: float = 0.0
    counts: dict[str, int] = {}
    domains: set[bytes] = set()
    networks: set[str] = set()
    countries: set[str] = set()

    def count(self, sending: Sending, new: int) -> None:
        more = {
            "recipients": len(sending.recipients),
            "new_recipients": new,
            "spam": int(sending.is_spam),
            "refused": sending.refused,
        }
        self.counts = {signal: self.counts.get(signal, 0) + count for signal, count in more.items()}
        _add(self.domains, (key_of(domain_of(one))[:4] for one in sending.recipients))
        _add(self.networks, filter(None, [sending.network]))
        _add(self.countries, filter(None, [sending.country]))
        self.counts |= {
            "domains": len(self.domains),
            "networks": len(self.networks),
            "countries": len(self.countries),
        }


class Habit(msgspec.Struct, array_like=True):
    """``usual``: signal → its mean in an hour in which something was sent, the last ones counting most."""

    account: str
    hours: int = 0
    usual: dict[str, float] = {}
    hour: Hour = msgspec.field(default_factory=Hour)

    def turn(self, now: float) -> None:
        """Begin another hour where the present one is over."""
        if self.hour.since <= now < self.hour.since + HOUR:
            return
        if self.hour.counts:
            self.hours += 1
            share = max(_LEARN, 1 / self.hours)
            self.usual = {
                signal: before + share * (self.hour.counts.get(signal, 0) - before)
                for signal in SIGNALS
                for before in (self.usual.get(signal, 0.0),)
            }
        self.hour = Hour(now)

    def reasons(self, limits: Limits) -> list[str]:
        """What is unlike it, if that is enough to suspect it."""
        found, weight = [], 0
        for signal in SIGNALS:
            count, usual = self.hour.counts.get(signal, 0), self.usual.get(signal, 0.0)
            limit = limits.of(signal, usual)
            if count > limit:
                weight += 2 if count > FLAGRANT * limit else 1
                found.append(f"{signal.replace('_', ' ')}: {count} in an hour, usually {usual:.0f}")
        return found if weight >= limits.signals else []


class Suspect(msgspec.Struct, array_like=True):
    """An account whose mail is parked."""

    account: str
    since: float  # Unix time
    reasons: list[str]
    peer: str = ""
    told: bool = False  # the postmaster


_encode = msgspec.msgpack.Encoder().encode
_habit = msgspec.msgpack.Decoder(Habit).decode
suspect = msgspec.msgpack.Decoder(Suspect).decode


@dataclass(slots=True)
class Habits:
    """Every method may raise StorageError."""

    tables: Tables
    clock: Callable[[], float] = time.time
    limits: Limits = field(default_factory=Limits)

    async def is_suspect(self, account: str) -> bool:
        return (await self.tables["suspects"].read([key_of(account)]))[0] is not None

    async def weigh(self, sending: Sending, limits: Limits | None = None) -> list[str]:
        """Count it; why the account is to be suspected, if it is. That it is unlike it is then not learnt."""
        contacts = {key_of(sending.account, normalised(one)): one for one in sending.recipients}
        known = dict(zip(contacts, await self.tables["contacts"].read(list(contacts)), strict=True))
        new = [key for key, value in known.items() if value is None]

        def decide(values: Sequence[bytes | None]) -> tuple[list[str], Changes]:
            habit = _habit(values[0]) if values[0] else Habit(sending.account)
            habit.turn(self.clock())
            habit.hour.count(sending, len(new))
            reasons = habit.reasons(limits or self.limits)
            return reasons, {key_of(sending.account): Kept(_encode(habit), REMEMBER)}

        reasons = await self.tables["accounts"].change([key_of(sending.account)], decide)
        if new and not reasons:
            await self.tables["contacts"].change([], lambda _: (None, dict.fromkeys(new, Kept(b"", CONTACT))))
        return reasons

    async def came_back(self, account: str, recipients: int) -> None:
        """Count recipients to whom it could not be delivered, where habits of the account are known."""
        key = key_of(account)

        def decide(values: Sequence[bytes | None]) -> tuple[None, Changes]:
            if values[0] is None:
                return None, {}
            habit = _habit(values[0])
            habit.turn(self.clock())
            habit.hour.count(Sending(account, refused=recipients), 0)
            return None, {key: Kept(_encode(habit), REMEMBER)}

        await self.tables["accounts"].change([key], decide)

    async def suspect(self, account: str, reasons: list[str], peer: str) -> bool:
        """Suspect the account from now on; whether that is news."""
        key = key_of(account)

        def decide(values: Sequence[bytes | None]) -> tuple[bool, Changes]:
            if values[0] is not None:
                return False, {}
            return True, {key: Kept(_encode(Suspect(account, self.clock(), reasons, peer)), 10 * CONTACT)}

        return await self.tables["suspects"].change([key], decide)

    async def lift(self, account: str) -> bool:
        """Suspect the account no more, and take what it did for usual; whether it was suspected."""
        key = key_of(account)

        def learn(values: Sequence[bytes | None]) -> tuple[None, Changes]:
            if values[0] is None:
                return None, {}
            habit = _habit(values[0])
            habit.usual = _larger(habit.usual, habit.hour.counts)
            habit.hour = Hour(self.clock())
            return None, {key: Kept(_encode(habit), REMEMBER)}

        lifted = await self.tables["suspects"].change([key], lambda values: (values[0] is not None, {key: None}))
        if lifted:
            await self.tables["accounts"].change([key], learn)
        return lifted

    async def told(self, account: str) -> None:
        """The postmaster has been told."""
        key = key_of(account)

        def decide(values: Sequence[bytes | None]) -> tuple[None, Changes]:
            if values[0] is None:
                return None, {}
            found = suspect(values[0])
            found.told = True
            return None, {key: Kept(_encode(found), 10 * CONTACT)}

        await self.tables["suspects"].change([key], decide)


def _add(names: set[bytes] | set[str], more: Iterable[bytes] | Iterable[str]) -> None:
    for name in more:
        if len(names) < _DISTINCT:
            names.add(name)  # type: ignore[arg-type]


def _larger(usual: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    return {signal: max(usual.get(signal, 0.0), counts.get(signal, 0)) for signal in SIGNALS}
