"""Whether the server runs and answers, and what its queue looks like."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.cli.doctor.ports import near
from engine.cli.tables import counted
from engine.queue.store import Shard, shard_numbers
from engine.runtime.places import processes

_SECONDS = 10.0
_OFTEN = 3
"""Restarts of one worker from which on they are no chance."""

_LATE = 900.0
"""Seconds for which a message may be due until it is strange."""

_LOG = "journalctl -u postroad -n 50"
_MANY_LINES, _PARKED = 100, 10_000
"""Up to which they are counted, in each shard."""

_EVER = 1e9
"""Seconds until a time that never comes."""


def look_at_server(patient: Patient) -> Iterator[Finding]:
    running = patient.running
    if running is None:
        yield problem(
            f"no server runs on {patient.config.server.data}", "no mail is taken in, and none goes out",
            f"systemctl start postroad, or {patient.again('run')}",
        )  # fmt: skip
        return
    text = f"process {running.pid} serves, by revision {running.revision}"
    if running.error:
        yield warning(
            f"{text}; the last reload was refused: {running.error}", "pipeline.toml as it is now is not in force",
            patient.again("check"),
        )  # fmt: skip
    else:
        yield good(text)
    yield from _workers(patient, running.pid, running.lives)
    yield from _greeting(patient)


def _workers(patient: Patient, pid: int, lives: dict[str, int]) -> Iterator[Finding]:
    wanted = {process.name[:15]: process.name for process in processes(patient.config)}
    there = set(_children(pid))
    for name in (name for short, name in wanted.items() if there and short not in there):
        yield problem(f"there is no worker {name}", "it died or cannot start: the log says why", _LOG)
    for name, count in sorted(lives.items()):
        if count > _OFTEN:
            yield warning(
                f"the worker {name} was started {count} times", "it dies, or hangs, of something that is in its way",
                "journalctl -u postroad | grep -e worker-died -e worker-hangs -e bug",
            )  # fmt: skip


def _children(pid: int) -> Iterator[str]:
    """What the children of a process are called."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
            if status.get("PPid") == str(pid):
                yield status["Name"]


def _greeting(patient: Patient) -> Iterator[Finding]:
    place = patient.config.listen.get("smtp")
    if place is None or not place[1]:
        return
    host, port = place
    began = time.perf_counter()
    try:
        with socket.create_connection((near(host), port), _SECONDS) as sock:
            said = sock.recv(512)
    except OSError as error:
        yield problem(f"smtp does not answer: {error}", "no mail is taken in", _LOG)
        return
    taken = (time.perf_counter() - began) * 1000
    if said[:3] == b"220":
        yield good(f"smtp greets within {taken:.0f} ms")
    else:
        first = said.decode("latin-1").partition("\r")[0]
        yield problem(f"smtp does not greet: {first or 'nothing'}", "clients go away", _LOG)


@dataclass
class _Queue:
    """What all shards have together."""

    messages: int = 0
    parked: int = 0
    lines: int = 0
    begun: list[float] = field(default_factory=list)  # when the oldest message of each came
    due: list[float] = field(default_factory=list)  # when the first attempt of each is owed

    def count(self, shard: Shard, later: float) -> None:
        self.messages += shard.count()
        self.begun += [record.id.time for record in islice(shard.all_records(), 1)]  # ids begin with the time
        self.due += filter(None, [shard.next_due(b"")])
        self.lines += len(shard.turns(b"", _MANY_LINES, later, ())[0])
        self.parked += len(shard.parked_from(b"", _PARKED, later)[0])


def look_at_queue(patient: Patient) -> Iterator[Finding]:
    config, now = patient.config, time.time()
    data, queue = config.server.data, _Queue()
    for number in shard_numbers(data) if data.exists() else ():
        with closing(Shard(data, number, map_size=config.queue.map_size, read_only=True)) as shard:
            queue.count(shard, now + _EVER)
    age = f", the oldest for {_span(now - min(queue.begun))}" if queue.begun else ""
    yield good(f"{counted(queue.messages, 'message')} in the queue{age}")
    yield from _late(patient, min(queue.due, default=0.0), now)
    if queue.lines >= _MANY_LINES:
        text = f"mail for at least {counted(queue.lines, 'destination')} waits in line"
        yield warning(text, "many cannot be reached: is it us?", patient.again("queue list"))
    elif queue.lines:
        yield good(f"mail for {counted(queue.lines, 'destination')} waits in line")
    if queue.parked:
        text = f"{'at least ' if queue.parked >= _PARKED else ''}{counted(queue.parked, 'message')} parked"
        means = "somebody should look at them; they are deleted in the end"
        yield warning(text, means, patient.again("quarantine list"))


def _late(patient: Patient, due: float, now: float) -> Iterator[Finding]:
    if 0 < due < now - _LATE:
        yield warning(
            f"a message has been due for {_span(now - due)}",
            "the server does not run, or cannot keep up: the disk, the DNS, or what stages ask is slow"
            if patient.running
            else "the server does not run",
            patient.again("queue list") if patient.running else "systemctl start postroad",
        )


def _span(seconds: float) -> str:
    for unit, each in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * each:
            return f"{seconds / each:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
