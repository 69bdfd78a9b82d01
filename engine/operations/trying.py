"""Work that a program of its own does: it may take all of a processor, or have a store open that we have."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import msgspec
import trio

from engine.operations.impossible import Impossible

UNTRIED = "it could not be tried: a stage of one of the two could not be opened"

_Said: TypeAlias = dict[str, Any] | tuple[int, int] | str


async def by_program(
    module: str, wanted: msgspec.Struct, told: Callable[[int, int], None], refused: str = UNTRIED
) -> dict[str, Any]:
    """What comes of ``wanted``; ``told`` hears meanwhile how much of how much is done.

    The module of ours reads it and writes lines of JSON: [done, total], a text why it cannot be done, and at last an
    object. Impossible, with ``refused`` where it does not say why. The program ends with whoever waits for it.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found: dict[str, Any] = {}
    try:
        await process.stdin.send_all(msgspec.json.encode(wanted))
        await process.stdin.aclose()
        async for line in _lines(process.stdout):
            match _read(line):
                case dict() as whole:
                    found = whole
                case str() as reason:
                    refused = reason
                case (done, total):
                    told(done, total)
        if await process.wait() or not found:
            raise Impossible(refused)
        return found
    except trio.BrokenResourceError as error:  # it has ended before it has heard all
        raise Impossible(refused) from error
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _read(line: bytes) -> _Said | None:
    """What it says; None for what a filter prints there."""
    try:
        said: _Said = msgspec.json.decode(line, type=_Said)
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
