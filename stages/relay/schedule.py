"""When to try again: the delays between attempts, and when to give up."""

import random
from collections.abc import Sequence

JITTER = 0.1
"""Share by which a delay is moved at random, so that what failed together does not come back all at once."""


def retry_delay(delays: Sequence[float], attempts: int) -> float:
    """Seconds until the next attempt, when ``attempts`` had ended before this one. The last delay repeats."""
    return delays[min(attempts, len(delays) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)


def spelled(seconds: float) -> str:
    """A long duration in words: "5 days", "36 hours", "10 minutes"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {unit}s"
    return f"{round(seconds)} seconds"
