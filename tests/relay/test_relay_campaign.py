"""Mail for hundreds of sites that do all sorts of things, for RELAY_SECONDS: then they mend, and all of it has come.

``make relay-campaign SECONDS=600`` runs it for long, and for more sites; it prints what each kind of site has seen.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.relay.behaviour import ORIGIN
from tests.relay.simulator import Simulator, simulated
from tests.relay.tally import Seen, most_within
from tests.support.dice import seeded
from tests.support.server import Postroad, letter, merged, until

SECONDS = float(os.environ.get("RELAY_SECONDS", "5"))
SITES = int(os.environ.get("RELAY_SITES", "20"))
"""Of each kind."""

RATE = 20
PATIENCE = 600.0

KINDS: dict[str, Mapping[str, Any]] = {
    "healthy": {},
    "large": {},
    "tls": {"tls": "good"},
    "slow": {"delays": {"*": 0.2, ".": 0.5}},
    "greylisting": {"greylist": 3.0},
    "few-connections": {"connections": 2, "delays": {".": 0.05}},
    "few-messages": {"messages": [f"{RATE}/1s"], "over": "450 4.7.1 Slower"},
    "short-sessions": {"per_connection": 2},
    "broken-tls": {"tls": "alert"},
    "drops": {"steps": {step: ["ok", "ok", "!drop"] for step in ("MAIL", "RCPT", ".")}, "again": True},
    "resets": {"steps": {step: ["ok", "ok", "ok", "!reset"] for step in ("MAIL", "CONTENT")}, "again": True},
    "forgets-the-250": {"steps": {".": ["ok", "ok", "!taken"]}, "again": True},
    "nonsense": {"steps": {"RCPT": ["ok", "!nonsense"], ".": ["ok", "ok", "!mixed"]}, "again": True},
    "busy": {"steps": {"MAIL": ["ok", "421 4.3.2 Busy"]}, "again": True},
    "backup": {"mx": ["refused", "own"]},
    "lies": {"mx": ["nowhere", "loopback", "own"]},
    "falling": {"delays": {".": 0.05}, "later": [{"after": SECONDS / 2, "connections": 1}]},
}

TWICE = {"forgets-the-250"}
"""What a site has taken before it broke off may come twice."""

WELL = {"steps": {}, "delays": {}, "greylist": 0.0, "connections": 0, "messages": [], "per_connection": 0}


@contextmanager
def at_work(folder: Any) -> Iterator[tuple[Simulator, Postroad]]:
    tables = [{"name": kind, "sites": 1 if kind == "large" else SITES, **what} for kind, what in KINDS.items()]
    with simulated(folder, *tables) as sites:
        settings = sites.settings(retry=["1s", "2s", "5s"], command_timeout="20s", greeting_timeout="20s")
        with Postroad(folder, merged(settings, {"server": {"workers": 1}, "queue": {"retry": ["1s"]}})) as server:
            yield sites, server


def send(server: Postroad, dice: random.Random) -> dict[str, float]:
    """Half of all mail is for the large site. Each recipient, and when its message was taken in."""
    sent: dict[str, float] = {}
    kinds = [kind for kind in KINDS if kind != "large"]
    end = time.monotonic() + SECONDS
    with server.smtp() as client:
        while time.monotonic() < end or len(sent) < 10 * len(KINDS):
            kind = "large" if dice.random() < 0.5 else kinds[len(sent) % len(kinds)]
            number = 0 if kind == "large" else dice.randrange(SITES)
            recipient = f"m{len(sent)}@{kind}-{number}.{ORIGIN}"
            client.sendmail("", [recipient], letter(recipient, "line\r\n" * dice.choice((1, 100, 3000))))
            sent[recipient] = time.monotonic()
    return sent


@pytest.mark.slow
def test_everything_arrives_in_the_end(tmp_path: Any) -> None:
    dice = seeded()
    with at_work(tmp_path) as (sites, server):
        sent = send(server, dice)
        before = {kind: list(sites.report(kind).values()) for kind in KINDS}
        for kind in KINDS:
            sites.change(kind, **WELL)
        until(lambda: sites.arrived().keys() >= sent.keys(), "all mail at the sites", PATIENCE)
        until(lambda: server.queued() == 0, "an empty queue")
        arrived = sites.arrived()
        _tell(sites, sent, before)
        assert arrived.keys() == sent.keys()
        twice = {recipient for recipient, times in arrived.items() if times > 1}
        assert {recipient.partition("@")[2].rpartition("-")[0] for recipient in twice} <= TWICE
        assert server.all("failed") == server.all("bug") == server.all("worker-died") == []


def _tell(sites: Simulator, sent: Mapping[str, float], before: Mapping[str, list[Seen]]) -> None:
    """What each kind of site has seen while it was as it is, and how long its mail took in all."""
    print(f"\n{len(sent):,} messages in {SECONDS:g} s for {SITES} sites of each kind")
    heads = ("kind", "taken", "put off", "connections", "most open", "most/s", "median, s", "most, s")
    print("{:16} {:>7} {:>8} {:>11} {:>9} {:>7} {:>9} {:>7}".format(*heads))
    for kind, seen in before.items():
        later = [one for each in sites.report(kind).values() for one in each.taken]
        times = sorted(moment - sent[recipient] for moment, recipient in later) or [0.0]
        print(
            f"{kind:16} {sum(len(each.taken) for each in seen):7} {_share(seen):8.1%} "
            f"{sum(each.connections for each in seen):11} {max(each.most_open for each in seen):9} "
            f"{max(most_within(each.asked, 1.0) for each in seen):7} {times[len(times) // 2]:9.2f} {times[-1]:7.2f}"
        )


def _share(seen: list[Seen]) -> float:
    put_off = sum(sum(each.deferred.values()) + each.refused for each in seen)
    return put_off / max(put_off + sum(len(each.taken) for each in seen), 1)
