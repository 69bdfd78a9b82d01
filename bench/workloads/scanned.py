"""Scanned: inbound mail that rspamd and ClamAV look at too, before the sender hears a word."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench import Failed, outside, scanners
from bench.disks import Disk
from bench.measure import Cell, Run, Trial, Wanted
from bench.scanners import Scanners
from bench.servers.base import DOMAIN, HOST, SOURCE, Server
from bench.workloads.base import Choice, Work, matrix, trial
from bench.workloads.deliver import into_mailboxes
from bench.workloads.plain import MOST_NUMBERED

_ASKING = 20
"""Messages that both are asked about at once when there is no server: more keep them no busier."""


class Scanned:
    """Every server asks the same two daemons; and one trial asks them directly, which no server can beat."""

    name = "scanned"
    title = "as inbound, and rspamd and ClamAV say that it may pass: until the last message is in a mailbox"
    place = 5
    usual = False
    room = 4096
    picture = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        return matrix(replace(choice, sizes=choice.sizes or (4096,)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        works = [Work(server, cell, disk, limit) for server in servers if self.name in server.workloads]
        limits = Trial("scanners", "rspamd and ClamAV alone", "", "nothing stored", partial(alone, cell))
        return [limits, *(trial(work.server, partial(_measure, work), most=MOST_NUMBERED) for work in works)]


async def _measure(work: Work, count: int) -> Run:
    async with _outside() as (folder, more):
        letter = folder / "letter"
        letter.write_bytes(outside.letter(work.cell.size).replace(b"\r\n", b"\n"))  # smtp-source adds the CRs
        with _counted(more["scanners"]) as figures:
            run = await into_mailboxes(WORKLOAD.name, work, count, letter=letter, **more)
        return replace(run, figures={**run.figures, **figures(count)})


async def alone(cell: Cell, count: int) -> Run:
    """Both are asked about each message at the same time."""
    async with _outside() as (_, more):
        letter, numbers = outside.letter(cell.size), iter(range(count))
        with _counted(more["scanners"]) as figures:
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(_ASKING):
                    nursery.start_soon(_ask, more["scanners"], letter, numbers)
            return Run(count, trio.current_time() - began, figures=figures(count))


@asynccontextmanager
async def _outside() -> AsyncIterator[tuple[Path, Mapping[str, Any]]]:
    """A folder, and what a server needs for mail from outside: ``Task``'s dns and scanners."""
    if gone := outside.missing() or scanners.missing():
        raise Failed(gone)
    with tempfile.TemporaryDirectory(prefix="outside-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # rspamd is no root
        async with outside.resolver(folder) as dns, scanners.scanners(folder, dns) as asked:
            yield folder, {"dns": dns, "scanners": asked}


@contextmanager
def _counted(asked: Scanners) -> Iterator[Callable[[int], Mapping[str, float]]]:
    """What the scanners have used since, for so many messages."""
    before = asked.group.cpu()
    yield lambda count: {"scanners, CPU s for 1,000": 1000 * (asked.group.cpu() - before) / count}


async def _ask(asked: Scanners, letter: bytes, numbers: Iterator[int]) -> None:
    for _ in numbers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_rspamd, asked.rspamd, letter)
            nursery.start_soon(_ask_clamd, asked.clamd, letter)


async def _ask_rspamd(port: int, letter: bytes) -> None:
    head = (
        f"POST /checkv2 HTTP/1.1\r\nHost: {HOST}\r\nIP: {HOST}\r\nHelo: client.{SOURCE}\r\nFrom: {outside.SENDER}\r\n"
    )
    head += f"Rcpt: u@{DOMAIN}\r\nContent-Length: {len(letter)}\r\nConnection: close\r\n\r\n"
    answer = await _answer(await trio.open_tcp_stream(HOST, port), head.encode() + letter)
    if b'"action":"no action"' not in answer:
        raise Failed(f"rspamd says {answer[-1000:]!r}")


async def _ask_clamd(path: Path, letter: bytes) -> None:
    octets = b"zINSTREAM\0" + len(letter).to_bytes(4, "big") + letter + bytes(4)
    answer = await _answer(await trio.open_unix_socket(str(path)), octets)
    if answer != b"stream: OK\0":
        raise Failed(f"clamd says {answer!r}")


async def _answer(stream: trio.SocketStream, octets: bytes) -> bytes:
    """All that comes until the other side closes."""
    async with stream:
        await stream.send_all(octets)
        return b"".join([piece async for piece in stream])


WORKLOAD = Scanned()
