"""`postroad queue`: a part of what is in it is found, shown and dealt with, with a server and without."""

import json
import os
import pwd
import re
import sys
from pathlib import Path

import pytest

from engine import MessageId
from tests.support.load import Load, subjects
from tests.support.server import ROOT, Postroad, letter, until
from tests.support.terminal import in_terminal

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
    to_a = 'domain == "A.test"'
    assert "2 messages would be tried now" in command(waiting, "retry", to_a, "--dry-run")
    assert "1 message would be tried now" in command(waiting, "retry", 'recipient == "y@a.test"', "--dry-run")
    open_sink(waiting)
    assert "2 messages tried now" in command(waiting, "retry", to_a, "--yes")
    for to in ("x@a.test", "y@a.test"):
        waiting.wait_for("delivered", to=to)
    until(lambda: len(rows(waiting)) == 3, "the others to be left")
    assert "1 message tried now" in command(waiting, "retry", 'sender.domain == "example.org"', "--yes")
    waiting.wait_for("delivered", to="x@b.test")


def test_a_line_has_its_turn(waiting: Postroad) -> None:
    waiting.wait_for("line-held")
    held = waiting.all("line-held")
    assert {event["line"] for event in held} == {"busy.test/out"}
    assert not waiting.all("deferred", to="x@busy.test")
    open_sink(waiting)
    assert "2 messages in line" in command(waiting, "retry", 'line == "Busy.test/OUT"', "--yes")
    for to in ("x@busy.test", "y@busy.test"):
        waiting.wait_for("delivered", to=to)
    until(lambda: len(rows(waiting)) == 3, "the line to be empty")
    assert "no contradiction" in command(waiting, "verify")


def test_without_a_server_it_is_done_all_the_same(waiting: Postroad) -> None:
    assert waiting.stop() == 0
    assert "2 messages tried now" in command(waiting, "retry", 'domain == "a.test"', "--yes")
    assert "2 messages in line" in command(waiting, "retry", 'line == "busy.test/out"', "--yes")
    assert "1 message given up" in command(waiting, "expire", 'recipient like "x@b.*"', "--yes")
    assert "1 message held" in command(waiting, "hold", 'recipient == "y@a.test"', "--yes")
    assert "no contradiction" in command(waiting, "verify")
    open_sink(waiting)
    waiting.forget()
    waiting.start()
    for to in ("x@a.test", "x@busy.test", "y@busy.test"):
        waiting.wait_for("delivered", to=to)
    (report,) = waiting.mail_for(BOB)
    assert b"Action: failed" in report
    assert b"administrator" in report
    until(lambda: len(rows(waiting)) == 1, "what is held to be left")
    assert "1 message released" in command(waiting, "release", "--all", "--yes")
    waiting.wait_for("delivered", to="y@a.test")


def test_what_is_given_up_comes_back_to_its_sender(waiting: Postroad) -> None:
    (identity,) = [str(row["id"]) for row in rows(waiting) if row["to"] == ["x@b.test"]]
    assert "1 message given up" in command(waiting, "expire", identity)
    (report,) = waiting.mail_for(BOB)
    assert b"Action: failed" in report
    assert waiting.command("queue", "expire", identity).returncode == 1


def test_which_must_be_said(waiting: Postroad) -> None:
    assert waiting.command("queue", "retry").returncode == 2
    assert waiting.command("queue", "expire", "--dry-run").returncode == 2
    assert waiting.command("queue", "delete", "--all", "size > 1KB", "--yes").returncode == 2
    done = waiting.command("queue", "retry", "no-id")
    assert (done.returncode, "at column 3" in done.stderr) == (2, True)
    done = waiting.command("queue", "delete", "--all")
    assert done.returncode == 2
    assert "5 messages will be deleted: say --yes if that is what you want" in done.stderr
    assert "5 messages would be given up" in command(waiting, "expire", "--all", "--dry-run")
    assert len(rows(waiting)) == 5


def test_what_is_held_stays_over_a_restart_until_it_is_released(waiting: Postroad) -> None:
    everything = json.loads(command(waiting, "hold", 'domain like "*.test"', "--yes", "--json"))
    assert everything == {
        "order": "hold", "which": 'domain like "*.test"', "selected": 5, "done": 5, "dry_run": False,
    }  # fmt: skip
    assert {row["state"] for row in rows(waiting)} == {"held"}
    until(lambda: len(waiting.all("ordered")) == 5, "five lines in the log")
    by = {(event["order"], event["by"], event["which"]) for event in waiting.all("ordered")}
    assert by == {("hold", pwd.getpwuid(os.getuid()).pw_name, 'domain like "*.test"')}
    open_sink(waiting)
    waiting.kill()
    waiting.start()
    assert "0 messages would be tried now" in command(waiting, "retry", "--all", "--dry-run")
    assert "5 messages released" in command(waiting, "release", "state == 'held'", "--yes")
    assert "no contradiction" in command(waiting, "verify")
    command(waiting, "retry", "--all", "--yes")
    until(lambda: rows(waiting) == [], "an empty queue")


def test_what_is_returned_says_what_the_operator_says(waiting: Postroad) -> None:
    (identity,) = [str(row["id"]) for row in rows(waiting) if row["to"] == ["x@b.test"]]
    told = ("--text", "This site has moved away", "--code", "5.1.6")
    assert "1 message returned" in command(waiting, "bounce", identity, *told)
    (report,) = waiting.mail_for(BOB)
    assert b"This site has moved away" in report
    assert b"Status: 5.1.6" in report


def test_a_message_is_shown(waiting: Postroad) -> None:
    (row,) = [row for row in rows(waiting) if row["to"] == ["x@a.test"]]
    identity = str(row["id"])
    shown = command(waiting, "show", identity)
    for line in ("state: waiting", "to: x@a.test", "attempts: 1", "last: 451 not now", "  Subject: number 0"):
        assert f"{line}\n" in shown, shown
    assert re.search(r"^next: tried in \d+ minutes, at \S+; given up at \S+$", shown, re.MULTILINE), shown
    about = json.loads(command(waiting, "show", identity, "--json"))
    assert (about["state"], about["recipients"][0]["address"]) == ("waiting", "x@a.test")
    assert command(waiting, "show", identity, "--content").startswith("Received: ")
    command(waiting, "hold", identity)
    assert "next: nothing: held since " in command(waiting, "show", identity)
    (busy,) = [row for row in rows(waiting) if row["to"] == ["x@busy.test"]]
    assert "next: its line busy.test/out has its turn " in command(waiting, "show", str(busy["id"]))
    assert waiting.command("queue", "show", str(MessageId.new())).returncode == 1


def test_messages_are_listed_in_order_and_counted(waiting: Postroad) -> None:
    oldest = [row["to"] for row in rows(waiting)]
    assert oldest == [["x@a.test"], ["y@a.test"], ["x@b.test"], ["x@busy.test"], ["y@busy.test"]]
    assert command(waiting, "list", "--limit", "2", "--columns", "to", "--reverse") == "y@busy.test\nx@busy.test\n"
    by_sender = command(waiting, "list", "--sort", "sender", "--columns", "from", "--reverse", "--limit", "1")
    assert by_sender == f"{BOB}\n"
    assert command(waiting, "list", "--count", "line and not sender == 'x'") == "2 messages\n"
    assert command(waiting, "list", "--count", "--json", "age < 1h") == '{"messages": 5}\n'
    total, first, *others = command(waiting, "top").splitlines()
    assert total.split("\t")[:2] == ["TOTAL", "5"]
    assert first.split("\t")[:2] == ["a.test", "2"]
    assert [line.split("\t")[0] for line in others] == ["busy.test", "b.test"]
    replies = json.loads(command(waiting, "top", "--by", "reply", "--json"))
    assert replies["groups"][0]["reply"] == "451 not now"
    assert [group["messages"] for group in replies["groups"]] in ([3, 2], [3, 1, 1])  # one may never have been tried
    assert replies["all"]["ages"]["5m"] == 5
    assert waiting.command("queue", "list", "--columns", "to,nonsense").returncode == 2


def test_mail_goes_another_way(waiting: Postroad) -> None:
    waiting.change({"lane": {"aside": {"stages": ["other"]}}, "stage": {"other": {"use": "filters/other.py:Sink"}}})
    waiting.filter("other", SINK.replace("if OPEN.exists()", "if True").replace("250 taken", "250 aside"))
    assert waiting.reload().returncode == 0
    done = waiting.command("queue", "reroute", "--lane", "nowhere", "--all", "--yes")
    assert (done.returncode, "in a lane 'nowhere', but in inbound, local, remote, aside" in done.stderr) == (2, True)
    assert waiting.command("queue", "reroute", "--all", "--yes").returncode == 2
    assert waiting.command("queue", "reroute", "--to-site", "host:port", "--all").returncode == 2
    assert "2 messages rerouted" in command(waiting, "reroute", "--lane", "aside", 'domain == "a.test"', "--yes")
    for to in ("x@a.test", "y@a.test"):
        waiting.wait_for("delivered", to=to, reply="250 aside")
    until(lambda: len(rows(waiting)) == 3, "the others to be left")


def test_an_operator_is_asked_on_a_terminal(waiting: Postroad) -> None:
    command = (sys.executable, "-m", "engine", "--config", str(waiting.config), "queue", "delete", "--all")
    with in_terminal(*command, environment={"PYTHONPATH": str(ROOT)}) as terminal:
        until(lambda: "5 messages will be deleted. Go on? [y/N]" in terminal.shown, "the question")
        terminal.type("y\r")
        until(lambda: "5 messages deleted." in terminal.shown, "the answer")
    assert rows(waiting) == []
    until(lambda: len(waiting.all("deleted")) == 5, "five lines in the log")


def test_a_running_server_under_load(tmp_path: Path) -> None:
    """Held, released, sent another way and deleted while mail comes in and waits; none is lost, none comes twice."""
    with Postroad(tmp_path, SETTINGS, sink=SINK) as server:
        with Load(server, "x@a.test") as load:
            load.flows()
            command(server, "hold", 'recipient == "x@a.test" and attempts >= 1', "--yes")
            load.flows()
            command(server, "top", "--by", "state")
            command(server, "release", "state == 'held'", "--yes")
            command(server, "hold", "--all", "--yes")
            load.flows()
        count = json.loads(command(server, "list", "--count", "--json"))["messages"]
        assert count == len(load.accepted)
        deleted = json.loads(command(server, "delete", "state == 'held'", "--yes", "--json"))["done"]
        assert deleted > 0
        open_sink(server)
        until(lambda: command(server, "retry", "--all", "--yes") and rows(server) == [], "an empty queue")
        until(lambda: len(server.all("delivered", to="x@a.test")) >= count - deleted, "the rest to be delivered")
        assert len(server.all("delivered", to="x@a.test")) == count - deleted
        assert "no contradiction" in command(server, "verify")


def test_mail_goes_to_a_server_that_the_operator_names(tmp_path: Path) -> None:
    closed = {"domains": {"local": ["elsewhere.test"]}, "stage": {"resolve": {"smart_host": "127.0.0.1:1"}}}
    with Postroad(tmp_path / "there") as there, Postroad(tmp_path / "here", closed) as here:
        there.account(BOB)
        here.send(letter("another way"), BOB)
        until(lambda: rows(here) and rows(here)[0]["attempts"], "an attempt")
        (row,) = rows(here)
        assert row["sites"] == ["127.0.0.1:1"]
        command(here, "reroute", "--to-site", f"127.0.0.1:{there.ports['smtp']}", 'site == "127.0.0.1:1"', "--yes")
        assert subjects(there.mail_for(BOB)) == ["another way"]
        until(lambda: rows(here) == [], "an empty queue")
