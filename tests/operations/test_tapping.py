"""Messages that pass a link of a server under load are shown; what shows them leaves nothing behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.load import Load
from tests.support.server import PATIENCE, Postroad, letter, until
from tests.support.watched import BOB, NOTE, SETTINGS, flowing, watched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


@pytest.fixture(scope="module")
def load(server: Postroad) -> Iterator[Load]:
    with flowing(server) as load:
        yield load


@contextlib.contextmanager
def tapping(server: Postroad, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A tap that listens, in a process of its own."""
    popen = subprocess.Popen(
        [sys.executable, "-m", "engine", "--config", str(server.config), "tap", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=server.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        assert popen.stderr is not None
        assert popen.stderr.readline().startswith("tapping ")
        yield popen
    finally:
        popen.kill()
        popen.wait()


def read(popen: "subprocess.Popen[str]", count: int) -> list[dict[str, object]]:
    """So many objects of a tap, which comes in time or the test ends by force."""
    assert popen.stdout is not None
    guard = threading.Timer(PATIENCE, popen.kill)
    guard.start()
    lines = [popen.stdout.readline() for _ in range(count)]
    guard.cancel()
    return [json.loads(line) for line in lines]


def test_tap_sees_what_is_sent_with_its_verdict_and_facts(server: Postroad) -> None:
    with tapping(server, "inbound/note", "--json", "--when", 'sender == "tapped@example.net"') as tap:
        server.send(letter("someone else's"), BOB)
        for number in range(5):
            server.send(letter(f"tapped {number}"), BOB, sender="tapped@example.net")
        told = read(tap, 5)
    facts = [one["facts"] for one in told]  # of two workers, each of which says at once what it has gathered
    assert sorted(facts, key=str) == [{"note.subject": f"tapped {number}"} for number in range(5)]
    assert {(one["from"], one["verdict"], one["recipients"]) for one in told} == {("tapped@example.net", "changed", 1)}
    accepted = {event["id"] for event in server.all("accepted")}
    assert {one["id"] for one in told} <= accepted


def test_tap_ends_by_itself_after_so_many_and_shows_no_content(server: Postroad, load: Load) -> None:
    done = server.command("tap", "inbound/queue", "--count", "3", "--headers")
    assert done.returncode == 0, done.stderr
    line = r"^\d\d:\d\d:\d\d\.\d\d\d  [0-9A-Z]{26}  <ann@example.net> → bob@example.org  \d+ octets  delivered"
    assert len(re.findall(line, done.stdout, re.MULTILINE)) == 3
    assert "    Subject: load-" in done.stdout
    assert letter("x").rpartition(b"\r\n\r\n")[2].decode().strip() not in done.stdout
    assert re.search(r"3 shown of [\d,]+ that passed", done.stderr)
    server.wait_for("tap-ended", link="inbound/queue")


def test_tap_of_a_sample(server: Postroad, load: Load) -> None:
    with tapping(server, "inbound/note", "--sample", "1/4", "--json") as tap:
        told = read(tap, 5)
        tap.send_signal(signal.SIGINT)
        assert tap.wait(PATIENCE) == 0
    assert len({one["id"] for one in told}) == 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_tap_whose_reader_is_gone_ends_and_mail_flows_on(server: Postroad, load: Load, how: signal.Signals) -> None:
    server.forget()
    with tapping(server, "local/enqueue", "--json") as tap:
        read(tap, 2)
        until(lambda: len(server.all("tap-opened", link="local/enqueue")) == 2, "a tap in both mail workers")
        tap.send_signal(how)
        load.flows()
        until(lambda: len(server.all("tap-ended", link="local/enqueue")) == 2, "the end of the tap")
    load.flows()


def test_a_tap_goes_on_over_a_reload_and_the_death_of_a_worker(tmp_path: Path) -> None:
    with (
        Postroad(tmp_path, SETTINGS, note=NOTE).account(BOB) as server,
        Load(server, BOB, clients=4) as load,
        tapping(server, "inbound/note", "--json") as tap,
    ):
        told: set[object] = set()

        def listen() -> None:
            assert tap.stdout is not None
            for line in tap.stdout:
                told.add(json.loads(line)["id"])

        def heard_of(**fields: object) -> bool:
            return any(event["id"] in told for event in server.all("accepted", **fields))

        threading.Thread(target=listen, daemon=True).start()  # all the time: whoever does not read is no listener
        until(lambda: heard_of(revision=1), "news of mail")
        server.change({"queue": {"expire": "4d"}})
        assert server.reload().returncode == 0
        until(lambda: heard_of(revision=2), "news of mail under the new revision")
        os.kill(server.worker("mail-0"), signal.SIGKILL)
        until(lambda: len(server.all("tap-opened", process="mail-0")) >= 2, "a tap in its successor")
        load.broken.clear()


def test_links_are_listed(server: Postroad) -> None:
    said = server.command("tap").stdout.split()
    assert said == ["inbound/note", "inbound/queue", "inbound/route", "local/enqueue", "remote/resolve", "remote/relay"]


def test_what_cannot_be_tapped_is_said(server: Postroad, tmp_path: Path) -> None:
    for arguments, code, said in (
        (("inbound/rout",), 1, "there is no link inbound/rout; did you mean inbound/route?"),
        (("inbound/route", "--when", "1 +"), 2, "cannot read the condition"),
        (("inbound/route", "--sample", "7"), 2, "write --sample 1/100"),
    ):
        done = server.command("tap", *arguments)
        assert done.returncode == code
        assert said in done.stderr
    done = Postroad(tmp_path).command("tap", "inbound/route")
    assert done.returncode == 1
    assert "no server runs" in done.stderr
