"""Content that a stage has changed: how it goes on, where it lies, and what becomes of what was received."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from engine import Defer, Delivered, Each, Message, MessageId, Quarantine, Reject, Route, Verdict
from engine.message import CHANGED, PARK, Octets
from engine.queue.content import Aside, FileContent, LooseContent, put_in_place, set_aside
from engine.runtime.contents import new_contents, with_contents
from engine.runtime.journey import Arrival
from engine.runtime.separate import SeparateArrival
from engine.verdict import Changed
from tests.support.journeys import Map, Stage, arrive, depart, through
from tests.support.messages import message

A, B = "a@rcpt.test", "b@rcpt.test"
INLINE = 100
SMALL = b"Subject: new\r\n\r\nsmall\r\n"
LARGE = b"Subject: new\r\n\r\n" + b"large\r\n" * 100
OLD = b"Subject: old\r\n\r\n" + b"old\r\n" * 100


@pytest.fixture
def aside(tmp_path: Path) -> Aside:
    folder = tmp_path / "content"
    folder.mkdir()
    return Aside(folder, INLINE)


def received(aside: Aside, *recipients: str) -> Message:
    """A large message, as the door hands it over."""
    identity = MessageId.new()
    path = aside.folder / str(identity)
    path.write_bytes(OLD)
    return message(*recipients, identity=identity, content=FileContent(path, len(OLD)))


def whole(about: Message) -> bytes:
    return b"".join(about.chunks())


def files(aside: Aside) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in aside.folder.iterdir()}


async def arrived(
    aside: Aside, about: Message, *stages: Stage, kind: type[Arrival] = Arrival, queue: Stage | None = None
) -> tuple[Verdict, Map]:
    answers, roads = arrive(about, *stages, aside=aside, kind=kind, queue=queue or (lambda _: Delivered()))
    while not answers:
        await trio.sleep(0)
    assert roads.inside == 0
    return answers[0], roads


def change(octets: bytes) -> Stage:
    return lambda about: about.with_content(octets)


# -- its file


async def test_a_loose_file_goes_with_the_last_who_refers_to_it(aside: Aside) -> None:
    loose = set_aside(LARGE, aside.folder)
    also = loose
    del loose
    assert list(files(aside).values()) == [LARGE]
    assert b"".join(also.chunks()) == LARGE
    assert also.path.stat().st_mode & 0o777 == 0o600
    del also
    assert files(aside) == {}


async def test_what_is_put_in_its_place_stays_and_takes_the_place_of_what_was_there(aside: Aside) -> None:
    loose, path = set_aside(LARGE, aside.folder), aside.folder / "there"
    path.write_bytes(OLD)
    assert put_in_place(loose, path).path == path
    del loose
    assert files(aside) == {"there": LARGE}


async def test_nothing_is_left_of_what_the_disk_did_not_take(aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.queue.content.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        set_aside(LARGE, aside.folder)
    assert files(aside) == {}


# -- before `queue`


@pytest.mark.parametrize("new", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("large", [False, True], ids=["was small", "was large"])
async def test_what_is_stored_is_the_changed_content(aside: Aside, new: bytes, large: bool) -> None:
    about = received(aside, B) if large else message(B)
    answer, roads = await arrived(aside, about, change(new), through)
    assert answer == Delivered(f"queued as {about.id}")
    (queued,) = roads.links["in/queue"].seen
    assert (queued.id, whole(queued)) == (about.id, new)
    assert isinstance(queued.content, FileContent) == (new is LARGE)
    assert not isinstance(queued.content, LooseContent)
    del roads
    assert files(aside) == ({str(about.id): LARGE} if new is LARGE else {})


async def test_large_content_is_a_file_for_the_stages_that_follow(aside: Aside) -> None:
    _, roads = await arrived(aside, message(B), change(LARGE), lambda m: m.with_header("X", "1"), change(LARGE * 2))
    assert isinstance(roads.links["in/1"].seen[0].content, LooseContent)
    (queued,) = roads.links["in/queue"].seen
    assert whole(queued) == LARGE * 2
    roads.links.clear()
    assert files(aside) == {str(queued.id): LARGE * 2}


async def test_changed_content_may_come_with_another_verdict(aside: Aside) -> None:
    parked = lambda m: Changed(m.with_content(LARGE), Quarantine("odd"))  # noqa: E731
    _, roads = await arrived(aside, received(aside, B), parked)
    (queued,) = roads.links["in/queue"].seen
    assert (whole(queued), queued.fact(PARK)) == (LARGE, "odd")


@pytest.mark.parametrize("verdict", [Reject("no"), Defer("later")])
async def test_of_what_is_refused_nothing_stays_but_what_was_received(aside: Aside, verdict: Verdict) -> None:
    about = received(aside, B)
    answer, roads = await arrived(aside, about, change(LARGE), lambda _: verdict)
    assert answer == verdict
    roads.links.clear()
    assert files(aside) == {str(about.id): OLD}  # whoever has written it drops it


@pytest.mark.parametrize("large", [False, True], ids=["was small", "was large"])
async def test_of_what_was_not_stored_nothing_stays(aside: Aside, large: bool) -> None:
    about = received(aside, B) if large else message(B)
    answer, roads = await arrived(aside, about, change(LARGE), queue=lambda _: Defer("full"))
    assert isinstance(answer, Defer)
    roads.links.clear()
    assert set(files(aside)) == ({str(about.id)} if large else set())  # by that name its writer drops it


def part_with(octets: bytes) -> Stage:
    return lambda about: Each({A: about.with_content(octets)})


@pytest.mark.parametrize("new", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("large", [False, True], ids=["was small", "was large"])
async def test_parts_each_store_their_own(aside: Aside, new: bytes, large: bool) -> None:
    about = received(aside, A, B) if large else message(A, B)
    old = whole(about)
    answer, roads = await arrived(aside, about, part_with(new), through)
    assert isinstance(answer, Delivered)
    queued = {one.recipients[0]: one for one in roads.links["in/queue"].seen}
    assert {address: whole(one) for address, one in queued.items()} == {A: new, B: old}
    assert queued[A].id != queued[B].id
    expected = {str(one.id): whole(one) for one in queued.values() if isinstance(one.content, FileContent)}
    assert len(expected) == (new is LARGE) + large
    roads.links.clear()
    assert files(aside) == expected


async def test_one_part_that_was_not_stored_leaves_the_other_alone(aside: Aside) -> None:
    def full_for_a(about: Message) -> Verdict:
        return Defer("full") if about.recipients == (A,) else Delivered()

    answer, roads = await arrived(
        aside, received(aside, A, B), part_with(LARGE), queue=full_for_a, kind=SeparateArrival
    )
    assert isinstance(answer, Each)
    kept = next(one for one in roads.links["in/queue"].seen if one.recipients == (B,))
    roads.links.clear()
    assert files(aside) == {str(kept.id): OLD}


async def test_what_the_disk_does_not_take_is_put_off(aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("contents.set_aside", "journey.put_in_place"):
        with monkeypatch.context() as patched:
            patched.setattr(f"engine.runtime.{name}", full)
            answer, roads = await arrived(aside, message(B), change(LARGE))
        assert isinstance(answer, Defer)
        assert not roads.links["in/queue"].seen


# -- behind `queue`


async def settled(trip: object, done: Callable[[], bool]) -> None:
    while not done():
        await trio.sleep(0)


@pytest.mark.parametrize("new", [SMALL, LARGE], ids=["small", "large"])
async def test_behind_the_queue_it_goes_on_with_its_recipients(aside: Aside, new: bytes) -> None:
    about = received(aside, A, B)
    before = files(aside)
    lanes = {
        "in": lambda m: Changed(m, Each({A: Route("foot"), B: Route("plain")})),
        "foot": lambda m: Changed(m.with_content(new), Route("out")),
        "plain": lambda _: Route("out"),
        "out": lambda _: Delivered(),
    }
    trip = depart(about, "in", lanes, aside)
    await settled(trip, lambda: bool(trip.desk.settled))
    assert trip.outcomes == {A: Delivered(), B: Delivered()}
    assert {one.recipients[0]: whole(one) for one in trip.roads.links["out/stage"].seen} == {A: new, B: OLD}
    assert trip.delivery.message is about  # what a report quotes is what is in the queue
    trip.roads.links.clear()
    assert files(aside) == before


# -- contents of verdicts


def test_new_contents_are_found_once_wherever_they_are() -> None:
    asked = message(A, B)
    one, two = asked.with_content(SMALL), asked.with_content(LARGE)
    assert new_contents(asked, asked) == new_contents(asked, asked.with_header("X", "1")) == []
    assert new_contents(asked, Reject("no")) == new_contents(asked, (Route("x"),)) == []
    assert new_contents(asked, one) == [one.content]
    each = Each({A: one, B: two, "c": one.with_header("X", "1"), "d": asked, "e": Reject("no")})
    assert new_contents(asked, each) == [one.content, two.content]
    assert new_contents(asked, Changed(one, Each({A: two, B: one}))) == [one.content, two.content]


def test_who_shared_a_message_still_shares_it_with_other_contents() -> None:
    asked = message(A, B)
    one = asked.with_content(SMALL)
    other = Octets(LARGE)
    found = with_contents(
        Changed(one, Each({A: one, B: one.with_header("X", "1"), "c": asked})), {id(one.content): other}
    )
    assert isinstance(found, Changed)
    assert isinstance(found.verdict, Each)
    each = found.verdict.verdicts
    assert found.message is each[A]
    assert each[A].content is each[B].content is other
    assert each["c"] is asked
    assert with_contents(one, {}) is one
    assert found.message.fact(CHANGED) == one.fact(CHANGED)
