"""Kill what stands between IMAP clients and their mail: what was answered is there, and once."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.mailers import EVE, Mailers
from tests.support.dice import seeded
from tests.support.server import Postroad

ROUNDS = 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, {"listen": {"imap": "127.0.0.1:0"}}) as server:
        yield server.account(EVE)


@pytest.mark.parametrize("victim", ["mailboxes", "readers-0", "index", "everything"])
def test_mail_of_imap_clients_outlives_a_kill(server: Postroad, victim: str) -> None:
    dice = seeded()
    mailers = Mailers(server)
    mailers.start()
    for _ in range(ROUNDS):
        mailers.until_answered(mailers.answered + dice.randrange(5, 40))
        time.sleep(dice.random() / 20)
        if victim == "everything":
            server.kill()
            server.start()
        else:
            os.kill(server.worker(victim), signal.SIGKILL)
    mailers.until_answered(mailers.answered + 10)
    mailers.stop()
    mailers.settle()
    mailers.settle_index()
    assert server.stop() == 0
    server.start()
    mailers.settle()
