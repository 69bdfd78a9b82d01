"""A server under load, watched: what show and top say of it."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.load import Load
from tests.support.server import Postroad, until
from tests.support.terminal import in_terminal
from tests.support.watched import NOTE, SETTINGS, flowing, watched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


@pytest.fixture(scope="module")
def load(server: Postroad) -> Iterator[Load]:
    with flowing(server) as load:
        yield load


def answered(server: Postroad, *command: str) -> str:
    done = server.command(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- show


def test_show_has_rates_where_the_server_runs(server: Postroad, load: Load) -> None:
    text = answered(server, "show")
    assert re.search(r"[1-9][\d,.]*/s", text)
    assert re.search(r"changed 100 %", text)
    assert "/s" not in answered(server, "show", "--no-live")


def test_show_tells_programs_too(server: Postroad, load: Load) -> None:
    said = json.loads(answered(server, "show", "--json"))
    assert [lane["lane"] for lane in said["lanes"]] == ["inbound", "local", "remote"]
    links = {link["link"]: link for link in said["live"]["links"]}
    assert links["inbound/note"]["rate"] > 0
    assert links["local/enqueue"]["rate"] > 0
    assert said["live"]["in"] > 0
    (note,) = [stage for stage in said["live"]["stages"] if stage["stage"] == "note"]
    assert note["verdicts"]["changed"] > 0
    assert 0 < note["p50"] <= note["p99"]


def test_show_draws_a_file(server: Postroad, load: Load, tmp_path: Path) -> None:
    assert answered(server, "show", "--svg", str(tmp_path / "way.svg")) == ""
    said = [element.text or "" for element in ElementTree.parse(tmp_path / "way.svg").iter()]
    assert any(re.fullmatch(r"[1-9][\d,.]*/s", text) for text in said)


def test_show_without_a_server(tmp_path: Path) -> None:
    server = Postroad(tmp_path, SETTINGS, note=NOTE)
    assert "▶│ note ├─▶║ queue ╟─▶│ route │" in answered(server, "show")
    assert answered(server, "show", "--ascii").isascii()
    done = server.command("show", "--live")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no server runs" in done.stderr


# -- top


def test_top_prints_one_frame(server: Postroad, load: Load) -> None:
    text = answered(server, "top", "--once")
    assert re.search(r"revision \d+  up ", text)
    assert re.search(r"inbound/note +[1-9]", text)
    for worker, pid in server.workers().items():
        assert re.search(rf"^{worker} +{pid} ", text, re.MULTILINE), worker


def test_top_gives_one_sample(server: Postroad, load: Load) -> None:
    said = json.loads(answered(server, "top", "--json", "--interval", "0.5"))
    assert said["in"] > 0
    assert said["out"] > 0
    workers = {worker["name"]: worker for worker in said["workers"]}
    assert workers["supervisor"]["pid"] == server.pid
    assert workers["mail-0"]["pid"] == server.worker("mail-0")
    assert workers["mail-0"]["memory"] > 2**20
    assert workers["mail-0"]["cpu"] >= 0
    assert workers["mail-0"]["lag"] >= 0


def test_top_in_a_terminal(server: Postroad, load: Load) -> None:
    command = [sys.executable, "-m", "engine", "--config", str(server.config), "top", "--interval", "0.2"]
    root = str(Path(__file__).parents[2])
    with in_terminal(*command, environment={"PYTHONPATH": root, "TERM": "xterm-256color"}) as terminal:
        until(lambda: "4 workers" in terminal.shown and "inbound/note" in terminal.shown, "the first frame")
        terminal.type("2")
        until(lambda: terminal.shown.rpartition("2 stages")[2].count("verdicts"), "the pane of the stages")
        terminal.type("ss")
        until(lambda: "rate▼" in terminal.shown, "another order")
        terminal.type("r")
        until(lambda: "rate▲" in terminal.shown, "the other way round")
        terminal.type("p")
        until(lambda: "paused" in terminal.shown, "a pause")
        terminal.type("p?")
        until(lambda: "the other way round" in terminal.shown, "help")
        terminal.type("xq")
    assert "\x1b[?1049l" in terminal.shown  # the screen is left as it was
    assert "Traceback" not in terminal.shown


def test_top_follows_the_size_of_the_terminal(server: Postroad, load: Load) -> None:
    command = [sys.executable, "-m", "engine", "--config", str(server.config), "top", "--interval", "0.2"]
    root = str(Path(__file__).parents[2])
    with in_terminal(*command, environment={"PYTHONPATH": root, "TERM": "xterm-256color"}) as terminal:
        until(lambda: "4 workers" in terminal.shown, "the first frame")
        terminal.resize(12, 60)
        before = len(terminal.shown)
        until(lambda: "1 links" in terminal.shown[before:], "a frame of the new size")
        until(lambda: "4 workers" not in terminal.shown[before:].rpartition("postroad")[2], "one pane")
        terminal.type("q")


def test_top_needs_a_server(tmp_path: Path) -> None:
    done = Postroad(tmp_path).command("top", "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no server runs" in done.stderr
