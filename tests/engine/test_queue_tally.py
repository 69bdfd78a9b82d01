"""Messages are counted by what they have in common: as many in each group as a plain count of all records has."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.condition.meaning import folded
from engine.queue import tally
from engine.queue.groups import GROUPED
from engine.queue.replies import alike, outline, said
from engine.queue.search import Selection
from engine.queue.store import Record
from engine.queue.tally import AGES, named, tallied
from engine.storage.batch import committed
from tests.engine.test_queue_search import NOW, RECORDS, a_record, known_of, shard_of
from tests.support.examples import examples

NAMES = {"domain": folded, "sender": folded, "sender.domain": folded, "reply": alike}


def names_of(known: Mapping[str, Any], group: str) -> set[str]:
    value = known[group]
    values = [value] if isinstance(value, str) else list(value) or [""]
    return {NAMES.get(group, str)(one) for one in values}


@examples(100)
@given(st.lists(RECORDS, max_size=8, unique_by=lambda record: record.id), st.sampled_from(sorted(GROUPED)))
def test_as_a_plain_count(records: list[Record], group: str) -> None:
    members = defaultdict[str, list[Record]](list)
    for record in records:
        for name in names_of(known_of(record), group):
            members[name].append(record)
    with shard_of(records) as shard:
        total, groups = tallied(shard, Selection.told([], NOW), group)
    assert {name for name, _ in groups} == members.keys()
    for name, sums, some in [("", total, records), *((name, sums, members[name]) for name, sums in groups)]:
        counted = named(name, sums)
        assert (counted.messages, counted.octets) == (len(some), sum(one.size for one in some))
        assert counted.oldest == max((NOW - one.envelope.arrived for one in some), default=0.0)
        ages = Counter(sum(NOW - one.envelope.arrived > age for age in AGES) for one in some)
        assert counted.ages == [ages[column] for column in range(len(AGES) + 1)]


def test_only_what_is_selected_counts() -> None:
    small, large = a_record(size=10), a_record(size=9000)
    with shard_of([small, large]) as shard:
        total, groups = tallied(shard, Selection.told(["size > 1KB"], NOW), "domain")
    assert [(name, named(name, sums).octets) for name, sums in groups] == [("b.test", 9000)]
    assert named("", total).messages == 1


def test_many_different_values_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_MOST", 3)
    records = [a_record(reason=f"451 no {letter * 3}") for letter in "abcdefgh" * 2]
    with shard_of(records) as shard:
        _, groups = tallied(shard, Selection.told([], NOW), "reply")
    assert {name: sum(sums[: len(AGES) + 1]) for name, sums in groups} == {
        f"451 no {letter * 3}": 2 for letter in "abcdefgh"
    }


def test_where_there_are_many_groups_the_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_NAMED", 2)
    records = [a_record(reason=f"451 no {letter * 3}") for letter in "abcd"]
    with shard_of(records) as shard:
        _, groups = tallied(shard, Selection.told([], NOW), "reply")
    assert sorted(name for name, _ in groups) == [f"451 no {letter * 3}" for letter in "abcd"]


def test_a_brief_of_which_the_record_is_lost_counts_no_more() -> None:
    """`queue verify` tells of it; the others are counted by what they are."""
    lost, there = a_record(reason="451 no", size=5), a_record(reason="452 full", size=7)
    with shard_of([lost, there]) as shard:
        with committed(shard.environment) as batch:
            batch.delete(shard.environment.open_db(b"envelopes", txn=batch.transaction), lost.id)
        total, groups = tallied(shard, Selection.told([], NOW), "reply")
    assert [(name, named(name, sums).octets) for name, sums in groups] == [("452 full", 7)]
    assert named("", total).messages == 1


def test_a_tenant_that_is_no_text_counts_too() -> None:
    record = a_record()
    facts = {"tenant.name": 7, "scan.score": 1.5}
    record = replace(record, envelope=replace(record.envelope, facts=facts))
    with shard_of([record]) as shard:
        _, groups = tallied(shard, Selection.told([], NOW), "tenant")
        assert [name for name, _ in groups] == ["7"]
        _, groups = tallied(shard, Selection.told(["scan.score > 1"], NOW), "tenant")
        assert [name for name, _ in groups] == ["7"]


@given(st.text("245. -:ax9@é\u3000", max_size=30) | st.text(max_size=30))
def test_replies_of_one_outline_are_alike(reply: str) -> None:
    assert alike(said(outline(reply))) == alike(reply)
