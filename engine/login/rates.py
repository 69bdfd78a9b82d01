"""Rates: how much each account, and each network of strangers, has sent lately, and who may send no more for now.

And the same for senders, their domains, and what recipients get. All processes share it by LMDB: key kind NUL name,
value a MessagePack list of spans, one for each kind of count and period that is limited.

Nothing is synced: that would be one more sync for each message. The counts outlive every process, and so a restart of
the server; a new start of the machine begins anew, in a folder of its own.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.directory import Unavailable, split
from engine.net.targets import overlap
from engine.storage.boot import UNKNOWN, this_boot
from engine.storage.environment import StorageError, forget, open_environment, plain, translated
from engine.storage.store import Store
from engine.units import Rate, spelled

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Kind: TypeAlias = Literal["account", "network", "sender", "domain", "recipient"]

MAP_SIZE = 2**28
"""Address space in octets: far more than MOST entries take."""

MOST = 200_000
"""Accounts and networks that are counted at once: nobody fills our disk by coming from more of them."""

_SWEEP = 600.0
"""Seconds between two looks for what is over."""

_AHEAD = 5.0
"""Seconds by which the clocks of nodes may differ."""

MESSAGES, RECIPIENTS, NOT_THERE = "messages", "recipients", "unknown recipients"


class _Span(msgspec.Struct, array_like=True):
    what: str  # MESSAGES, RECIPIENTS or NOT_THERE
    period: float  # seconds
    since: float  # Unix time of the first one
    count: int = 0
    limited: bool = False  # something was refused

    @property
    def until(self) -> float:
        return self.since + self.period

    def holds(self, now: float) -> bool:
        # One from the future was begun by another clock; that of another node may be a little ahead.
        return self.since - _AHEAD <= now < self.until


_decode = msgspec.msgpack.Decoder(list[_Span]).decode
_encode = msgspec.msgpack.Encoder().encode
_NOTHING = _encode([])


@dataclass(frozen=True, slots=True)
class Sender:
    """One whose mail is counted, and how much of it is taken."""

    kind: Kind
    name: str  # an address, a domain, or a network
    messages: tuple[Rate, ...] = ()
    recipients: tuple[Rate, ...] = ()
    unknown: tuple[Rate, ...] = ()  # recipients that there are not

    def costs(self, recipients: int) -> Iterator[tuple[str, Rate, int]]:
        """What a message to so many counts for, in each of the rates."""
        yield from ((MESSAGES, rate, 1) for rate in self.messages)
        yield from ((RECIPIENTS, rate, recipients) for rate in self.recipients)
        yield from ((NOT_THERE, rate, recipients) for rate in self.unknown)


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a message is one too many."""

    what: str  # MESSAGES, RECIPIENTS or NOT_THERE
    rate: Rate
    until: float  # Unix time from which on there is room again
    wait: float  # seconds until then
    is_news: bool  # it is the first one that was refused
    kind: Kind = "account"  # whose rate it is
    name: str = ""

    def __str__(self) -> str:
        taken = f"{self.rate.most} {self.what} within {spelled(self.rate.period)} are taken"
        return f"{taken}, come again in {spelled(math.ceil(self.wait))}"


Changes: TypeAlias = Mapping[bytes, tuple[bytes, float]]
"""By key: a value, and for how many seconds it counts."""

Decide: TypeAlias = Callable[[Sequence[bytes | None]], tuple[Excess | None, Changes]]
"""What becomes of a message, and what changes, by the values of some keys."""

Elsewhere: TypeAlias = Callable[[Sequence[bytes], Decide], tuple[Excess | None, Changes] | None]
"""Where several nodes count together. Blocks; None: it is out of reach."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What somebody has sent within a period that is not over."""

    kind: str
    name: str
    what: str
    count: int
    period: float  # seconds
    until: float  # Unix time of its end
    limited: bool


class Rates(Store):
    """The open store. One object a process, shared by its threads. Every method may raise Unavailable.

    With ``elsewhere``, messages are counted there, and here as well; to look alone asks this store alone.
    """

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self.elsewhere: Elsewhere | None = None
        self._clock = clock
        self._swept = clock()

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the store within ``folder``, and make it if need be. Unavailable."""
        boot = this_boot()
        path = folder / boot.hex()
        try:
            environment = open_environment(path, map_size=MAP_SIZE, databases=0, sync=boot == UNKNOWN)
            for old in set(folder.iterdir()) - {path}:
                shutil.rmtree(old, ignore_errors=True)
            return cls(environment, clock)
        except (OSError, StorageError, lmdb.Error) as error:
            raise Unavailable(plain(error)) from error

    def excess(self, sender: Sender, recipients: int) -> Excess | None:
        """Why a message to so many cannot be taken now; None: it can."""
        # As is usual, and then nobody need wait for who writes.
        return None if self.is_within(sender, recipients) else self._weigh([sender], recipients, take=False)

    def is_within(self, sender: Sender, recipients: int) -> bool:
        """Whether a message to so many can be taken now. Waits for nobody."""
        return self._do(self._is_within, sender, recipients, write=False)

    def take(self, sender: Sender, recipients: int) -> Excess | None:
        """Count a message to so many, unless it is one too many: then why."""
        return self.take_all([sender], recipients)

    def take_all(self, senders: Sequence[Sender], recipients: int) -> Excess | None:
        """Count it for all of these, or, if it is one too many for one of them, for none: then why."""
        return self._weigh(senders, recipients, take=True)

    def _weigh(self, senders: Sequence[Sender], recipients: int, *, take: bool) -> Excess | None:
        keys = [key_of(sender.kind, sender.name) for sender in senders]

        def decide(values: Sequence[bytes | None]) -> tuple[Excess | None, Changes]:
            return _decided(senders, values, recipients, self._clock(), take=take)

        if self.elsewhere is not None and (found := self.elsewhere(keys, decide)) is not None:
            self._do(self._apply, found[1])
            return found[0]
        return self._do(self._change, keys, decide)

    def sent(self) -> list[Sent]:
        """What everybody has sent within periods that are not over."""
        return self._do(lambda txn: list(self._sent(txn, self._clock())), write=False)

    def lift(self, who: str) -> list[Sent]:
        """Forget what an account, an IP address or a network has sent: that which counted."""
        return self._do(self._lift, who)

    # Transactions

    def _do(self, what: Callable[..., T], *args: Any, write: bool = True) -> T:
        try:
            with self._environment.begin(write=write) as txn:
                return what(txn, *args)
        except lmdb.Error as error:
            raise Unavailable(f"cannot tell who has sent how much: {translated(error)}") from error

    def _is_within(self, txn: Transaction, sender: Sender, recipients: int) -> bool:
        _, costs = _weights(sender, txn.get(key_of(sender.kind, sender.name)), recipients, self._clock())
        return all(span.count + cost <= rate.most for span, rate, cost in costs)

    def _change(self, txn: Transaction, keys: Sequence[bytes], decide: Decide) -> Excess | None:
        excess, changes = decide([txn.get(key) for key in keys])
        self._apply(txn, changes)
        return excess

    def _apply(self, txn: Transaction, changes: Changes) -> None:
        if changes:
            self._make_room(txn, self._clock())
        for key, (value, _) in changes.items():
            txn.put(key, value)

    def _sent(self, txn: Transaction, now: float) -> Iterator[Sent]:
        for key, value in txn.cursor():
            kind, _, name = key.decode().partition("\0")
            for span in _held(value, now):
                yield Sent(kind, name, span.what, span.count, span.period, span.until, span.limited)

    def _lift(self, txn: Transaction, who: str) -> list[Sent]:
        account = "@".join(split(who) or ())
        lifted = [
            sent
            for sent in self._sent(txn, self._clock())
            if (overlap(sent.name, who) if sent.kind == "network" else sent.name in (account, who.lower()))
        ]
        for kind, name in {(sent.kind, sent.name) for sent in lifted}:
            txn.delete(key_of(kind, name))
        return lifted

    def _make_room(self, txn: Transaction, now: float) -> None:
        """Forget what is over, now and then; and where there is too much, all but what is limited, and that at last."""
        if now - self._swept > _SWEEP:
            self._swept = now
            forget(txn, None, lambda value: not _held(value, now))
        for over in (lambda value: not any(span.limited for span in _held(value, now)), lambda _: True):
            if txn.stat()["entries"] >= MOST:
                forget(txn, None, over)


def _decided(
    senders: Sequence[Sender], values: Sequence[bytes | None], recipients: int, now: float, *, take: bool
) -> tuple[Excess | None, Changes]:
    """Whether a message to so many is one too many for one of these, and what is to be written."""
    weighed = [
        (sender, *_weights(sender, value, recipients, now)) for sender, value in zip(senders, values, strict=True)
    ]
    for sender, spans, costs in weighed:
        for span, rate, cost in costs:
            if span.count + cost > rate.most:
                is_news, span.limited = not span.limited, True
                excess = Excess(span.what, rate, span.until, span.until - now, is_news, sender.kind, sender.name)
                return excess, _changes(sender, spans, now)
    changes: dict[bytes, tuple[bytes, float]] = {}
    for sender, spans, costs in weighed if take else ():
        for span, _, cost in costs:
            span.count += cost
        changes |= _changes(sender, spans, now)
    return None, changes


def _changes(sender: Sender, spans: list[_Span], now: float) -> dict[bytes, tuple[bytes, float]]:
    return {key_of(sender.kind, sender.name): (_encode(spans), max(span.until for span in spans) - now)}


def _weights(
    sender: Sender, value: bytes | None, recipients: int, now: float
) -> tuple[list[_Span], list[tuple[_Span, Rate, int]]]:
    """The spans of a sender, and what a message to so many would add to each that is limited."""
    spans = _held(value or _NOTHING, now)
    return spans, [(_span(spans, what, rate.period, now), rate, cost) for what, rate, cost in sender.costs(recipients)]


def _held(value: bytes, now: float) -> list[_Span]:
    return [span for span in _decode(value) if span.holds(now)]


def _span(spans: list[_Span], what: str, period: float, now: float) -> _Span:
    """That of these which is for this, or a new one."""
    found = next((span for span in spans if (span.what, span.period) == (what, period)), None)
    if found is None:
        spans.append(found := _Span(what, float(period), now))
    return found


def key_of(kind: str, name: str) -> bytes:
    """The key under which somebody is counted."""
    return f"{kind}\0{name}".encode()
