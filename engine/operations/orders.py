"""What operators have done with messages: by the running server, or, when none runs, as the owner of their shards."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import trio

from engine.condition.meaning import folded
from engine.config import Basis, Config
from engine.lanes import MAIL
from engine.message import MessageId
from engine.net.targets import host_and_port
from engine.operations.operator import Operator
from engine.operations.queue import Chosen
from engine.operations.shards import opened
from engine.operations.workers import Ask, asking
from engine.queue.orders import Word, answers_of
from engine.queue.owner import Owner
from engine.queue.store import Shard, shard_numbers
from engine.runtime.services import QUEUE_SERVICE
from engine.runtime.state import State
from engine.storage.environment import StorageError
from engine.storage.ownership import held

TOGETHER = 500
"""Messages of one question: mail that comes in does not wait long behind it."""

_PUT_TOGETHER = 50
"""Messages of a snapshot in one question: they come with their contents."""

PATIENCE = 60.0
"""Seconds in which it must be answered."""

FAILURE = r"5\.[0-9]{1,3}\.[0-9]{1,3}"
"""The enhanced status code of a failure (RFC 3463)."""

_SMTP_PORT = 25

Told: TypeAlias = Callable[[int, int], None]
"""Hears of how many it has been asked, and of how many in all."""


@dataclass(slots=True)
class Report:
    """How far it has come. ``open``: messages that were asked about and not answered, of which nobody knows."""

    total: int = 0
    seen: int = 0
    done: int = 0
    open: int = 0


@dataclass(slots=True)
class PutBack:
    """What came of a snapshot: messages in it, those that are in the queue already, and those that were taken in."""

    total: int = 0
    present: int = 0
    done: int = 0


def check_way(config: Config, lane: str, to_site: str) -> None:
    """ValueError where messages cannot be sent that way: by a lane, to a server; empty: as before."""
    courses = config.courses
    if lane and (lane not in courses or not courses[lane].goes_on):
        known = ", ".join(name for name, course in courses.items() if course.goes_on)
        raise ValueError(f"mail from the queue cannot go on in a lane {lane!r}, but in {known}")
    if to_site:
        host_and_port(to_site, _SMTP_PORT)


async def carry_out(
    config: Basis, word: Word, chosen: Chosen, report: Report, told: Told = lambda _done, _total: None
) -> None:
    """Have it done to these messages, some hundreds at a time. ``report`` tells how far it came, also when it breaks
    off: each message is as it was, or it is done. Unanswered, StorageError."""
    report.total = sum(map(len, chosen.values()))
    for number, identities in ((number, some) for number, some in chosen.items() if some):
        async with _owner(config, number) as ask:
            for some in _parts(identities):
                report.open = len(some)
                report.done += await ask("order", msgspec.to_builtins(word), list(map(bytes, some)))
                report.seen += len(some)
                report.open = 0
                told(report.seen, report.total)


async def noted(by: Operator, word: Word, report: Report) -> None:
    """Have it among the changes of people what was ordered, though it broke off; each message has its own event."""
    if report.done:
        await by.told("queue-ordered", order=word.order, which=word.which or None, messages=report.done)


async def put_back(config: Basis, folder: Path, by: str, told: Told = lambda _done, _total: None) -> PutBack:
    """Take in what is in a queue that was unpacked into ``folder``, but for what is in ours; what waited there is held.
    Unanswered, StorageError."""
    ours = shard_numbers(config.server.data)
    if not ours:
        raise StorageError(f"there is no queue in {config.server.data}")
    found = PutBack()
    chosen = {
        number: await trio.to_thread.run_sync(_missing, config, folder, number) for number in shard_numbers(folder)
    }
    for identities, present in chosen.values():
        found.present += present
        found.total += present + len(identities)
    for number, (identities, _) in chosen.items():
        async with _owner(config, number if number in ours else ours[number % len(ours)]) as ask:
            for start in range(0, len(identities), _PUT_TOGETHER):
                some = identities[start : start + _PUT_TOGETHER]
                found.done += await ask("put_back", str(folder), number, list(map(bytes, some)), by)
                told(found.done, found.total - found.present)
    return found


def _missing(config: Basis, folder: Path, number: int) -> tuple[list[MessageId], int]:
    """The messages of a shard there that are in none of ours, and how many are."""
    with closing(Shard(folder, number, map_size=config.queue.map_size, read_only=True)) as saved:
        there = [record.id for record in saved.all_records()]
    present = set[MessageId]()
    for ours in shard_numbers(config.server.data):
        with opened(config, ours) as shard:
            present.update(identity for identity in there if shard.holds(identity))
    return [identity for identity in there if identity not in present], len(present)


async def take_turn(config: Basis, line: str, by: str = "") -> int:
    """Let that line have its turn now in every shard; in how many it is. ``by``: the operator, for the log. Unanswered,
    StorageError."""
    turns = 0
    for number in shard_numbers(config.server.data):
        if names := await trio.to_thread.run_sync(_lines, config, number, line):
            async with _owner(config, number) as ask:
                turns += sum([await ask("turn", name, by) for name in names])
    return turns


def _lines(config: Basis, number: int, line: str) -> list[str]:
    """The lines of a shard that have this name."""
    with opened(config, number) as shard:
        return [name for name in shard.line_names() if folded(name) == folded(line)]


@asynccontextmanager
async def _owner(config: Basis, number: int) -> AsyncIterator[Ask]:
    """Whom to ask about the mail of a shard."""
    running = State(config.server.data).running()
    served = asking(running, f"{MAIL}-{number}", QUEUE_SERVICE, PATIENCE) if running else _by_ourselves(config, number)
    async with served as ask:
        yield ask


@asynccontextmanager
async def _by_ourselves(config: Basis, number: int) -> AsyncIterator[Ask]:
    lock = held(config.server.data / "queue" / str(number))
    try:
        with (
            closing(Shard(config.server.data, number, map_size=config.queue.map_size)) as shard,
            closing(Owner(shard, config.queue, config.server.hostname, lambda _: None)) as owner,
        ):
            owner.drain()
            answers = answers_of(owner)

            async def ask(name: str, *arguments: Any) -> Any:
                return await answers[name](*arguments)

            yield ask
    finally:
        os.close(lock)


def _parts(identities: Sequence[MessageId]) -> Iterator[Sequence[MessageId]]:
    return (identities[start : start + TOGETHER] for start in range(0, len(identities), TOGETHER))
