"""What a running server holds, counted from outside: by process, by LMDB environment, and the files in its data folder.

Only the trio tasks and the blocks of Python's allocator a process must tell itself: see ``telling/sitecustomize.py``.
"""

import contextlib
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from tests.support.server import ROOT, Postroad, anonymous_memory, until

TELLING = Path(__file__).parent / "telling"
ENVIRONMENTS = ("queue/0", "queue/1", "mailbox", "directory")
MESSAGES = ("envelopes", "content", "due", "lines", "turns", "message", "kept", "chunk")
"""Databases that are empty when there is no mail."""

KEPT = "engine.runtime.stages.LegRunner._work"
"""Tasks that run stages: no more than were ever wanted at once are kept, and at most as many as a link's window."""


@dataclass(frozen=True)
class Process:
    """What one process holds."""

    pid: int
    descriptors: Counter[str]  # by what they are of
    threads: int
    tasks: Counter[str]  # by name
    kept: int  # tasks besides these that wait for the next message
    blocks: int  # of Python's allocator: nearly every object is one or more
    memory: int  # octets that no file backs
    kinds: Counter[str]  # objects that the garbage collector knows, by type


@dataclass(frozen=True)
class Environment:
    """What is in one LMDB environment, and who reads it."""

    slots: Counter[int]  # readers' slots that are taken, by process
    reading: Counter[int]  # those with a transaction
    entries: dict[str, int]  # by database
    live: int  # octets of the pages that the databases use
    size: int  # octets of the file

    @property
    def messages(self) -> int:
        """Entries that only a message can have."""
        return sum(self.entries.get(name, 0) for name in MESSAGES)


@dataclass(frozen=True)
class Holdings:
    """What a server holds."""

    when: float  # Unix time
    processes: dict[str, Process]
    environments: dict[str, Environment]
    files: frozenset[str]

    @property
    def memory(self) -> int:
        return sum(process.memory for process in self.processes.values())

    def stale(self, name: str) -> int:
        """Slots of an environment that belong to processes that are no more."""
        alive = {process.pid for process in self.processes.values()}
        return sum(count for pid, count in self.environments[name].slots.items() if pid not in alive)


def tell(server: Postroad) -> None:
    """Let its processes tell what they hold, from the next start on."""
    folder = server.folder / "told"
    folder.mkdir()
    server.environment = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(TELLING))), "POSTROAD_TELL": str(folder)}


def holdings(server: Postroad) -> Holdings:
    """What the server holds at this moment."""
    data = server.folder / "var"
    pids = {"supervisor": server.pid, **dict(sorted(server.workers().items()))}
    return Holdings(
        time.time(),
        {name: _process(pid, server.folder / "told") for name, pid in pids.items()},
        {name: environment(data / name) for name in ENVIRONMENTS},
        frozenset(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()),
    )


def _process(pid: int, told: Path) -> Process:
    process = Path(f"/proc/{pid}")
    inside = _told(pid, told)
    return Process(
        pid,
        Counter(_descriptors(process)),
        len(list((process / "task").iterdir())),
        Counter({name: count for name, count in inside["tasks"].items() if name != KEPT}),
        inside["tasks"].get(KEPT, 0),
        inside["blocks"],
        anonymous_memory(pid),
        Counter(inside["kinds"]),
    )


_BOUNCE_LOG = re.compile(r"/bounces/bounces-[\d-]+\.jsonl$")


def _told(pid: int, folder: Path) -> dict[str, Any]:
    answer = folder / str(pid)
    answer.unlink(missing_ok=True)
    until(lambda: _asked(pid, answer), f"what process {pid} holds", 300)
    return json.loads(answer.read_text())


def _asked(pid: int, answer: Path) -> bool:
    """Whether it answers soon. A process that is only about to start dies of the signal, or says nothing."""
    if _catches(pid, signal.SIGUSR1):
        os.kill(pid, signal.SIGUSR1)
    with contextlib.suppress(AssertionError):
        return bool(until(answer.exists, "an answer", 5))
    return False


def _catches(pid: int, number: int) -> bool:
    caught = re.findall(r"^SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text(), re.M)[0]
    return bool(int(caught, 16) >> number - 1 & 1)


def _descriptors(process: Path) -> Iterator[str]:
    """What is open there, by name; but for the one of the bounce log, which is opened when the first one comes."""
    logs = 0
    for link in (process / "fd").iterdir():
        try:
            name = re.sub(r":\[\d+\]$", "", os.readlink(link))
        except OSError:
            continue  # closed meanwhile
        logs += (is_log := _BOUNCE_LOG.search(name) is not None)
        if not is_log or logs > 1:
            yield name


def environment(path: Path) -> Environment:
    """What is in the environment now. It must not be open in this process."""
    with lmdb.open(str(path), max_dbs=64, readonly=True, create=False) as opened:
        readers = re.findall(r"^ *(\d+) +\w+ +(-|\d+)$", opened.readers(), re.M)
        with opened.begin() as transaction:
            names = [key for key, _ in transaction.cursor() if key != b"format"]
        databases = {name.decode(): opened.open_db(name, create=False) for name in names}
        with opened.begin() as transaction:
            statistics = {name: transaction.stat(database) for name, database in databases.items()}
    own = os.getpid()
    pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in statistics.values())
    return Environment(
        Counter(int(pid) for pid, _ in readers if int(pid) != own),
        Counter(int(pid) for pid, transaction in readers if transaction != "-" and int(pid) != own),
        {name: statistic["entries"] for name, statistic in statistics.items()},
        pages * 4096,
        (path / "data.mdb").stat().st_size,
    )


def table(held: Mapping[str, Holdings]) -> str:
    """One line for each process and each environment; in each column what was held at one count after the other."""

    def over_time(of: Callable[[Holdings], float], form: str = ",") -> str:
        return " → ".join(f"{of(each):{form}}" for each in held.values())

    rows = [["process", "descriptors", "threads", "tasks", "blocks of Python", "memory, MB"]]
    for name in next(iter(held.values())).processes:
        rows.append([
            name,
            over_time(lambda h, n=name: h.processes[n].descriptors.total()),
            over_time(lambda h, n=name: h.processes[n].threads),
            over_time(lambda h, n=name: h.processes[n].tasks.total()),
            over_time(lambda h, n=name: h.processes[n].blocks),
            over_time(lambda h, n=name: h.processes[n].memory / 1e6, ".1f"),
        ])  # fmt: skip
    rows.append(["all", *[""] * 4, over_time(lambda h: h.memory / 1e6, ".1f")])
    rows.append(["environment", "slots", "open", "stale", "in use, MB", "file, MB"])
    for name in ENVIRONMENTS:
        rows.append([
            name,
            over_time(lambda h, n=name: h.environments[n].slots.total()),
            over_time(lambda h, n=name: h.environments[n].reading.total()),
            over_time(lambda h, n=name: h.stale(n)),
            over_time(lambda h, n=name: h.environments[n].live / 1e6, ".1f"),
            over_time(lambda h, n=name: h.environments[n].size / 1e6, ".1f"),
        ])  # fmt: skip
    rows.append(["files", over_time(lambda h: len(h.files))])
    widths = [max(len(row[column]) for row in rows[:-1]) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return "\n".join([f"({' → '.join(held)})", *lines])
