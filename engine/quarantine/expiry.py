"""The end of what nobody has decided about: parked mail is deleted when it is old."""

import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from engine.observe.events import event
from engine.storage.environment import StorageError

ROUND = 3600.0
"""Seconds between two looks at most; of what is kept for a short time only, a twentieth of that."""

STEADY = 60.0
"""Seconds by which the clock may differ, after a round, from the time that has passed: more is a jump."""


async def expire(
    delete: Callable[[float], Awaitable[int]], keep: Callable[[], float], clock: Callable[[], float] = time.time
) -> NoReturn:
    """``delete`` what was parked before a Unix time, again and again; ``keep``: seconds, 0 for ever.

    Only at the end of a round in which the clock did not jump: one that is ahead must not delete what is young.
    """
    while True:
        set_at = clock() - trio.current_time()
        await trio.sleep(min(ROUND, max(keep() / 20, 1.0)) if keep() else ROUND)
        steady = abs(clock() - trio.current_time() - set_at) <= STEADY
        if not (keep() and steady):
            continue
        try:
            await delete(clock() - keep())
        except StorageError as error:
            event("expiry-failed", error=str(error))
