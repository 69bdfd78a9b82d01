"""A shift of an operator: what one looks at, asks and is told, while mail flows in, out and back all the time."""

import contextlib
import hashlib
import hmac
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx2
import pytest

from engine.message import MessageId
from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.collector import Collector
from tests.support.http_server import HttpServer
from tests.support.load import Load, subjects
from tests.support.remote import Remote
from tests.support.server import PASSWORD, ROOT, Postroad, letter, until

ANN, BOB, FAR, SLOW, GONE = "ann@example.net", "bob@example.org", "fay@far.test", "slow@far.test", "gone@far.test"
SCRIPT = {f"RCPT {GONE}": "550 5.1.1 User unknown", f"RCPT {SLOW}": "450 4.2.1 Come again"}
SECRET = "a secret of webhooks"


class Shift(NamedTuple):
    server: Postroad
    load: Load
    hooks: HttpServer
    collector: Collector

    def send(self, subject: str, to: str) -> str:
        """Send a message; its id."""
        with self.server.smtp() as client:
            client.ehlo()
            client.mail(ANN)
            client.rcpt(to)
            code, said = client.data(f"Message-ID: <{subject}@mua.test>\r\n".encode() + letter(subject))
        assert code == 250
        return said.decode().rpartition(" ")[2]

    def run(self, *command: str) -> str:
        done = self.server.command(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shift]:
    folder = tmp_path_factory.mktemp("shift")
    (folder / "hook.secret").write_text(SECRET)
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote(script=SCRIPT)))
        collector = stack.enter_context(Collector().serving())
        hooks = stack.enter_context(HttpServer(lambda _: b"ok").serving())
        hook = {"url": f"http://127.0.0.1:{hooks.port}/hook", "secret_file": "hook.secret", "batch": 10}
        settings = {
            "dns": {"servers": [address]},
            "listen": {"metrics": "127.0.0.1:0"},
            "log": {"file": "log/events.jsonl"},
            "traces": {"endpoint": collector.endpoint, "share": 100},
            "webhook": {"crm": hook},
            "stage": {"resolve": {"port": remote.port}, "relay": {"retry": ["1h"]}},
        }
        server = stack.enter_context(Postroad(folder, settings).account(BOB))
        with Load(server, BOB, clients=3, pause=0.02) as load, outgoing(server):
            yield Shift(server, load, hooks, collector)
            load.flows()
        assert load.broken == []
        assert load.refused == []
        arrived = subjects(server.mail_for(BOB, len(load.accepted)))
        assert sorted(one for one in arrived if one.startswith("load-")) == sorted(load.accepted)
        assert not [line for line in server.noise if PASSWORD in line or SECRET in line]


@contextlib.contextmanager
def outgoing(server: Postroad) -> Iterator[None]:
    """Mail that leaves all the time, too: some is taken, some put off, some refused."""
    over = threading.Event()

    def send() -> None:
        with server.smtp() as client:
            for number, to in enumerate([FAR, SLOW, FAR, GONE] * 10_000):
                if over.wait(0.1):
                    return
                client.sendmail(ANN, [to], letter(f"out-{number}"))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def story(shift: Shift, which: str, fate: str) -> dict[str, Any]:
    """What `explain` says, once the message has come so far."""

    def found() -> list[dict[str, Any]]:
        done = shift.server.command("explain", "--json", which)
        told = json.loads(done.stdout) if done.returncode == 0 else []
        return [one for one in told if one["fate"] == fate]

    return dict(until(found, f"{which} to be {fate}")[0])


def test_the_way_of_a_message_is_explained_past_and_queued(shift: Shift) -> None:
    past, waiting = shift.send("past", FAR), shift.send("waiting", SLOW)
    told = story(shift, past, "delivered")
    assert told["next"] == "nothing, it is done with."
    sent = [entry for entry in told["history"] if entry["kind"] == "sent"]
    assert sent[0]["replies"] == ["250 2.0.0 Ok: queued"]
    assert story(shift, "<past@mua.test>", "delivered")["id"] == past
    later = story(shift, waiting, "deferred")
    assert "450 4.2.1 Come again" in json.dumps(later)
    assert SLOW in shift.run("explain", SLOW)


def test_the_log_is_found_by_message_and_followed(shift: Shift) -> None:
    identity = shift.send("logged", FAR)
    shift.server.wait_for("delivered", id=identity)

    def found() -> list[str]:
        return shift.server.command("log", identity, "--json").stdout.splitlines()

    lines = until(found, "the log")
    assert {json.loads(line)["id"] for line in lines} == {identity}
    command = [sys.executable, "-m", "engine", "--config", str(shift.server.config), "log", "-f", "--event", "accepted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as follower:
        try:
            assert follower.stdout is not None
            assert all("accepted" in follower.stdout.readline() for _ in range(10))
        finally:
            follower.kill()


def test_what_is_measured_grows_and_the_server_is_ready(shift: Shift) -> None:
    base = f"http://127.0.0.1:{shift.server.ports['metrics']}"

    def delivered() -> float:
        text = httpx2.get(f"{base}/metrics", timeout=60).text
        return sum(map(float, re.findall(r"postroad_recipients_total\{[^}]*delivered[^}]*\} (\S+)", text)))

    first = delivered()
    shift.load.flows()
    until(lambda: delivered() > first, "more deliveries")
    assert httpx2.get(f"{base}/health/ready", timeout=60).json()["ready"]
    assert httpx2.get(f"{base}/health/live", timeout=60).status_code == 200


def test_webhooks_come_signed(shift: Shift) -> None:
    def refused() -> list[dict[str, Any]]:
        return [one for asked in list(shift.hooks.asked) for one in json.loads(asked.body)["events"]]

    until(lambda: [one for one in refused() if one["event"] == "failed" and one["to"] == GONE], "a webhook")
    for asked in list(shift.hooks.asked):
        fields = {name.lower(): value for name, value in asked.headers.items()}
        said = next(value for name, value in fields.items() if "signature" in name)
        when = re.match(r"t=(\d+),", said)
        assert when is not None
        signed = hmac.new(SECRET.encode(), when[1].encode() + b"." + asked.body, hashlib.sha256).hexdigest()
        assert signed in said


def test_traces_have_the_way_of_a_message(shift: Shift) -> None:
    identity = MessageId.parse(shift.send("traced", FAR))
    until(lambda: len(shift.collector.of(identity)) >= 3, "spans of a message")


def test_check_and_doctor_and_show_beside_it(shift: Shift) -> None:
    shift.run("check")
    said = shift.server.command("doctor", "--only", "server", "--only", "versions")
    assert f"process {shift.server.pid} serves" in said.stdout, said.stderr
    assert json.loads(shift.run("show", "--json"))
    assert json.loads(shift.run("top", "--once", "--json"))


def test_bans_quotas_and_shaping_are_changed_while_it_flows(shift: Shift) -> None:
    assert shift.run("ban", "list", "--json").strip() == "[]"
    shift.run("quota", "set", BOB, "--size", "5GB")
    assert "5" in shift.run("quota", "show", BOB)
    shift.run("shaping", "suspend", "mx.nowhere.test", "--for", "1h")
    assert "mx.nowhere.test" in shift.run("shaping", "actions")
