"""A shift of an operator: what one looks at, asks and is told, while mail flows in, out and back all the time."""

import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest

from engine.message import MessageId
from tests.support.collector import Collector
from tests.support.http_server import HttpServer
from tests.support.server import PASSWORD, PATIENCE, ROOT, merged, toml, until
from tests.support.shift import BOB, FAR, GONE, SLOW, Shift, on_shift

SECRET = "a secret of webhooks"

PARK = '''
"""Parks what calls itself odd."""
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("it calls itself odd") if message.header("Subject").startswith("odd") else message
'''


class Others(NamedTuple):
    """Who hears of the server."""

    hooks: HttpServer
    collector: Collector


@pytest.fixture(scope="module")
def others() -> Iterator[Others]:
    with Collector().serving() as collector, HttpServer(lambda _: b"ok").serving() as hooks:
        yield Others(hooks, collector)


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory, others: Others) -> Iterator[Shift]:
    folder = tmp_path_factory.mktemp("shift")
    (folder / "hook.secret").write_text(SECRET)
    hook = {"url": f"http://127.0.0.1:{others.hooks.port}/hook", "secret_file": "hook.secret", "batch": 10}
    settings = {
        "listen": {"metrics": "127.0.0.1:0"},
        "log": {"file": "log/events.jsonl"},
        "traces": {"endpoint": others.collector.endpoint, "share": 100},
        "webhook": {"crm": hook},
        "lane": {"inbound": {"stages": ["accept", "park", "suppress", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}},
    }
    with on_shift(folder, settings, park=PARK) as running:
        yield running
        assert not [line for line in running.server.noise if PASSWORD in line or SECRET in line]


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
    for which in (past, "<past@mua.test>", SLOW):
        began = time.perf_counter()
        shift.run("explain", which)
        print(f"{time.perf_counter() - began:6.2f} s: postroad explain {which}")


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
        text = httpx2.get(f"{base}/metrics", timeout=PATIENCE).text
        return sum(map(float, re.findall(r"postroad_recipients_total\{[^}]*delivered[^}]*\} (\S+)", text)))

    first = delivered()
    shift.load.flows()
    until(lambda: delivered() > first, "more deliveries")
    until(lambda: httpx2.get(f"{base}/health/ready", timeout=PATIENCE).json()["ready"], "it to be ready")
    assert httpx2.get(f"{base}/health/live", timeout=PATIENCE).status_code == 200


def test_webhooks_come_signed(shift: Shift, others: Others) -> None:
    def refused() -> list[dict[str, Any]]:
        return [one for asked in list(others.hooks.asked) for one in json.loads(asked.body)["events"]]

    until(lambda: [one for one in refused() if one["event"] == "failed" and one["to"] == GONE], "a webhook")
    for asked in list(others.hooks.asked):
        fields = {name.lower(): value for name, value in asked.headers.items()}
        said = next(value for name, value in fields.items() if "signature" in name)
        when = re.match(r"t=(\d+),", said)
        assert when is not None
        signed = hmac.new(SECRET.encode(), when[1].encode() + b"." + asked.body, hashlib.sha256).hexdigest()
        assert signed in said


def test_traces_have_the_way_of_a_message(shift: Shift, others: Others) -> None:
    identity = MessageId.parse(shift.send("traced", FAR))
    until(lambda: len(others.collector.of(identity)) >= 3, "spans of a message")


def test_check_and_doctor_and_show_beside_it(shift: Shift) -> None:
    shift.run("check")
    areas = ("server", "versions", "queue", "limits", "clock", "disk", "ports")
    said = shift.server.command("doctor", *(word for area in areas for word in ("--only", area)))
    assert f"process {shift.server.pid} serves" in said.stdout, said.stderr
    assert "messages in the queue" in said.stdout
    assert json.loads(shift.run("show", "--json"))
    assert json.loads(shift.run("top", "--once", "--json"))


def test_bans_quotas_and_shaping_are_changed_while_it_flows(shift: Shift) -> None:
    assert shift.run("ban", "list", "--json").strip() == "[]"
    shift.run("quota", "set", BOB, "--size", "5GB")
    assert "5" in shift.run("quota", "show", BOB)
    shift.run("shaping", "suspend", "mx.nowhere.test", "--for", "1h")
    assert "mx.nowhere.test" in shift.run("shaping", "actions")


def test_what_is_parked_is_looked_at_rehearsed_and_let_go(shift: Shift) -> None:
    kept, deleted = shift.send("odd-one", BOB), shift.send("odd-other", BOB)
    until(lambda: parked(shift) == {kept, deleted}, "parked mail")
    new = shift.server.folder / "new.toml"
    without = {"lane": {"inbound": {"stages": ["accept", "suppress", "queue", "route"]}}, "stage": {"park": None}}
    new.write_text(toml(merged(shift.server.settings, without)))
    done = shift.server.command("replay", "--config", str(new), "--from", "quarantine", "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["different"] == 2
    assert "odd-one" in shift.run("quarantine", "show", kept)
    shift.run("quarantine", "release", kept)
    shift.run("quarantine", "delete", deleted)
    shift.server.wait_for("delivered", id=kept)
    assert parked(shift) == set()


def parked(shift: Shift) -> set[str]:
    return {one["id"] for one in json.loads(shift.run("quarantine", "list", "--json"))}


def test_a_change_is_previewed_tried_on_a_share_and_taken_back(shift: Shift) -> None:
    server = shift.server
    before = server.config.read_text()
    server.change({"stage": {"accept": {"max_recipients": 77}}, "route": [
        {"to": "local", "lane": "local"}, {"to": "slow.test", "lane": "remote"}, {"to": "*", "lane": "remote"},
    ]})  # fmt: skip
    told = json.loads(shift.run("reload", "--preview", "--offline", "--json"))
    assert told["queue"]["messages"] > 0
    shift.run("reload", "--canary", "30")

    def revisions() -> set[int]:
        """By which mail has come in: each connection keeps to one."""
        shift.send("tried", FAR)
        return {one["revision"] for one in server.all("accepted")}

    until(lambda: revisions() >= {1, 2}, "mail by what is tried, and by what is in force")
    assert json.loads(shift.run("revision", "trial", "--json"))["revision"] == 2
    assert "+max_recipients = 77" in server.command("revision", "diff", "1", "2").stdout
    assert shift.run("reload", "--promote") == "revision 2 is in force\n"
    shift.load.flows()
    shift.run("revision", "back", "1", "--yes")
    assert server.config.read_text() == before
    assert {1, 2} <= {row["revision"] for row in json.loads(shift.run("revision", "list", "--json"))}
    server.settings = merged(server.settings, {"stage": {"accept": {"max_recipients": None}}})
    shift.load.flows()


def test_who_is_not_there_is_suppressed_until_an_operator_says_otherwise(shift: Shift) -> None:
    shift.run("suppression", "add", "nobody@far.test")
    with shift.server.dialogue() as client:
        client.start()
        client.ask("RCPT TO:<nobody@far.test>", "550")
    assert "nobody@far.test" in shift.run("suppression", "list", "--json")
    shift.run("suppression", "remove", "nobody@far.test")
    assert shift.send("welcome-again", "nobody@far.test")
    assert json.loads(shift.run("bounces", "list", "--json"))
