"""Events leave a server at work: into the journal, to rsyslog and a file, with addresses hashed; and to webhooks."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.collector import Collector
from tests.support.http_server import HttpServer
from tests.support.journald import Journald, journald, rooms_apart
from tests.support.programs import needs
from tests.support.rsyslog import rsyslog
from tests.support.server import until, whole_lines
from tests.support.shift import ANN, BOB, FAR, GONE, SLOW, Shift, on_shift

SECRET = b"a secret of webhooks"
Event = dict[str, Any]


class Outputs(NamedTuple):
    """Each as what it tells of a message: its events, in the order in which they came."""

    shift: Shift
    journal: Journald | None
    collector: Collector
    messages: Path  # of rsyslog

    def log(self) -> list[Event]:
        return [json.loads(line) for line in whole_lines(self.shift.server.folder / "log" / "events.jsonl")]

    def syslog(self) -> list[Event]:
        lines = whole_lines(self.messages)
        assert all(line.startswith("mail.") for line in lines)
        return [json.loads(line[line.index("{") :]) for line in lines if line.endswith("}")]

    def journaled(self, *matches: str) -> list[Event]:
        assert self.journal is not None
        return [json.loads(one["POSTROAD_JSON"]) for one in self.journal.entries(*matches)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    folder = tmp_path_factory.mktemp("outputs")
    with ExitStack() as stack:
        collector = stack.enter_context(Collector().serving())
        journal = stack.enter_context(journald(folder / "journal")) if rooms_apart() else None
        stack.enter_context(rsyslog(folder / "rsyslog"))
        settings = {
            "listen": {"metrics": "127.0.0.1:0"},
            "traces": {"endpoint": collector.endpoint},
            "log": {
                "file": "log/events.jsonl", "syslog": str(folder / "rsyslog" / "log"), "journald": journal is not None,
                "addresses": "hashed",
            },
        }  # fmt: skip
        starter = journal.inside if journal else ()
        shift = stack.enter_context(on_shift(folder / "server", settings, starter=starter))
        yield Outputs(shift, journal, collector, folder / "rsyslog" / "messages")


def ways(outputs: Outputs, identity: str) -> dict[str, Callable[[], list[Event]]]:
    """How to ask each output for the events of a message."""
    found: dict[str, Callable[[], list[Event]]] = {
        "file": lambda: [one for one in outputs.log() if one.get("id") == identity],
        "rsyslog": lambda: [one for one in outputs.syslog() if one.get("id") == identity],
    }
    if outputs.journal is not None:
        found["journal"] = lambda: outputs.journaled(f"POSTROAD_ID={identity}")
    return found


@needs("rsyslogd")
@pytest.mark.parametrize("to", [FAR, GONE, BOB])
def test_each_output_has_the_same_of_a_message(outputs: Outputs, to: str) -> None:
    for number in range(5):
        identity = outputs.shift.send(f"told-{number}", to)
        outputs.shift.server.wait_for("failed" if to == GONE else "delivered", id=identity)
        expected = outputs.shift.server.all("accepted", id=identity)
        for name, asked in ways(outputs, identity).items():
            events = until(lambda asked=asked: len(found := asked()) >= 2 and found, f"the events in the {name}")
            assert expected[0] in events, name
            assert {one["event"] for one in events} >= {"accepted", "failed" if to == GONE else "delivered"}, name
    assert outputs.shift.server.all("log-lines-lost") == []


@needs("rsyslogd")
def test_no_output_says_who_wrote_to_whom(outputs: Outputs) -> None:
    server = outputs.shift.server
    with server.dialogue() as client:
        client.start()
        client.ask("RCPT TO:<nobody.at.all@example.org>", "550")
    identity = outputs.shift.send("private", FAR)
    server.wait_for("delivered", id=identity)
    for asked in ways(outputs, identity).values():
        until(lambda asked=asked: len(asked()) >= 2, "the events")
    until(lambda: outputs.collector.told, "spans")
    for event in ("deferred", "failed"):
        server.wait_for(event)  # of those who do not get their mail
    text = json.dumps([server.events, server.noise, outputs.log(), outputs.syslog()]) + repr(outputs.collector.told)
    text += json.dumps(outputs.journaled()) if outputs.journal is not None else ""
    for person in (ANN, BOB, FAR, SLOW, GONE, "nobody.at.all@example.org"):
        assert person.partition("@")[0] + "@" not in text, person
    hashed = set(re.findall(r"~\w{12}@far\.test", text))
    assert len(hashed) == 3  # Fay, and those who do not get their mail: each always the same
    said = outputs.shift.run("log", FAR, "--json").splitlines()
    assert identity in {json.loads(line).get("id") for line in said}  # who may read the key finds her all the same


class Hooked(NamedTuple):
    shift: Shift
    good: HttpServer  # which takes everything
    bad: HttpServer  # which takes nothing until it is told to


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[Hooked]:
    tmp_path.joinpath("secret").write_bytes(SECRET)
    with ExitStack() as stack:
        good, bad = (stack.enter_context(HttpServer(lambda _: b"").serving()) for _ in range(2))
        bad.status = 503
        settings = {
            "webhook": {
                name: {
                    "url": f"http://127.0.0.1:{server.port}/", "secret_file": "secret", "retry": ["100ms"], "batch": 4,
                    "events": ["failed", "deferred"], **more,
                }
                for name, server, more in (("good", good, {}), ("bad", bad, {}), ("small", bad, {"most": 5}))
            }
        }  # fmt: skip
        yield Hooked(stack.enter_context(on_shift(tmp_path, settings)), good, bad)


def posted(server: HttpServer) -> list[Event]:
    """What it has taken."""
    taken = [asked for asked in list(server.asked) if asked.status == 200]
    return [one for asked in taken for one in json.loads(asked.body)["events"]]


def whose(events: Sequence[Event]) -> set[tuple[str, str]]:
    return {(one["id"], one["to"]) for one in events}


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    when, mac = (part.partition("=")[2] for part in headers["Postroad-Signature"].split(","))
    return hmac.compare_digest(hmac.new(SECRET, when.encode() + b"." + body, hashlib.sha256).hexdigest(), mac)


def test_a_webhook_that_takes_nothing_holds_up_neither_mail_nor_the_others(hooked: Hooked) -> None:
    shift, good, bad = hooked
    server = shift.server
    server.wait_for("webhook-failed", webhook="bad")
    server.wait_for("webhook-full")
    shift.load.flows()
    before = len(posted(good))
    until(lambda: len(posted(good)) > before + 10, "the other webhook to be told")
    waiting = whose(posted(good))
    bad.status = 200
    server.wait_for("webhook-answers", webhook="bad")
    until(lambda: waiting <= whose(posted(bad)), "all that has waited")
    for asked in [*good.asked, *bad.asked]:
        assert is_signed(asked.headers, asked.body)
    assert len(server.all("webhook-failed", webhook="bad")) == 1  # said once
    assert {one["to"] for one in posted(good)} >= {GONE, SLOW}
