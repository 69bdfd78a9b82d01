"""The stage `limit_rates`: whom it counts, what it says, and that it counts a message for all or for none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine import Defer, Message, Rate, Session
from engine.directory import Unavailable
from engine.login import Rates, Sender
from stages.limit_rates import LimitRates
from tests.support.messages import message
from tests.support.post import Clock

STRANGER = Session(peer="192.0.2.1")
ANN, BOB, EVE = "ann@example.net", "bob@example.org", "eve@example.org"


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture
def rates(tmp_path: Path, clock: Clock) -> Iterator[Rates]:
    with Rates.open(tmp_path / "rates", clock) as rates:
        yield rates


def mail(*recipients: str, sender: str = ANN, **session: Any) -> Message:
    found = message(*recipients, sender=sender)
    about = Session(**{"peer": "192.0.2.1"} | session)
    return replace(found, envelope=replace(found.envelope, session=about))


async def test_a_recipient_gets_so_much_and_the_next_one_hears_when(rates: Rates, clock: Clock) -> None:
    stage = LimitRates(rates, recipient_messages=(Rate("2/1h"),))
    for sender in ("a@x.test", "b@y.test"):
        assert await stage.at_recipient(STRANGER, sender, BOB) is None
        assert isinstance(await stage(mail("Bob+tag@example.org", sender=sender)), Message)
    full = Defer("For this recipient 2 messages within 60 minutes are taken, come again in 60 minutes", "4.7.1")
    assert await stage.at_recipient(STRANGER, "c@z.test", BOB) == full
    assert await stage(mail(EVE, BOB)) == full
    assert await stage.at_recipient(STRANGER, ANN, EVE) is None
    assert {(one.name, one.count) for one in rates.sent()} == {(BOB, 2)}, "it counts for all or for none"
    clock.now += 3600
    assert await stage.at_recipient(STRANGER, ANN, BOB) is None


async def test_a_sender_and_a_domain(rates: Rates) -> None:
    stage = LimitRates(rates, sender_messages=(Rate("2/1h"),), domain_messages=(Rate("3/1d"),))
    assert [isinstance(await stage(mail(BOB)), Message) for _ in range(3)] == [True, True, False]
    assert isinstance(await stage.at_sender(STRANGER, "Ann@EXAMPLE.net"), Defer)
    assert await stage.at_sender(STRANGER, "other@example.net") is None
    assert isinstance(await stage(mail(BOB, sender="other@example.net")), Message)
    said = await stage.at_sender(STRANGER, "third@example.net")
    assert said is not None
    assert said.text.startswith("For this domain 3 messages within 24 hours are taken")
    assert await stage.at_sender(STRANGER, "") is None
    assert [one.name for one in rates.lift("example.net")] == ["example.net"]
    assert await stage.at_sender(STRANGER, "third@example.net") is None


@pytest.mark.parametrize("session", [{"login": BOB}, {"trusted": True}])
async def test_who_is_not_counted(rates: Rates, session: dict[str, Any]) -> None:
    stage = LimitRates(rates, sender_messages=(Rate("1/1h"),), recipient_messages=(Rate("1/1h"),))
    assert all([isinstance(await stage(mail(BOB, **session)), Message) for _ in range(3)])
    assert rates.sent() == []


async def test_a_store_that_fails_stops_no_mail(rates: Rates, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(rates, "_do", broken)
    stage = LimitRates(rates, recipient_messages=(Rate("1/1h"),))
    assert await stage.at_recipient(STRANGER, ANN, BOB) is None
    assert isinstance(await stage(mail(BOB)), Message)


def test_to_count_for_several_is_one_change(rates: Rates) -> None:
    one, other = Sender("sender", ANN, (Rate("5/1h"),)), Sender("recipient", BOB, (Rate("1/1h"),))
    assert rates.take_all([one, other], 1) is None
    excess = rates.take_all([one, other], 1)
    assert excess is not None
    assert (excess.kind, excess.name, excess.is_news) == ("recipient", BOB, True)
    assert {sent.kind: sent.count for sent in rates.sent()} == {"sender": 1, "recipient": 1}


def test_what_cannot_be_meant() -> None:
    assert list(LimitRates.check(sender_messages=(Rate("1/1h"), Rate("2/60m")))) == [
        "sender_messages has two rates over the same time"
    ]


async def test_a_rehearsal_counts_nothing_and_says_what_there_is(rates: Rates) -> None:
    stage = LimitRates(rates, sender_messages=(Rate("1/1h"),))
    for _ in range(3):
        assert isinstance(await stage.rehearse(mail(BOB)), Message)
    assert list(rates.sent()) == []
    await stage(mail(BOB))
    assert isinstance(await stage.rehearse(mail(BOB)), Defer)
