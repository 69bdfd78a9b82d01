"""What drives every server alike: smtp-source, smtp-sink and its count, and the two joined directly."""

import contextlib
import math
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench import Failed, usage
from bench.measure import Cell, Run
from bench.servers.base import DOMAIN, HOST, SOURCE, absent, answering, free_port, program

_COUNTERS = re.compile(rb"mesg=(\d+)(?=[\r\n ])")

_POLL = 0.01
"""Seconds between two looks at a count: as exact as a run of some seconds needs, and no load."""


class Sent(NamedTuple):
    """What it took, in seconds."""

    accepted: float  # until every message had its 250
    arrived: float  # until every message had come where it should


def missing() -> str | None:
    """What the benchmarks cannot do without."""
    return absent(("smtp-source", "smtp-sink"), "postfix")


async def send(
    cell: Cell,
    count: int,
    port: int,
    arrived: Callable[[], int] | None = None,
    *,
    letter: Path | None = None,
    numbered: bool = False,
    limit: float = math.inf,
) -> Sent:
    """Let smtp-source send; wait until every message has its 250, and until ``arrived`` has come to ``count``.

    ``letter``: a file with the message, instead of one of the cell's size; its lines end in LF. ``numbered`` makes a
    number of each recipient, another for each message. Failed after ``limit`` seconds.
    """
    command = [program("smtp-source") or "smtp-source", "-4", "-C", "20", "-M", SOURCE, "-S", "A message"]
    # Postfix 3.7 puts the number before the local part, 3.10 behind it: so there is no other.
    to = ("-N", "-t", f"@{DOMAIN}") if numbered else ("-t", f"u@{DOMAIN}")
    command += ["-f", f"sender@{SOURCE}", *to]
    command += ["-s", str(min(cell.sessions, count)), "-m", str(count)]
    command += ["-F", str(letter)] if letter else ["-l", str(cell.size)]
    command += [*(["-d"] if cell.reuse else []), f"inet:{HOST}:{port}"]
    started = trio.current_time()
    with trio.move_on_after(limit):
        ended = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
        if ended.returncode:
            raise Failed(f"smtp-source failed: {ended.stderr.decode(errors='replace').strip()[-300:]}")
        accepted = trio.current_time() - started
        while arrived is not None and arrived() < count:
            await trio.sleep(_POLL)
        return Sent(accepted, trio.current_time() - started)
    so_far = "" if arrived is None else f", {arrived()} did"
    raise Failed(f"{count} messages did not get through within {limit:.0f} s{so_far}; a higher --seconds waits longer")


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """smtp-sink: its port, and how many messages it has taken so far."""
    port = free_port()
    command = [program("smtp-sink") or "smtp-sink", "-4", "-c", *(["-u", "nobody"] if os.geteuid() == 0 else [])]
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    counter = _Counter(reading)
    try:
        async with usage.opened("sink") as group, trio.open_nursery() as nursery:
            nursery.start_soon(counter.run)
            await group.open([*command, f"inet:{HOST}:{port}", "1024"], stdout=writing, stderr=writing)
            await answering(port, "smtp-sink")
            yield port, lambda: counter.count
            nursery.cancel_scope.cancel()
    finally:
        os.close(writing)
        os.close(reading)


class _Counter:
    """Reads the counters that `smtp-sink -c` writes anew with every message; were they not read, it would stop."""

    def __init__(self, reading: int) -> None:
        self.count = 0
        self._reading = reading

    async def run(self) -> None:
        tail = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                while octets := os.read(self._reading, 1 << 16):
                    tail = (tail + octets)[-200:]
            if found := _COUNTERS.findall(tail):
                self.count = int(found[-1])
            await trio.sleep(_POLL)


async def ceiling(cell: Cell, count: int) -> Run:
    """smtp-source into smtp-sink, nothing between: what this machine and these two programs can do at most."""
    async with sink() as (port, arrived):
        return Run(count, (await send(cell, count, port, arrived)).arrived)
