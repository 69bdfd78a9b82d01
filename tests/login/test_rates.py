"""How much an account or a network may send, for how long it counts, and what outlives what."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Rate
from engine.login import Rates, Sender
from engine.login import rates as module
from tests.support.post import Clock

HOUR = 3600.0
ANN = Sender("account", "ann@example.org", (Rate("3/1m"), Rate("5/1h")), (Rate("10/1h"),))
BOB = Sender("account", "bob@example.org", (Rate("1/1h"),))
NETWORK = Sender("network", "203.0.113.9/32", (Rate("1/1h"),))


@pytest.fixture
def rates(tmp_path: Path, clock: Clock) -> Iterator[Rates]:
    with Rates.open(tmp_path / "rates", clock) as rates:
        yield rates


def test_messages_count_until_the_time_is_over_that_the_first_one_began(rates: Rates, clock: Clock) -> None:
    assert [rates.take(ANN, 1) for _ in range(3)] == [None] * 3
    clock.now += 59
    excess = rates.take(ANN, 1)
    assert excess is not None
    assert (excess.what, excess.rate, excess.until, excess.wait) == ("messages", "3/1m", clock.now + 1, 1)
    assert str(excess) == "3 messages within 60 seconds are taken, come again in 1 seconds"
    assert rates.take(BOB, 1) is None
    clock.now += 1
    assert [rates.take(ANN, 1) for _ in range(2)] == [None] * 2
    excess = rates.take(ANN, 1)
    assert excess is not None
    assert (excess.rate, excess.wait) == ("5/1h", HOUR - 60)


def test_recipients_count_each(rates: Rates) -> None:
    assert rates.excess(ANN, 10) is None
    assert rates.excess(ANN, 11) is not None
    assert rates.take(ANN, 6) is None
    assert rates.excess(ANN, 4) is None
    excess = rates.take(ANN, 5)
    assert excess is not None
    assert excess.what == "recipients"
    assert rates.take(ANN, 4) is None, "what was refused does not count"


def test_recipients_that_there_are_not_count_apart(rates: Rates) -> None:
    prober = Sender("network", NETWORK.name, unknown=(Rate("2/1h"),))
    assert rates.take(NETWORK, 1) is None
    assert [rates.take(prober, 1) for _ in range(2)] == [None] * 2
    excess = rates.take(prober, 1)
    assert excess is not None
    assert (excess.what, excess.is_news) == ("unknown recipients", True)
    assert {(sent.what, sent.count) for sent in rates.sent()} == {("messages", 1), ("unknown recipients", 2)}


def test_to_look_counts_for_nothing(rates: Rates) -> None:
    for _ in range(10):
        assert rates.excess(ANN, 1) is None
    assert rates.sent() == []


def test_a_refusal_is_news_once_in_each_span(rates: Rates, clock: Clock) -> None:
    def news() -> list[bool]:
        found = [rates.excess(BOB, 1), rates.take(BOB, 1), rates.excess(BOB, 1)]
        return [excess.is_news for excess in found if excess is not None]

    assert rates.take(BOB, 1) is None
    assert news() == [True, False, False]
    clock.now += HOUR
    assert rates.take(BOB, 1) is None
    assert news() == [True, False, False]


def test_all_of_it_survives_and_is_shared_until_the_machine_starts_again(
    tmp_path: Path, rates: Rates, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rates.take(BOB, 1) is None
    rates.close()
    with Rates.open(tmp_path / "rates", clock) as again:
        assert again.take(BOB, 1) is not None
    monkeypatch.setattr(module, "this_boot", lambda: b"another")
    with Rates.open(tmp_path / "rates", clock) as after:
        assert after.take(BOB, 1) is None
    assert [path.name for path in (tmp_path / "rates").iterdir()] == [b"another".hex()]


@pytest.mark.parametrize(("boot", "synced"), [(b"some", False), (module.UNKNOWN, True)])
def test_it_is_synced_only_where_starts_cannot_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: bytes, *, synced: bool
) -> None:
    monkeypatch.setattr(module, "this_boot", lambda: boot)
    with Rates.open(tmp_path / "rates") as rates:
        assert rates._environment.flags()["sync"] is synced


def test_a_clock_that_is_set_back_keeps_nobody_out(rates: Rates, clock: Clock) -> None:
    assert rates.take(BOB, 1) is None
    clock.now -= HOUR
    assert rates.take(BOB, 1) is None


@pytest.mark.parametrize(
    ("who", "lifted"),
    [
        ("Bob@EXAMPLE.org", "bob@example.org"),
        ("203.0.113.9", "203.0.113.9/32"),
        ("203.0.113.0/24", "203.0.113.9/32"),
        ("eve@example.org", None),
        ("2001:db8::1", None),
        ("garbage", None),
    ],
)
def test_somebody_may_send_again(rates: Rates, who: str, lifted: str | None) -> None:
    senders = {sender.name: sender for sender in (BOB, NETWORK)}
    assert [rates.take(sender, 1) for sender in senders.values()] == [None, None]
    assert [sent.name for sent in rates.lift(who)] == ([lifted] if lifted else [])
    assert {name for name, sender in senders.items() if rates.take(sender, 1) is None} == ({lifted} - {None})


def test_what_is_over_goes_and_strangers_fill_no_disk(
    rates: Rates, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    strangers = [Sender("network", f"2001:db8:{number:x}::/64", (Rate("1/1h"),)) for number in range(100)]
    assert rates.take(BOB, 1) is None
    assert rates.take(BOB, 1) is not None
    for stranger in strangers:
        assert rates.take(stranger, 1) is None
    assert len(rates.sent()) <= 20
    assert "bob@example.org" in [sent.name for sent in rates.sent() if sent.limited], "who is limited goes last"
    for stranger in strangers:
        rates.take(stranger, 1)
        rates.take(stranger, 1)
    assert len(rates.sent()) <= 20
    clock.now += 2 * HOUR
    assert rates.take(BOB, 1) is None
    with rates._environment.begin() as txn:
        assert txn.stat()["entries"] == 1


def test_a_store_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rates").write_text("a file")
    with pytest.raises(module.Unavailable, match="rates"):
        Rates.open(tmp_path / "rates")
