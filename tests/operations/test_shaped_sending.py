"""Rules for sites in a running server: kept by all workers together and over a crash, changed by a reload."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until


@pytest.fixture
def remote() -> Iterator[Remote]:
    with smtp_server(Remote()) as remote:
        yield remote


@pytest.fixture
def server(tmp_path: Path, remote: Remote) -> Iterator[Postroad]:
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        settings = {
            "dns": {"servers": [address]},
            "shaping": {"file": "shaping.toml"},
            "stage": {"resolve": {"port": remote.port}},
        }
        (tmp_path / "shaping.toml").write_text('[domain."far.test"]\nmessages = ["5/1h"]\n')
        yield stack.enter_context(Postroad(tmp_path, settings))


def send(server: Postroad, count: int) -> None:
    for number in range(count):
        server.send(letter(f"{number}"), "bob@far.test")


def test_workers_keep_a_rate_together_and_over_a_crash(server: Postroad, remote: Remote) -> None:
    send(server, 12)
    until(lambda: len(remote.received) == 5, "what the rate allows")
    server.kill()
    server.start()
    (server.folder / "shaping.toml").write_text('[domain."far.test"]\nmessages = ["7/1h"]\n')
    assert server.reload().returncode == 0
    send(server, 8)
    until(lambda: len(remote.received) == 7, "what the larger rate allows")
    assert len(server.all("delivered")) <= 7


def test_a_reload_changes_the_rules_and_a_wrong_file_changes_nothing(server: Postroad, remote: Remote) -> None:
    send(server, 1)
    until(lambda: len(remote.received) == 1, "the first message")
    rules = server.folder / "shaping.toml"
    rules.write_text('[domain."far.test"]\nmesages = ["5/1h"]\n')
    done = server.reload()
    assert done.returncode != 0
    assert f"{rules}:2: [domain.far.test] mesages: unknown key; did you mean messages?" in done.stdout + done.stderr
    assert server.command("check").returncode == 2
    send(server, 1)
    until(lambda: len(remote.received) == 2, "a message by the old rules")
    worker, pid = next((name, pid) for name, pid in server.workers().items() if name.startswith("mail"))
    os.kill(pid, signal.SIGKILL)
    server.wait_for("worker-restarted", worker=worker)
    send(server, 2)
    until(lambda: len(remote.received) == 4, "messages by the rules that were in force")
