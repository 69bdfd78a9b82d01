"""Stages that run: what they say is followed, what they break is theirs alone."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from engine import Defer, Delivered, Discard, Duration, Each, Message, Quarantine, Reject, Route, Verdict
from engine.condition import parse_condition
from engine.config import Stage
from engine.message import RELEASED, Octets
from engine.queue.content import FileContent
from engine.runtime.stages import LegRunner, RunningStage
from engine.scanning import Unreachable
from engine.stage import StageError, _spec
from engine.storage.environment import StorageError
from engine.verdict import Changed
from engine.wakeup import Answer
from tests.support.messages import message


def stage(target: Callable[..., Any], *, settings: dict[str, Any] | None = None, name: str = "mine", **keys: Any):
    return Stage(_spec(name, "filters/mine.py", target, ""), settings or {}, **keys)


def running(target: Callable[..., Any], services: dict[Any, Any] | None = None, **values: Any) -> RunningStage:
    return RunningStage(stage(target, **values), services or {})


async def tag(message: Message, *, header: str = "X-Tag", value: str = "yes") -> Verdict:
    return message.with_header(header, value)


async def raising(message: Message) -> Verdict:
    raise RuntimeError("broken")


async def leaving(message: Message) -> Verdict:
    raise SystemExit(3)


def leaving_in_a_thread(message: Message) -> Verdict:
    raise SystemExit(3)


async def forgetful(message: Message) -> None:
    message.with_header("X", "lost")


def saying(verdict: Any):
    async def say(message: Message) -> Any:
        return verdict(message) if callable(verdict) else verdict

    return say


async def test_a_stage_gets_its_settings_and_services() -> None:
    async def greet(message: Message, folder: Path, *, header: str) -> Verdict:
        return message.with_header(header, str(folder))

    found = running(greet, {Path: Path("/x")}, settings={"header": "X-F"})
    said = await found.call(message())
    assert isinstance(said, Message)
    assert said.header("X-F") == "/x"


async def test_a_service_that_is_not_given_is_said_at_once() -> None:
    async def greedy(message: Message, folder: Path) -> Verdict:
        return message

    with pytest.raises(StageError, match=r"mine asks for .*Path"):
        running(greedy)


WRONG: list[tuple[Any, str]] = [
    (raising, "raised RuntimeError: broken"),
    (leaving, "raised SystemExit"),
    (leaving_in_a_thread, "raised SystemExit"),
    (forgetful, "forgotten"),
    (saying(5), "returned 5"),
    (saying(("a",)), "returned ('a',)"),
    (saying((Route("a"),)), "returned (Route"),
    (saying(Delivered()), "only an effect"),
    (saying(Changed(message(), Route("x"))), "another message"),
    (saying(lambda m: Changed(m.with_header("X", "y"), m)), "returned Changed"),  # type: ignore[arg-type]
    (saying(lambda m: Changed(m, Each({"b@rcpt.test": None}))), "for one recipient nothing"),  # type: ignore[dict-item]
    (saying(Defer("x", retry_after="5m")), "retry_after of '5m'"),  # type: ignore[arg-type]
    (saying(Defer("x", retry_after=float("nan"))), "retry_after of nan"),
    (saying(Defer("x", retry_after=float("inf"))), "retry_after of inf"),
    (saying(Each({"b@rcpt.test": None})), "for one recipient nothing"),  # type: ignore[dict-item]
    (saying(Each({"b@rcpt.test": "no"})), "for one recipient 'no'"),  # type: ignore[dict-item]
    (saying(Each({"b@rcpt.test": ()})), "for one recipient ()"),
    (saying(Each({"b@rcpt.test": (Reject("no"),)})), "for one recipient (Reject"),  # type: ignore[dict-item]
    (saying(Each({"b@rcpt.test": Each()})), "for one recipient Each"),  # type: ignore[dict-item]
    (saying(Each({"b@rcpt.test": Delivered()})), "only an effect"),
    (saying(message("other@rcpt.test")), "another message"),
    (saying(lambda m: Message(m.id, m.envelope, Octets(b"new"))), "another message"),
    (saying(lambda m: replace(m.with_content(b"new"), content=FileContent(Path("x"), 3))), "another message"),
    (saying(lambda m: Message(m.id, message("new@rcpt.test").envelope, m.content)), "other recipients"),
    (saying(lambda m: m.with_fact("when", object())), "the fact when"),
    (saying(lambda m: m.with_fact("all", {"a": [1, {2: "x"}]})), "the fact all"),
    (saying(lambda m: m.with_fact("large", 2**64)), "the fact large"),
    (saying(lambda m: m.with_fact("octets", b"x")), "the fact octets"),
    (saying(lambda m: Each({"b@rcpt.test": m.with_fact("x", {1})})), "for one recipient the fact x"),
]


@pytest.mark.parametrize(("target", "log"), WRONG)
async def test_what_breaks_in_a_stage_defers_and_says_why(target: Any, log: str) -> None:
    said = await running(target).call(message())
    assert isinstance(said, Defer)
    assert "mine" in said.log
    assert log in said.log
    assert log not in said.text  # that is for the operator


RIGHT: list[Any] = [
    lambda m: m,
    lambda m: m.with_facts({"a": None, "b": [1.5, "x", {"c": True}], "d": -(2**63), "e": 2**64 - 1}),
    Reject("no"),
    Defer("later"),
    Defer("later", retry_after=5),
    Discard(),
    Quarantine(),
    Route("x", ("a@b.test",)),
    Each(),
    Each({"b@rcpt.test": (Route("x"), Route("y", ("c@d.test",)))}),
    lambda m: Each({"b@rcpt.test": m, "c@rcpt.test": m.with_header("X", "y")}),
    lambda m: Changed(m.with_fact("x", 1), Each({"b@rcpt.test": Route("", ("b@rcpt.test", "c@rcpt.test"))})),
]


@pytest.mark.parametrize("verdict", RIGHT)
async def test_what_a_stage_may_say_is_taken(verdict: Any) -> None:
    about = message()
    target = saying(verdict)
    assert await running(target).call(about) == await target(about)


async def test_an_effect_may_say_delivered() -> None:
    target = saying(Delivered("250 ok"))
    target.effect = True  # type: ignore[attr-defined]
    assert await running(target).call(message()) == Delivered("250 ok")


RELEASED_BEFORE = message("b@rcpt.test", "c@rcpt.test").with_fact(RELEASED, ["odd", "large"])


@pytest.mark.parametrize("reason", ["odd", "large"])
async def test_what_was_released_is_not_parked_again_for_the_same_reason(reason: str) -> None:
    assert await running(saying(Quarantine(reason))).call(RELEASED_BEFORE) is RELEASED_BEFORE
    each = Each({"b@rcpt.test": Quarantine(reason), "c@rcpt.test": Reject("no")})
    assert await running(saying(each)).call(RELEASED_BEFORE) == Each(
        {"b@rcpt.test": RELEASED_BEFORE, "c@rcpt.test": Reject("no")}
    )


async def test_what_was_released_can_be_parked_for_another_reason_or_by_a_stage_that_fails() -> None:
    assert await running(saying(Quarantine("new"))).call(RELEASED_BEFORE) == Quarantine("new")
    changed = RELEASED_BEFORE.with_fact("x", 1)
    assert await running(saying(Changed(changed, Quarantine("odd")))).call(RELEASED_BEFORE) is changed
    later = Changed(changed, Quarantine("new"))
    assert await running(saying(later)).call(RELEASED_BEFORE) == later
    failed = await running(raising, on_error="quarantine").call(message())
    assert isinstance(failed, Quarantine)
    again = message().with_fact(RELEASED, [failed.reason])
    assert await running(raising, on_error="quarantine").call(again) == failed


ON_ERROR = [("defer", Defer), ("skip", Message), ("reject", Reject), ("quarantine", Quarantine)]


@pytest.mark.parametrize(
    ("error", "log"),
    [
        (StorageError("content/x is damaged"), "met trouble: content/x is damaged"),
        (Unreachable("nobody there"), "has no answer: nobody there"),
    ],
)
async def test_what_is_no_bug_of_the_stage(error: Exception, log: str, capfd: pytest.CaptureFixture[str]) -> None:
    def fails(message: Message) -> Verdict:
        raise error

    verdict = await running(saying(fails)).call(message())
    assert isinstance(verdict, Defer)
    assert verdict.log == f"the stage mine {log}"
    said = capfd.readouterr().err
    assert '"event":"stage-failed"' in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("on_error", "kind"), ON_ERROR)
@pytest.mark.parametrize("target", [raising, forgetful])
async def test_on_error_is_followed(on_error: str, kind: type, target: Any) -> None:
    about = message()
    said = await running(target, on_error=on_error).call(about)
    assert type(said) is kind
    if kind is Message:
        assert said is about


async def test_a_stage_is_skipped_where_its_condition_does_not_hold() -> None:
    found = running(tag, when=parse_condition("scan.score >= 5"))
    about = message()
    assert await found.call(about) is about
    low = about.with_fact("scan.score", 4)
    assert await found.call(low) is low
    said = await found.call(about.with_fact("scan.score", 5))
    assert isinstance(said, Message)
    assert said.header("X-Tag") == "yes"


async def test_a_synchronous_stage_runs_in_a_thread() -> None:
    threads: list[int] = []

    def slow(message: Message) -> Verdict:
        threads.append(threading.get_ident())
        return message

    about = message()
    assert await running(slow).call(about) is about
    assert threads != [threading.get_ident()]


# -- opened and closed


@dataclass
class Pool:
    """A stage that holds something open."""

    _: KW_ONLY
    fail: str = ""
    did: list[str] = field(default_factory=list)

    async def __aenter__(self) -> "Pool":
        self.did.append("open")
        if self.fail == "open":
            raise OSError("no such server")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.did.append("closed")
        if self.fail == "close":
            raise OSError("gone")

    async def __call__(self, message: Message) -> Verdict:
        self.did.append("called")
        return message

    async def at_sender(self, session: object, sender: str) -> Reject | None:
        return Reject("not you") if sender == "spammer@x.test" else None

    def at_connect(self, session: object) -> Defer | None:
        return Defer("busy")

    async def at_recipient(self, session: object, sender: str, recipient: str) -> object:
        if sender == "break@x.test":
            raise RuntimeError("broken")
        if sender == "hang@x.test":
            await trio.sleep_forever()
        return "yes"


async def test_a_stage_is_opened_and_closed_in_one_task(nursery: trio.Nursery) -> None:
    found = running(Pool)
    await nursery.start(found.run)
    await found.call(message())
    assert found.instance.did == ["open", "called"]
    await found.close()
    assert found.instance.did == ["open", "called", "closed"]


async def test_a_stage_that_cannot_open_says_so() -> None:
    found = running(Pool, settings={"fail": "open"})
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(found.run)


async def test_a_stage_that_cannot_close_stops_nothing(nursery: trio.Nursery) -> None:
    found = running(Pool, settings={"fail": "close"})
    await nursery.start(found.run)
    await found.close()
    assert found.instance.did == ["open", "closed"]


async def test_a_hook_without_an_answer_has_no_objection_and_is_no_bug(capfd: pytest.CaptureFixture[str]) -> None:
    class Asking(Pool):
        async def at_sender(self, session: Any, sender: str) -> Reject | None:
            raise Unreachable("nobody there")

    assert await running(Asking).hook("at_sender", None, "") is None
    said = capfd.readouterr().err
    assert '"event":"stage-failed"' in said
    assert "Traceback" not in said


async def test_hooks_refuse_and_broken_ones_have_no_objection(autojump_clock) -> None:
    found = running(Pool)
    assert await found.hook("at_sender", None, "spammer@x.test") == Reject("not you")
    assert await found.hook("at_sender", None, "me@x.test") is None
    assert await found.hook("at_connect", None) == Defer("busy")
    broken: list[str] = []
    for sender in ("break@x.test", "hang@x.test", "me@x.test"):  # raises, takes too long, says something else
        heard = partial(broken.append, sender)
        assert await found.hook("at_recipient", None, sender, "b@rcpt.test", broke=heard) is None
    assert broken == ["break@x.test", "hang@x.test"]


# -- a leg


async def run_leg(*stages: RunningStage, about: Message | None = None, start: int = 0):
    async with trio.open_nursery() as nursery:
        runner = LegRunner(list(stages), concurrency=10)
        nursery.start_soon(runner.serve)
        said = await through(runner, about or message(), start)
        nursery.cancel_scope.cancel()
    return said


async def through(runner: LegRunner, about: Message, start: int = 0):
    answer = Answer()
    runner.begin(about, start, lambda *said: answer.give(said))
    return await answer.wait()


async def test_a_leg_runs_its_stages_in_order_and_tells_the_way() -> None:
    said, done, way = await run_leg(
        running(tag, name="one"),
        running(saying(lambda m: m), name="two"),
    )
    assert isinstance(said, Message)
    assert said.header("X-Tag") == "yes"
    assert done == 2
    assert [step[:2] for step in way] == [("one", "changed"), ("two", "pass")]
    assert all(step[2] >= 0 for step in way)


async def test_a_leg_stops_where_a_stage_decides() -> None:
    said, done, way = await run_leg(running(tag), running(saying(Reject("no")), name="two"), running(raising))
    assert (said, done) == (Reject("no"), 2)
    assert way[-1][:2] == ("two", "reject: no")


async def test_a_leg_goes_on_from_a_later_stage() -> None:
    said, done, way = await run_leg(running(raising), running(tag, name="two"), start=1)
    assert isinstance(said, Message)
    assert (done, len(way)) == (2, 1)


@pytest.mark.parametrize("verdict", [Route("local"), Each({"b@rcpt.test": Route("local")}), Quarantine("odd")])
async def test_what_stages_changed_is_not_lost_when_a_later_one_decides(verdict: Verdict) -> None:
    said, done, _ = await run_leg(running(tag), running(saying(verdict)))
    assert isinstance(said, Changed)
    assert said.message.header("X-Tag") == "yes"
    assert said.verdict == verdict
    assert done == 2
    said, _, _ = await run_leg(running(saying(lambda m: m)), running(saying(verdict)))
    assert said == verdict


async def hanging(message: Message) -> Verdict:
    await trio.sleep_forever()
    return message


@pytest.mark.parametrize(("on_error", "kind"), ON_ERROR)
async def test_a_stage_that_hangs_is_cut_off_and_others_go_on(autojump_clock, on_error: str, kind: type) -> None:
    found = running(hanging, timeout=Duration("10ms"), on_error=on_error, name="slow")
    said, done, way = await run_leg(found, running(tag, name="next"))
    assert type(said) is kind
    assert way[0][0] == "slow"
    assert done == 1  # a message that is passed on all the same is brought again, for the stages behind
    if kind is Defer:
        assert "took longer than 0.01 s" in said.log


async def test_what_was_changed_before_a_stage_hangs_is_parked_with_the_message(autojump_clock) -> None:
    slow = running(hanging, timeout=Duration("10ms"), on_error="quarantine", name="slow")
    said, done, way = await run_leg(running(tag), slow)
    assert isinstance(said, Changed)
    assert said.message.header("X-Tag") == "yes"
    assert isinstance(said.verdict, Quarantine)
    assert [step[0] for step in way] == ["mine", "slow"]
    assert done == 2


async def test_others_go_on_while_a_stage_hangs_and_after_it_was_cut_off(autojump_clock) -> None:
    bad, ended = message(), []

    async def some_hang(about: Message) -> Verdict:
        return await hanging(about) if about is bad else about

    runner = LegRunner([running(some_hang, timeout=Duration("10ms"))], concurrency=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.serve)
        runner.begin(bad, 0, lambda said, *_: ended.append(said))
        for _ in range(5):
            assert isinstance((await through(runner, message()))[0], Message)
        while not ended:
            await trio.sleep(1)
        assert isinstance(ended[0], Defer)
        for _ in range(5):
            assert isinstance((await through(runner, message()))[0], Message)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("target", "count"), [(tag, 0), (saying(Reject("no")), 0), (raising, 1), (leaving, 1), (forgetful, 1), (hanging, 1)]
)
async def test_what_a_stage_breaks_is_heard_of_once(target: Callable[..., Any], count: int, autojump_clock) -> None:
    broken: list[bool] = []
    found = running(target, timeout=Duration("10ms"), on_error="skip")
    runner = LegRunner([found], concurrency=1, broke=lambda: broken.append(True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.serve)
        await through(runner, message())
        nursery.cancel_scope.cancel()
    assert len(broken) == count


async def test_what_a_stage_says_at_the_last_moment_still_counts(autojump_clock) -> None:
    """An effect that took too long, and was cancelled where it could no longer be: its word must not be lost."""

    async def stubborn(about: Message) -> Verdict:
        began = time.perf_counter()
        with trio.CancelScope(shield=True):
            while time.perf_counter() - began < 0.1:
                await trio.sleep(1)
        return Delivered("250 taken")

    stubborn.effect = True  # type: ignore[attr-defined]
    runner = LegRunner([running(stubborn, timeout=Duration("10ms"))], concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.serve)
        for _ in range(2):  # and the runner is good for the next one
            assert (await through(runner, message()))[0] == Delivered("250 taken")
        nursery.cancel_scope.cancel()


async def test_a_leg_runs_no_more_messages_at_once_than_it_may(nursery: trio.Nursery) -> None:
    now, most, gate = 0, 0, trio.Event()

    async def waiting(about: Message) -> Verdict:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1
        return about

    ended: list[Any] = []
    runner = LegRunner([running(waiting)], concurrency=3)
    nursery.start_soon(runner.serve)
    for _ in range(10):
        runner.begin(message(), 0, lambda *said: ended.append(said))
    await trio.testing.wait_all_tasks_blocked()
    assert (now, len(ended)) == (3, 0)
    gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert (most, len(ended)) == (3, 10)


class Steps(trio.abc.Instrument):
    """Counts how often a runner of a leg came to its turn."""

    def __init__(self) -> None:
        self.taken = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += LegRunner.__name__ in task.name


async def test_a_leg_wakes_a_runner_for_each_message_and_none_beside(nursery: trio.Nursery) -> None:
    async def waiting(about: Message) -> Verdict:
        await trio.lowlevel.checkpoint()
        return about

    runner, steps = LegRunner([running(waiting)], concurrency=10), Steps()
    nursery.start_soon(runner.serve, name="the leg itself")
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(steps)
    ended: list[Any] = []
    for wave in (3, 3, 5, 1):
        steps.taken = 0
        ended.clear()
        for _ in range(wave):
            runner.begin(message(), 0, lambda *said: ended.append(said))
        await trio.testing.wait_all_tasks_blocked()
        assert len(ended) == wave
        assert steps.taken == 2 * wave  # it begins, and goes on when the stage has waited
    trio.lowlevel.remove_instrument(steps)


async def test_a_leg_at_rest_keeps_no_message(nursery: trio.Nursery) -> None:
    async def waiting(about: Message) -> Verdict:
        await trio.lowlevel.checkpoint()
        return Reject("no")

    runner = LegRunner([running(waiting)], concurrency=10)
    nursery.start_soon(runner.serve)
    asked = [message() for _ in range(5)]
    references = list(map(sys.getrefcount, asked))
    ended: list[Any] = []
    for index in range(5):
        runner.begin(asked[index], 0, lambda *said: ended.append(said))
    await trio.testing.wait_all_tasks_blocked()
    assert len(ended) == 5
    assert list(map(sys.getrefcount, asked)) == references


class OwnReject(Reject):
    """No verdict that the engine knows, though it is one of its kind."""


@pytest.mark.parametrize("waits", [True, False])
async def test_a_leg_that_raises_defers_its_message_alone(nursery: trio.Nursery, *, waits: bool) -> None:
    bad = message()

    async def at_once(about: Message) -> Verdict:
        return OwnReject("no") if about is bad else about

    async def later(about: Message) -> Verdict:
        await trio.lowlevel.checkpoint()
        return await at_once(about)

    runner = LegRunner([running(later if waits else at_once)], concurrency=1)
    nursery.start_soon(runner.serve)
    assert isinstance((await through(runner, bad))[0], Defer)
    good = message()
    assert (await through(runner, good))[0] is good


async def test_stages_that_never_wait_are_done_at_once() -> None:
    ended: list[Any] = []
    runner = LegRunner([running(tag), running(saying(Reject("no")), name="two")], concurrency=1)
    runner.begin(message(), 0, lambda *said: ended.append(said))
    assert ended[0][:2] == (Reject("no"), 2)


async def test_a_stage_may_say_itself_that_it_never_waits() -> None:
    @dataclass
    class Knowing:
        waits: bool

        async def __call__(self, message: Message) -> Verdict:
            if self.waits:
                await trio.lowlevel.checkpoint()
            return message

    for waits in (False, True):
        stage = running(Knowing, {bool: waits})
        assert stage.waits is waits
        assert await stage.call(found := message()) is found


@dataclass
class Prompt:
    """Knows what to say of some messages; of the others it has to find out."""

    knows: Callable[[Message], Any]

    def promptly(self, message: Message) -> Any:
        return self.knows(message)

    async def __call__(self, message: Message) -> Verdict:
        await trio.lowlevel.checkpoint()
        return message.with_header("X-Found", "out")


def prompt(knows: Callable[[Message], Any], **keys: Any) -> RunningStage:
    return running(Prompt, {Callable[[Message], Any]: knows}, **keys)


async def test_what_a_stage_knows_at_once_is_not_waited_for() -> None:
    ended: list[Any] = []
    runner = LegRunner([running(tag), prompt(lambda m: m, name="two"), running(tag, name="three")], concurrency=1)
    runner.begin(message(), 0, lambda *said: ended.append(said))
    said, index, way = ended[0]
    assert said.headers("X-Tag") == ["yes", "yes"]
    assert (index, [step[:2] for step in way]) == (3, [("mine", "changed"), ("two", "pass"), ("three", "changed")])


async def test_a_leg_waits_from_the_stage_on_that_must_find_out(nursery: trio.Nursery) -> None:
    ended: list[Any] = []
    stages = [running(tag), prompt(lambda _: None, name="two"), prompt(lambda m: m, name="three"), running(tag)]
    runner = LegRunner(stages, concurrency=1)
    nursery.start_soon(runner.serve)
    runner.begin(about := message(), 0, lambda *said: ended.append(said))
    assert not ended
    await trio.testing.wait_all_tasks_blocked()
    said, index, way = ended[0]
    assert (said.header("X-Found"), said.headers("X-Tag")) == ("out", ["yes", "yes"])
    assert (index, [step[:2] for step in way]) == (
        4,
        [("mine", "changed"), ("two", "changed"), ("three", "pass"), ("mine", "changed")],
    )
    assert about.header("X-Tag") is None


async def test_what_was_changed_before_a_wait_is_not_lost_by_a_verdict_behind_it() -> None:
    said, done, _ = await run_leg(
        running(tag), prompt(lambda _: None, name="two"), running(saying(Route("local")), name="three")
    )
    assert isinstance(said, Changed)
    assert (said.message.header("X-Tag"), said.message.header("X-Found")) == ("yes", "out")
    assert (said.verdict, done) == (Route("local"), 3)


@pytest.mark.parametrize(("on_error", "kind"), ON_ERROR)
async def test_what_breaks_at_once_is_followed_like_what_breaks_later(on_error: str, kind: type) -> None:
    def broken(_: Message) -> Any:
        raise RuntimeError("broken")

    for stage in (prompt(broken, on_error=on_error), prompt(lambda _: 5, on_error=on_error)):
        assert type(stage.call_at_once(message())) is kind


async def test_a_stage_whose_condition_does_not_hold_is_passed_at_once() -> None:
    stage = running(hanging, when=parse_condition("session.trusted"))
    assert stage.call_at_once(found := message()) is found


async def test_a_synchronous_stage_that_hangs_is_left_behind(autojump_clock) -> None:
    go = threading.Event()

    def blocking(message: Message) -> Verdict:
        go.wait(10)
        return message

    said, _, _ = await run_leg(running(blocking, timeout=Duration("10ms")))
    go.set()
    assert isinstance(said, Defer)


async def test_a_stage_within_its_time_is_left_alone(mock_clock) -> None:
    runner, ended = LegRunner([running(hanging, timeout=Duration("1h"))], concurrency=10), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.serve)
        runner.begin(message(), 0, ended.append)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
        assert not ended
        nursery.cancel_scope.cancel()
