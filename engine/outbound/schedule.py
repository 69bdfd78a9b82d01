"""When to try again: the delays between attempts, by what the other side has said."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

JITTER = 0.1
"""Share by which a delay is moved at random, so that what failed together does not come back all at once."""

_GREYLISTED = re.compile(r"gr[ea]y-?\s?list", re.IGNORECASE)

_FULL = "4.2.2"
"""RFC 3463 3.3: the mailbox is full."""

Meaning: TypeAlias = Literal["usual", "soon", "full", "patient"]
"""What a reply means for the time of the next attempt."""

Means: TypeAlias = Callable[[str, str], Meaning]
"""The same by its words and its enhanced code, for replies that say nothing of it by their codes."""


class Schedule(NamedTuple):
    """Delays in seconds; the last one repeats. An empty one is the usual."""

    usual: Sequence[float]
    greylisted: Sequence[float] = ()
    full: Sequence[float] = ()
    patient: Sequence[float] = ()

    def after(
        self, code: int, status: str, text: str, means: Means = lambda _text, _status: "usual"
    ) -> Sequence[float]:
        """The delays after a reply with that code, enhanced code (RFC 3463) and text."""
        meaning = "full" if status == _FULL else means(text, status)
        if meaning == "usual" and is_greylisted(code, status, text):
            meaning = "soon"
        return {"full": self.full, "patient": self.patient, "soon": self.greylisted}.get(meaning) or self.usual


def is_greylisted(code: int, status: str, text: str) -> bool:
    """Whether a server wants a newcomer to come again: nearly all say 450 or 451 with 4.7.1, or name it (RFC 6647)."""
    return code in (450, 451) and (status == "4.7.1" or _GREYLISTED.search(text) is not None)


def retry_delay(delays: Sequence[float], attempts: int) -> float:
    """Seconds until the next attempt, when ``attempts`` had ended before this one. The last delay repeats."""
    return step(delays, attempts) * jitter()


def step(delays: Sequence[float], attempts: int) -> float:
    """The same, not moved."""
    return delays[min(attempts, len(delays) - 1)]


def jitter() -> float:
    """By what a delay is multiplied."""
    return random.uniform(1 - JITTER, 1 + JITTER)
