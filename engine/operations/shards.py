"""All shards of a queue, beside the running server or without it; where much is read, by a process for each."""

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from engine.config import Basis
from engine.queue.store import Shard, shard_numbers
from engine.storage.environment import StorageError

T = TypeVar("T")

MANY = 50_000
"""Messages from which on other processes are worth their start: to read so many takes some fifty milliseconds."""


_TURNS: dict[tuple[Path, int], threading.RLock] = {}


@contextmanager
def opened(config: Basis, number: int) -> Iterator[Shard]:
    """A shard, to be read. By one thread of a process at a time: LMDB opens a store only once in each. StorageError."""
    with (
        _TURNS.setdefault((config.server.data, number), threading.RLock()),
        closing(Shard(config.server.data, number, map_size=config.queue.map_size, read_only=True)) as shard,
    ):
        yield shard


def counted(config: Basis) -> int:
    """Messages in all shards, in whatever state. StorageError."""
    count = 0
    for number in shard_numbers(config.server.data):
        with opened(config, number) as shard:
            count += shard.count()
    return count


def of_each(config: Basis, function: Callable[[Shard], T]) -> dict[int, T]:
    """What the function makes of each shard, by the shard's number; it must be something that can be pickled.

    StorageError. A process of several threads cannot well be forked: it looks at one shard after the other. Others must
    have no store open.
    """
    numbers = shard_numbers(config.server.data)
    alone = len(numbers) < 2 or len(os.sched_getaffinity(0)) < 2 or threading.active_count() > 1
    if alone or counted(config) < MANY:
        return {number: _applied(config, number, function) for number in numbers}
    context = multiprocessing.get_context("fork")
    first, *others = numbers
    begun = []
    for number in others:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(config, number, function, sending), daemon=True)
        process.start()
        sending.close()
        begun.append((number, process, receiving))
    with _uncollected():
        found = {first: _applied(config, first, function)}  # the last to begin, so that no store is open at a fork
    for number, process, receiving in begun:
        found[number] = _received(receiving, number)
        process.join()
    return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a search for garbage at each few hundred records, of which none is in a cycle: a fifth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _applied(config: Basis, number: int, function: Callable[[Shard], T]) -> T:
    with opened(config, number) as shard:
        return function(shard)


def _send(config: Basis, number: int, function: Callable[[Shard], T], sending: Connection) -> None:
    try:
        with _uncollected():
            sending.send((_applied(config, number, function), None))
    except Exception as error:
        sending.send((None, error))


def _received(receiving: Connection, number: int) -> T:  # type: ignore[type-var]
    """What the process has found, or the error that it met."""
    try:
        found, error = receiving.recv()
    except EOFError:
        raise StorageError(f"shard {number} could not be read: the process that read it has died") from None
    if error is not None:
        raise error
    value: T = found
    return value
