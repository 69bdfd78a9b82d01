"""Much mail for sites that take only so much, in virtual time: what is pushed back, and how much is used."""

import pytest
import trio

from engine import Rate
from engine.abuse import Tables
from engine.outbound.way import Source, Way
from engine.shaping.allowances import Allowances
from engine.shaping.shape import Shape
from engine.shaping.shaping import Shaping
from engine.shaping.sites import Sites
from tests.support.virtual import OK, TOO_FAST, Sender, Site, bucket, simulate, window

MINUTE = 60.0


def most_within(times: list[float], period: float) -> int:
    most = start = 0
    for end, time in enumerate(times):
        while times[start] <= time - period:
            start += 1
        most = max(most, end - start + 1)
    return most


OVERLOADED = {
    "50 a second": (lambda: Site(rate=window(50, 1)), 5, 50.0, 150),
    "300 a minute": (lambda: Site(rate=window(300, 60)), 20, 5.0, 50),
    "60 a minute": (lambda: Site(rate=window(60, 60)), 60, 1.0, 20),
    "1000 an hour": (lambda: Site(rate=window(1000, 3600)), 12 * 60, 1000 / 3600, 10),
    "a bucket of 10 a second": (lambda: Site(rate=bucket(10, 5)), 15, 10.0, 60),
    "a bucket of 100 a second": (lambda: Site(rate=bucket(100, 20)), 3, 100.0, 300),
    "a bucket, far away": (lambda: Site(rate=bucket(10, 40), latency=1.0), 20, 10.0, 100),
    "5 connections": (lambda: Site(connections=5, latency=0.5), 20, 10.0, 60),
    "5 connections, told late": (lambda: Site(connections=5, latency=0.5, refuses_at="mail"), 20, 10.0, 60),
    "3 connections and 20 a second": (lambda: Site(connections=3, rate=bucket(20, 20), latency=0.1), 10, 20.0, 100),
    "4 connections and 100 a minute": (lambda: Site(connections=4, rate=window(100, 60)), 45, 100 / 60, 30),
}
"""A site, minutes, messages that it takes in a second, and messages that are brought at once."""


@pytest.mark.parametrize("name", OVERLOADED)
async def test_an_overloaded_site_pushes_little_back_and_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    make, minutes, rate, waiting = OVERLOADED[name]
    site = make()
    await simulate(monkeypatch, site, minutes * MINUTE, senders=[{"waiting": waiting}])
    used = len(site.taken) / (rate * minutes * MINUTE)
    print(f"{name}: {site.share():.2%} pushed back, {used:.1%} used, {site.refused} connections refused")
    assert site.share() < 0.03
    assert used > 0.93


async def test_a_site_that_changes_is_followed(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    rates = [bucket(40, 10), bucket(10, 10), bucket(60, 10)]
    length = 5 * MINUTE
    site = Site(rate=lambda now: rates[min(int(now // length), 2)](now))
    await simulate(monkeypatch, site, 3 * length, senders=[{"waiting": 200}])
    used = [site.within(n * length, (n + 1) * length) / length / rate for n, rate in enumerate((40, 10, 60))]
    print(f"changing: {site.share():.2%} pushed back, used {', '.join(f'{one:.1%}' for one in used)}")
    assert site.share() < 0.05
    assert min(used) > 0.75


async def test_a_site_without_limits_gets_all_there_is(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    site = Site(latency=0.1)
    await simulate(monkeypatch, site, 20, connections=20, senders=[{"waiting": 100}])
    assert site.most_open == 20
    assert len(site.taken) > 0.95 * 20 * 10 * 20


async def test_mail_that_fails_by_itself_slows_nothing_down(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    full = [0]

    def every_tenth(_: float) -> bool:
        full[0] += 1
        return full[0] % 10 > 0

    site = Site(latency=0.1, rate=every_tenth, reply=OK.__class__(452, "Mailbox is full", "4.2.2"))
    await simulate(monkeypatch, site, 20, senders=[{"waiting": 100}])
    assert len(site.taken) > 0.9 * 0.9 * 20 * 10 * 20


async def test_a_greylist_that_names_no_reason_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    site = Site(rate=lambda _: False, reply=TOO_FAST.__class__(450, "Come back later", "4.7.1"))
    await simulate(monkeypatch, site, 3 * MINUTE, senders=[{"waiting": 30}])
    assert len(site.pushed) > 1000, "it goes on after a while, at full speed"


RATES = {
    "one rate": ((Rate("20/1s"),), (), 20.0),
    "two rates": ((Rate("20/1s"), Rate("300/1m")), (), 5.0),
    "a slow one": ((Rate("30/1m"),), (), 0.5),
    "by the hour": ((Rate("100/1h"),), (), 100 / 3600),
    "recipients": ((), (Rate("50/1s"),), 10.0),
    "both": ((Rate("8/1s"),), (Rate("50/1s"),), 8.0),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", RATES)
async def test_a_rate_is_kept_and_used(
    name: str, shared: bool, tables: Tables, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    messages, recipients, expected = RATES[name]
    shape = Shape(messages=messages, recipients=recipients)
    many = 5 if recipients else 1
    seconds = max(rate.period for rate in (*messages, *recipients)) * 6
    allowances = Allowances(tables, lambda: 1e9 + autojump_clock.current_time()) if shared else None
    site = Site()
    (sender,) = await simulate(
        monkeypatch, site, seconds, shaping=Shaping(allowances=allowances),
        senders=[{"shape": shape, "recipients": many, "waiting": 100}],
    )  # fmt: skip
    for rate, each in (*((rate, 1) for rate in messages), *((rate, many) for rate in recipients)):
        assert most_within(site.taken, 0.99 * rate.period) * each <= 1.01 * rate.most
    # This clock jumps on while a thread is at work, and with it goes what could have been sent: on a busy machine, all.
    assert shared or len(site.taken) > 0.95 * expected * seconds
    assert sender.deferred == 0


async def test_other_rules_hold_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    site, found = Site(latency=0.1), []
    shapes = [Shape(connections=10), Shape(connections=2), Shape(messages=(Rate("5/1s"),)), Shape(pause=float("inf"))]

    async def change(senders: list[Sender]) -> None:
        for shape in shapes:
            senders[0].shape = shape
            await trio.sleep(10)
            found.append(len(site.open))
            await trio.sleep(10)

    await simulate(monkeypatch, site, 80, senders=[{"shape": shapes[0]}], meanwhile=change)
    assert found[:2] == [10, 2]
    assert site.within(5, 20) > 0.95 * 10 * 10 * 15
    assert 0.95 * 2 * 10 * 15 < site.within(25, 40) <= 2 * 10 * 15 + 2
    assert 0.95 * 5 * 15 < site.within(45, 60) <= 5 * 15 + 5
    assert site.within(61, 80) == 0


async def test_sources_are_counted_apart(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    site, shape = Site(), Shape(messages=(Rate("10/1s"),))
    ways = [Way("mx.example.net", source=Source(name)) for name in ("one", "other")]
    await simulate(monkeypatch, site, 20, senders=[{"shape": shape, "way": way} for way in ways])
    assert 0.95 * 400 < len(site.taken) <= 420


async def test_little_waits_in_memory(monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock) -> None:
    waiting: list[int] = []
    site = Site(latency=30.0)  # a tarpit

    async def look(senders: list[Sender]) -> None:
        while True:
            await trio.sleep(1)
            waiting.extend(len(one.queue) for one in senders[0].pool._sites.values())

    (sender,) = await simulate(
        monkeypatch, site, 300, connections=5, senders=[{"waiting": 1000}], meanwhile=look
    )  # fmt: skip
    assert max(waiting[10:]) <= 20
    assert sender.put_off > 1000
    assert len(site.taken) > 0.5 * 5 * 300 / 30, "connections take as long to come"


async def test_what_was_learnt_outlives_a_restart(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = Site(rate=bucket(20, 5)), Site(rate=bucket(20, 5))
    before = Shaping(sites=Sites(tables, lambda: 1e6))
    await simulate(monkeypatch, first, 5 * MINUTE, shaping=before)
    before.keep()
    start = trio.current_time()
    await simulate(monkeypatch, second, MINUTE, shaping=Shaping(sites=Sites(tables, lambda: 1e6 + 10)))
    print(f"after a restart: {second.share(start):.2%} pushed back")
    assert second.share(start) < 0.02
    assert len(second.taken) > 0.93 * 20 * MINUTE
