"""What is measured, and how: cells, runs, and rounds in which every server has its turn."""

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench import Failed

PROBE = 400
"""Messages of the first run, which is not counted: it tells how many messages take the seconds asked for."""

LONG = 0.5
"""Seconds that such a run takes at least, for its rate to say something; one that was faster is repeated with more."""

FEWEST = 100
"""Messages in a counted run at least: fewer say little."""

TRIES = 2
"""Failed runs after which a server is left out of the rest of a cell."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What smtp-source sends."""

    size: int = 4096  # octets of content
    sessions: int = 100  # at once
    reuse: bool = True  # many messages on a connection, not one
    backlog: int = 0  # messages that lie in the queue already, for sites that do not answer
    stored: int = 0  # messages in the mailbox that is read, where nothing is sent

    @property
    def shown_size(self) -> str:
        return f"{self.size / 1024:g} KiB" if self.size >= 1024 else f"{self.size} octets"

    def __str__(self) -> str:
        if self.stored:
            return f"a mailbox of {self.stored:,} messages"
        reuse = "connections reused" if self.reuse else "a connection for each message"
        backlog = f", {self.backlog:,} messages waiting" if self.backlog else ""
        return f"{self.shown_size}, {self.sessions} sessions, {reuse}{backlog}"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a run that does many things: a figure in the unit that its name says, or why there is none."""

    value: float = 0.0
    cpu: float = 0.0  # seconds of the server for 1,000
    client: float = 0.0  # CPU seconds of the busiest client in a second: at 1 it holds the server up
    floor: float = 0.0  # how many times the best other server's ours must be
    most: float = 0.0  # where less is better: what ours may be at most
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, and what it cost."""

    messages: int
    seconds: float
    cpu: float = 0.0  # seconds, of all processes of the server
    memory: int = 0  # octets at most, PSS: pages that processes share are counted once
    figures: Mapping[str, float] = field(default_factory=dict)  # what this workload measures besides, by its heading
    parts: Mapping[str, Part] = field(default_factory=dict)  # by their names, in order

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One that has its turn in every round: a server, or the ceiling."""

    key: str
    name: str
    version: str
    durability: str
    run: Callable[[int], Awaitable[Run]]  # so many messages, through a fresh server
    count: int | None = None  # messages in a run; None: as many as take the seconds asked for
    most: int | None = None  # messages that one run can take


@dataclass(frozen=True, slots=True)
class Wanted:
    """How long and how often."""

    runs: int = 5
    seconds: float = 6.0
    count: int = 0  # messages in a run, instead of ``seconds``
    lines: tuple[str, ...] = ()  # of ``mailbox``, by words of their names; none: all


class Witness(Protocol):
    """Who is told what happens, while it does."""

    def turn(self, number: int, trial: Trial) -> None:
        """This trial is about to have its turn in round ``number``; 0 is the probe."""

    def ran(self, number: int, trial: Trial, run: Run) -> None: ...

    def failed(self, number: int, trial: Trial, reason: str) -> None: ...


async def rounds(trials: Sequence[Trial], wanted: Wanted, witness: Witness) -> dict[str, dict[int, Run]]:
    """Runs by trial and round, from 1. In each round all have their turn, so that what the machine does hits all."""
    done: dict[str, dict[int, Run]] = {trial.key: {} for trial in trials}
    failures = dict.fromkeys(done, 0)

    async def turn(number: int, trial: Trial, count: int) -> Run | None:
        witness.turn(number, trial)
        run = None
        try:
            run = await trial.run(count)
        except* Failed as group:
            failures[trial.key] += 1
            witness.failed(number, trial, "; ".join(map(str, leaves(group))))
        else:
            witness.ran(number, trial, run)
        return run

    async def probed(trial: Trial) -> int | None:
        count = PROBE
        while failures[trial.key] < TRIES:
            run = await turn(0, trial, count)
            if run is None:
                continue
            more = counted(run.rate, 2 * LONG, trial.most)
            if run.seconds >= min(LONG, wanted.seconds) or more <= count:
                return counted(run.rate, wanted.seconds, trial.most)
            count = more
        return None

    counts = {trial.key: wanted.count or trial.count or await probed(trial) for trial in trials}
    for number in range(1, wanted.runs + 1):
        for trial in trials:
            count = counts[trial.key]
            if count is not None and failures[trial.key] < TRIES:
                run = await turn(number, trial, count)
                if run is not None:
                    done[trial.key][number] = run
    return done


def counted(rate: float, seconds: float, most: int | None = None) -> int:
    """Messages of a run of about ``seconds`` at this rate."""
    return max(FEWEST, min(round(rate * seconds), most or 10**9))


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """The exceptions in all nested groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


# -- figures of several runs


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """None when there are no values."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None

    def shown(self, form: str) -> str:
        """Like "123 (110–140)", each number in this format."""
        if self.least == self.most:
            return f"{self.median:{form}}"
        return f"{self.median:{form}} ({self.least:{form}}–{self.most:{form}})"


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Ours divided by theirs, in each round that both have; then the median. Rounds differ more than turns of one."""
    return Spread.of(rate / theirs[number] for number, rate in ours.items() if theirs.get(number))
