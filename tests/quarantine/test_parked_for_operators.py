"""Parked mail, as operators see it who may touch some domains alone: their recipients, and no others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.links.request import Unanswered
from engine.message import MessageId
from engine.operations import quarantine
from engine.operations.operator import Forbidden, Operator
from engine.quarantine.held import Wanted, shards
from engine.queue.store import Shard
from engine.spam import Words
from tests.support.parked import parked

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.net"
ROOT = Operator("root")
OURS = Operator("token:ours", frozenset({"example.org"}))


@pytest.fixture
def ids(tmp_path: Path) -> list[MessageId]:
    """For us, for us and others, for others."""
    return [parked(tmp_path, 1, ANN, BOB), parked(tmp_path, 2, ANN, EVE), parked(tmp_path, 3, EVE)]


@pytest.fixture
def opened(tmp_path: Path, ids: list[MessageId]) -> Iterator[list[Shard]]:
    with shards(tmp_path, 2**26) as found:
        yield found


class Owner:
    """Answers for the owners of shards."""

    def __init__(self, said: str = "") -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._said = said

    def __call__(self, *question: Any) -> str:
        self.asked.append(question)
        return self._said


def test_lists_are_cut_to_their_recipients(opened: list[Shard], ids: list[MessageId]) -> None:
    assert [(one.id, one.to) for one in quarantine.listed(opened, ROOT)] == [
        (str(ids[0]), (ANN, BOB)), (str(ids[1]), (ANN, EVE)), (str(ids[2]), (EVE,)),
    ]  # fmt: skip
    assert [(one.id, one.to) for one in quarantine.listed(opened, OURS)] == [
        (str(ids[0]), (ANN, BOB)),
        (str(ids[1]), (ANN,)),
    ]
    shown = quarantine.shown(opened, OURS, ids[1])
    assert shown is not None
    assert (shown.to, shown.subject, shown.text) == ((ANN,), "buy", "Watches, cheap")
    assert quarantine.shown(opened, OURS, ids[2]) is None
    assert quarantine.shown(opened, ROOT, MessageId.new()) is None


def test_they_decide_for_theirs_alone(opened: list[Shard], ids: list[MessageId]) -> None:
    chosen, missing = quarantine.choose(opened, OURS, ids)
    assert [(one.id, one.to) for one in chosen] == [(ids[0], ()), (ids[1], (ANN,))]
    assert missing == [ids[2]]
    owner = Owner()
    assert [quarantine.decide(owner, OURS, "delete", one) for one in chosen] == ["", ""]
    assert owner.asked == [
        ("mail-1", "queue", "delete", bytes(ids[0])),
        ("mail-0", "queue", "delete", bytes(ids[1]), ANN),
    ]


def test_who_may_touch_all_decides_for_all_or_for_those_who_are_named(
    opened: list[Shard], ids: list[MessageId]
) -> None:
    chosen, missing = quarantine.choose(opened, ROOT, [], Wanted(to="example.net"))
    assert [(one.id, one.to) for one in chosen] == [(ids[1], (EVE,)), (ids[2], (EVE,))]
    assert missing == []
    # No recipients at all would mean every one of them.
    assert quarantine.choose(opened, OURS, [], Wanted(to="example.net")) == ([], [])
    assert quarantine.choose(opened, OURS, ids, Wanted(to="example.net")) == ([], ids)
    assert [one.to for one in quarantine.choose(opened, ROOT, ids[:1], Wanted(to=BOB))[0]] == [(BOB,)]


def test_what_was_not_done_is_said_and_not_told(opened: list[Shard], ids: list[MessageId]) -> None:
    told: list[str] = []
    by = Operator("root", note=lambda name, /, **_: told.append(name))
    (one,), _ = quarantine.choose(opened, by, ids[:1])
    assert quarantine.decide(Owner("it is not parked"), by, "release", one) == "it is not parked"

    def silent(*_: Any) -> str:
        raise Unanswered("mail-1 does not answer")

    assert quarantine.decide(silent, by, "release", one) == "mail-1 does not answer"
    assert told == []
    assert quarantine.decide(Owner(), by, "release", one) == ""
    assert told == ["parked-decided"]


def test_the_filter_of_all_is_taught_by_who_may_touch_all(
    opened: list[Shard], ids: list[MessageId], tmp_path: Path
) -> None:
    chosen, _ = quarantine.choose(opened, ROOT, ids)
    with pytest.raises(Forbidden):
        quarantine.lessons(OURS, "spam", chosen)
    lessons = quarantine.lessons(ROOT, "spam", chosen)
    with Words.open(tmp_path / "spam") as words:
        with pytest.raises(Forbidden):
            quarantine.learn(words, OURS, lessons.values())
        done = quarantine.learn(words, ROOT, lessons.values())
    assert done.new + done.known == 3
