"""Which of the waiting messages a command means, and how it has them tried or given up: by the running server, or, when
none runs, as the owner of their shards."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Literal, NamedTuple, TypeAlias

import trio

from engine.cli.workers import ask
from engine.config import Config
from engine.lanes import MAIL
from engine.message import MessageId
from engine.queue.orders import answers_of
from engine.queue.owner import Owner
from engine.queue.store import WAITING, Record, Shard
from engine.runtime.services import QUEUE_SERVICE
from engine.runtime.state import State
from engine.storage.ownership import held

Order: TypeAlias = Literal["retry", "expire"]

TOGETHER = 500
"""Messages of one question: mail that comes in does not wait long behind it."""


class Subset(NamedTuple):
    """What all of them must meet; what is empty is met by all."""

    ids: frozenset[MessageId] = frozenset()
    to: str = ""  # an address, or a domain, of one recipient
    sender: str = ""  # an address, a domain, or "<>"
    line: str = ""

    @property
    def is_line(self) -> bool:
        """Whether it is a whole line."""
        return bool(self.line) and not (self.ids or self.to or self.sender)

    def has(self, record: Record) -> bool:
        return (
            record.state == WAITING
            and (not self.ids or record.id in self.ids)
            and (not self.line or record.line == self.line)
            and (not self.sender or _is(record.envelope.sender or "<>", self.sender))
            and (not self.to or any(_is(one.address, self.to) for one in record.envelope.recipients))
        )


def _is(address: str, wanted: str) -> bool:
    """Whether it is that address, or one of that domain."""
    address, wanted = address.lower(), wanted.lower()
    return address == wanted or ("@" not in wanted and address.rpartition("@")[2] == wanted.removeprefix("@"))


def carried_out(config: Config, order: Order, shard: int, identities: Sequence[MessageId]) -> int:
    """Have it done to messages of one shard; to how many it was. Unanswered, StorageError."""
    return sum(_answered(config, shard, order, list(map(bytes, some))) for some in _parts(identities))


def take_turn(config: Config, line: str, shard: int) -> None:
    """Let that line of the shard have its turn now. Unanswered, StorageError."""
    _answered(config, shard, "turn", line)


def _answered(config: Config, shard: int, name: str, argument: Any) -> int:
    running = State(config.server.data).running()
    if running is None:
        return trio.run(_by_ourselves, config, shard, name, argument)
    answer: int = ask(running, f"{MAIL}-{shard}", QUEUE_SERVICE, name, argument, seconds=60)
    return answer


async def _by_ourselves(config: Config, number: int, name: str, argument: Any) -> int:
    lock = held(config.server.data / "queue" / str(number))
    with (
        closing(Shard(config.server.data, number, map_size=config.queue.map_size)) as shard,
        closing(Owner(shard, config.queue, config.server.hostname, lambda _: None)) as owner,
    ):
        owner.drain()
        done: int = await answers_of(owner)[name](argument)
    os.close(lock)  # else the process's end gives it back
    return done


def _parts(identities: Sequence[MessageId]) -> Iterator[Sequence[MessageId]]:
    return (identities[start : start + TOGETHER] for start in range(0, len(identities), TOGETHER))
