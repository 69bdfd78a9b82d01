"""What the benchmarks share: a Postroad of its own, smtp-source and smtp-sink, and the counting."""

import contextlib
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import lmdb
import tomlkit
import trio

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"  # never anything else
DOMAIN = "bench.test"

PROBE = 2000
"""Messages of the first run, which is not counted: it tells how many messages take the seconds asked for."""

_TICKS = os.sysconf("SC_CLK_TCK")
_COUNTERS = re.compile(rb"mesg=(\d+)(?=[\r\n ])")


class Failed(Exception):
    """A run that cannot be counted; the text says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What smtp-source sends, and how it is measured."""

    size: int  # octets of content
    sessions: int  # at once
    reuse: bool  # many messages on a connection
    count: int  # messages in a run; 0: as many as take ``seconds``
    seconds: float
    runs: int
    folder: Path  # where the data goes


@dataclass(frozen=True, slots=True)
class Run:
    """One run, and what it cost."""

    messages: int
    seconds: float
    cpu: float = 0.0  # seconds, of all processes of the server
    memory: int = 0  # octets at most, PSS: pages that processes share are counted once
    commits: int = 0  # of the queue, from the start of the server to its end
    left: int = 0  # messages in the queue at its end

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


# -- programs


def program(name: str) -> str:
    """Where one of Postfix's test programs is; ends the benchmark where it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise click.ClickException(f"{name} is missing; it comes with Postfix, which need not run: apt install postfix")
    return found


async def send(settings: Settings, count: int, port: int, arrived: Callable[[], int] | None = None) -> float:
    """Let smtp-source send; seconds until every message has its 250, and until ``arrived`` has come to ``count``."""
    command = [program("smtp-source"), "-4", "-C", "20", "-M", "source.test"]
    command += ["-f", "sender@source.test", "-t", f"user@{DOMAIN}"]
    command += ["-s", str(settings.sessions), "-m", str(count), "-l", str(settings.size)]
    command += [*(["-d"] if settings.reuse else []), f"inet:{HOST}:{port}"]
    started = trio.current_time()
    limit = max(120.0, 10 * settings.seconds)
    with trio.move_on_after(limit):
        ended = await trio.run_process(command, check=False, capture_stderr=True)
        if ended.returncode:
            raise Failed(f"smtp-source failed: {ended.stderr.decode(errors='replace').strip()[-300:]}")
        while arrived is not None and arrived() < count:
            await trio.sleep(0.01)
        return trio.current_time() - started
    raise Failed(f"{count} messages did not get through within {limit:.0f} s; a higher --seconds waits longer")


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """smtp-sink: its port, and how many messages it has taken so far."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
    command = [program("smtp-sink"), "-4", "-c", *(["-u", "nobody"] if os.geteuid() == 0 else [])]
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = subprocess.Popen([*command, f"inet:{HOST}:{port}", "1024"], stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    counter = _Counter(reading)
    try:
        await _until_answered(port, process)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(counter.run)
            yield port, lambda: counter.count
            nursery.cancel_scope.cancel()
    finally:
        process.terminate()
        process.wait()
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
            await trio.sleep(0.01)


async def _until_answered(port: int, process: "subprocess.Popen[bytes]") -> None:
    with trio.move_on_after(10):
        while process.poll() is None:
            with contextlib.suppress(OSError):
                async with await trio.open_tcp_stream(HOST, port) as stream:
                    await stream.receive_some()
                    await stream.send_all(b"QUIT\r\n")
                return
            await trio.sleep(0.02)
    raise Failed("smtp-sink does not answer")


# -- the server


@dataclass(frozen=True, slots=True)
class Server:
    """A running Postroad."""

    pid: int
    port: int  # SMTP

    def cpu(self) -> float:
        """Seconds used so far by all of its processes."""
        return sum(_cpu(pid) for pid in _family(self.pid))

    def memory(self) -> int:
        """Octets of memory that it takes now (PSS)."""
        return sum(_pss(pid) for pid in _family(self.pid))


@asynccontextmanager
async def postroad(folder: Path, changes: Mapping[str, Any]) -> AsyncIterator[Server]:
    """A server under the repository's pipeline.toml with other ports and these changes, like {"queue.in_flight": 0}."""
    (folder / "filters").symlink_to(ROOT / "filters")
    config = folder / "pipeline.toml"
    config.write_text(_pipeline({"listen.smtp": f"{HOST}:0", "listen.pop3": f"{HOST}:0", **changes}))
    command = [sys.executable, "-m", "engine", "run", "--config", str(config)]
    with (folder / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
    try:
        yield Server(process.pid, await _ready(process, folder / "log"))
    finally:
        await _stop(process)
    bugs = [line for line in (folder / "log").read_text().splitlines() if '"event":"bug"' in line]
    if bugs:
        raise Failed(f"{len(bugs)} bugs in the log, the first: {bugs[0][:1000]}")


def _pipeline(changes: Mapping[str, Any]) -> str:
    config = tomlkit.parse((ROOT / "pipeline.toml").read_text())
    for place, value in changes.items():
        *tables, key = place.split(".")
        table: Any = config
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[key] = value
    return tomlkit.dumps(config)


async def _ready(process: trio.Process, log: Path) -> int:
    said = b""
    assert process.stdout is not None
    with trio.move_on_after(30):
        while b"\n" not in said and (octets := await process.stdout.receive_some()):
            said += octets
    found = re.search(rb"^ready .*?smtp=\S+:(\d+)", said)
    if not found:
        raise Failed(f"Postroad does not start: {log.read_text(errors='replace').strip()[-1000:]}")
    return int(found[1])


async def _stop(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        for end, patience in ((process.terminate, 2), (process.terminate, 20), (process.kill, 20)):
            end()  # told a second time, it no longer waits for what is under way
            with trio.move_on_after(patience):
                await process.wait()
                return


def _family(pid: int) -> Iterator[int]:
    """The process and all that it has started."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS  # proc_pid_stat(5): utime, stime
    return 0.0


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


# -- a run


async def direct(settings: Settings, count: int) -> Run:
    """The ceiling: smtp-source into smtp-sink, nothing between."""
    async with sink() as (port, arrived):
        return Run(count, await send(settings, count, port, arrived))


async def through(
    settings: Settings, changes: Mapping[str, Any], count: int, arrived: Callable[[], int] | None = None
) -> Run:
    """smtp-source into a fresh Postroad; until all is queued, or until ``arrived`` has come to ``count``."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-", dir=settings.folder) as name:
        folder = Path(name)
        async with postroad(folder, changes) as server, trio.open_nursery() as nursery:
            memory: list[int] = []
            nursery.start_soon(_watch, server, memory)
            before = server.cpu()
            seconds = await send(settings, count, server.port, arrived)
            run = Run(count, seconds, server.cpu() - before, max([*memory, server.memory()]))
            nursery.cancel_scope.cancel()
        commits, left = _queue(folder / "var")
        return replace(run, commits=commits, left=left)


async def _watch(server: Server, memory: list[int]) -> None:
    while True:
        memory.append(server.memory())
        await trio.sleep(1)


def _queue(data: Path) -> tuple[int, int]:
    """Transactions that the shards of the queue have committed, and the messages that they hold."""
    commits = left = 0
    for shard in (data / "queue").iterdir():
        with lmdb.open(str(shard), readonly=True, lock=False, max_dbs=8) as environment:
            commits += environment.info()["last_txnid"]
            database = environment.open_db(b"envelopes", create=False)
            with environment.begin() as transaction:
                left += transaction.stat(database)["entries"]
    return commits, left


# -- side by side


Runner = Callable[[Settings, int], Awaitable[Run]]


async def compare(title: str, ours: Runner, settings: Settings) -> None:
    """Measure Postroad and the ceiling in turn, and print both."""
    click.echo(f"{title}\n{settings.size} octets a message, {settings.sessions} sessions, ", nl=False)
    click.echo("connections reused" if settings.reuse else "a connection for each message")
    click.echo(f"{_machine()}; data on {_file_system(settings.folder)}")
    click.echo("Durable: each 250 comes after the commit (fdatasync) that holds its message\n")
    count, most = await _count(ours, settings), await _count(direct, settings)
    pairs = []
    for number in range(1, settings.runs + 1):
        pairs.append((await ours(settings, count), await direct(settings, most)))
        mine, ceiling = pairs[-1]
        click.echo(f"run {number} of {settings.runs}: Postroad {mine.rate:,.0f}/s, ceiling {ceiling.rate:,.0f}/s")
    mines = [mine for mine, _ in pairs]
    click.echo(f"\n{'median (min–max)':32}{'messages/s':>28}")
    click.echo(f"{'Postroad':32}{_spread([run.rate for run in mines], ',.0f'):>28}")
    click.echo(f"{'ceiling: straight into smtp-sink':32}{_spread([run.rate for _, run in pairs], ',.0f'):>28}")
    click.echo(f"{'ratio':32}{_spread([mine.rate / ceiling.rate for mine, ceiling in pairs], '.3f'):>28}\n")
    click.echo(f"{'CPU s for 1,000 messages':32}{_spread([run.cpu / run.messages * 1000 for run in mines], '.3f'):>28}")
    click.echo(f"{'memory, MiB (PSS)':32}{_spread([run.memory / 2**20 for run in mines], '.0f'):>28}")
    click.echo(f"{'messages for each commit':32}{_spread([run.messages / run.commits for run in mines], '.1f'):>28}")
    click.echo(f"{'messages in a run':32}{count:>28,}")


async def _count(runner: Runner, settings: Settings) -> int:
    if settings.count:
        return settings.count
    probe = await runner(settings, PROBE)
    return max(round(probe.rate * settings.seconds), settings.sessions)


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def _machine() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} core{'s' * (cores != 1)} {names[0] if names else platform.machine()}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def _file_system(folder: Path) -> str:
    """Its type; of an ext4 also whether it has a journal, for without one a sync costs less."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == number:
            kind, source = right.split()[:2]
            if kind in ("tmpfs", "ramfs"):
                return f"{kind}, which is memory: syncs cost nothing here (--folder puts it on a disk)"
            journal = any(Path("/proc/fs/jbd2").glob(f"{Path(source).name}-*"))
            return f"{kind}{'' if kind != 'ext4' else ' with a journal' if journal else ' without a journal'}"
    return "an unknown file system"


# -- the command


def options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of both benchmarks; the function gets a ``Settings``."""

    def called(no_reuse: bool, folder: Path | None, **values: Any) -> None:
        settings = Settings(reuse=not no_reuse, folder=folder or Path(tempfile.gettempdir()), **values)
        try:
            function(settings)
        except* Failed as group:
            raise click.ClickException("; ".join(str(error) for error in _leaves(group))) from None
        except* KeyboardInterrupt:
            raise click.Abort from None

    called.__doc__ = function.__doc__
    for option in (
        click.option(
            "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where data goes."
        ),
        click.option("--no-reuse", is_flag=True, help="A connection for each message."),
        click.option("--runs", default=3, show_default=True, type=click.IntRange(1)),
        click.option("--seconds", default=6.0, show_default=True, help="About how long a run takes."),
        click.option("--count", default=0, help="Messages in a run, instead of --seconds.", type=click.IntRange(0)),
        click.option("--sessions", default=100, show_default=True, help="At once.", type=click.IntRange(1)),
        click.option("--size", default=4096, show_default=True, help="Octets of a message.", type=click.IntRange(1)),
    ):
        called = option(called)
    return called


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
