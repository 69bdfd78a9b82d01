"""A process is stopped for longer than a worker may give no sign of life."""

import os
import signal
import time
from collections.abc import Sequence

import pytest

from tests.crash.system import EVERY, OF_EACH_KIND, Load, reasons, settle_accounts, verify
from tests.support.remote import Remote
from tests.support.server import Postroad

HANG = 10.0
"""Seconds: on a machine that is busy with other things a sign of life may come late."""


LOADED = 180.0
"""Seconds in which a worker is loaded, at the latest."""


@pytest.fixture
def server(prepared: Postroad) -> Postroad:
    prepared.change({"server": {"hang": f"{HANG:g}s"}})
    return prepared.start()


@pytest.mark.parametrize("workers", [[kind] for kind in OF_EACH_KIND] if EVERY else [OF_EACH_KIND], ids=",".join)
def test_what_a_worker_held_goes_to_others(server: Postroad, remote: Remote, workers: Sequence[str]) -> None:
    load = Load(server)
    load.start()
    load.until_answered(10)
    pids = server.workers()
    for worker in workers:
        os.kill(pids[worker], signal.SIGSTOP)
    for worker in workers:
        server.wait_for("worker-hangs", worker=worker)
    for worker in workers:
        server.wait_for("worker-restarted", LOADED, worker=worker)
    load.wait()
    settle_accounts(server, remote, load.ledger, crashes=reasons(server))
    verify(server)


def test_a_supervisor_that_was_stopped_takes_nobody_for_lost(server: Postroad, remote: Remote) -> None:
    load = Load(server)
    load.start()
    load.until_answered(10)
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(HANG + 2)
    os.kill(server.pid, signal.SIGCONT)
    assert server.reload().returncode == 0
    load.wait()
    assert server.all("worker-hangs") == server.all("worker-died") == []
    settle_accounts(server, remote, load.ledger, crashes=0)
