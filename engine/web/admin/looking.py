"""Looking into stores of the queue and the history, which threads open in turns: so one of ours at a time is enough."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ONE = trio.CapacityLimiter(1)


async def looked(look: Callable[[*Ts], T], *args: *Ts) -> T:
    """What ``look`` finds, in a thread."""
    return await trio.to_thread.run_sync(look, *args, limiter=_ONE)
