"""CPU time and memory of all processes that a server ever had: of a control group, or of a family in /proc."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from bench import Failed

_CONTROL = Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")
_numbers = itertools.count(1)


class Group:
    """The processes of one server, with all that they start. Made by ``opened``, which also ends them.

    ``environment`` stands beside our own in the environment of every process started here.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.environment = {**os.environ, **environment}
        self._opened: list[trio.Process] = []
        self._started: dict[int, float] = {}  # process → CPU seconds when last seen
        self._folder = _control_group(f"postroad-bench-{os.getpid()}-{next(_numbers)}-{name}")

    # -- starting

    async def open(self, command: Sequence[str], **options: Any) -> trio.Process:
        """Start a program that stays. Options are those of ``trio.lowlevel.open_process``."""
        process = await trio.lowlevel.open_process(
            list(command), env=self.environment, preexec_fn=self._enter, **options
        )
        self._opened.append(process)
        self._started[process.pid] = 0.0
        return process

    async def run(self, command: Sequence[str], **options: Any) -> str:
        """Run a program to its end; what it said. Failed, with the end of that, when it ended badly."""
        done = await trio.run_process(
            list(command), env=self.environment, preexec_fn=self._enter, check=False, capture_stdout=True,
            stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}: {said.strip()[-500:]}")
        return said

    def _enter(self) -> None:
        """Between fork and exec, in the child."""
        if self._folder is not None:
            (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    # -- asking

    def processes(self) -> list[int]:
        """Those that run now."""
        if self._folder is not None:
            return _members(self._folder)
        return [pid for started in self._started for pid in _family(started)]

    def cpu(self) -> float:
        """Seconds, user and system, so far, also of processes that have ended.

        Without a control group those count whose parent has waited for them (proc_pid_stat(5)).
        """
        if self._folder is not None:
            return _control_seconds(self._folder)
        for pid in self._started:
            self._started[pid] = max(self._started[pid], sum(map(_seconds, _family(pid))))
        return sum(self._started.values())

    def memory(self) -> int:
        """Octets now, as PSS: pages that processes share are counted once."""
        return sum(_held(pid, "Pss") for pid in self.processes())

    def anonymous(self) -> int:
        """Octets of it that no file stands behind. The others, those of a memory map, the kernel takes back at need."""
        return sum(_held(pid, "Pss_Anon") for pid in self.processes())

    # -- ending

    async def end(self, patience: float = 10.0) -> None:
        """End all that runs, first asking. Only processes that were started here, or by one of them."""
        with trio.CancelScope(shield=True):
            for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
                await self._signalled(number, seconds)
            with trio.move_on_after(10):
                for process in self._opened:
                    await process.wait()
            await self._forgotten()

    async def _signalled(self, number: signal.Signals, seconds: float) -> None:
        told: set[int] = set()
        with trio.move_on_after(seconds):
            while running := self.processes():
                for pid in set(running) - told:  # those that were started meanwhile as well
                    told.add(pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                await trio.sleep(0.02)

    async def _forgotten(self) -> None:
        if self._folder is None:
            return
        for _ in range(100):
            with contextlib.suppress(OSError):  # busy as long as a dead process has not been waited for
                self._folder.rmdir()
                return
            await trio.sleep(0.05)


@asynccontextmanager
async def opened(name: str, environment: Mapping[str, str] = {}) -> AsyncIterator[Group]:
    """A group, whose processes are ended when the block is left."""
    group = Group(name, environment)
    try:
        yield group
    finally:
        await group.end()


@asynccontextmanager
async def most(memory: Callable[[], int], *, every: float = 1.0) -> AsyncIterator[Callable[[], int]]:
    """The most that there has been since the block was entered; not often, for to ask 100 processes takes ms."""
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(memory())
            await trio.sleep(every)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield lambda: max([*seen, memory()])
        nursery.cancel_scope.cancel()


# -- control groups


def _control_group(name: str) -> Path | None:
    """A new control group that counts CPU time; None where we may not make one."""
    first = _CONTROL / "cpuacct" if (_CONTROL / "cpuacct").is_dir() else _CONTROL  # cgroups(7): version 1, or 2
    if not (first / "cgroup.procs").exists():
        return None
    try:
        (first / name).mkdir()
    except OSError:
        return None
    return first / name


def _members(folder: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    return []


def _control_seconds(folder: Path) -> float:
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text()) / 1e9
    found = re.search(r"^usage_usec (\d+)$", (folder / "cpu.stat").read_text(), re.MULTILINE)
    return int(found[1]) / 1e6 if found else 0.0


# -- /proc


def _family(pid: int) -> Iterator[int]:
    """The process and all that it has started, as far as they are there."""
    tasks = Path(f"/proc/{pid}/task")
    if _ended(pid):
        return
    yield pid
    with contextlib.suppress(OSError):
        for task in tasks.iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _ended(pid: int) -> bool:
    """Whether there is no such process, or only what is left of it until its parent asks."""
    fields = _stat(pid)
    return not fields or fields[0] == "Z"


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on, behind the name, which may hold anything."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _seconds(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, and those of children that were waited for


def _held(pid: int, kind: str) -> int:
    """Octets of a process: "Pss" or another line of proc_pid_smaps_rollup(5)."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0
