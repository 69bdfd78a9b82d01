"""What was parked for whom within a time, gathered from all shards for the letters about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.directory import Account, Directory, reached
from engine.message import MessageId
from engine.quarantine.held import Held, Wanted, held
from engine.queue.store import Shard

DIGEST = "quarantine.digest"
"""The fact that a message is such a letter: where one is parked, nobody is told of it."""

MOST = 100
"""Messages that one letter names."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that one letter names. Small: there may be many before the letters are written."""

    identity: MessageId
    recipient: str  # as it stands in the envelope
    sender: str
    subject: str
    arrived: float
    reason: str
    score: float | None


@dataclass(slots=True)
class Gathered:
    """All that is to be told to one account."""

    account: Account
    parked: list[Parked] = field(default_factory=list)
    more: int = 0


def gathered(shards: Sequence[Shard], directory: Directory, after: float, until: float) -> list[Gathered]:
    """What was parked later than ``after`` and until then, by account in the order of their numbers. Takes long.

    Unavailable, StorageError.
    """
    known: dict[str, list[Account]] = {}
    found: dict[int, Gathered] = {}
    for one in held(shards, Wanted(after=after, until=until)):
        if one.record.envelope.facts.get(DIGEST):
            continue
        for address in one.to:
            if address not in known:
                known[address] = [account for account in reached(directory, address) if not account.folder]
            _add(found, one, address, known[address])
    return [found[number] for number in sorted(found)]


def _add(found: dict[int, Gathered], one: Held, address: str, accounts: Iterable[Account]) -> None:
    for account in accounts:
        theirs = found.setdefault(account.id, Gathered(account))
        if len(theirs.parked) == MOST:
            theirs.more += 1
            continue
        message = one.message
        theirs.parked.append(
            Parked(
                one.record.id,
                address,
                message.header("From") or one.record.envelope.sender or "<>",
                message.header("Subject") or "",
                one.record.envelope.arrived,
                one.record.reason,
                one.score,
            )
        )
