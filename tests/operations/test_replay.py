"""`postroad replay` and `reload --preview`: real mail of a running server under an edited file; nothing comes of it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal.theatre import digests
from tests.support.load import Load, subjects
from tests.support.server import ROOT, Postroad, letter, merged, toml, until

BOB, FAR = "bob@example.org", "far@far.test"

PARK = '''
"""Parks what calls itself odd."""
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("it calls itself odd") if "odd" in message.header("Subject") else message
'''
MARK = '''
"""Marks, and turns away what is plain."""
from engine import Message, Reject

async def mark(message: Message):
    if message.header("Subject") == "plain":
        return Reject("Nothing plain here")
    return message.with_header("X-Mark", "yes").with_fact("mark.seen", True)
'''
NEW = {
    "lane": {
        "inbound": {"stages": ["accept", "mark", "queue", "route"]},
        "partners": {"stages": ["partner", "relay"]},
    },
    "stage": {
        "park": None,
        "mark": {"use": "filters/mark.py"},
        "partner": {"use": "stages.resolve", "smart_host": "192.0.2.9:25"},
    },
    "route": [{"to": "local", "lane": "local"}, {"to": "far.test", "lane": "partners"}, {"to": "*", "lane": "remote"}],
}


@pytest.fixture
def remote() -> Iterator[socket.socket]:
    """Where mail would go that is relayed. Nobody may come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture
def server(tmp_path: Path, remote: socket.socket) -> Iterator[Postroad]:
    """One that has delivered a message, parked one, and has two to relay."""
    settings = {
        "history": {"level": "off"},  # which writes by itself
        "lane": {"inbound": {"stages": ["accept", "park", "queue", "route"]}},
        "stage": {
            "park": {"use": "filters/park.py"},
            "resolve": {"smart_host": f"127.0.0.1:{remote.getsockname()[1]}"},
        },
    }
    with Postroad(tmp_path, settings, park=PARK, mark=MARK) as server:
        server.account(BOB)
        server.send(letter("plain"), BOB)
        server.send(letter("odd"), BOB)
        server.mail_for(BOB)
        server.change({"queue": {"in_flight": 0}})
        assert server.reload().returncode == 0
        for subject in ("far", "farther"):
            server.send(letter(subject), FAR, sender=BOB)
        yield server


def edited(server: Postroad, changes: dict[str, Any] = NEW) -> str:
    """A copy of the configuration with changes."""
    path = server.folder / "new.toml"
    path.write_text(toml(merged(server.settings, changes)))
    return str(path)


def replayed(server: Postroad, source: str, *options: str, new: str = "") -> tuple[int, dict[str, Any]]:
    done = server.command("replay", "--config", new or edited(server), "--from", source, "--json", *options)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def told(found: dict[str, Any]) -> list[tuple[str, str, str, str, int]]:
    return [(row["kind"], row["name"], row["before"], row["after"], row["messages"]) for row in found["groups"]]


def test_an_edited_file_is_tried_on_real_mail(server: Postroad, remote: socket.socket) -> None:
    before = digests(server.folder / "var")
    code, found = replayed(server, "quarantine")
    assert (code, found["messages"], found["different"]) == (1, 1, 1)
    assert told(found) == [
        ("verdict", "", "quarantine by park: it calls itself odd", "delivered: lane local, enqueue", 1)
    ]

    site = f"127.0.0.1:{remote.getsockname()[1]}"
    code, found = replayed(server, "queue")
    assert (code, found["messages"], found["different"]) == (1, 2, 2)
    changed = told(found)
    assert changed[0] == (
        "route", "", f"delivered: lane remote, relay {site}", "delivered: lane partners, relay 192.0.2.9", 2,
    )  # fmt: skip
    assert ("fact", "resolve.site", site, "192.0.2.9", 2) in changed

    code, found = replayed(server, f"mailbox:{BOB}")
    assert told(found) == [
        ("verdict", "", "delivered: lane local, enqueue", "reject by mark: 5.7.1 Nothing plain here", 1)
    ]

    assert digests(server.folder / "var") == before
    assert server.all("bug") == []


def test_files_and_each_message(server: Postroad, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    for number, subject in enumerate(("plain", "odd", "even", "even")):
        (folder / f"{number}.eml").write_bytes(letter(subject))
    options = ("--recipient", BOB, "--peer", "192.0.2.7")
    code, found = replayed(server, str(folder), *options, "--each")
    assert (code, found["messages"], found["different"]) == (1, 4, 4)
    assert {row["kind"]: row["messages"] for row in found["groups"] if row["name"] in ("", "X-Mark", "mark.seen")} == {
        "verdict": 1, "header": 2, "fact": 2,
    }  # fmt: skip
    whole = {Path(row["id"]).name: row for row in found["each"]}
    assert whole["0.eml"]["after"]["recipients"][0]["text"] == "5.7.1 Nothing plain here"
    assert [step[:2] for step in whole["2.eml"]["after"]["way"]] == [
        ["inbound", "mark"], ["inbound", "route"], ["local", "enqueue"],
    ]  # fmt: skip

    code, found = replayed(server, str(folder), *options, "--limit", "2")
    assert found["messages"] == 2
    code, found = replayed(server, str(folder), *options, "--where", 'session.peer == "192.0.2.8"')
    assert (code, found["messages"]) == (0, 0)

    done = server.command("replay", "--config", edited(server), "--from", str(folder), *options, "--each")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split("\t")[1:] == [
        "ann@example.net", BOB, "delivered: lane local, enqueue", "reject by mark: 5.7.1 Nothing plain here",
    ]  # fmt: skip
    assert "4 messages: 4 would fare otherwise." in lines
    assert "  2 messages: X-Mark: (none)" in lines


def test_no_difference_and_wrong_words(server: Postroad) -> None:
    code, found = replayed(server, "queue", new=str(server.config))
    assert (code, found["messages"], found["groups"]) == (0, 2, [])
    done = server.command("replay", "--config", str(server.config), "--from", "queue")
    assert (done.returncode, done.stdout) == (0, "2 messages: no difference.\n")
    for options, text in (
        (["--from", "nowhere"], "there is no nowhere"),
        (["--from", "queue", "--where", "import os"], "--where: cannot read the condition"),
        (["--from", "queue", "--peer", "192.0.2.7"], "the envelope of what is in the queue is known"),
    ):
        done = server.command("replay", "--config", str(server.config), *options)
        assert (done.returncode, text in done.stderr) == (2, True), done.stderr
    done = server.command("replay", "--config", str(server.config), "--from", "mailbox:nobody@example.org")
    assert (done.returncode, "there is no account nobody@example.org" in done.stderr) == (1, True), done.stderr
    wrong = edited(server, {"route": [{"to": "*", "lane": "nowhere"}]})
    done = server.command("replay", "--config", wrong, "--from", "queue")
    assert (done.returncode, "there is no lane nowhere" in done.stderr) == (2, True), done.stderr


def test_a_reload_is_previewed(server: Postroad) -> None:
    (server.folder / "old.toml").write_text(server.config.read_text())
    server.change({**NEW, "listen": {"imap": "127.0.0.1:0"}, "server": {"workers": 1}})
    before = digests(server.folder / "var")
    done = server.command("reload", "--preview", "--against", "old.toml", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["stages"]["new"], found["stages"]["gone"]) == (["mark", "partner"], ["park"])
    assert found["listeners"]["new"] == ["imap"]
    assert (found["workers"]["new"], found["workers"]["gone"]) == (["index"], [])  # there is mail in both shards
    assert found["restart"]["needed"] == ["[server] workers"]
    queue = found["queue"]
    assert (queue["messages"], queue["different"], queue["every"]) == (2, 2, 1)
    [row] = queue["groups"]
    assert (row["kind"], row["messages"]) == ("route", 2)
    assert row["after"] == "delivered: lane partners, relay 192.0.2.9"
    assert digests(server.folder / "var") == before

    done = server.command("reload", "--preview", "--against", "old.toml", "--sample", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "queue: 1 message looked at; 1 would fare otherwise, one of each 2: about 2 of all" in lines
    assert "restart: needed: [server] workers" in lines
    assert server.all("reloaded") == server.all("reloaded", revision=2)  # the one that held the queue
    assert server.command("reload", "--offline").returncode == 2


def test_what_is_in_force_is_what_an_edit_is_compared_with(server: Postroad) -> None:
    server.change(NEW)
    done = server.command("reload", "--preview", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["stages"]["new"], found["stages"]["gone"]) == (["mark", "partner"], ["park"])
    assert (found["queue"]["messages"], found["queue"]["different"]) == (2, 2)
    done = subprocess.run(
        [sys.executable, "-m", "engine", "replay", "--config", "pipeline.toml", "--from", "queue", "--json"],
        cwd=server.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["different"] == 2
    server.kill()
    done = server.command("reload", "--preview")
    assert (done.returncode, "say by --against what the file was" in done.stderr) == (2, True)


def test_beside_a_load_nothing_is_lost_and_nobody_waits(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "limit_rates", "queue", "route"]}},
        "stage": {"accept": {"relay_networks": ["127.0.0.0/8"]}, "limit_rates": {"sender_messages": ["100000/1h"]}},
    }
    with Postroad(tmp_path, settings, mark=MARK) as server:
        server.account(BOB)
        with Load(server, BOB) as load:
            load.flows()
            new = edited(server, {"lane": {"inbound": {"stages": ["accept", "mark", "limit_rates", "queue", "route"]}},
                                  "stage": {"mark": {"use": "filters/mark.py"}}})  # fmt: skip
            code, found = replayed(server, f"mailbox:{BOB}", new=new)
            assert (code, found["different"]) == (1, found["messages"])
            assert found["messages"] > 0
            load.flows()
        assert (load.refused, load.put_off, load.broken) == ([], [], [])
        until(lambda: len(server.mailbox(BOB)) >= len(load.accepted), "the messages that were accepted")
        assert sorted(subjects(server.mailbox(BOB))) == sorted(load.accepted)
        assert not [message for message in server.mailbox(BOB) if b"X-Mark" in message]
        assert server.all("bug") == []


def test_an_archive_tells_of_mail_as_it_came_beside_a_load(tmp_path: Path) -> None:
    """By the journal, which knows whom mail was for, whatever its fields say; and each message once."""
    journal = "journal@example.org"
    settings = {
        "lane": {"inbound": {"stages": ["accept", "journal", "queue", "route"]}},
        "journal": {
            "all": {"who": ["example.org"], "to": journal}, "more": {"who": [BOB], "to": "second@example.org"},
        },
    }  # fmt: skip
    with Postroad(tmp_path, settings, mark=MARK) as server:
        server.account(BOB, journal, "second@example.org")
        server.send(letter("plain"), BOB, sender="eve@far.test")
        with Load(server, BOB, clients=2, pause=0.02) as load:
            until(lambda: any(b"Subject: plain" in mail for mail in server.mailbox(journal)), "a copy")
            new = edited(server, {"lane": {"inbound": {"stages": ["accept", "mark", "journal", "queue", "route"]}},
                                  "stage": {"mark": {"use": "filters/mark.py"}}})  # fmt: skip
            code, found = replayed(server, "archive", "--where", 'sender == "eve@far.test"', "--each", new=new)
            assert (code, found["messages"], found["different"]) == (1, 1, 1)
            (change,) = [row for row in told(found) if row[0] == "verdict"]
            assert change[3].startswith("reject by mark")
            code, found = replayed(server, "archive", "--limit", "5", new=new)
            assert (code, found["messages"], found["different"]) == (1, 5, 5)
            load.flows()
        assert (load.refused, load.put_off, load.broken) == ([], [], [])
        server.change({"journal": None, "lane": {"inbound": {"stages": ["accept", "queue", "route"]}}})
        done = server.command("--config", str(server.config), "replay", "-c", new, "--from", "archive")
        assert (done.returncode, "no [journal.NAME]" in done.stderr) == (1, True)


SLOW = '''
"""Takes its time."""
import time
from engine import Message

def slow(message: Message):
    time.sleep(60)
    return message
'''


def test_what_a_killed_rehearsal_leaves_goes_with_the_next_one(server: Postroad) -> None:
    server.filter("slow", SLOW)
    new = edited(server, merged(NEW, {"stage": {"mark": {"use": "filters/slow.py:slow"}}}))
    command = [sys.executable, "-m", "engine", "--config", str(server.config), "replay", "--config", new, "--from"]
    with subprocess.Popen([*command, f"mailbox:{BOB}"], env={**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        until(lambda: len(left(server)) == 2, "the copies of what stages remember")
        running.kill()
    assert len(left(server)) == 2
    replayed(server, "queue")
    assert left(server) == []


def left(server: Postroad) -> list[Path]:
    return list((server.folder / "var").glob("rehearsal-*"))
