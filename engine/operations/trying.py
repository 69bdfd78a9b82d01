"""Trying a configuration on real mail in a process of its own, which may take all of a processor."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import trio

from engine.operations.impossible import Impossible
from engine.operations.previewing import Wanted


async def tried(wanted: Wanted, told: Callable[[int, int], None]) -> dict[str, Any]:
    """What comes of it; ``told`` hears meanwhile how many messages of how many are done. Impossible.

    The process ends with whoever waits for it.
    """
    program = [sys.executable, "-m", "engine.operations.previewing"]
    process = await trio.lowlevel.open_process(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found: dict[str, Any] = {}
    try:
        await process.stdin.send_all(msgspec.json.encode(wanted))
        await process.stdin.aclose()
        async for line in _lines(process.stdout):
            said = _read(line)
            if isinstance(said, dict):
                found = said
            elif said:
                told(*said)
        if await process.wait() or not found:
            raise Impossible("it could not be tried: a stage of one of the two could not be opened")
        return found
    except trio.BrokenResourceError as error:  # it has ended before it has heard all
        raise Impossible("it could not be tried: the process that does so has ended") from error
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _read(line: bytes) -> dict[str, Any] | tuple[int, int] | None:
    """What it says; None for what a filter prints there."""
    try:
        said: dict[str, Any] | tuple[int, int] = msgspec.json.decode(line, type=dict[str, Any] | tuple[int, int])
    except msgspec.MsgspecError:
        return None
    return said


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[bytes]:
    """Each line that the program writes."""
    rest = b""
    async for octets in stream:
        *whole, rest = (rest + octets).split(b"\n")
        for line in whole:
            yield line
