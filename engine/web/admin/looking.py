"""Looking into stores of the queue and the history: LMDB opens each once in a process, so one looks at a time."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ONE = trio.CapacityLimiter(1)


async def looked(look: Callable[[*Ts], T], *args: *Ts) -> T:
    """What ``look`` finds, in a thread."""
    return await trio.to_thread.run_sync(look, *args, limiter=_ONE)
