"""When an account is suspected, what is usual, what is learnt and forgotten."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.abuse import Habits, Tables
from engine.abuse.habits import SIGNALS, Habit, Limits, Sending, _habit
from engine.abuse.table import key_of
from tests.support.post import Clock

ANN = "ann@example.org"
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def habits(tables: Tables, clock: Clock) -> Habits:
    return Habits(tables, clock)


def people(count: int, start: int = 0, domains: int = 1) -> list[str]:
    return [f"p{number}@d{number % domains}.test" for number in range(start, start + count)]


async def one_by_one(habits: Habits, clock: Clock, recipients: list[str]) -> tuple[int, list[str]]:
    """Send to each alone, within minutes; how many went out, and why no more."""
    for sent, recipient in enumerate(recipients):
        clock.now += 0.3
        if reasons := await habits.weigh(Sending(ANN, "192.0.0.0/16", [recipient])):
            return sent, reasons
    return len(recipients), []


async def test_two_thousand_strangers_in_ten_minutes_are_not_like_anybody(habits: Habits, clock: Clock) -> None:
    sent, reasons = await one_by_one(habits, clock, people(2000))
    assert sent == 200
    assert reasons == ["recipients: 201 in an hour, usually 0", "new recipients: 201 in an hour, usually 0"]


async def test_the_more_domains_the_sooner(habits: Habits, clock: Clock) -> None:
    sent, reasons = await one_by_one(habits, clock, people(2000, domains=500))
    assert sent == 100
    assert [reason.partition(":")[0] for reason in reasons] == ["new recipients", "domains"]


async def test_one_signal_alone_must_be_flagrant(habits: Habits, clock: Clock) -> None:
    friends = people(10)
    assert await one_by_one(habits, clock, friends) == (10, [])
    for _ in range(79):
        assert await habits.weigh(Sending(ANN, recipients=friends)) == []
    assert await habits.weigh(Sending(ANN, recipients=friends)) == ["recipients: 810 in an hour, usually 0"]


async def test_who_always_sends_much_may_send_more(habits: Habits, clock: Clock) -> None:
    for day in range(5):
        clock.now += DAY
        assert await one_by_one(habits, clock, people(60, start=60 * day)) == (60, []), day
    clock.now += DAY
    assert await one_by_one(habits, clock, people(600, start=1000)) == (600, [])
    clock.now += DAY
    sent, _ = await one_by_one(habits, clock, people(5000, start=5000))
    assert 1000 < sent < 2000


async def test_an_hour_ends(habits: Habits, clock: Clock) -> None:
    for hour in range(5):
        assert await one_by_one(habits, clock, people(99, start=99 * hour)) == (99, [])
        clock.now += HOUR


@pytest.mark.parametrize(
    ("sending", "reasons"),
    [
        ({"is_spam": True}, ["spam: 21 in an hour, usually 0"]),
        ({"refused": 4}, ["refused: 84 in an hour, usually 0"]),
    ],
)
async def test_spam_and_bounces(habits: Habits, sending: dict[str, int], reasons: list[str]) -> None:
    said = [await habits.weigh(Sending(ANN, **sending)) for _ in range(21)]  # type: ignore[arg-type]
    assert said == [[]] * 20 + [reasons]


async def test_what_comes_back_counts_where_habits_are_known(habits: Habits, tables: Tables) -> None:
    await habits.came_back(ANN, 5)
    assert tables["accounts"].local.entries() == []
    assert await habits.weigh(Sending(ANN, recipients=people(90))) == []
    await habits.came_back(ANN, 81)
    assert await habits.weigh(Sending(ANN)) == ["refused: 81 in an hour, usually 0"]


async def test_a_login_from_everywhere(habits: Habits) -> None:
    said = [await habits.weigh(Sending(ANN, f"10.{n}.0.0/16", ["a@b.test"])) for n in range(21)]
    assert said[-2:] == [[], ["networks: 21 in an hour, usually 0"]]


async def test_a_login_from_several_countries_at_once(habits: Habits) -> None:
    said = [
        await habits.weigh(Sending(ANN, f"10.{n}.0.0/16", ["a@b.test"], country=country))
        for n, country in enumerate(("DE", "DE", "", "SE", "VN", "US"))
    ]
    assert said == [[]] * 5 + [["networks: 6 in an hour, usually 0", "countries: 4 in an hour, usually 0"]]


async def test_who_always_travels_may_travel(habits: Habits, clock: Clock) -> None:
    limits = Limits(networks=0, signals=1, times=2.0)
    for _ in range(3):
        for country in ("DE", "SE", "VN"):
            assert await habits.weigh(Sending(ANN, recipients=["a@b.test"], country=country), limits) == []
        clock.now += DAY
    for country in ("DE", "SE", "VN", "US", "FR", "IT"):
        assert await habits.weigh(Sending(ANN, recipients=["a@b.test"], country=country), limits) == []
    assert await habits.weigh(Sending(ANN, country="ES"), limits) == ["countries: 7 in an hour, usually 3"]


async def test_an_account_stays_suspected_until_it_is_lifted_and_that_teaches(habits: Habits, clock: Clock) -> None:
    _, reasons = await one_by_one(habits, clock, people(2000))
    assert not await habits.is_suspect(ANN)
    assert await habits.suspect(ANN, reasons, "192.0.2.1")
    assert not await habits.suspect(ANN, reasons, "192.0.2.2"), "it is news once"
    clock.now += 30 * DAY
    assert await habits.is_suspect(ANN)
    assert await habits.lift(ANN)
    assert not await habits.lift(ANN)
    assert not await habits.is_suspect(ANN)
    assert await one_by_one(habits, clock, people(2000)) == (2000, []), "it was the account itself"


async def test_limits_can_be_other_ones(habits: Habits) -> None:
    for limits in (Limits(recipients=0, new_recipients=0, domains=0), Limits(signals=7)):
        assert await habits.weigh(Sending(ANN, recipients=people(5000, domains=5000)), limits) == []
    assert await habits.weigh(Sending("eve@example.org", recipients=people(3)), Limits(recipients=2, signals=1)) != []


async def test_what_was_suspicious_makes_no_contacts(habits: Habits, tables: Tables) -> None:
    assert await habits.weigh(Sending(ANN, recipients=people(500))) != []
    assert tables["contacts"].local.entries() == []


@given(some.lists(some.tuples(some.lists(some.sampled_from(people(30, domains=7)), max_size=9), some.booleans())))
async def test_it_counts_to_the_last_one(sendings: list[tuple[list[str], bool]]) -> None:
    habit, known, spam, seen = Habit(ANN), set[str](), 0, Counter[str]()
    habit.turn(1.0)
    for recipients, is_spam in sendings:
        new = set(recipients) - known
        habit.hour.count(Sending(ANN, "n", recipients, is_spam), len(new))
        known |= new
        spam += is_spam
        seen.update(recipients)
    if sendings:
        assert habit.hour.counts == {
            "recipients": seen.total(),
            "new_recipients": len(known),
            "domains": len({one.partition("@")[2] for one in known}),
            "networks": 1,
            "countries": 0,
            "spam": spam,
            "refused": 0,
        }
    habit.turn(2.0)
    assert habit.hours == 0
    habit.turn(5000.0)
    assert habit.usual == ({signal: habit.usual[signal] for signal in SIGNALS} if sendings else {})


async def test_all_of_it_survives(tables: Tables, habits: Habits, clock: Clock) -> None:
    await habits.weigh(Sending(ANN, "n", people(3)))
    (stored,) = await Habits(tables, clock).tables["accounts"].read([key_of(ANN)])
    assert stored is not None
    assert _habit(stored).hour.counts["new_recipients"] == 3
