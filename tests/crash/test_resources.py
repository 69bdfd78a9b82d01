"""No more descriptors, no more memory, for one worker of each kind while mail flows: it recovers, or is replaced."""

import contextlib
import resource
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.faults import MEMORY, limited
from tests.crash.system import EVERY, OF_EACH_KIND, Load, reasons, settle_accounts, verify
from tests.support.remote import Remote
from tests.support.server import PATIENCE, Postroad, until

SECONDS = 1.0


@pytest.mark.parametrize("workers", [[kind] for kind in OF_EACH_KIND] if EVERY else [OF_EACH_KIND], ids=",".join)
@pytest.mark.parametrize(
    ("what", "more"),
    [(resource.RLIMIT_NOFILE, 0), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_DATA, MEMORY)][: 3 if EVERY else 2],
    ids=["descriptors", "address space", "data"][: 3 if EVERY else 2],
)
def test_a_worker_runs_out(server: Postroad, remote: Remote, workers: Sequence[str], what: int, more: int) -> None:
    load = Load(server, messages=0)
    load.start()
    load.until_answered(10)
    for worker in workers:
        pid = until(lambda name=worker: server.workers().get(name), worker)  # type: ignore[misc]
        with limited(pid, what, more), contextlib.suppress(OSError, EOFError):
            time.sleep(SECONDS)
        load.until_answered(len(load.ledger.answered) + 10)
    load.stop()
    verify(server)
    settle_accounts(server, remote, load.ledger, crashes=reasons(server))


def test_accepting_without_descriptors_waits_and_recovers(server: Postroad) -> None:
    pids = [pid for name, pid in server.workers().items() if name.startswith("mail-")]
    with contextlib.ExitStack() as stack:
        for pid in pids:
            stack.enter_context(limited(pid, resource.RLIMIT_NOFILE, 0))
        before = [_seconds(pid) for pid in pids]
        waiting = [socket.create_connection(("127.0.0.1", server.ports["smtp"])) for _ in range(20)]
        for process in ("mail-0", "mail-1"):
            server.wait_for("out-of-descriptors", process=process)
        began = time.monotonic()
        time.sleep(SECONDS)
        used = [_seconds(pid) - start for pid, start in zip(pids, before, strict=True)]
        assert max(used) < (time.monotonic() - began) / 2, "it spins"
        assert len(server.all("out-of-descriptors")) == len(pids)  # told once
    for connection in waiting:  # those that waited are served
        with connection:
            connection.settimeout(PATIENCE)
            assert connection.recv(3) == b"220"


def _seconds(pid: int) -> float:
    """Of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
