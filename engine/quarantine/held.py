"""What is parked, in all shards: found by what is known of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from engine.message import PARKED_BY, Message, MessageId
from engine.queue.store import QUARANTINED, Record, Shard, shard_numbers

SCORE = "scan.score"
"""The fact that says how much a message looks like spam."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """A parked message."""

    record: Record
    shard: Shard

    @property
    def message(self) -> Message:
        return self.shard.message(self.record)

    @property
    def to(self) -> list[str]:
        return [one.address for one in self.record.envelope.recipients]

    @property
    def since(self) -> float:
        """Unix time at which it was parked."""
        return self.record.due

    @property
    def stage(self) -> str:
        return str(self.record.envelope.facts.get(PARKED_BY, ""))

    @property
    def score(self) -> float | None:
        found = self.record.envelope.facts.get(SCORE)
        return float(found) if isinstance(found, int | float) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of them. Addresses may be "user@domain" or "domain"; what is empty or None does not matter."""

    to: str = ""
    sender: str = ""
    reason: str = ""  # a part of it
    stage: str = ""
    after: float = 0.0  # parked later than this Unix time
    until: float = 2.0**40
    score: float | None = None  # at least

    def fits(self, held: Held) -> bool:
        return (
            held.since > self.after
            and (not self.to or any(is_at(self.to, address) for address in held.to))
            and (not self.sender or is_at(self.sender, held.record.envelope.sender or "<>"))
            and self.reason.lower() in held.record.reason.lower()
            and self.stage in ("", held.stage)
            and (self.score is None or (held.score is not None and held.score >= self.score))
        )


def is_at(wanted: str, address: str) -> bool:
    """Whether the address is the wanted one, or at the wanted domain."""
    address = address.lower()
    return wanted.lower().removeprefix("@") in (address, address.rpartition("@")[2])


def held(shards: Iterable[Shard], wanted: Wanted = Wanted()) -> Iterator[Held]:
    """Those that are parked, of each shard the oldest first. Memory does not grow with their number."""
    for shard in shards:
        position, more = b"", True
        while more:
            before = position
            identities, position = shard.parked_from(position, _PAGE, wanted.until)
            for record in shard.records(identities):
                one = Held(record, shard)
                if record.state == QUARANTINED and wanted.fits(one):  # it may have been let go on meanwhile
                    yield one
            more = position != before


def find(shards: Iterable[Shard], identity: MessageId) -> Held | None:
    """The parked message of that id."""
    for shard in shards:
        for record in shard.records([identity]):
            return Held(record, shard) if record.state == QUARANTINED else None
    return None


def may_release(reason: str, patterns: Sequence[str]) -> bool:
    """Whether mail that is parked for this reason may be let go on by those whom it is for (`[quarantine] release`)."""
    return any(fnmatchcase(reason.lower(), pattern.lower()) for pattern in patterns)


@contextmanager
def shards(data: Path, map_size: int) -> Iterator[list[Shard]]:
    """All shards of a data folder, read beside the running server or without it. StorageError."""
    with ExitStack() as stack:
        numbers = shard_numbers(data)
        yield [
            stack.enter_context(closing(Shard(data, number, map_size=map_size, read_only=True))) for number in numbers
        ]
