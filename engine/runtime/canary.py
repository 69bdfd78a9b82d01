"""A revision on trial: which connections go by it, and what comes of their mail beside that of all others."""

import random
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from engine.message import ON_TRIAL, Message
from engine.runtime.putting import Put
from engine.runtime.revision import Revision
from engine.runtime.stages import RunningStage
from engine.runtime.state import Trial

ERRORS = "errors"
"""What is counted when a stage breaks, or takes too long."""

FEWEST, TIMES, MORE = 5, 2.0, 0.02
"""A trial ends by itself when so many errors have come of it, if that is more than so many times as often as beside it,
and by more than so much of all verdicts: one message that every stage breaks at ends none."""

_NEVER = 1.0

_drawn: ContextVar[float] = ContextVar("drawn", default=_NEVER)
"""Drawn for each connection, for as long as it lasts: from 0 to 1. What has no connection is never on trial."""


class InForce:
    """What is in force in this process: a revision, and perhaps another one on trial for a share of what comes in."""

    def __init__(self) -> None:
        self.current: Revision | None = None
        self._trial: Revision | None = None
        self._share = 0.0

    def __call__(self) -> Revision:
        assert self.current is not None
        return self.current

    def attempt(self, trial: Revision, share: float) -> None:
        """Let another revision have so much of what comes in: from 0 to 1."""
        trial.on_trial = True
        self._trial, self._share = trial, share

    def decide(self) -> Revision | None:
        """The trial is over; the revision that was on trial."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.on_trial = False
        return trial

    def here(self) -> Revision:
        """The one for the connection in whose task this is called."""
        if self._trial is not None and _drawn.get() < self._share:
            return self._trial
        return self.current or self()

    def of(self, message: Message) -> Revision:
        """The one for a message that leaves the queue: by which it came in, if that is still on trial."""
        if self._trial is not None and message.fact(ON_TRIAL) == self._trial.number:
            return self._trial
        return self.current or self()

    def source(self, listener: str) -> RunningStage | None:
        """The stage that serves a connection to the listener, for which it is drawn here by which revision it goes."""
        _drawn.set(random.random())
        if self._trial is not None and self.here() is self._trial:
            if (stage := self._trial.source_of(listener)) is not None:
                return stage
            _drawn.set(_NEVER)
        return self().source(listener)


@dataclass(slots=True)
class Canary:
    """The supervisor's books of a trial."""

    put: Put
    beside: Put
    share: float  # from 0 to 1
    since: float  # Unix time
    trouble: str = ""  # why it must end, and cannot be promoted
    _told: dict[tuple[str, int], Mapping[int, Mapping[str, int]]] = field(default_factory=dict)

    def heard(self, worker: str, life: int, counts: Mapping[int, Mapping[str, int]]) -> None:
        """What a worker has counted so far, by turn. What one had counted that has died stays."""
        self._told[worker, life] = counts

    def counts(self, turn: int) -> Counter[str]:
        total: Counter[str] = Counter()
        for counts in self._told.values():
            total.update(counts.get(turn, {}))
        return total

    def verdict(self) -> str:
        """Why the trial is to end; "" when nothing speaks for it."""
        new, old = self.counts(self.put.turn), self.counts(self.beside.turn)
        errors, rate, usual = new[ERRORS], _rate(new), _rate(old)
        if errors < FEWEST or rate <= TIMES * usual + MORE:
            return ""
        return f"stages failed {errors} times, in {rate:.1%} of the verdicts; beside it in {usual:.1%}"

    def told(self) -> Trial:
        return Trial(
            self.put.number,
            round(self.share * 100, 4),
            self.since,
            dict(self.counts(self.put.turn)),
            dict(self.counts(self.beside.turn)),
        )


def _rate(counts: Counter[str]) -> float:
    """How often something breaks."""
    return counts[ERRORS] / max(counts.total() - counts[ERRORS], 1)
