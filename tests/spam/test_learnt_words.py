"""What was learnt, in LMDB: once each, taken back, bounded, whole after a kill, and shared by processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spam import SERVER, Kind, Learnt, Lesson, Words
from engine.spam.classify import Count
from engine.spam.store import KEPT

DAY = 86_400.0
BOB = 7


class Clock:
    def __init__(self) -> None:
        self.now = 20_000 * DAY

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Words]:
    with Words.open(tmp_path / "spam", most=100, clock=clock) as words:
        yield words


def told(name: str, tokens: str, kind: Kind | None, owner: int = SERVER) -> Lesson:
    return Lesson(owner, name.encode().ljust(16), frozenset(tokens.split()), kind)


def test_each_message_counts_once(store: Words) -> None:
    assert store.learn([told("one", "a b", "spam"), told("two", "b c", "ham"), told("one", "a b", "spam")]) == (
        Learnt(new=2, known=1)
    )
    assert store.learn([told("one", "a b", "spam")]) == Learnt(known=1)
    assert store.counts(SERVER, "abcd") == {"a": Count(1, 0), "b": Count(1, 1), "c": Count(0, 1)}
    assert store.messages(SERVER) == Count(1, 1)


def test_the_other_kind_takes_the_place_of_the_first(store: Words) -> None:
    store.learn([told("one", "a b", "spam")])
    assert store.learn([told("one", "a b", "ham")]) == Learnt(changed=1)
    assert store.counts(SERVER, "ab") == {"a": Count(0, 1), "b": Count(0, 1)}
    assert store.messages(SERVER) == Count(0, 1)


def test_there_and_back_in_one_commit(store: Words) -> None:
    lessons = [told("one", "a", "spam"), told("one", "a", "ham"), told("one", "a", None), told("one", "a", None)]
    assert store.learn(lessons) == Learnt(new=1, changed=2, known=1)
    assert (store.counts(SERVER, "a"), store.messages(SERVER)) == ({}, Count())


def test_what_is_forgotten_leaves_nothing(store: Words) -> None:
    store.learn([told("one", "a b", "spam"), told("two", "b", "ham")])
    assert store.learn([told("one", "a b", None), told("three", "b", None)]) == Learnt(changed=1, known=1)
    assert store.counts(SERVER, "ab") == {"b": Count(0, 1)}


def test_accounts_learn_apart(store: Words) -> None:
    store.learn([told("one", "a", "spam"), told("one", "a", "ham", BOB), told("two", "x", "ham", BOB)])
    assert (store.counts(SERVER, "ax"), store.counts(BOB, "a")) == ({"a": Count(1, 0)}, {"a": Count(0, 1)})
    assert [(one.owner, one.messages, one.tokens) for one in store.holdings()] == [
        (SERVER, Count(1, 0), 1),
        (BOB, Count(0, 2), 2),
    ]
    store.forget(BOB)
    assert [one.owner for one in store.holdings()] == [SERVER]
    assert store.learn([told("one", "a", "ham", BOB)]) == Learnt(new=1)


def test_rare_old_tokens_go_first(store: Words, clock: Clock) -> None:
    for number in range(8):
        store.learn([told(f"often{number}", "often", "spam")])
    store.learn([told("old", " ".join(f"old{number}" for number in range(60)), "spam")])
    clock.now += 200 * DAY
    store.learn([told("new", " ".join(f"new{number}" for number in range(50)), "spam")])
    assert store.sweep() == 111 - 100 * KEPT
    (left,) = store.holdings()
    assert left.tokens == 100 * KEPT
    assert len(store.counts(SERVER, [f"new{number}" for number in range(50)])) == 50
    assert store.counts(SERVER, ["often"]) == {"often": Count(8, 0)}
    assert store.sweep() == 0


def test_it_is_there_when_opened_again(tmp_path: Path) -> None:
    for known in (Learnt(new=1), Learnt(known=1)):
        with Words.open(tmp_path / "spam") as words:
            assert words.learn([told("one", "a", "spam")]) == known


def _learn(folder: Path, name: str, messages: int) -> None:
    with Words.open(folder) as words:
        for number in range(messages):
            words.learn([told(f"{name}{number}", f"all {name} {name}{number}", "spam")])


def _killed(folder: Path) -> None:
    with Words.open(folder) as words:
        for number in range(10_000):
            words.learn([told(f"k{number}", f"all k{number}", "spam")])
            if number == 20:
                os.kill(os.getpid(), signal.SIGKILL)


def test_processes_learn_at_the_same_time_while_one_reads(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "spam"
    with Words.open(folder) as words:
        learning = [context.Process(target=_learn, args=(folder, name, 40)) for name in ("x", "y")]
        for process in learning:
            process.start()
        while any(process.is_alive() for process in learning):
            spam = words.messages(SERVER).spam
            assert spam <= words.counts(SERVER, ["all"]).get("all", Count()).spam <= 80
        for process in learning:
            process.join()
            assert process.exitcode == 0
        assert words.messages(SERVER) == Count(80, 0)
        assert words.counts(SERVER, ["all", "x", "y"]) == {"all": Count(80), "x": Count(40), "y": Count(40)}


def test_a_kill_leaves_whole_messages(tmp_path: Path) -> None:
    folder = tmp_path / "spam"
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with Words.open(folder) as words:
        count = words.messages(SERVER).spam
        assert count == words.counts(SERVER, ["all"])["all"].spam == 21
        assert words.learn([told("after", "all", "spam")]) == Learnt(new=1)
