"""The history: what relayed messages have to say, written to a slice, and found again among many."""

import os
from itertools import islice
from pathlib import Path

import pytest

from bench.micro.measure import Measure
from engine.history.entries import Arrived, Attempted, Entry, Leg, Outcome, Sent
from engine.history.reading import History
from engine.history.shelf import Shelf, Terms
from engine.message import MessageId

pytestmark = pytest.mark.benchmark(group="History")

COUNT = 500
"""Messages in a write: some 2,000 a second, by several processes."""

WRITES = 40

_HOST, _SITE = "mx1.example.net", "mx.example.net"
_FOUND = {"spf.result": "pass", "dkim.result": "pass", "dmarc.result": "pass", "iprev.name": "mx.example.org"}
_HOSTS = {"resolve.site": _SITE, "resolve.hosts": [[10, _HOST, ["192.0.2.55"]]]}


def relayed(number: int) -> list[Entry]:
    """What is noted of a message that is taken in and handed on."""
    identity = MessageId.new()
    now, sender, to = identity.time, f"a{number % 5000}@example.org", (f"user{number % 50_000}@example.net",)
    reply = f"250 2.0.0 Ok: queued as {os.urandom(5).hex()}"
    session = ("192.0.2.1", "mx.example.org", "ESMTPS", "TLSv1.3 TLS_AES_256_GCM_SHA384", "")
    before = Leg(now, "inbound/0", (), [("authenticate", "changed", 1.234, _FOUND), ("tag_external", "changed", 0.041)])
    behind = Leg(
        now, "remote/0", (),
        [("route", "lane remote", 0.1), ("resolve", "changed", 1.0, _HOSTS), ("relay", f"delivered: {reply}", 12.1)],
    )  # fmt: skip
    header_id = f"<{os.urandom(8).hex()}@example.org>"
    return [
        Arrived(
            identity, now, now, "accepted", "inbound", 3, sender, to, 4096, header_id, session, legs=(before,)
        ),
        Sent(identity, now, now, to, _SITE, _HOST, "192.0.2.55", "", session[3], "opportunistic", (reply,)),
        Attempted(identity, now, now, 1, 3, sender, (behind,), (Outcome(to[0], "delivered", reply=reply),)),
    ]  # fmt: skip


def test_note(measure: Measure, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "history", "mail-0", Terms(86_400.0, 2**32))
    entries = [entry for number in range(COUNT) for entry in relayed(number)]
    measure(f"all entries of a relayed message, {COUNT} messages in a commit", shelf.put, entries, operations=COUNT)
    shelf.close()
    with History(tmp_path / "history") as history:
        assert {type(one.entry) for one in history.of(entries[-1].id)} == {Arrived, Sent, Attempted}


@pytest.mark.parametrize(("by", "entries"), [("id", 3), ("address", 2)])
def test_find(measure: Measure, tmp_path: Path, by: str, entries: int) -> None:
    shelf = Shelf(tmp_path / "history", "mail-0", Terms(86_400.0, 2**32))
    for write in range(WRITES):
        shelf.put([entry for number in range(COUNT) for entry in relayed(write * COUNT + number)])
    last = relayed(COUNT * WRITES)
    shelf.put(last)
    shelf.close()

    def found() -> list[Entry]:
        with History(tmp_path / "history") as history:
            told = history.of(last[0].id) if by == "id" else islice(history.about("user20000@example.net"), 3)
            return [one.entry for one in told]

    assert len(measure(f"one message by its {by} among {COUNT * WRITES:,}", found)) == entries
