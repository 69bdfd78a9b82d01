"""What a site has seen of its clients: all that is needed to judge them by."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec


class Tally:
    """The record of one site. Moments are those of ``time.monotonic``, which all processes have in common."""

    def __init__(self) -> None:
        self.connections = 0
        self.refused = 0  # connections that were turned away at once
        self.open = 0
        self.most_open = 0
        self.encrypted = 0  # connections
        self.most_messages = 0  # on one connection
        self.asked = array("d")  # each MAIL
        self.recipients = array("d")  # each RCPT
        self.spans = array("d")  # a transaction that came to an end with its content: from when, until when
        self.taken: list[tuple[float, str]] = []  # each recipient of each message that was taken, in order
        self.deferred: Counter[str] = Counter()  # replies of 4xx, by step
        self.rejected: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def forget(self) -> None:
        """Begin anew. Connections that are open stay so."""
        left = self.open
        self.__init__()  # type: ignore[misc]
        self.open = self.most_open = left

    def opened(self) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def said(self, step: str, reply: str) -> None:
        """A reply that is no yes."""
        if reply.startswith("4"):
            self.deferred[step] += 1
        elif reply.startswith("5"):
            self.rejected[step] += 1

    def report(self) -> dict[str, Any]:
        """As values that JSON has."""
        return {name: list(value) if isinstance(value, array) else value for name, value in vars(self).items()}


class Seen(msgspec.Struct, frozen=True):
    """A tally as it was when it was asked for."""

    connections: int = 0
    refused: int = 0
    open: int = 0
    most_open: int = 0
    encrypted: int = 0
    most_messages: int = 0
    asked: tuple[float, ...] = ()
    recipients: tuple[float, ...] = ()
    spans: tuple[float, ...] = ()
    taken: tuple[tuple[float, str], ...] = ()
    deferred: dict[str, int] = {}
    rejected: dict[str, int] = {}
    faults: dict[str, int] = {}

    @property
    def arrived(self) -> Counter[str]:
        """How often each recipient got a message."""
        return Counter(recipient for _, recipient in self.taken)

    @property
    def moments(self) -> list[float]:
        """When messages were taken, a moment for each recipient."""
        return [moment for moment, _ in self.taken]

    @property
    def deferral_share(self) -> float:
        """The part of what came to an end here that was put off, connections among it."""
        put_off = sum(self.deferred.values()) + self.refused
        return put_off / max(put_off + len(self.taken), 1)

    def used(self, slots: int, begin: float, end: float) -> float:
        """The part of so many slots, from one moment to another, in which a transaction was under way."""
        pairs = zip(self.spans[::2], self.spans[1::2], strict=True)
        busy = sum(max(min(until, end) - max(since, begin), 0.0) for since, until in pairs)
        return busy / (slots * (end - begin))


def most_within(moments: Iterable[float], seconds: float) -> int:
    """The most that ever fell into a window of that length, wherever it begins."""
    ordered = sorted(moments)
    return max((bisect_left(ordered, moment + seconds) - start for start, moment in enumerate(ordered)), default=0)


def middle(moments: Sequence[float], cut: float = 0.2) -> tuple[float, float]:
    """From when until when the middle part of them came: without what happens at the beginning and in the end."""
    ordered = sorted(moments)
    return ordered[int(len(ordered) * cut)], ordered[int(len(ordered) * (1 - cut)) - 1]
