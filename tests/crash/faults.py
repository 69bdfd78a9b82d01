"""What can be done to a running system, and undone."""

import contextlib
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.net.zone import Fault, Zone
from tests.crash.system import WORKERS
from tests.support.clock import Clock
from tests.support.programs import path_of
from tests.support.remote import DROP, FLOOD, LINE, NONSENSE, SILENCE, TRICKLE, Remote
from tests.support.server import Postroad, until

MEMORY = 2**20
"""Octets that a process gets beside those that it has when it is to run out of memory."""


@dataclass
class System:
    """A server, and the next server of its remote mail."""

    server: Postroad
    remote: Remote
    zone: Zone  # of its domain
    clock: Clock
    dice: random.Random
    deaths: int = 0  # of everything at once: reasons for which mail may be sent again

    def worker(self) -> tuple[str, int]:
        """One of its workers, and its process id; one that is there."""
        alive = self.server.workers()
        name = self.dice.choice([name for name in (*WORKERS, "index") if name in alive] or [*alive])
        return name, alive[name]


@contextlib.contextmanager
def refusing(pid: int, what: str) -> Iterator[None]:
    """Let system calls of a process and its threads fail meanwhile: "fdatasync:error=EIO:when=3+5"."""
    name = what.partition(":")[0]
    tracer = subprocess.Popen(
        [path_of("strace"), "-f", "-q", "-p", str(pid), "-e", f"trace={name}", "-e", f"inject={what}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: tracer.poll() is not None or _traced(pid, tracer.pid), "strace to attach")
        assert tracer.poll() is None, "strace could not attach"
        yield
    finally:
        tracer.terminate()
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:  # it waits for a process that is dying, which waits for it
            tracer.kill()
            tracer.wait()


def _traced(pid: int, tracer: int) -> bool:
    """Whether each thread of a process is traced by that one; so are those that it begins later."""
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    try:
        return all(f"\nTracerPid:\t{tracer}\n" in one.read_text() for one in threads)
    except OSError:  # one of them has ended
        return not Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def limited(pid: int, what: int, more: int) -> Iterator[None]:
    """Let a process have so much more of a resource than it has now, and no more, meanwhile."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (used(pid, what) + more, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have died of it
            resource.prlimit(pid, what, before)


def used(pid: int, what: int) -> int:
    """How much of a limited resource a process has: descriptors, or octets."""
    if what == resource.RLIMIT_NOFILE:
        return len(os.listdir(f"/proc/{pid}/fd"))
    name = {resource.RLIMIT_AS: "VmSize", resource.RLIMIT_DATA: "VmData"}[what]
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def kill_a_worker(system: System) -> str:
    name, pid = system.worker()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return name


def kill_everything(system: System) -> str:
    system.server.kill()
    system.server.start()
    system.deaths += 1
    return "started again"


def kill_the_supervisor(system: System) -> str:
    os.kill(system.server.pid, signal.SIGKILL)
    system.server.start()
    system.deaths += 1
    return "started again"


def stop_a_worker_for_a_while(system: System) -> str:
    name, pid = system.worker()
    seconds = system.dice.choice([0.1, 1, 2, 12])  # the last one for longer than it may give no sign of life
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
    return f"{name} for {seconds:g} s"


def stop_and_start(system: System) -> str:
    assert system.server.stop() == 0
    system.server.start()
    return "in order"


def reload(system: System) -> str:
    connections = system.dice.randrange(1, 10)
    system.server.change({"stage": {"relay": {"connections": connections}}})
    system.server.reload()
    return f"with {connections} connections"


def fail_syncs(system: System) -> str:
    name = system.dice.choice(["mail-0", "mail-1", "mailboxes", "index"])
    call = system.dice.choice(["fdatasync", "pwrite64", "fsync"])
    error = system.dice.choice(["EIO", "ENOSPC"])
    pid = system.server.workers().get(name)
    if pid is not None:
        with (
            contextlib.suppress(AssertionError),
            refusing(pid, f"{call}:error={error}:when=2+{system.dice.randrange(2, 9)}"),
        ):
            time.sleep(0.5)
    return f"{call} of {name}: {error}"


def take_descriptors(system: System) -> str:
    return _limit(system, resource.RLIMIT_NOFILE, 0)


def take_memory(system: System) -> str:
    return _limit(system, system.dice.choice([resource.RLIMIT_AS, resource.RLIMIT_DATA]), MEMORY)


def _limit(system: System, what: int, more: int) -> str:
    name, pid = system.worker()
    with contextlib.suppress(ProcessLookupError, FileNotFoundError), limited(pid, what, more):
        time.sleep(0.5)
    return name


def break_the_next_server(system: System) -> str:
    step = system.dice.choice(["MAIL", "RCPT", "DATA", "."])
    replies = ["421 4.3.2 Shutting down", "451 4.3.0 Later", NONSENSE]
    answer = system.dice.choice([DROP, SILENCE, TRICKLE, FLOOD, LINE, *replies])
    before = system.remote.script
    system.remote.script = {**before, step: answer}
    time.sleep(0.7)
    system.remote.script = before
    return f"{step}: {answer!r}"


def break_dns(system: System) -> str:
    name = system.dice.choice(["@", "mx"])
    fault = system.dice.choice([None, *Fault])
    if fault is None:
        system.zone.delay(name, 5)
    system.zone.fail(name, fault)
    time.sleep(1.5)  # the answer before it is over
    system.zone.fail(name, None)
    system.zone.delay(name, 0)
    return f"{name} {fault.value if fault else 'answers slowly'}"


def flood_with_connections(system: System) -> str:
    port = system.server.ports["smtp"]
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):  # nobody listens, perhaps
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 1, ("127.0.0.9", 0)))
        time.sleep(0.5)
    return "300"


def set_the_clock(system: System) -> str:
    ahead = system.dice.choice(["-1d", "-90s", "+90s", "+2d"])
    system.clock.set(ahead)
    time.sleep(0.5)
    if system.dice.random() < 0.5:
        system.clock.set("+0")
    return ahead


FAULTS: tuple[Callable[[System], str], ...] = (
    kill_a_worker,
    kill_everything,
    kill_the_supervisor,
    stop_a_worker_for_a_while,
    stop_and_start,
    reload,
    fail_syncs,
    take_descriptors,
    take_memory,
    break_the_next_server,
    break_dns,
    flood_with_connections,
    set_the_clock,
)
