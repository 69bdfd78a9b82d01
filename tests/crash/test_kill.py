"""Kill any process at any moment: no message that was answered 250 is lost, and no local one comes twice.

Each test prints its seed. Set POSTROAD_SEED to try the same moment again, as far as the machine repeats itself.
"""

import itertools
import os
import random
import re
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

CLIENTS, MESSAGES = 20, 200
BOB, FAR = "bob@example.org", "bob@remote.test"

FILTER = '''
"""Takes a moment, so that there is always something in hand."""
import random
import trio
from engine import Message

async def {name}(message: Message) -> Message:
    await trio.sleep(random.random() / 50)
    return message.with_fact("{name}.seen", True)
'''

LANES = {
    "inbound": {"stages": ["accept", "before", "queue", "after", "route"]},
    "local": {"stages": ["enqueue"]},
    "remote": {"stages": ["resolve", "relay"]},
}
WORKERS = ["mail-0", "mail-1", "mailboxes", "readers", "before-0", "after-1", "relay-0"]

Kill = Callable[[Postroad], None]


class Ledger:
    """What clients sent, and what they were told. Every try is a message of its own, told apart by its token."""

    def __init__(self) -> None:
        self.answered: dict[str, tuple[str, ...]] = {}  # token → recipients
        self.tries = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def token(self) -> str:
        with self._lock:
            self.tries += 1
            return f"token-{next(self._numbers)}-"

    def expected(self, recipient: str) -> set[str]:
        return {token for token, recipients in self.answered.items() if recipient in recipients}


class Load:
    """Clients that send without a pause until ``MESSAGES`` messages were answered 250, whatever happens meanwhile."""

    def __init__(self, server: Postroad) -> None:
        self.server = server
        self.ledger = Ledger()
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client never came to its end"

    def until_answered(self, count: int) -> None:
        until(lambda: len(self.ledger.answered) >= count, f"{count} answers")

    def _client(self, number: int) -> None:
        open_connection: smtplib.SMTP | None = None
        left = MESSAGES // CLIENTS
        while left:
            recipients = [(BOB,), (FAR,), (BOB, FAR)][(number + left) % 3]
            token = self.ledger.token()
            try:
                if open_connection is None:
                    open_connection = self.server.smtp()
                open_connection.sendmail(
                    "ann@example.net", recipients, letter(token, "line\r\n" * random.randrange(1500))
                )
            except smtplib.SMTPResponseException:
                time.sleep(0.05)  # put off: come again, on the same connection
            except (OSError, smtplib.SMTPException):
                open_connection = None
                time.sleep(0.05)
            else:
                self.ledger.answered[token] = recipients
                left -= 1
        if open_connection is not None:
            open_connection.close()


def tokens(messages: list[bytes]) -> Counter[str]:
    return Counter(found[1].decode() for m in messages if (found := re.search(rb"^Subject: (token-\d+-)", m, re.M)))


@pytest.fixture
def remote() -> Iterator[Remote]:
    with smtp_server(Remote()) as remote:
        yield remote


@pytest.fixture
def server(tmp_path: Path, remote: Remote) -> Iterator[Postroad]:
    with dns(Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address:
        settings = {
            "dns": {"servers": [address]},
            "lane": LANES,
            "stage": {
                "before": {"use": "filters/before.py", "workers": 2},
                "after": {"use": "filters/after.py", "workers": 2},
                "relay": {"workers": 1, "connections": 5},
                "resolve": {"port": remote.port},
            },
        }
        filters = {name: FILTER.format(name=name) for name in ("before", "after")}
        with Postroad(tmp_path, settings, **filters) as server:
            yield server.account(BOB)


def moment() -> tuple[int, float]:
    """How many answers to wait for, and how much longer."""
    seed = int(os.environ.get("POSTROAD_SEED") or random.SystemRandom().randrange(10**6))
    print(f"POSTROAD_SEED={seed}")
    dice = random.Random(seed)
    return dice.randrange(10, 150), dice.random() / 20


def settle_accounts(server: Postroad, remote: Remote, ledger: Ledger, crashes: int = 1) -> None:
    """Every message that was answered has arrived; the local ones once, also after another restart."""
    until(lambda: ledger.expected(FAR) <= set(tokens([r.content for r in remote.received])), "relayed messages")
    until(lambda: ledger.expected(BOB) <= set(tokens(server.mailbox(BOB))), "local messages")
    assert server.stop() == 0
    server.start()
    server.send(letter("token-999999-"), BOB, FAR)
    until(lambda: tokens(server.mailbox(BOB))["token-999999-"], "a message after the restart")
    until(lambda: tokens([r.content for r in remote.received])["token-999999-"], "a message after the restart")
    local, relayed = tokens(server.mailbox(BOB)), tokens([r.content for r in remote.received])
    assert ledger.expected(BOB) <= set(local)
    assert [token for token, count in local.items() if count > 1] == []
    again = {token: count for token, count in relayed.items() if count > 1}
    print(
        f"{ledger.tries} tries, {len(ledger.answered)} answered; {len(local)} local, {len(relayed)} relayed, "
        f"of these {len(again)} more than once"
    )
    assert max(again.values(), default=1) <= 1 + crashes  # each is one reason to send it again
    assert server.all("quarantined") == []


@pytest.mark.parametrize("victim", WORKERS)
def test_kill_a_worker(server: Postroad, remote: Remote, victim: str) -> None:
    answers, pause = moment()
    load = Load(server)
    load.start()
    load.until_answered(answers)
    time.sleep(pause)
    os.kill(server.workers()[victim], signal.SIGKILL)
    load.wait()
    server.wait_for("worker-restarted", worker=victim)
    assert {event["worker"] for event in server.all("worker-died")} == {victim}
    settle_accounts(server, remote, load.ledger)


def test_kill_everything_twice(server: Postroad, remote: Remote) -> None:
    load = Load(server)
    load.start()
    for round_ in range(2):
        answers, pause = moment()
        load.until_answered((answers + round_ * MESSAGES) // 2)
        time.sleep(pause)
        server.kill()
        server.start()
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
