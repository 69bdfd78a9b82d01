"""A revision on trial: who goes by it, when it has done badly, and whether workers die of a change."""

from collections import Counter
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from engine import Envelope, Message, MessageId, Recipient
from engine.message import ON_TRIAL, Octets
from engine.runtime.canary import Canary, InForce
from engine.runtime.putting import WATCHED, Change


class Revision:
    """What is asked of one here."""

    def __init__(self, number: int, *listeners: str) -> None:
        self.number = number
        self.on_trial = False
        self._listeners = listeners

    def source_of(self, listener: str) -> Any:
        return (self.number, listener) if listener in self._listeners else None

    source = source_of


def message(by: int = 0) -> Message:
    envelope = Envelope("ann@example.net", (Recipient("bob@example.org"),))
    found = Message(MessageId.new(), envelope, Octets(b""))
    return found.with_fact(ON_TRIAL, by) if by else found


def in_force(share: float, *listeners: str) -> InForce:
    found: Any = InForce()
    found.current = Revision(1, "smtp", "submission")
    found.attempt(Revision(2, *(listeners or ("smtp", "submission"))), share)
    return found  # type: ignore[no-any-return]


def connections(force: Any, count: int, listener: str = "smtp") -> Counter[tuple[int, int]]:
    """By which revision each was served, and its mail went."""

    def one() -> tuple[int, int]:
        stage = force.source(listener)
        assert force.here() is force.here()
        return stage[0], force.here().number

    return Counter(copy_context().run(one) for _ in range(count))


def test_a_share_of_the_connections_goes_by_it_as_a_whole() -> None:
    served = connections(in_force(0.25), 4000)
    assert set(served) == {(1, 1), (2, 2)}
    assert 800 < served[2, 2] < 1200


def test_all_go_by_it_and_what_has_no_connection_never_does() -> None:
    force = in_force(1.0)
    assert connections(force, 100) == {(2, 2): 100}
    assert force.here().number == 1
    assert force().number == 1


def test_a_listener_that_it_does_not_serve_stays_with_the_one_in_force() -> None:
    assert connections(in_force(1.0, "smtp"), 100, "submission") == {(1, 1): 100}


def test_mail_leaves_by_the_revision_by_which_it_came() -> None:
    force = in_force(0.5)
    assert [force.of(one).number for one in (message(), message(by=2), message(by=7))] == [1, 2, 1]
    trial = force.decide()
    assert trial is not None
    assert not trial.on_trial
    assert force.of(message(by=2)).number == 1
    assert connections(force, 50) == {(1, 1): 50}


def canary(new: dict[str, int], old: dict[str, int]) -> Canary:
    puts: list[Any] = [SimpleNamespace(turn=turn, number=turn) for turn in (2, 1)]
    found = Canary(puts[0], puts[1], 0.05, 0.0)
    found.heard("mail-0", 1, {2: new, 1: old})
    return found


VERDICTS = [
    ("nothing yet", {}, {}, False),
    ("all is well", {"accepted": 100}, {"accepted": 1900}, False),
    ("a few errors are no proof", {"accepted": 4, "errors": 4}, {"accepted": 1900}, False),
    ("it breaks, the other does not", {"put-off": 5, "errors": 5}, {"accepted": 100}, True),
    ("both break alike", {"accepted": 100, "errors": 10}, {"accepted": 1900, "errors": 190}, False),
    ("it breaks far more often", {"accepted": 100, "errors": 30}, {"accepted": 1900, "errors": 190}, True),
    ("seldom is not clearly", {"accepted": 1000, "errors": 15}, {"accepted": 19_000}, False),
    ("refusals are no errors", {"refused": 100}, {"accepted": 1900}, False),
]


@pytest.mark.parametrize(("new", "old", "ends"), [case[1:] for case in VERDICTS], ids=[case[0] for case in VERDICTS])
def test_when_a_trial_ends_by_itself(new: dict[str, int], old: dict[str, int], ends: bool) -> None:
    assert bool(canary(new, old).verdict()) == ends


def test_what_a_worker_had_counted_that_died_stays() -> None:
    found = canary({"accepted": 3}, {"accepted": 40})
    found.heard("mail-0", 1, {2: {"accepted": 5, "errors": 1}, 1: {"accepted": 50}})
    found.heard("mail-0", 2, {2: {"accepted": 1}, 1: {}})
    found.heard("mail-1", 1, {2: {}, 1: {"accepted": 7}, 9: {"accepted": 1}})
    told = found.told()
    assert (told.revision, told.share) == (2, 5.0)
    assert told.counts == {"accepted": 6, "errors": 1}
    assert told.beside == {"accepted": 57}


def test_two_deaths_soon_after_a_change_are_too_many() -> None:
    before: Any = SimpleNamespace(turn=1)
    change = Change(before, until=60.0)
    assert not change.is_too_much("mail-0", 1.0)
    assert change.is_too_much("mail-1", 2.0)
    assert change.told() == "mail-0, mail-1"
    change = Change(before, until=60.0)
    assert [change.is_too_much("mail-0", now) for now in (59.0, 61.0, 62.0)] == [False, False, False]


def test_in_a_long_trial_deaths_far_apart_are_none() -> None:
    before: Any = SimpleNamespace(turn=1)
    change = Change(before, until=float("inf"))
    assert not any(change.is_too_much("mail-0", number * (WATCHED + 1)) for number in range(5))
    assert change.is_too_much("mail-0", 4 * (WATCHED + 1) + 1)
    assert change.told() == "mail-0 2 times"
