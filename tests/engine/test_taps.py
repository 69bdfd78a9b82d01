"""Taps: what is told of messages that pass a link, how much of it at most, and how a tap ends."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import zmq

from engine import Delivered, Each, Message, MessageId, Reject, Route, Verdict
from engine.condition import parse_condition
from engine.links import wire
from engine.links.link import Done, Link, Peer, Way
from engine.links.publish import heard
from engine.links.request import Asker, Unanswered
from engine.runtime import taps, watched
from engine.runtime.places import Process, between
from engine.runtime.revision import Here
from engine.runtime.services import WATCH_SERVICE
from engine.runtime.taps import ANSWERED, LOOKS, PASSED, RECIPIENTS, TELLS, Listened, Wanted
from engine.runtime.watched import MOST, Watched, endpoint_of
from engine.verdict import Changed
from engine.watching.tapped import PATIENCE, UNDER_WAY, Gathering
from tests.support.messages import message

LINK = "in/stage"
DEADLINE = 20  # seconds, of which a test that works needs a fraction


class Ear:
    """A tap, and all that was told by it."""

    def __init__(self, **wanted: Any) -> None:
        self.now = 100.0
        self.records: list[list[Any]] = []
        self.tap = Listened(Wanted(**wanted), lambda packed: self.records.append(wire.unpack(packed)), lambda: self.now)
        self.done: list[tuple[Any, int, Way]] = []

    def pass_(self, about: Message, verdict: Any = None, way: "Way | None" = None) -> None:
        """Give a message to the link, and have it answered."""
        done = self.tap.follow(about, lambda *said: self.done.append(said))
        done(about if verdict is None else verdict, 1, way or [("stage", "pass", 0.5)])

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        return [values for said, _, values in self.records if said == kind]


def test_what_passes_is_told_and_what_came_back_and_the_verdict_goes_on() -> None:
    ear = Ear()
    about = message("b@rcpt.test", "c@rcpt.test")
    ear.pass_(about, about.with_fact("spf.result", "pass"), [("one", "pass", 0.5), ("two", "changed", 0.25)])
    (passed,), (answered,) = ear.told(PASSED), ear.told(ANSWERED)
    assert (passed["id"], passed["from"], passed["to"]) == (str(about.id), "a@sender.test", list(about.recipients))
    assert (passed["recipients"], passed["size"], passed["attempts"]) == (2, about.size, 0)
    assert "headers" not in passed
    assert answered["verdict"] == "changed"
    assert answered["facts"] == {"spf.result": "pass"}
    assert answered["way"] == [["one", "pass", 0.5], ["two", "changed", 0.25]]
    ((verdict, stopped, way),) = ear.done
    assert (verdict.fact("spf.result"), stopped, len(way)) == ("pass", 1, 2)


def test_the_content_is_never_told_and_the_header_only_where_it_is_wanted() -> None:
    secret = b"From: a@sender.test\r\nSubject: hello\r\n\r\nthe secret\r\n"
    for headers in (False, True):
        ear = Ear(headers=headers)
        ear.pass_(message(content=secret))
        assert "the secret" not in repr(ear.records)
        assert ("Subject: hello" in repr(ear.records)) == headers


ROUTES = (Route("local", ("d@rcpt.test",)), Route("remote", ("e@rcpt.test",)))


@pytest.mark.parametrize(
    ("verdict", "words", "each"),
    [
        (Reject("no"), "reject: no", {}),
        (Route("local"), "lane local", {}),
        (
            Each({"b@rcpt.test": Reject("no"), "c@rcpt.test": ROUTES}),
            "each",
            {"b@rcpt.test": "reject: no", "c@rcpt.test": "lane local, lane remote"},
        ),
    ],
)
def test_verdicts_are_told_in_words(verdict: Verdict, words: str, each: Mapping[str, str]) -> None:
    ear = Ear()
    ear.pass_(message("b@rcpt.test", "c@rcpt.test"), verdict)
    (answered,) = ear.told(ANSWERED)
    assert (answered["verdict"], answered["each"], answered["facts"]) == (words, each, {})


def test_facts_of_a_message_that_was_changed_first_and_of_each_are_told() -> None:
    ear = Ear()
    about = message().with_fact("old", 1)
    changed = about.with_fact("new", [1, 2]).with_fact("old", 2)
    ear.pass_(about, Changed(changed, Each({"b@rcpt.test": changed.with_fact("third", None)})))
    (answered,) = ear.told(ANSWERED)
    assert answered["facts"] == {"old": 2, "new": "[1, 2]", "third": None}


def test_a_condition_chooses_and_one_that_breaks_stops_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear(when=parse_condition('sender == "a@sender.test"'))
    ear.pass_(message())
    ear.pass_(message(sender="z@sender.test"))
    assert len(ear.told(PASSED)) == len(ear.told(ANSWERED)) == 1

    def broken(_: Message) -> bool:
        raise RuntimeError("boom")

    ear = Ear(when=replace_test(broken))
    ear.pass_(message())
    assert (ear.records, len(ear.done)) == ([], 1)


def replace_test(test: Callable[[Message], Any]) -> Any:
    return replace(parse_condition("size > 0"), test=test)


def test_what_cannot_be_told_harms_nobody() -> None:
    ear = Ear()
    about = message(sender="\ud800@sender.test")
    ear.pass_(about, about.with_fact("a", "\udfff"))
    assert (ear.records, len(ear.done)) == ([], 1)


def test_a_sample_is_of_the_same_messages_on_every_link() -> None:
    several = [message(identity=MessageId.new()) for _ in range(2000)]
    ears = [Ear(one_of=10) for _ in range(2)]
    for number, ear in enumerate(ears):
        for about in several[:: 1 if number else -1]:
            ear.now += 0.01
            ear.pass_(about)
    first, second = ({one["id"] for one in ear.told(PASSED)} for ear in ears)
    assert first == second
    assert 100 < len(first) < 320
    assert ears[0].tap.seen == len(first)


def test_no_more_is_told_in_a_second_than_may_be_and_what_lacks_is_counted() -> None:
    ear = Ear()
    for _ in range(TELLS + 50):
        ear.pass_(message())
    assert len(ear.told(PASSED)) == TELLS
    assert (ear.tap.seen, ear.tap.missed, len(ear.done)) == (TELLS + 50, 50, TELLS + 50)
    ear.now += 1
    ear.pass_(message())
    assert len(ear.told(PASSED)) == TELLS + 1


def test_no_more_is_looked_at_in_a_second_than_may_be() -> None:
    looked = []
    ear = Ear(when=replace_test(looked.append))
    about = message()
    for _ in range(LOOKS + 10):
        ear.pass_(about)
    assert len(looked) == LOOKS
    assert ear.tap.missed == 10


def test_long_texts_and_many_recipients_are_cut_short() -> None:
    ear = Ear()
    about = message(*(f"{number}{'x' * 300}@rcpt.test" for number in range(50)))
    changed = about
    for number in range(100):
        changed = changed.with_fact(f"fact.{number}", "y" * 10_000)
    ear.pass_(about, changed)
    (passed,), (answered,) = ear.told(PASSED), ear.told(ANSWERED)
    assert (len(passed["to"]), passed["recipients"]) == (RECIPIENTS, 50)
    assert max(map(len, passed["to"])) == taps.LONGEST
    assert len(wire.pack(answered)) < 20_000


# -- the worker's end


class Tapped:
    """A worker that is watched, with a link that leads nowhere but into this process."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path, nursery: trio.Nursery) -> None:
        self.here = Here(Process("mail-0", "mail"), 1, str(folder), context, lambda reference: None)  # type: ignore[arg-type,return-value]
        self.link = Link(context, LINK, ["mail-0"], window=512, keyed=False, taps=self.here.taps.on(LINK))
        self.link.connect(Peer("mail-0", 1, self))
        self.context = context
        self.asker = Asker(context)
        nursery.start_soon(self.link.run)
        nursery.start_soon(Watched(self.here).run)
        nursery.start_soon(self.asker.serve, between(str(folder), "mail-0", 1, WATCH_SERVICE))

    def take(self, about: Message, start: int, done: Done) -> None:
        done(Delivered("yes"), start + 1, [("stage", "delivered", 0.5)])

    async def tap(self, token: str = "", link: str = LINK, when: str = "") -> Any:
        return await self.asker.ask("tap", token or secrets.token_hex(8), link, 1, when, False)

    def pass_(self, about: Message) -> None:
        self.link.submit(about, lambda *_: None)

    def open(self) -> int:
        return len(self.here.taps.on(LINK))

    async def listen(self, token: str, count: int, to: list[Any], *, task_status: Any) -> None:
        told = heard(self.context, endpoint_of(self.here.folder, "mail-0", 1, token))
        async for values in told:
            if not values:
                task_status.started()
            to += [wire.unpack(packed) for packed in values]
            if len(to) >= count:
                break
        await told.aclose()


@pytest.fixture
def worker(context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path, nursery: trio.Nursery) -> Tapped:
    return Tapped(context, tmp_path, nursery)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while not holds():
            await trio.sleep(0.01)


async def test_a_tap_is_opened_and_told_of_and_ended(worker: Tapped, nursery: trio.Nursery) -> None:
    with trio.fail_after(DEADLINE):
        assert await worker.tap("t1") == {"seen": 0, "missed": 0}
        records: list[Any] = []
        await nursery.start(partial(worker.listen, "t1", 4, records))
        for _ in range(2):
            worker.pass_(message())
        await until(lambda: len(records) == 4)
        assert [kind for kind, _, _ in records] == [PASSED, ANSWERED] * 2
        assert await worker.tap("t1") == {"seen": 2, "missed": 0}  # it is renewed, not opened again
        assert await worker.asker.ask("untap", "t1") == {"seen": 2, "missed": 0}
        await until(lambda: worker.open() == 0)
        assert await worker.asker.ask("untap", "t1") is None


async def test_a_tap_that_nobody_asks_for_again_ends(worker: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LEASE", 0.3)
    with trio.fail_after(DEADLINE):
        await worker.tap("t1")
        assert worker.open() == 1
        for _ in range(5):
            await trio.sleep(0.1)
            await worker.tap("t1")
        assert worker.open() == 1  # for longer than its lease
        await until(lambda: worker.open() == 0)


async def test_what_cannot_be_tapped_is_refused(worker: Tapped) -> None:
    with trio.fail_after(DEADLINE):
        assert await worker.tap(link="in/other") is None
        with pytest.raises(Unanswered, match="cannot read the condition"):
            await worker.tap(when="1 +")
        for _ in range(MOST):
            assert await worker.tap() is not None
        with pytest.raises(Unanswered, match="taps are open"):
            await worker.tap()


async def test_links_of_a_later_revision_are_tapped_too(worker: Tapped) -> None:
    with trio.fail_after(DEADLINE):
        await worker.tap("t1")
        later = Link(worker.context, LINK, ["mail-0"], window=512, keyed=False, taps=worker.here.taps.on(LINK))
        assert len(later.taps) == 1
        await worker.asker.ask("untap", "t1")
        await until(lambda: not later.taps)


# -- the listener's end


def test_a_message_and_its_verdict_are_put_together() -> None:
    gathering = Gathering()
    assert gathering.take("w", [PASSED, 1, {"id": "a"}], 0.0) is None
    told = gathering.take("w", [ANSWERED, 1, {"verdict": "pass"}], 0.1)
    assert told is not None
    assert told.as_data(LINK) == {"link": LINK, "worker": "w", "id": "a", "verdict": "pass", "again": False}
    assert list(gathering.late(10.0)) == []


def test_one_whose_verdict_takes_long_is_shown_before_and_then_again() -> None:
    gathering = Gathering()
    gathering.take("w", [PASSED, 1, {"id": "a"}], 0.0)
    gathering.take("v", [PASSED, 1, {"id": "b"}], 0.5)
    assert list(gathering.late(PATIENCE / 2)) == []
    (late,) = gathering.late(PATIENCE)
    assert (late.passed["id"], late.answer, late.again) == ("a", None, False)
    assert late.as_data(LINK)["verdict"] is None
    told = gathering.take("w", [ANSWERED, 1, {"verdict": "pass"}], 5.0)
    assert told is not None
    assert (told.passed["id"], told.again) == ("a", True)


def test_verdicts_on_what_is_not_known_are_left_out_and_not_much_is_remembered() -> None:
    gathering = Gathering()
    assert gathering.take("w", [ANSWERED, 7, {}], 0.0) is None
    for number in range(UNDER_WAY + 5):
        gathering.take("w", [PASSED, number, {}], 0.0)
    assert len(list(gathering.late(PATIENCE))) == UNDER_WAY + 5
    assert gathering.take("w", [ANSWERED, 4, {}], 9.0) is None
    assert gathering.take("w", [ANSWERED, 5, {}], 9.0) is not None


def test_by_whom_a_message_may_be_known_is_told_of_all_recipients() -> None:
    ear = Ear()
    ear.pass_(message("b@rcpt.test", "c@rcpt.test", *(f"x@d{number}.test" for number in range(80))))
    (passed,) = ear.told(PASSED)
    assert passed["domains"][:2] == ["rcpt.test", "d0.test"]
    assert len(passed["domains"]) == taps.DOMAINS + 1
    assert passed["login"] == ""
