"""Work in forks: what a change does to a process stays there."""

import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.mutation.changes import Mutant

PATIENCE = 20.0
"""Seconds that a trial may take besides three times what its tests take, on the clock and of the processor."""

MEMORY = 4 << 30
"""Octets of memory that a trial may have: some mutants never stop adding to a list."""

T = TypeVar("T")


def in_a_fork(work: Callable[[], T]) -> T:
    """What ``work`` returns in a process of its own. EOFError when that ends without a word."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(work(), stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        octets = stream.read()
    os.waitpid(pid, 0)
    found: T = pickle.loads(octets)
    return found


def outcomes(
    mutants: Sequence[Mutant], jobs: int, passes: Callable[[Mutant], bool], seconds: Callable[[Mutant], float]
) -> list[tuple[Mutant, str]]:
    """What becomes of each mutant: killed, survived or timeout. ``passes``, in a fork: whether all its tests pass."""
    left = list(mutants)[::-1]
    running: dict[int, tuple[Mutant, int, float]] = {}
    found: list[tuple[Mutant, str]] = []
    while left or running:
        while left and len(running) < jobs:
            mutant = left.pop()
            allowed = PATIENCE + 3 * seconds(mutant)
            pid, reading = _started(passes, mutant, allowed)
            running[reading] = (mutant, pid, time.monotonic() + allowed)
        soonest = min(until for _, _, until in running.values())
        ready, _, _ = select.select(list(running), [], [], max(soonest - time.monotonic(), 0))
        for reading, (mutant, pid, until) in list(running.items()):
            if reading in ready or time.monotonic() >= until:
                word = os.read(reading, 16).decode() if reading in ready else "timeout"
                _ended(pid, reading)
                del running[reading]
                found.append((mutant, word or "killed"))  # without a word: it ended the process
    return found


def _started(passes: Callable[[Mutant], bool], mutant: Mutant, seconds: float) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    word = b"killed"
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        silence()
        if passes(mutant):
            word = b"survived"
    finally:
        os.write(writing, word)
        os._exit(0)


def _ended(pid: int, reading: int) -> None:
    os.killpg(pid, signal.SIGKILL)  # with what the tests have started
    os.waitpid(pid, 0)
    os.close(reading)


def silence() -> None:
    """Nothing that is printed from now on is seen."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
