"""A message that kills whoever touches it is parked, and a worker that hangs is replaced; all others do not notice."""

import os
import signal
from pathlib import Path

import pytest

from tests.crash.system import BOB, Load, settle_accounts
from tests.support.load import subjects
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

POISON = '''
"""Dies of some messages."""
import os
from engine import Message

async def touchy(message: Message) -> Message:
    if message.header("Subject") == "poison":
        os._exit(3)
    return message
'''


@pytest.mark.parametrize("workers", [0, 2])
def test_a_poison_message_is_parked_and_the_rest_flows_on(tmp_path: Path, workers: int) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "queue", "touchy", "route"]}},
        "stage": {"touchy": {"use": "filters/touchy.py"} | ({"workers": workers} if workers else {})},
    }
    with Postroad(tmp_path, settings, touchy=POISON) as server:
        server.account(BOB)
        for number in range(20):
            server.send(letter(f"good {number}"), BOB)
        _sent(server, "poison")  # its worker may die of it before it can say 250
        parked = server.wait_for("quarantined")
        assert "workers died with this message" in parked["reason"]
        for number in range(20, 40):
            until(lambda number=number: _sent(server, f"good {number}"), "the server to take mail")  # type: ignore[misc]
        good = sorted(f"good {number}" for number in range(40))
        assert sorted(subjects(server.mail_for(BOB, 40))) == good
        assert len(server.all("quarantined")) == 1
        deaths = len(server.all("worker-died"))
        assert deaths == 3
        server.filter("touchy", POISON.replace("os._exit(3)", "pass"))
        assert server.reload().returncode == 0
        assert server.command("queue", "release", parked["id"]).returncode == 0
        assert sorted(subjects(server.mail_for(BOB, 41))) == sorted([*good, "poison"])
        assert server.command("queue", "verify").returncode == 0


def _sent(server: Postroad, subject: str) -> bool:
    try:
        server.send(letter(subject), BOB)
    except OSError:  # smtplib's own errors too: its worker was about to come back
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["relay-0", "after-1", "mail-0"])
def test_a_worker_that_hangs_is_replaced_and_acts_no_more(server: Postroad, remote: Remote, victim: str) -> None:
    load = Load(server)
    load.start()
    load.until_answered(20)
    pid = server.worker(victim)
    os.kill(pid, signal.SIGSTOP)
    server.wait_for("worker-hangs", worker=victim)
    server.wait_for("worker-restarted", worker=victim)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)  # it is dead, and wakes up no more
    load.wait()
    settle_accounts(server, remote, load.ledger)
