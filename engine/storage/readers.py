"""Readers of an LMDB environment that were killed: what they hold is given back by the environment's owner."""

from typing import NoReturn

import lmdb
import trio

EVERY = 10.0
"""Seconds between two looks. One takes some microseconds."""


async def free_readers(environment: lmdb.Environment) -> NoReturn:
    """Now and then free the slots of processes that are no more.

    Nobody else would, and no page that a reader sees can be used again: with one that was killed in the midst of a
    transaction the file would grow with every change.
    """
    while True:
        environment.reader_check()
        await trio.sleep(EVERY)
