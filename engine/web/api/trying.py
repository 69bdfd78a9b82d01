"""Work that a program of its own does for a job: it may take all of a processor, or have a store open that we have."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import trio

from engine.web.api.jobs import Progress
from engine.web.api.problems import Problem


async def by_program(module: str, wanted: msgspec.Struct, kind: type[Any], refused: str, progress: Progress) -> None:
    """Run a module of ours, which reads ``wanted`` and writes lines of JSON: [done, total], a text why it cannot be
    done, and at last an object of that ``kind``. Problem, with ``refused`` where it does not say why."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(msgspec.json.encode(wanted))
        await process.stdin.aclose()
        async for line in _lines(process.stdout):
            match msgspec.json.decode(line):
                case dict() as found:
                    progress.result = msgspec.convert(found, kind)
                case str() as reason:
                    refused = reason
                case told:
                    progress.told(*told)
        if await process.wait():
            raise Problem(409, refused)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[bytes]:
    """Each line that the program writes."""
    rest = b""
    async for octets in stream:
        *whole, rest = (rest + octets).split(b"\n")
        for line in whole:
            yield line
