"""What two configurations disagree about, and what is no disagreement."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.config import Config
from engine.rehearsal import Change, Comparison, Fate, Groups, Outcome, Surroundings, changes, compared, rehearsal
from tests.rehearsal.theatre import BOB, FAR, asked, configured, letter, people

FATE = Fate(BOB, "delivered", "enqueue", "enqueue", "local")


def fate(**changed: Any) -> Fate:
    return replace(FATE, **changed)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([FATE], [FATE], []),
        ([FATE], [fate(stage="other")], []),
        (
            [FATE],
            [fate(verdict="reject", text="5.7.1 no", stage="deny", facts={"a": 1})],
            [("verdict", "", "delivered: lane local, enqueue", "reject by deny: 5.7.1 no")],
        ),
        (
            [fate(verdict="defer", text="4.7.1 in 3 seconds", stage="wait")],
            [fate(verdict="defer", text="4.7.1 in 2 seconds", stage="wait")],
            [("wording", "", "defer by wait: 4.7.1 in 3 seconds", "defer by wait: 4.7.1 in 2 seconds")],
        ),
        (
            [FATE],
            [fate(lane="other")],
            [("route", "", "delivered: lane local, enqueue", "delivered: lane other, enqueue")],
        ),
        (
            [FATE],
            [fate(recipient=FAR)],
            [
                ("recipient", BOB, "delivered: lane local, enqueue", "(none)"),
                ("recipient", FAR, "(none)", "delivered: lane local, enqueue"),
            ],
        ),
        ([FATE], [fate(sender="srs@here.test")], [("sender", "", "<>", "srs@here.test")]),
        ([FATE], [fate(facts={"a": 1})], [("fact", "a", "(none)", "1")]),
        ([fate(facts={"a": None})], [FATE], [("fact", "a", "None", "(none)")]),
        ([fate(facts={"a": [1, [2, 3]]})], [fate(facts={"a": [[3, 2], 1]})], []),
        ([fate(facts={"content.changed": "x"})], [fate(facts={"content.changed": "y"})], []),
        ([FATE], [fate(body="digest")], [("content", "", "as it came", "changed")]),
        ([FATE], [fate(fields=("X-A: 1", "X-A: 2"))], [("header", "X-A", "(none)", "1; 2")]),
        ([fate(fields=("X-A: 1", "B: 1"))], [fate(fields=("B: 1", "X-A: 2"))], [("header", "X-A", "1", "2")]),
        (
            [fate(fields=("DKIM-Signature: v=1; a=x; d=here.test; s=one; t=1; bh=abc; b=def",))],
            [fate(fields=("DKIM-Signature: v=1; a=x; d=here.test; s=one; t=2; bh=ghi; b=jkl",))],
            [],
        ),
        (
            [fate(fields=("DKIM-Signature: a=x; d=here.test; s=one; b=def",))],
            [fate(fields=("DKIM-Signature: a=x; d=here.test; s=two; b=def",))],
            [("header", "DKIM-Signature", "a=x; d=here.test; s=one", "a=x; d=here.test; s=two")],
        ),
    ],
)
def test_changes(before: list[Fate], after: list[Fate], found: list[tuple[str, ...]]) -> None:
    assert changes(Outcome(tuple(before)), Outcome(tuple(after))) == found


def test_what_is_alike_is_told_once() -> None:
    groups = Groups()
    for number in range(20):
        groups.add(
            f"id{number}", [Change("fact", "scan.score", "1", str(number)), Change("header", "X-A", "(none)", "yes")]
        )
    groups.add("other", [Change("verdict", "", "delivered: lane local, enqueue", "reject by deny: 5.7.1 no")])
    rows = groups.rows()
    assert [(row.change.kind, row.messages, row.values) for row in rows] == [
        ("verdict", 1, 1), ("fact", 20, 20), ("header", 20, 1),
    ]  # fmt: skip
    assert rows[2].examples == ["id0", "id1", "id2"]


def test_memory_does_not_grow_with_what_is_different_each_time() -> None:
    groups = Groups()
    for number in range(3000):
        groups.add(str(number), [Change("header", "X-Id", "(none)", str(number))])
    [row] = groups.rows()
    assert (row.messages, row.values) == (3000, 3000)
    assert sum(map(len, groups._alike.values())) == 1000


async def both(before: Config, after: Config, *all_asked: Any) -> list[Comparison]:
    surroundings = Surroundings(before.server.data)
    try:
        async with rehearsal(before, surroundings) as old, rehearsal(after, surroundings) as new:
            return [await compared(old, new, one) for one in all_asked]
    finally:
        surroundings.close()


CHANCE = '''
"""Leaves what is another thing each time."""
import os, time
from engine import Message

async def chance(message: Message):
    return message.with_fact("chance.id", os.urandom(8).hex()).with_header("X-Time", repr(time.time()))
'''

MARK = '''
"""Marks, and turns away what is odd."""
from engine import Message, Reject

async def mark(message: Message, *, text: str):
    return Reject("odd") if message.header("Subject") == "odd" else message.with_header("X-Mark", text)
'''


async def test_chance_is_no_disagreement(tmp_path: Path) -> None:
    people(tmp_path)
    before = configured(tmp_path, chance=CHANCE)
    after = configured(tmp_path, {"stage": {"mark": {"text": "new"}}}, "new", chance=CHANCE, mark=MARK)
    [same] = await both(before, before, asked())
    assert same.changes == ()
    marked, odd = await both(before, after, asked(), asked(content=letter("odd")))
    assert marked.changes == (("header", "X-Mark", "(none)", "new"),)
    assert odd.changes == (("verdict", "", "delivered: lane local, enqueue", "reject by mark: 5.7.1 odd"),)


async def test_another_route(tmp_path: Path) -> None:
    people(tmp_path)
    routes = [{"to": "far.test", "lane": "partners"}, {"to": "local", "lane": "local"}, {"to": "*", "lane": "remote"}]
    lanes = {"partners": {"stages": ["partner", "relay"]}}
    stage = {"partner": {"use": "stages.resolve", "smart_host": "192.0.2.9:25"}}
    after = {"route": routes, "lane": lanes, "stage": stage}
    [found] = await both(configured(tmp_path), configured(tmp_path, after, "new"), asked(FAR, behind=True))
    assert found.changes[0] == (
        "route", "", "delivered: lane remote, relay 192.0.2.1", "delivered: lane partners, relay 192.0.2.9",
    )  # fmt: skip
    assert {change.name for change in found.changes if change.kind == "fact"} >= {"resolve.site"}


async def test_many_at_once_do_not_mix(tmp_path: Path) -> None:
    people(tmp_path)
    config = configured(tmp_path, {"stage": {"mark": {"text": "new"}}}, mark=MARK)
    surroundings = Surroundings(config.server.data)
    found: dict[str, Outcome] = {}
    async with rehearsal(config, surroundings) as one, trio.open_nursery() as nursery:

        async def run(subject: str) -> None:
            found[subject] = await one.run(asked(content=letter(subject)))

        for number in range(50):
            nursery.start_soon(run, "odd" if number == 25 else str(number))
    assert {subject for subject, outcome in found.items() if outcome.fates[0].verdict == "reject"} == {"odd"}
    assert all(len(outcome.way) in (1, 3) for outcome in found.values())
    surroundings.close()
