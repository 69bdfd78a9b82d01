"""Traces of a running server, taken by a collector: a message's way over processes, the queue and several attempts."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.message import MessageId
from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.collector import Collector, Told
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

BOB, SLOW = "bob@example.org", "slow@far.test"
NOTE = """
'''Notes a fact.'''
async def note(message):
    return message.with_fact("note.length", message.size)
"""


class Scene(NamedTuple):
    server: Postroad
    collector: Collector

    def send(self, *to: str) -> MessageId:
        with self.server.smtp() as client:
            client.ehlo()
            client.mail("ann@example.net")
            for one in to:
                client.rcpt(one)
            return MessageId.parse(client.data(letter("hello"))[1].decode().rpartition(" ")[2])

    def spans(self, identity: MessageId, *names: str) -> dict[str, Told]:
        """The spans of a message by name, once all of these have come."""

        def found() -> dict[str, Told] | None:
            told = {one.name: one for one in self.collector.of(identity)}
            return told if {*names} <= told.keys() else None

        return dict(until(found, f"the spans {names}"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        collector = stack.enter_context(Collector().serving())
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        script = {f"RCPT {SLOW}": ["451 4.7.1 Come again", "250 2.1.5 Ok"]}
        remote = stack.enter_context(smtp_server(Remote(script=script)))
        settings = {
            "dns": {"servers": [address]},
            "history": {"level": "off"},
            "traces": {"endpoint": collector.endpoint, "attributes": {"team": "mail"}},
            "lane": {"inbound": {"stages": ["accept", "note", "queue", "route"]}},
            "stage": {
                "note": {"use": "filters/note.py", "workers": 1},
                "resolve": {"port": remote.port},
                "relay": {"retry_greylisted": ["1s"]},
            },
        }
        server = Postroad(tmp_path, settings, note=NOTE).account(BOB)
        yield Scene(stack.enter_context(server), collector)


def test_the_way_of_a_message_over_processes_and_attempts(scene: Scene) -> None:
    identity = scene.send(SLOW)
    scene.spans(identity, "receive inbound", "note", "attempt 1", "attempt 2")
    until(lambda: len([one for one in scene.collector.of(identity) if one.name == "send to mx.far.test"]) == 2, "both")
    found = scene.collector.of(identity)
    by_id = {one.id: one for one in found}
    assert len(by_id) == len(found)
    (root,) = (one for one in found if not one.parent)
    assert root.name == "receive inbound"
    assert {one.trace for one in found} == {bytes(identity)}
    tree = sorted((by_id[one.parent].name, one.name) for one in found if one.parent)
    assert tree == [
        ("attempt 1", "relay"), ("attempt 1", "resolve"), ("attempt 1", "route"), ("attempt 1", "send to mx.far.test"),
        ("attempt 2", "relay"), ("attempt 2", "resolve"), ("attempt 2", "route"), ("attempt 2", "send to mx.far.test"),
        ("receive inbound", "attempt 1"), ("receive inbound", "attempt 2"), ("receive inbound", "note"),
    ]  # fmt: skip
    note = next(one for one in found if one.name == "note")
    assert (note.attributes["postroad.worker"], note.attributes["postroad.verdict"]) == ("note-0", "changed")
    assert root.began <= note.began <= note.ended <= root.ended
    first, second = (one for one in found if one.name == "send to mx.far.test")
    assert (first.failed, second.failed) == ("451 4.7.1", "")
    assert {one.resource["team"] for one in found} == {"mail"}
    assert "ann@" not in repr(found)


def test_a_stage_s_time_and_a_delivery_here(scene: Scene) -> None:
    identity = scene.send(BOB)
    found = scene.spans(identity, "receive inbound", "attempt 1", "enqueue")
    assert found["enqueue"].attributes["postroad.worker"] == "mailboxes"
    shown = json.loads(scene.server.command("explain", "--json", str(identity)).stdout or "[]")
    assert shown == []  # the history is off


def test_reload_ends_it_and_begins_it_again(scene: Scene) -> None:
    scene.server.change({"traces": None, "history": {"level": "all"}})
    assert scene.server.reload().returncode == 0
    untold = scene.send(BOB)
    scene.server.wait_for("delivered", id=str(untold))
    scene.server.change({"traces": {"endpoint": scene.collector.endpoint}})
    assert scene.server.reload().returncode == 0
    told = scene.send(BOB)
    scene.spans(told, "receive inbound", "attempt 1")
    assert scene.collector.of(untold) == []
    until(lambda: scene.server.command("explain", str(told)).returncode == 0, "its history")
    assert f"Trace: {told.hex()}\n" in scene.server.command("explain", str(told)).stdout
