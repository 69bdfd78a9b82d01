"""How it stands with a shard: how much is in it and how old that is, told without looking through it."""

from collections.abc import Iterator

from engine.observe.measures import Gauge, Labels
from engine.queue.owner import Owner

_MESSAGES = Gauge(
    "postroad_queue_messages",
    "Messages in the queue: `away` on their way, in a `line`, `waiting` for a time or a place, `held`, `quarantined`.",
    ("shard", "state"),
)
_OLDEST = Gauge("postroad_queue_oldest_seconds", "Age of the oldest message that is not parked.", ("shard",))
_ACCEPTS = Gauge("postroad_queue_accepts", "Whether the shard takes mail: 0 when the disk is full.", ("shard",))
_OWED = Gauge("postroad_queue_unwritten", "Changes that the store could not take yet, and are tried again.", ("shard",))

_LOOK = 256
"""Messages that are looked at for the oldest one at most, when somebody asks: the next time it goes on from there."""


class Standing:
    """That of one shard, for those who measure."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._shard = (str(owner.shard.number),)
        self._position = b""  # what is before it was parked
        self._parked = 0

    def measure(self) -> None:
        """Be asked from now on."""
        _MESSAGES.reads(self.messages)
        _OLDEST.reads(self.oldest)
        _ACCEPTS.reads(lambda: [(self._shard, self._owner.has_room())])
        _OWED.reads(lambda: [(self._shard, self._owner.unwritten)])

    def messages(self) -> Iterator[tuple[Labels, float]]:
        """How many there are in each state."""
        counts = self._owner.shard.counts()
        away = list(self._owner.away.values())
        from_lines = sum(bool(delivery.record.line) for delivery in away)
        in_line = max(counts.in_line - from_lines, 0)
        found = {
            "away": len(away),
            "line": in_line,
            "waiting": max(counts.waiting - len(away) - in_line, 0),
            "held": counts.held,
            "quarantined": counts.parked,
        }
        return (((*self._shard, state), number) for state, number in found.items())

    def oldest(self) -> Iterator[tuple[Labels, float]]:
        """Seconds since the oldest came in; 0 when there is none."""
        parked = self._owner.shard.counts().parked
        if parked < self._parked:  # some may have been let go on
            self._position = b""
        self._parked = parked
        record, self._position = self._owner.shard.oldest_waiting(self._position, _LOOK)
        age = max(self._owner.time() - record.envelope.arrived, 0.0) if record else 0.0
        yield self._shard, age
