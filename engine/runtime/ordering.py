"""Having the running server do what it alone can: an order in its data folder, a signal, and what it says then."""

import os
import signal
import time
from pathlib import Path

from engine.runtime.state import Order, Running, State

_LOOK = 0.02
"""Seconds between two looks at what the server says."""


class Disobeyed(Exception):
    """There is no server that could do it, or it has not answered; the text says which."""


def ordered(data: Path, order: Order, timeout: float) -> Running:
    """What the server says when it has done it, or has refused. Disobeyed. Blocks for ``timeout`` seconds at most."""
    state = State(data)
    before = state.running()
    if before is None:
        raise Disobeyed(f"no server runs on {data}")
    state.give(order)
    os.kill(before.pid, signal.SIGHUP)
    end = time.monotonic() + timeout
    while (now := state.running()) is None or now.change == before.change:
        if now is None:
            raise Disobeyed("the server has stopped")
        if time.monotonic() > end:
            raise Disobeyed(f"no answer from the server within {timeout:g} s; see its log")
        time.sleep(_LOOK)
    return now
