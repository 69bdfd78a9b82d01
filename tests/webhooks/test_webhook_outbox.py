"""What waits for webhooks: who wants what, in which order, and that it is bounded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.bounces.journal import Entry
from engine.config import Webhook
from engine.webhooks.outbox import Outbox, State, wants

FAILED = Entry(time=1.0, event="failed", to="b@example.net", which="policy", tenant="acme")
DEFERRED = Entry(time=2.0, event="deferred", to="c@example.net", which="greylist")
ACTION = Entry(time=3.0, event="action", site="mx.example.net")


def webhook(name: str = "crm", **settings: Any) -> Webhook:
    return Webhook(name=name, url="https://hooks.example.org/", secret_file=Path("/secret"), **settings)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    now = iter(range(1000, 10**6))
    with Outbox.open(tmp_path, lambda: float(next(now))) as opened:
        yield opened


def waiting(outbox: Outbox, name: str) -> list[str]:
    return [msgspec.json.decode(one.json)["event"] for one in outbox.first(name, 100)]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [FAILED, DEFERRED, ACTION]),
        ({"events": ("failed",)}, [FAILED]),
        ({"events": ("*ed",)}, [FAILED, DEFERRED]),
        ({"classes": ("greylist",)}, [DEFERRED, ACTION]),  # an action has no class
        ({"tenants": ("acme",)}, [FAILED]),
        ({"events": ()}, []),
    ],
)
def test_who_wants_what(settings: dict[str, Any], wanted: list[Entry]) -> None:
    one = webhook(**settings)
    assert [entry for entry in (FAILED, DEFERRED, ACTION) if wants(one, entry)] == wanted


def test_each_webhook_has_a_queue_of_its_own(outbox: Outbox) -> None:
    hooks = [webhook("crm", events=("failed",)), webhook("crm2")]
    assert outbox.put(hooks, [FAILED, DEFERRED]) == 0
    assert waiting(outbox, "crm") == ["failed"]
    assert waiting(outbox, "crm2") == ["failed", "deferred"]
    assert outbox.first("crm2", 1)[0].since < outbox.first("crm2", 2)[1].since
    outbox.remove("crm2", [outbox.first("crm2", 1)[0].key])
    assert waiting(outbox, "crm2") == ["deferred"]
    assert waiting(outbox, "crm") == ["failed"]
    assert outbox.state("crm2") == State(1, 0)


def test_what_has_no_room_is_dropped_and_counted(outbox: Outbox) -> None:
    small = webhook(most=3)
    assert outbox.put([small], [FAILED, DEFERRED]) == 0
    assert outbox.put([small], [ACTION, FAILED]) == 1
    assert waiting(outbox, "crm") == ["failed", "deferred", "action"]
    assert outbox.state("crm") == State(3, 1)
    outbox.remove("crm", [one.key for one in outbox.first("crm", 2)], dropped=True)
    assert outbox.state("crm") == State(1, 3)
    assert outbox.put([small], [FAILED, FAILED]) == 0


def test_it_outlives_a_restart_and_keeps_its_order(tmp_path: Path) -> None:
    for number in range(3):
        with Outbox.open(tmp_path, lambda number=number: 1000.0 + number) as opened:
            opened.put([webhook()], [Entry(time=0.0, event="failed", to=f"{number}@example.net")])
    with Outbox.open(tmp_path) as opened:
        found = [msgspec.json.decode(one.json)["to"] for one in opened.first("crm", 100)]
    assert found == ["0@example.net", "1@example.net", "2@example.net"]


def test_events_of_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    with Outbox.open(tmp_path, lambda: 1000.0) as opened:
        opened.put([webhook()], [FAILED] * 500)
        assert len(opened.first("crm", 1000)) == 500
