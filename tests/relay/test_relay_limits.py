"""Limits that are ours: rates are never exceeded, slots are used, and an overloaded site puts little off.

Nothing here is judged by how long it takes: what is counted is what the sites have seen, by their own clock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.relay.behaviour import ORIGIN
from tests.relay.sending import send, to
from tests.relay.simulator import Simulator, simulated
from tests.relay.tally import Seen, middle, most_within
from tests.support.server import Postroad, merged, until

PATIENCE = 300.0

LATE = 0.9
"""Part of a period that is looked at. What was sent in time may arrive a tenth of it late on a busy machine, and so
near what was sent behind it."""

SHAPING = f"""
[domain."a-rate-0.{ORIGIN}"]
messages = ["60/6s"]

[domain."recipients-0.{ORIGIN}"]
recipients = ["90/6s"]

[domain."slots-0.{ORIGIN}"]
connections = 4

[domain."short-0.{ORIGIN}"]
messages_per_connection = 5

[domain."narrow-0.{ORIGIN}"]
recipients_per_transaction = 3
"""

OVERLOADED = {
    "slow-down": {"messages": ["30/1s"], "over": "450 4.7.1 Slow down"},
    "hang-up": {"messages": ["30/1s"], "over": "421 4.7.28 Slow down"},
    "few-slots": {"connections": 3, "delays": {".": 0.05}},
    "fewer-with-time": {
        "connections": 8, "delays": {".": 0.05}, "later": [{"after": 15, "connections": 2}]
    },
}  # fmt: skip
"""What we are not told, and have to find out."""


@contextmanager
def shaped(folder: Path, *sites: dict[str, Any]) -> Iterator[tuple[Simulator, Postroad]]:
    with simulated(folder / "sites", *sites) as simulator:
        relay = simulator.settings(retry=["2s"])
        settings = merged(relay, {"shaping": {"file": "shaping.toml"}})
        (folder / "shaping.toml").write_text(SHAPING)
        with Postroad(folder, settings) as server:
            yield simulator, server


def arrived(simulator: Simulator, name: str, messages: Sequence[Sequence[str]]) -> Seen:
    """The tally of the site once every recipient has its message. Each has it once."""
    wanted = {recipient for recipients in messages for recipient in recipients}
    until(lambda: simulator.arrived(name).keys() >= wanted, f"all mail at {name}", PATIENCE)
    seen = simulator.seen(name)
    assert set(seen.arrived.values()) == {1}
    return seen


def test_a_rate_of_messages_is_not_exceeded(tmp_path: Path) -> None:
    with shaped(tmp_path, {"name": "a-rate"}) as (simulator, server):
        messages = to("a-rate", 240)
        send(server, *messages)
        seen = arrived(simulator, "a-rate", messages)
        assert most_within(seen.asked, 6 * LATE) <= 60 * 1.01
        assert not server.all("deferred")  # who waits for a rate has failed at nothing


def test_a_rate_of_recipients_is_not_exceeded(tmp_path: Path) -> None:
    with shaped(tmp_path, {"name": "recipients"}) as (simulator, server):
        messages = [[f"m{number}-{each}@recipients-0.{ORIGIN}" for each in range(7)] for number in range(40)]
        send(server, *messages)
        seen = arrived(simulator, "recipients", messages)
        assert most_within(seen.recipients, 6 * LATE) <= 90 * 1.01


def test_slots_are_used_while_there_is_work_and_never_more(tmp_path: Path) -> None:
    """A message of a second leaves 50 ms for all that is not under way to the site, on a busy machine too."""
    with shaped(tmp_path, {"name": "slots", "delays": {".": 1.0}}) as (simulator, server):
        messages = to("slots", 80)
        send(server, *messages)
        seen = arrived(simulator, "slots", messages)
        assert seen.most_open <= 4
        assert seen.used(4, *middle(seen.moments)) >= 0.95


def test_connections_end_after_as_many_messages_as_they_may_carry(tmp_path: Path) -> None:
    with shaped(tmp_path, {"name": "short"}, {"name": "narrow"}) as (simulator, server):
        messages = to("short", 40)
        many = [[f"m{number}@narrow-0.{ORIGIN}" for number in range(10)]]
        send(server, *messages, *many)
        assert arrived(simulator, "short", messages).most_messages <= 5
        assert len(arrived(simulator, "narrow", many).asked) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLOADED)
def test_an_overloaded_site_puts_little_off(tmp_path: Path, name: str) -> None:
    with shaped(tmp_path, {"name": name, **OVERLOADED[name]}) as (simulator, server):
        messages = to(name, 900)
        send(server, *messages)
        seen = arrived(simulator, name, messages)
        print(f"{name}: {seen.deferral_share:.1%} put off of {len(seen.taken)}, {seen.connections} connections")
        assert seen.deferral_share < 0.05
        assert not server.all("failed")
