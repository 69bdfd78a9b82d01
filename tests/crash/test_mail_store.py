"""Another store that mail is handed to by LMTP breaks off, or we die: each recipient gets each message, and once."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.crash.system import tokens
from tests.support.background import smtp_server
from tests.support.remote import DROP, USUAL, Answer, Remote
from tests.support.server import Postroad, letter, until

BOB, EVE = "bob@example.org", "eve@example.org"
MESSAGES = 30
AT_WORK = 2 * 3 * 2 * 2
"""Recipients whom the store may be answering at once: of two workers, three connections, two messages on each."""

LHLO = "250-store.example\r\n" + "\r\n".join(f"250-{name}" for name in USUAL[:-1]) + f"\r\n250 {USUAL[-1]}"


def dropping(good: str) -> Sequence[Answer]:
    """Every fifth answer is none: the connection is closed."""
    return [DROP if number % 5 == 2 else good for number in range(200)] + [good]


@pytest.fixture
def store() -> Iterator[Remote]:
    with smtp_server(Remote(lmtp=True)) as store:
        yield store


@pytest.fixture
def server(tmp_path: Path, store: Remote) -> Iterator[Postroad]:
    settings = {
        "lane": {"store": {"stages": ["lmtp"]}},
        "route": [{"to": "local", "lane": "store"}, {"to": "*", "lane": "remote"}],
        "stage": {"lmtp": {"host": f"127.0.0.1:{store.port}", "retry": ["1s"], "connections": 3}},
    }
    with Postroad(tmp_path, settings) as server:
        yield server.account(BOB, EVE)


def send(server: Postroad) -> list[str]:
    sent = [f"token-{number}-" for number in range(MESSAGES)]
    with server.smtp() as client:
        for token in sent:
            client.sendmail("ann@example.net", [BOB, EVE], letter(token, "line\r\n" * 2000))
    return sent


def arrived(store: Remote, user: str) -> Counter[str]:
    return tokens([received.content for received in [*store.received] if received.recipients == (user,)])


def all_have_arrived(store: Remote, sent: list[str]) -> bool:
    return all({*sent} <= {*arrived(store, user)} for user in (BOB, EVE))


def settle(server: Postroad) -> None:
    until(lambda: server.queued() == 0, "an empty queue")


@pytest.mark.parametrize(
    ("step", "good"),
    [
        ("CONNECT", "220 store.example LMTP"),
        ("LHLO", LHLO),
        ("MAIL", "250 2.1.0 Ok"),
        ("RCPT", "250 2.1.5 Ok"),
        ("DATA", "354 Go ahead"),
        (".", "250 2.0.0 Ok"),
        (f". {BOB}", "250 2.0.0 Ok"),
        (f". {EVE}", "250 2.0.0 Ok"),
    ],
)
def test_a_store_that_drops_the_connection(server: Postroad, store: Remote, step: str, good: str) -> None:
    store.script = {step: dropping(good)}
    sent = send(server)
    until(lambda: all_have_arrived(store, sent), "all mail in the store", 120)
    settle(server)
    assert arrived(store, BOB) == arrived(store, EVE) == dict.fromkeys(sent, 1)
    assert server.all("failed") == server.all("bug") == []


def test_we_are_killed_while_the_store_takes_mail(server: Postroad, store: Remote) -> None:
    """What the store had said of messages that were not done may come again, and nothing else."""
    store.delay = 0.05
    sent = send(server)
    for killed in itertools.count(1):
        until(lambda killed=killed: len(store.received) >= 20 * killed or all_have_arrived(store, sent), "some mail")  # type: ignore[misc]
        if killed > 2 or all_have_arrived(store, sent):
            break
        server.kill()
        server.start()
    until(lambda: all_have_arrived(store, sent), "all mail in the store")
    settle(server)
    twice = (arrived(store, BOB) + arrived(store, EVE)).total() - 2 * len(sent)
    assert twice <= (killed - 1) * AT_WORK
