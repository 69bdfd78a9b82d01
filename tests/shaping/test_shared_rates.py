"""Rates that several workers, and several nodes, share by a store that takes its time: never exceeded, and used."""

import random
from collections.abc import Sequence

import pytest
import trio.testing

from engine import Rate
from engine.outbound.way import Way
from engine.shaping.shape import Shape, Together
from tests.relay.tally import most_within
from tests.support.virtual import OneRoof, Site, together

RATES = {
    "one a second": (["1/1s"], 0.95),
    "ten a second": (["10/1s"], 0.96),
    "a hundred a second": (["100/1s"], 0.96),
    "five hundred a second": (["500/1s"], 0.96),
    "a second and a minute": (["5/1s", "60/1m"], 0.97),
    "ten seconds": (["1000/10s"], 0.96),
    "a minute": (["600/1m"], 0.97),
}
"""Rates, and the part of the lowest that is used."""

TRIPS = {"near": 0.001, "far": 0.05}
"""Seconds to the store, and as many back, at most. While it is asked, no place is used: far away that costs some."""


def shapes(rates: Sequence[str]) -> dict[str, Shape]:
    found = tuple(map(Rate, rates))
    return {"provider": Shape(together=(Together("big", messages=found),)), "nodes": Shape(messages=found)}


@pytest.mark.parametrize("trip", TRIPS)
@pytest.mark.parametrize("of", ["provider", "nodes"])
@pytest.mark.parametrize("name", RATES)
async def test_a_rate_is_not_exceeded_by_one(
    name: str, of: str, trip: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Of a provider, whose sites belong to three workers, or of one site to which three nodes send."""
    rates, part = RATES[name]
    tables, site = OneRoof(TRIPS[trip], random.Random(name + of)), Site(latency=0.01)
    tables.server = object() if of == "nodes" else None
    ways = [Way("mx.example.net" if of == "nodes" else f"mx{number}.example.net") for number in range(3)]
    longest = max(Rate(rate).period for rate in rates)
    seconds = 3.2 * longest if longest > 1 else 8.0
    await together(
        monkeypatch, site, seconds, tables,
        [{"way": way, "shape": shapes(rates)[of], "waiting": 200} for way in ways],
    )  # fmt: skip
    for rate in map(Rate, rates):
        assert most_within(site.taken, rate.period * (1 - 1e-6)) <= rate.most
    used = len(site.taken) / (min(Rate(rate).most / Rate(rate).period for rate in rates) * seconds)
    print(f"{name}, {of}, {trip}: {used:.1%} used")
    assert trip == "far" or used >= part
