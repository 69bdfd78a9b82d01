"""Links: sockets that lose nothing, credits, sharing, and what happens when a worker dies."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import zmq
from msgspec.structs import replace

from engine import Defer, Delivered, Each, Message, MessageId, Quarantine, Reject, Route, Verdict
from engine.links import wire
from engine.links.host import Host
from engine.links.link import BATCH, DEATHS, PASSED, Done, Link, Peer
from engine.links.sockets import Socket
from engine.message import Content
from engine.queue.content import FileContent
from engine.wakeup import Answer, Wakeup
from tests.support.messages import LETTER, message

Context = zmq.Context
DEADLINE = 20  # seconds, of which a test that works needs a fraction


@pytest.fixture(params=["inproc", "ipc"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "inproc://far" if request.param == "inproc" else f"ipc://{tmp_path}/far"


# -- wake-ups


async def test_a_wakeup_that_comes_early_is_not_lost_and_counts_once() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    wakeup.wake()
    await wakeup.wait()
    with trio.move_on_after(0) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught
    wakeup.wake()  # nobody sleeps any more: it is kept
    await wakeup.wait()


async def test_a_wakeup_is_kept_from_who_is_cancelled() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    with trio.move_on_after(0) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught
    with trio.fail_after(5):
        await wakeup.wait()


async def test_a_sleeper_is_woken(nursery: trio.Nursery) -> None:
    wakeup, woken = Wakeup(), []

    async def sleeper() -> None:
        for number in range(3):
            await wakeup.wait()
            woken.append(number)

    nursery.start_soon(sleeper)
    for number in range(3):
        await trio.testing.wait_all_tasks_blocked()
        assert len(woken) == number
        wakeup.wake()


@pytest.mark.parametrize("early", [True, False])
async def test_an_answer_reaches_who_waits_for_it(nursery: trio.Nursery, *, early: bool) -> None:
    answer, found = Answer(), []

    async def waiter() -> None:
        found.append(await answer.wait())

    if early:
        answer.give(5)
    nursery.start_soon(waiter)
    await trio.testing.wait_all_tasks_blocked()
    if not early:
        answer.give(5)
        await trio.testing.wait_all_tasks_blocked()
    assert found == [5]


async def test_an_answer_to_one_who_has_gone_harms_nobody() -> None:
    answer = Answer()
    with trio.move_on_after(0):
        await answer.wait()
    answer.give(5)
    assert await answer.wait() == 5


# -- sockets


async def test_nothing_is_lost_both_ways_under_stress(context: Context, endpoint: str) -> None:
    count = 3000
    router, dealer = Socket(context, zmq.ROUTER), Socket(context, zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    seen: list[int] = []

    async def echo() -> None:
        while True:
            for identity, body in await router.receive_many():
                router.send([identity, body])

    async def receive() -> None:
        while len(seen) < count:
            seen.extend(int(frames[0]) for frames in await dealer.receive_many())

    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            async with trio.open_nursery() as inner:
                inner.start_soon(receive)
                for number in range(count):
                    dealer.send([str(number).encode()])
                    if number % 7 == 0:
                        await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert seen == list(range(count))
    router.close()
    dealer.close()


async def test_a_receiver_that_is_cancelled_again_and_again_loses_nothing(context: Context, endpoint: str) -> None:
    count = 2000
    router, dealer = Socket(context, zmq.ROUTER), Socket(context, zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    seen: list[int] = []
    cancelled = 0

    async def send() -> None:
        for number in range(count):
            dealer.send([str(number).encode()])
            for _ in range(number % 5):
                await trio.lowlevel.checkpoint()

    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            while len(seen) < count:
                with trio.CancelScope() as scope:
                    if len(seen) % 2 or cancelled < 50:
                        nursery.start_soon(_cancel_soon, scope)
                    seen.extend(int(frames[1]) for frames in await router.receive_many())
                cancelled += scope.cancelled_caught
    assert seen == list(range(count))
    assert cancelled
    router.close()
    dealer.close()


async def _cancel_soon(scope: trio.CancelScope) -> None:
    await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_closing_a_socket_wakes_its_receiver(context: Context, nursery: trio.Nursery) -> None:
    socket = Socket(context, zmq.ROUTER)
    socket.bind("inproc://x")
    ended: list[type] = []

    async def receive() -> None:
        try:
            await socket.receive_many()
        except trio.ClosedResourceError as error:
            ended.append(type(error))

    nursery.start_soon(receive)
    await trio.testing.wait_all_tasks_blocked()
    socket.close()
    await trio.testing.wait_all_tasks_blocked()
    assert ended == [trio.ClosedResourceError]
    with pytest.raises(trio.ClosedResourceError):
        await socket.receive_many()


# -- a link with its workers

Run = Callable[[Message, int], Awaitable[tuple[Verdict, int, Any]]]


def find(reference: wire.Reference) -> Content:
    assert reference[0] == "file"
    return FileContent(Path(reference[1]), reference[2])


class Workers:
    """Workers of one leg, each a host of its own. What each has been given is in ``seen``."""

    def __init__(self, context: Context, folder: Path, nursery: trio.Nursery, *, local: bool, **options: Any) -> None:
        self.context = context
        self.folder = folder
        self.nursery = nursery
        self.local = local
        self.options = options
        self.seen: dict[str, list[Message]] = {}
        self.scopes: dict[str, trio.CancelScope] = {}
        self.most = 0
        self.gate = trio.Event()
        self.gate.set()
        self.answers: list[Verdict] = []  # in place of the usual ones
        self.now = 0

    async def run(self, name: str, about: Message, start: int) -> tuple[Verdict, int, Any]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        verdict = self.answers.pop(0) if self.answers else Delivered(name)
        return verdict, start + 1, [("stage", "delivered", 0.5)]

    async def up(self, link: Link, name: str, life: int = 1, run: Run | None = None) -> Host:
        end = f"ipc://{self.folder}/{name}.{life}"
        self.seen.setdefault(name, [])

        async def usual(about: Message, start: int) -> tuple[Verdict, int, Any]:
            return await self.run(name, about, start)

        def begin(about: Message, start: int, done: Done) -> None:
            self.seen[name].append(about)

            async def call() -> None:
                done(*await (run or usual)(about, start))

            self.nursery.start_soon(call)

        host = Host(self.context, end, begin, find, **self.options)
        scope = self.scopes[name] = trio.CancelScope()

        async def serve() -> None:
            with scope:
                await host.serve()

        self.nursery.start_soon(serve)
        link.connect(Peer(name, life, host if self.local else end))
        return host

    def kill(self, link: Link, name: str) -> None:
        self.scopes[name].cancel()
        link.lost(name)


class Sender:
    """Sends messages and keeps their verdicts."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.verdicts: dict[MessageId, list[Any]] = {}
        self.ways: list[Any] = []
        self.heard = trio.Event()

    def send(self, about: Message, key: str = "", start: int = 0) -> None:
        def done(verdict: Any, stopped: int, way: Any) -> None:
            self.verdicts.setdefault(about.id, []).append(verdict)
            self.ways.append((stopped, way))
            self.heard.set()

        self.link.submit(about, done, key=key, start=start)

    async def all(self, count: int) -> None:
        with trio.fail_after(DEADLINE):
            while sum(map(len, self.verdicts.values())) < count:
                self.heard = trio.Event()
                await self.heard.wait()


@pytest.fixture
def opening(context: Context, tmp_path: Path, nursery: trio.Nursery):
    def start(names: list[str], *, local: bool, window: int = 512, keyed: bool = False, **options: Any):
        link = Link(context, "in/stage", names, window=window, keyed=keyed)
        nursery.start_soon(link.run)
        return link, Workers(context, tmp_path, nursery, local=local, **options), Sender(link)

    return start


@pytest.fixture(params=[True, False], ids=["inside", "between"])
def opened(request: pytest.FixtureRequest, opening):
    """A link, inside a process and between processes."""
    return partial(opening, local=request.param)


@pytest.fixture
def between(opening):
    """A link to other processes, of which each may die."""
    return partial(opening, local=False)


async def settle() -> None:
    """Let everything that travels arrive: idle loops alone do not say so, because ZeroMQ has threads of its own."""
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked(0.005)


async def test_every_message_gets_its_verdict_once(opened) -> None:
    link, workers, sender = opened(["one"])
    await workers.up(link, "one")
    before = PASSED.of(link.name).value
    messages = [message() for _ in range(500)]
    for about in messages:
        sender.send(about, start=2)
    await sender.all(500)
    assert sender.verdicts == {about.id: [Delivered("one")] for about in messages}
    stopped, (step,) = sender.ways[0]
    assert (stopped, step[:3]) == (3, ("stage", "delivered", 0.5))
    assert step[3:] in ((), (None, "one"))  # another process is named
    assert [about.id for about in workers.seen["one"]] == [about.id for about in messages]
    assert (PASSED.of(link.name).value - before, link.away, link.depth) == (500, 0, 0)


async def test_a_message_arrives_as_it_was_sent(opened, tmp_path: Path) -> None:
    link, workers, sender = opened(["one"])
    await workers.up(link, "one")
    path = tmp_path / "content"
    path.write_bytes(LETTER * 2)
    in_file = message(content=FileContent(path, 2 * len(LETTER)))
    for about in (message().with_fact("x", [1, {"a": None}]), in_file):
        sender.send(about)
    await sender.all(2)
    small, large = workers.seen["one"]
    assert b"".join(small.chunks()) == LETTER
    assert small.fact("x") == [1, {"a": None}]
    assert b"".join(large.chunks()) == LETTER * 2


async def test_what_a_stage_says_comes_back_as_it_said_it(opened) -> None:
    about = message("b@rcpt.test", "c@rcpt.test", "d@rcpt.test")
    marked = about.with_header("X", "y")
    said: list[Verdict] = [
        about,
        marked,
        Reject("no", reply="550 no", remote="mx.test"),
        Route("local", ("x@y.test",)),
        Each({"b@rcpt.test": marked, "c@rcpt.test": marked, "d@rcpt.test": (Route("a"), Route("b"))}),
    ]

    async def run(about: Message, start: int) -> tuple[Verdict, int, Any]:
        return about if start == 0 else said[start], start, []

    link, workers, sender = opened(["one"])
    await workers.up(link, "one", run=run)
    for number in range(len(said)):
        sender.send(about, start=number)
    await sender.all(len(said))
    answers = dict(zip([stopped for stopped, _ in sender.ways], sender.verdicts[about.id], strict=True))
    assert answers[0] is about
    assert answers == dict(enumerate(said))
    each = answers[4].verdicts
    assert each["b@rcpt.test"] is each["c@rcpt.test"]  # recipients that shared a message object still do


async def test_never_more_than_the_window_is_with_a_worker(opened) -> None:
    link, workers, sender = opened(["one"], window=7)
    await workers.up(link, "one")
    workers.gate = trio.Event()
    for _ in range(50):
        sender.send(message())
    await settle()
    assert (len(workers.seen["one"]), link.away, link.depth) == (7, 7, 43)
    workers.gate.set()
    await sender.all(50)
    assert workers.most <= 7


@pytest.mark.interpreted
async def test_messages_gather_in_batches(between) -> None:
    link, workers, sender = between(["one"])
    await workers.up(link, "one")
    sent: list[int] = []
    await settle()
    socket = link._order[0].socket
    send = socket.send
    socket.send = lambda frames: (sent.append(len(wire.unpack(frames[0]))), send(frames))
    for _ in range(BATCH * 2 + 1):
        sender.send(message())
    await sender.all(BATCH * 2 + 1)
    assert sent == [BATCH, BATCH, 1]


async def test_messages_of_one_key_always_go_to_the_same_worker(opened) -> None:
    names = ["one", "two", "three"]
    link, workers, sender = opened(names, keyed=True)
    for name in names:
        await workers.up(link, name)
    for number in range(300):
        sender.send(message().with_fact("site", number % 30), key=f"site-{number % 30}")
    await sender.all(300)
    owners = {name: {about.fact("site") for about in seen} for name, seen in workers.seen.items()}
    assert sum(map(len, owners.values())) == 30
    assert all(owners.values())


async def test_a_key_waits_for_its_own_worker(opened) -> None:
    link, workers, sender = opened(["one", "two"], keyed=True)
    workers.gate = trio.Event()
    await workers.up(link, "one")
    for number in range(20):
        sender.send(message(), key=str(number))
    await settle()
    given = link.away
    assert 0 < given < 20
    assert link.depth == 20 - given
    workers.gate.set()
    await workers.up(link, "two")
    await sender.all(20)
    assert (len(workers.seen["one"]), len(workers.seen["two"])) == (given, 20 - given)


async def test_the_least_loaded_worker_gets_the_next_message(opened) -> None:
    link, workers, sender = opened(["slow", "quick"], window=10)
    never = trio.Event()

    async def slow(about: Message, start: int) -> tuple[Verdict, int, Any]:
        await never.wait()
        return Delivered("slow"), 1, []

    await workers.up(link, "slow", run=slow)
    await workers.up(link, "quick")
    for _ in range(100):
        sender.send(message())
    await sender.all(90)
    await settle()
    assert link.away == 10
    assert len(workers.seen["quick"]) == 90


async def test_what_a_dead_worker_held_is_given_out_again_and_nothing_else(between) -> None:
    link, workers, sender = between(["one", "two"], window=5)
    workers.gate = trio.Event()
    await workers.up(link, "one")
    await workers.up(link, "two")
    for _ in range(10):
        sender.send(message())
    await settle()
    held = {about.id for about in workers.seen["one"]}
    assert len(held) == 5
    workers.kill(link, "one")
    workers.gate.set()
    await sender.all(10)
    assert all(len(found) == 1 for found in sender.verdicts.values())
    counts = Counter(about.id for about in workers.seen["two"])
    assert set(counts) == set(sender.verdicts)
    assert set(counts.values()) == {1}


async def test_a_worker_that_comes_back_is_told_from_the_one_that_died(between) -> None:
    link, workers, sender = between(["one"])
    workers.gate = trio.Event()
    await workers.up(link, "one", life=1)
    sender.send(message())
    await settle()
    workers.kill(link, "one")
    assert (link.away, link.depth) == (0, 1)
    workers.gate.set()
    await workers.up(link, "one", life=2)
    await sender.all(1)
    assert len(workers.seen["one"]) == 2


async def test_being_told_twice_of_the_same_worker_changes_nothing(opened) -> None:
    link, workers, sender = opened(["one"])
    workers.gate = trio.Event()
    await workers.up(link, "one")
    sender.send(message())
    await settle()
    assert link._order[0].peer is not None
    link.connect(link._order[0].peer)
    link.connect(Peer("stranger", 1, "ipc://nowhere"))
    link.lost("stranger")
    assert link.away == 1
    workers.gate.set()
    await sender.all(1)
    assert len(workers.seen["one"]) == 1


async def test_a_message_that_workers_die_of_is_parked(between) -> None:
    link, workers, sender = between(["one"])
    workers.gate = trio.Event()
    about = message()
    sender.send(about)
    for life in range(DEATHS):
        assert not sender.verdicts
        await workers.up(link, "one", life=life)
        await settle()
        workers.kill(link, "one")
    (verdict,) = sender.verdicts[about.id]
    assert isinstance(verdict, Quarantine)
    assert "in/stage" in verdict.reason
    assert (link.away, link.depth) == (0, 0)


async def test_a_link_of_a_former_revision_waits_for_nobody_who_has_died(between) -> None:
    link, workers, sender = between(["one", "two"], window=2)
    workers.gate = trio.Event()
    await workers.up(link, "one")
    await workers.up(link, "two")
    for _ in range(6):
        sender.send(message())
    await settle()
    link.conclude()
    workers.kill(link, "one")
    assert not sender.verdicts  # the other one is there still
    await workers.up(link, "one", life=2)  # which serves other revisions
    workers.gate.set()
    await sender.all(6)
    assert [verdict for (verdict,) in sender.verdicts.values()] == [Delivered("two")] * 6
    workers.kill(link, "two")
    late = message()
    sender.send(late)
    (verdict,) = sender.verdicts[late.id]
    assert isinstance(verdict, Defer)
    assert (link.away, link.depth) == (0, 0)


async def test_what_a_dead_worker_has_when_its_revision_is_over_is_deferred(between) -> None:
    link, workers, sender = between(["one", "two"], keyed=True)
    workers.gate = trio.Event()
    await workers.up(link, "one")
    await workers.up(link, "two")
    for number in range(20):
        sender.send(message(), key=str(number))
    await settle()
    held = {about.id for about in workers.seen["one"]}
    workers.kill(link, "one")
    link.conclude()
    assert set(sender.verdicts) == held
    assert all(isinstance(verdict, Defer) for (verdict,) in sender.verdicts.values())
    workers.gate.set()
    await sender.all(20)


async def test_a_suspect_is_not_parked_for_a_revision_that_is_over(between) -> None:
    link, workers, sender = between(["one"])
    workers.gate = trio.Event()
    about = message()
    sender.send(about)
    for life in range(DEATHS - 1):
        await workers.up(link, "one", life=life)
        await settle()
        workers.kill(link, "one")
    assert not sender.verdicts
    link.conclude()
    (verdict,) = sender.verdicts[about.id]
    assert isinstance(verdict, Defer)


async def test_a_stage_that_blocks_does_not_stop_other_messages(opened) -> None:
    link, workers, sender = opened(["one"])
    never = trio.Event()
    blocked = message()

    async def run(about: Message, start: int) -> tuple[Verdict, int, Any]:
        if about.id == blocked.id:
            await never.wait()
        return Delivered(), 1, []

    host = await workers.up(link, "one", run=run)
    sender.send(blocked)
    for _ in range(20):
        sender.send(message())
    await sender.all(20)
    assert host.busy == 1
    assert blocked.id not in sender.verdicts


@pytest.mark.parametrize("bad", [message().with_fact("x", object()), Reject(object())])  # type: ignore[arg-type]
async def test_a_verdict_that_cannot_travel_defers_its_message_alone(between, bad: Verdict) -> None:
    link, workers, sender = between(["one"])
    about = message()

    async def run(given: Message, start: int) -> tuple[Verdict, int, Any]:
        return (bad if given.id == about.id else Delivered()), 1, []

    await workers.up(link, "one", run=run)
    sender.send(about)
    sender.send(message())
    await sender.all(2)
    assert isinstance(sender.verdicts[about.id][0], Defer)


async def test_a_message_that_cannot_travel_is_deferred_alone(between) -> None:
    link, workers, sender = between(["one"])
    await workers.up(link, "one")
    bad = message().with_fact("x", object())  # type: ignore[arg-type]
    sender.send(bad)
    sender.send(message())
    await sender.all(2)
    assert isinstance(sender.verdicts[bad.id][0], Defer)


# -- effects, which must not be done twice


@pytest.fixture
def effects(context: Context, tmp_path: Path, nursery: trio.Nursery):
    """One worker for effects, and as many askers for it as are wanted."""
    workers = Workers(context, tmp_path, nursery, local=False, once=True)
    ends: list[Peer] = []

    @asynccontextmanager
    async def asker():
        async with trio.open_nursery() as inner:
            link = Link(context, "out/effect", ["one"], window=10, keyed=False)
            inner.start_soon(link.run)
            if not ends:
                await workers.up(link, "one")
                ends.append(link._order[0].peer)  # type: ignore[arg-type]
            else:
                link.connect(ends[0])
            yield Sender(link)
            inner.cancel_scope.cancel()

    return workers, asker


async def test_an_asker_that_came_back_joins_what_is_in_hand(effects) -> None:
    workers, asker = effects
    workers.gate = trio.Event()
    about = message()
    async with asker() as first:
        first.send(about)
        await settle()
    async with asker() as second:
        second.send(about)
        await settle()
        assert len(workers.seen["one"]) == 1
        workers.gate.set()
        await second.all(1)
        assert second.verdicts == {about.id: [Delivered("one")]}
    assert len(workers.seen["one"]) == 1


async def test_an_answer_is_kept_for_an_asker_that_died_before_it_heard(effects) -> None:
    workers, asker = effects
    workers.gate = trio.Event()
    about = message()
    async with asker() as first:
        first.send(about)
        await settle()
    workers.gate.set()
    await settle()
    async with asker() as second:
        second.send(about)
        await second.all(1)
        assert second.verdicts == {about.id: [Delivered("one")]}
    assert len(workers.seen["one"]) == 1


async def test_who_had_to_wait_for_a_slot_is_asked_for_anew(effects) -> None:
    """It comes again with the same number of attempts, and nothing was done yet."""
    workers, asker = effects
    about = message()
    workers.answers = [Defer("no slot", line="site/"), Delivered("one")]
    async with asker() as sender:
        sender.send(about)
        await sender.all(1)
        sender.send(about)
        await settle()
    assert [verdict.__class__ for verdict in sender.verdicts[about.id]] == [Defer, Delivered]
    assert len(workers.seen["one"]) == 2


async def test_another_attempt_or_other_recipients_are_another_effect(effects) -> None:
    workers, asker = effects
    about = message()
    later = replace(about, envelope=replace(about.envelope, attempts=1))
    other = replace(about, envelope=message("z@rcpt.test").envelope)
    async with asker() as sender:
        for one in (about, later, other):
            sender.send(one)
        await sender.all(3)
    assert len(workers.seen["one"]) == 3
