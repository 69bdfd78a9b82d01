"""When to try again: the delays between attempts."""

import random
from collections.abc import Sequence

JITTER = 0.1
"""Share by which a delay is moved at random, so that what failed together does not come back all at once."""


def retry_delay(delays: Sequence[float], attempts: int) -> float:
    """Seconds until the next attempt, when ``attempts`` had ended before this one. The last delay repeats."""
    return delays[min(attempts, len(delays) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)
