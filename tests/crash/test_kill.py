"""Kill any process at any moment: no message that was answered 250 is lost, and no local one comes twice.

Each test prints its seed. Set POSTROAD_SEED to try the same moment again, as far as the machine repeats itself.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.crash.system import MESSAGES, WORKERS, Load, moment, settle_accounts
from tests.support.remote import Remote
from tests.support.server import Postroad


@pytest.mark.parametrize("victim", WORKERS)
def test_kill_a_worker(server: Postroad, remote: Remote, victim: str) -> None:
    answers, pause = moment()
    load = Load(server)
    load.start()
    load.until_answered(answers)
    time.sleep(pause)
    os.kill(server.worker(victim), signal.SIGKILL)
    load.wait()
    server.wait_for("worker-restarted", worker=victim)
    assert {event["worker"] for event in server.all("worker-died")} == {victim}
    settle_accounts(server, remote, load.ledger)


def test_kill_the_zygote(server: Postroad, remote: Remote) -> None:
    """No worker dies with it; the next one that has to be started gets another."""
    load = Load(server)
    load.start()
    load.until_answered(1)
    before = server.workers()
    os.kill(server.wait_for("zygote-started")["pid"], signal.SIGKILL)
    load.until_answered(MESSAGES // 2)
    assert server.workers() == before
    os.kill(before["mail-0"], signal.SIGKILL)
    load.wait()
    server.wait_for("worker-restarted", worker="mail-0")
    assert len(server.all("zygote-started")) == 2
    assert {event["worker"] for event in server.all("worker-died")} == {"mail-0"}
    settle_accounts(server, remote, load.ledger)


def test_kill_everything_twice(server: Postroad, remote: Remote) -> None:
    load = Load(server)
    load.start()
    for round_ in range(2):
        answers, pause = moment()
        load.until_answered((answers + round_ * MESSAGES) // 2)
        time.sleep(pause)
        sockets = Path(json.loads((server.folder / "var" / "running.json").read_text())["folder"])
        assert sockets.is_dir()
        server.kill()
        server.start()
        assert not sockets.exists()
    load.wait()
    settle_accounts(server, remote, load.ledger, crashes=2)


def test_kill_the_supervisor(server: Postroad, remote: Remote) -> None:
    """Its workers see that it is gone and end, so that a new one can start at once."""
    answers, pause = moment()
    load = Load(server)
    load.start()
    load.until_answered(answers)
    time.sleep(pause)
    os.kill(server.pid, signal.SIGKILL)
    server.start()
    load.wait()
    settle_accounts(server, remote, load.ledger)
