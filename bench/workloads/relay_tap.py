"""What looking on costs: mail is relayed while nobody looks, and while `postroad tap` shows what passes, in turns."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from bench import Failed
from bench.load import send, sink
from bench.measure import Run, Trial
from bench.servers.postroad import ROOT, Postroad
from bench.workloads.base import Work, fresh, holds, started, trial
from bench.workloads.in_turns import InTurns

LINK = "remote/relay"
"""The last one, which all of this mail passes."""

LOOKS: Mapping[str, tuple[str, ...] | None] = {
    "": None,
    "one of 100": ("--sample", "1/100"),
    "all": (),
    "all, with headers": ("--headers",),
}
"""How somebody looks on: the options of the command; None: nobody does."""

_SUM = re.compile(rb"^([\d,]+) shown of ([\d,]+) that passed", re.MULTILINE)


async def measure(work: Work, count: int, *, options: Sequence[str] | None) -> Run:
    """Until smtp-sink has taken the last message. The command is not in the server's CPU."""
    async with sink() as (port, arrived):
        with fresh(work) as folder:
            async with started(work, "relay", kept=folder, next_hop=port) as (running, used):
                before, shown = arrived(), [0, 0]
                async with _looking(folder, options, shown):
                    sent = await send(work.cell, count, running.port, lambda: arrived() - before, limit=work.limit)
                    run = Run(count, sent.arrived, **used())
                await holds(running, 0)
    if options is not None and "--sample" not in options and shown[1] != count:  # of a sample no others are counted
        raise Failed(f"of {count} messages that passed {LINK} the tap saw {shown[1]}")
    return replace(run, figures={"taken in, messages/s": count / sent.accepted, "shown": float(shown[0])})


@asynccontextmanager
async def _looking(folder: Path, options: Sequence[str] | None, shown: list[int]) -> AsyncIterator[None]:
    """The command meanwhile; then how many it has shown, and how many passed."""
    if options is None:
        yield
        return
    command = [sys.executable, "-m", "engine", "--config", str(folder / "pipeline.toml"), "tap", LINK, *options]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    try:
        while b"tapping " not in said:
            if not (octets := await process.stderr.receive_some()):
                raise Failed(f"nothing is tapped: {said.decode(errors='replace').strip()[-300:]}")
            said += octets
        yield
        process.terminate()
        said += b"".join([octets async for octets in process.stderr])
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    if (found := _SUM.search(said)) is None:
        raise Failed(f"the tap does not say what it saw: {said.decode(errors='replace').strip()[-300:]}")
    shown[:] = [int(number.replace(b",", b"")) for number in found.groups()]


def _ways(server: Postroad, work: Work) -> Iterator[Trial]:
    """Nobody looks on, or somebody does in one way or the other."""
    for name, options in LOOKS.items():
        key = f"{server.key}@tap-{name.replace(',', '').replace(' ', '-')}" if name else server.key
        run = partial(measure, work, options=options)
        yield trial(server, run, key=key, name=f"{server.name}, a tap: {name}" if name else "")


WORKLOAD = InTurns(
    "relay-tap",
    "smtp-source → server → smtp-sink, while nobody looks on, and while `postroad tap` shows what passes",
    _ways,
)
