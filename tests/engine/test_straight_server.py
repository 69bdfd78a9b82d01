"""Whole servers with mail for their own mailboxes: it is not in the queue first, unless it has to wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"

WAITS = '''
"""Passes a message on once a file is there."""
import trio
from engine import Message

async def waits(message: Message) -> Message:
    while not await trio.Path({path!r}).exists():
        await trio.sleep(0.02)
    return message

waits.straight = True
'''


def test_mail_is_delivered_before_it_is_accepted(tmp_path: Path) -> None:
    with Postroad(tmp_path).account(BOB) as server:
        server.send(letter("hello"), BOB)
        assert len(server.mailbox(BOB)) == 1
        accepted, delivered = server.wait_for("accepted"), server.wait_for("delivered", to=BOB)
        assert accepted["id"] == delivered["id"]
        assert accepted["time"] <= delivered["time"]
        told = until(lambda: server.command("explain", accepted["id"]).stdout, "its history")
        assert told.index("delivered to mailbox, INBOX") < told.index("accepted in") < told.index("attempt 1 has ended")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that what is on its way to a mailbox waits for."""
    return tmp_path / "gate"


@pytest.fixture
def waiting(tmp_path: Path, gate: Path) -> Iterator[Postroad]:
    """A server with that filter before its mailboxes."""
    settings = {
        "lane": {"local": {"stages": ["waits", "enqueue"]}},
        "stage": {"waits": {"use": "filters/waits.py"}},
    }
    with Postroad(tmp_path, settings, waits=WAITS.format(path=str(gate))).account(BOB) as server:
        yield server


def test_no_client_waits_for_a_slow_filter_that_may_have_what_is_not_stored(waiting: Postroad, gate: Path) -> None:
    waiting.send(letter("hello"), BOB)
    waiting.send(letter("hello"), BOB)
    assert waiting.mailbox(BOB) == []
    assert len(waiting.command("queue", "list").stdout.splitlines()) >= 2
    gate.touch()
    until(lambda: len(waiting.mailbox(BOB)) == 2, "both in the mailbox")
    until(lambda: not waiting.command("queue", "list").stdout, "an empty queue")


def test_what_was_accepted_while_it_waited_outlives_all_processes(waiting: Postroad, gate: Path) -> None:
    waiting.send(letter("hello"), BOB)
    waiting.kill()
    gate.touch()
    waiting.start()
    until(lambda: len(waiting.mailbox(BOB)) == 1, "the message")
