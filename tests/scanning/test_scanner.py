"""Scanners that are asked side by side: who is waited for, and what becomes of those that do not answer."""

from types import TracebackType
from typing import Self

import pytest
import trio
from trio.testing import MockClock

from engine import Message
from engine.scanning import Finding, Guarded, Terms, Unjudged, Unreachable, scanned
from tests.support.messages import message


class Told:
    """A scanner that says what it is told to, after some seconds."""

    def __init__(self, name: str, finding: Finding | Exception, seconds: float = 0) -> None:
        self.name = name
        self.finding = finding
        self._seconds = seconds
        self.cancelled = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def scan(self, message: Message) -> Finding:
        try:
            await trio.sleep(self._seconds)
        except trio.Cancelled:
            self.cancelled = True
            raise
        if isinstance(self.finding, Exception):
            raise self.finding
        return self.finding


async def asked(*scanners: Told, **terms: object) -> tuple[dict[str, Finding], float]:
    """What they say, and how many seconds it took."""
    guarded = [Guarded(one, Terms(**terms)) for one in scanners]  # type: ignore[arg-type]
    began = trio.current_time()
    found = await scanned(guarded, message())
    return found, trio.current_time() - began


async def test_all_are_asked_at_the_same_time(autojump_clock: MockClock) -> None:
    found, seconds = await asked(*(Told(name, Finding(reason=name), 2) for name in ("one", "two", "three")))
    assert {name: one.reason for name, one in found.items()} == {"one": "one", "two": "two", "three": "three"}
    assert seconds == 2


@pytest.mark.parametrize("action", ["reject", "discard"])
@pytest.mark.parametrize("turned", [False, True])
async def test_what_is_final_ends_the_others(action: str, turned: bool, autojump_clock: MockClock) -> None:
    slow = Told("slow", Finding(), 5)
    scanners = [Told("quick", Finding(action=action), 1), slow]  # type: ignore[arg-type]
    found, seconds = await asked(*(reversed(scanners) if turned else scanners))
    assert (list(found), seconds, slow.cancelled) == (["quick"], 1, True)


@pytest.mark.parametrize("first", [Finding(action="defer"), Finding(action="quarantine"), Unreachable("gone")])
async def test_what_is_not_final_waits_for_the_others(first: Finding | Exception, autojump_clock: MockClock) -> None:
    found, seconds = await asked(Told("soft", first), Told("hard", Finding(action="reject"), 3))
    assert (set(found), seconds) == ({"soft", "hard"}, 3)


@pytest.mark.parametrize(
    ("on_error", "action", "code"),
    [
        ("defer", "defer", "4.3.0"),
        ("skip", "none", ""),
        ("reject", "reject", "5.3.0"),
        ("quarantine", "quarantine", ""),
    ],
)
async def test_one_that_cannot_say_anything(on_error: str, action: str, code: str, autojump_clock: MockClock) -> None:
    found, _ = await asked(Told("dead", Unreachable("no route")), on_error=on_error)
    assert (found["dead"].action, found["dead"].code) == (action, code)
    assert found["dead"].facts == {"error": "dead: no route"}
    assert "dead" not in found["dead"].text, "clients need not know what runs here"


async def test_one_that_takes_too_long(autojump_clock: MockClock) -> None:
    found, seconds = await asked(Told("slow", Finding(), 60), Told("quick", Finding()), time_limit=4)
    assert seconds == 4
    assert found["slow"].reason == "slow: no answer within 4 s"
    assert (found["slow"].action, found["quick"].action) == ("defer", "none")


async def test_a_quarantine_has_the_same_reason_each_time(autojump_clock: MockClock) -> None:
    one, _ = await asked(Told("dead", Unreachable("no route")), on_error="quarantine")
    other, _ = await asked(Told("dead", Unreachable("refused")), on_error="quarantine")
    assert one["dead"].reason == other["dead"].reason


async def test_messages_that_it_cannot_judge_close_it_to_no_others(autojump_clock: MockClock) -> None:
    told = Told("picky", Unjudged("Time limit reached"))
    guarded = Guarded(told, Terms())
    for _ in range(10):
        found = await scanned([guarded], message())
        assert (found["picky"].action, found["picky"].reason) == ("defer", "picky: Time limit reached")
    told.finding = Finding(score=1)
    assert (await scanned([guarded], message()))["picky"].score == 1


async def test_a_bug_is_no_answer(autojump_clock: MockClock) -> None:
    slow = Told("slow", Finding(), 5)
    with pytest.raises(ZeroDivisionError):
        await asked(slow, Told("broken", ZeroDivisionError()))
    assert slow.cancelled


@pytest.mark.parametrize("terms", [{"at_once": 0}, {"time_limit": 0}])
def test_terms_that_cannot_work(terms: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(terms))):
        Terms(**terms)  # type: ignore[arg-type]
