"""`postroad queue retry` and `queue expire`: some of what waits is tried or given up, with a server and without."""

import json
from pathlib import Path

import pytest

from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"

SINK = '''
"""A next hop that takes mail once a file says so; at the site busy.test there is no slot before that."""
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from engine import Defer, Delivered, Message

OPEN = Path(__file__).parent / "open"

@dataclass
class Sink:
    effect: ClassVar[bool] = True

    async def __call__(self, message: Message):
        if OPEN.exists():
            return Delivered("250 taken", "sink.test")
        if message.recipients[0].endswith("@busy.test"):
            return Defer("no slot", "4.4.5", retry_after=3600, line="busy.test/out")
        return Defer("not now", "4.2.0", retry_after=3600, reply="451 not now", remote="sink.test")
'''

SETTINGS = {
    "lane": {"remote": {"stages": ["sink"]}},
    "stage": {"sink": {"use": "filters/sink.py"}, "resolve": None, "relay": None},
}


@pytest.fixture
def waiting(tmp_path: Path):
    """A server with mail that waits: two for a.test, one for b.test, two in the line of a busy site."""
    with Postroad(tmp_path, SETTINGS, sink=SINK) as server:
        server.account(BOB)
        for number, to in enumerate(("x@a.test", "y@a.test", "x@b.test", "x@busy.test", "y@busy.test")):
            server.send(letter(f"number {number}"), to, sender=BOB if number == 2 else "ann@example.net")
        until(lambda: settled(server), "all to wait")
        yield server


def rows(server: Postroad) -> list[dict[str, object]]:
    done = server.command("queue", "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(server: Postroad) -> bool:
    found = rows(server)
    return len(found) == 5 and all(row["attempts"] == 1 or row["line"] for row in found)


def open_sink(server: Postroad) -> None:
    (server.folder / "filters" / "open").touch()


def command(server: Postroad, *arguments: str) -> str:
    done = server.command("queue", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_part_of_what_waits_is_counted_then_tried(waiting: Postroad) -> None:
    assert "2 messages would be tried now" in command(waiting, "retry", "--to", "a.test", "--dry-run")
    assert "1 message would be tried now" in command(waiting, "retry", "--to", "y@a.test", "--dry-run")
    open_sink(waiting)
    assert "2 messages tried now" in command(waiting, "retry", "--to", "a.test")
    for to in ("x@a.test", "y@a.test"):
        waiting.wait_for("delivered", to=to)
    until(lambda: len(rows(waiting)) == 3, "the others to be left")
    assert "1 message tried now" in command(waiting, "retry", "--from", "example.org")
    waiting.wait_for("delivered", to="x@b.test")


def test_a_line_has_its_turn(waiting: Postroad) -> None:
    held = waiting.all("line-held")
    assert {event["line"] for event in held} == {"busy.test/out"}
    assert not waiting.all("deferred", to="x@busy.test")
    open_sink(waiting)
    assert "2 messages in line" in command(waiting, "retry", "--line", "busy.test/out")
    for to in ("x@busy.test", "y@busy.test"):
        waiting.wait_for("delivered", to=to)
    until(lambda: len(rows(waiting)) == 3, "the line to be empty")
    assert "no contradiction" in command(waiting, "verify")


def test_without_a_server_it_is_done_all_the_same(waiting: Postroad) -> None:
    assert waiting.stop() == 0
    assert "2 messages tried now" in command(waiting, "retry", "--to", "a.test")
    assert "2 messages in line" in command(waiting, "retry", "--line", "busy.test/out")
    assert "1 message given up" in command(waiting, "expire", "--to", "x@b.test")
    assert "no contradiction" in command(waiting, "verify")
    open_sink(waiting)
    waiting.forget()
    waiting.start()
    for to in ("x@a.test", "y@a.test", "x@busy.test", "y@busy.test"):
        waiting.wait_for("delivered", to=to)
    (report,) = waiting.mail_for(BOB)
    assert b"Action: failed" in report
    assert b"administrator" in report
    until(lambda: rows(waiting) == [], "an empty queue")


def test_what_is_given_up_comes_back_to_its_sender(waiting: Postroad) -> None:
    (identity,) = [str(row["id"]) for row in rows(waiting) if row["to"] == ["x@b.test"]]
    assert "1 message given up" in command(waiting, "expire", identity)
    (report,) = waiting.mail_for(BOB)
    assert b"Action: failed" in report
    assert waiting.command("queue", "expire", identity).returncode == 1


def test_which_must_be_said(waiting: Postroad) -> None:
    assert waiting.command("queue", "retry").returncode == 2
    assert waiting.command("queue", "expire", "--dry-run").returncode == 2
    assert waiting.command("queue", "retry", "no-id").returncode == 2
    assert "5 messages would be given up" in command(waiting, "expire", "--all", "--dry-run")
