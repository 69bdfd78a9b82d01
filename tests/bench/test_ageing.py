"""Ageing, in short: space, and that nothing is left. Nothing here depends on time."""

from pathlib import Path

import pytest

from bench.ageing.course import Course
from bench.ageing.mail import KIB, MIB, Flow
from bench.ageing.space import BOUND
from bench.ageing.stores import STORES, QueueStore

BATCHES = (1, 2, 4)
"""Two commits' worth of pages is always free: little only beside a store that is large beside a commit."""


def flow(messages: int = 2400) -> Flow:
    return Flow(messages, 20, 150, BATCHES)


@pytest.mark.parametrize("store", STORES)
async def test_space_comes_back_while_mail_passes(store: str, tmp_path: Path) -> None:
    opening = STORES[store]
    async with opening(tmp_path / "aged") as aged:
        course = Course(aged, flow(), opening, tmp_path)
        await course.begin(250)
        middle = await course.go_on(1400)
        await course.compare(3)
        last = await course.go_on(2400)
        assert last.alive < middle.alive
        assert last.space.used < middle.space.used
        assert 1 < course.share <= BOUND
        assert course.peak.taken <= BOUND * course.peak.live
        assert aged.problems() == []
        assert await course.end() == []
        left = await aged.space()
        assert left.files == 0
        assert left.stored == course.peak.stored  # it does not shrink, and has not grown


async def test_what_is_left_is_found(tmp_path: Path) -> None:
    async with STORES["queue"](tmp_path / "aged") as aged:
        assert isinstance(aged, QueueStore)
        course = Course(aged, flow(), STORES["queue"], tmp_path)
        await course.go_on(300)
        kept = next(mail for mail in course.flow.alive.values() if mail.size > 128 * KIB)
        aged.shard.file(kept.id).unlink()
        (tmp_path / "aged" / "content" / "01J8ZQ5V7Y2B3C4D5E6F7G8H9J").write_bytes(b"left")
        missing, left = aged.problems()
        assert "has lost its file" in missing
        assert "is left" in left


def test_the_mail_is_the_same_each_time_and_mixed() -> None:
    def sizes() -> list[int]:
        mail = flow(20_000)
        steps = mail.steps()
        found = []
        while mail.passed < 20_000:
            found += [one.size for one in next(steps).new]
        return found

    found = sizes()
    assert sizes() == found
    assert KIB <= min(found) < 2 * KIB
    assert 5 * MIB < max(found) <= 20 * MIB
    assert 35 * KIB < sum(found) / len(found) < 60 * KIB


def test_how_many_are_there() -> None:
    mail = flow()
    steps = mail.steps()
    alive = []
    while mail.passed < mail.messages:
        next(steps)
        alive.append(len(mail.alive))
    assert 80 < max(alive) < 180
    assert len(alive) // 3 < alive.index(max(alive)) < len(alive) * 4 // 5
    assert alive[-1] < max(alive) * 2 / 3
