"""What the system allows: open files, memory, cores, waiting connections, address space."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.net.listening import BACKLOG
from engine.queue.store import shard_numbers
from engine.runtime.places import mail_workers, processes
from engine.units import measured

_FILES, _FEW_FILES = 4096, 1024
"""Open files that one process needs: some hundred for itself, and one for each connection."""

_PROCESS = 25 * 10**6
_SERVER = 60 * 10**6
"""Octets of memory that an idle process takes, and all of them together besides (docs/operating.md, "Memory")."""


def look(patient: Patient) -> Iterator[Finding]:
    yield _open_files(patient)
    yield _memory(patient)
    yield _cores(patient)
    yield _waiting()
    yield from _address_space(patient)


def _open_files(patient: Patient) -> Finding:
    most = _most_files(patient)
    text = f"a process may have {most:,} files and connections open"
    do = "LimitNOFILE=65536 in the unit, or ulimit -Hn"
    if most < _FEW_FILES:
        return problem(text, "clients have to wait, and stores may not open", do)
    if most < _FILES:
        return warning(text, "with so many connections at once, others wait", do)
    return good(text)


def _most_files(patient: Patient) -> int:
    if patient.running is not None:
        with suppress(OSError):
            for line in Path(f"/proc/{patient.running.pid}/limits").read_text().splitlines():
                if line.startswith("Max open files"):
                    hard = line.split()[4]
                    return int(hard) if hard.isdecimal() else 2**30
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _memory(patient: Patient) -> Finding:
    most = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _allotted(Path("/proc/self/cgroup")))
    count = len(processes(patient.config)) + 2
    needed = _SERVER + count * _PROCESS
    text = f"{measured(most)} of memory for {count} processes"
    fewer = "set [server] workers and [mailboxes] readers, or give it more memory"
    if most < needed:
        return problem(text, f"idle they need some {measured(needed)}: the kernel will kill some", fewer)
    if most < 3 * needed:
        return warning(text, f"idle they need some {measured(needed)}, and each login 64 MiB for a moment", fewer)
    return good(text)


def _allotted(told: Path) -> int:
    """Octets that a control group grants (cgroups(7), version 2); a large number where none does."""
    with suppress(OSError, ValueError, IndexError):
        group = next(line for line in told.read_text().splitlines() if line.startswith("0::"))[3:]
        return int((Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.max").read_text())
    return 2**62


def _cores(patient: Patient) -> Finding:
    cores, workers = len(os.sched_getaffinity(0)), mail_workers(patient.config)
    text = f"{workers} mail workers on {cores} cores"
    if workers > 4 * cores:
        wanted = f"[server] workers = 0, and docs/operating.md, {'How many workers'!r}"
        return warning(text, "they wait for each other, and take memory", wanted)
    return good(text)


def _waiting() -> Finding:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    text = f"{most:,} connections may wait to be taken"
    if most < BACKLOG:
        return warning(text, "in a rush some are refused", f"sysctl net.core.somaxconn={BACKLOG}")
    return good(text)


def _address_space(patient: Patient) -> Iterator[Finding]:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    config = patient.config
    shards = max(mail_workers(config), len(shard_numbers(config.server.data)) if config.server.data.exists() else 0)
    needed = shards * config.queue.map_size + config.mailboxes.map_size
    if most != resource.RLIM_INFINITY and most < needed:
        yield problem(
            f"a process may have {measured(most)} of addresses",
            f"the stores are mapped into {measured(needed)} of them; this is no memory",
            "ulimit -v unlimited; no LimitAS in the unit; or smaller map_size in [queue] and [mailboxes]",
        )
