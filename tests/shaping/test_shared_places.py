"""Places of a provider that several workers share, in virtual time: never more than there are, used, and by all."""

from collections.abc import Sequence

import pytest
import trio.testing

from engine import Rate
from engine.shaping.shape import Shape
from tests.relay.tally import middle, most_within
from tests.support.virtual import Provider, among_nodes, provided

NEAR, FAR = 0.002, 0.02
"""Seconds to the provider and back."""

ENDLESS = {
    "three workers, twelve sites": (4, [[0] * 4] * 3, 10, NEAR),
    "connections of two messages": (4, [[0] * 4] * 3, 2, NEAR),
    "connections of a hundred": (4, [[0] * 4] * 3, 100, NEAR),
    "farther away": (4, [[0] * 4] * 3, 20, FAR),
    "one place": (1, [[0] * 4] * 3, 10, NEAR),
    "one place, and a worker with nearly all sites": (1, [[0], [0] * 11], 10, NEAR),
    "fewer sites than places": (8, [[0], [0], [0, 0]], 10, NEAR),
    "a site for each of many workers": (3, [[0]] * 8, 10, NEAR),
}
"""Places, the messages for each site of each worker, messages of a connection, and how far it is."""


@pytest.mark.parametrize("name", ENDLESS)
async def test_places_are_used_by_all_and_never_more(
    name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    places, shares, per_connection, trip = ENDLESS[name]
    provider, seconds = Provider(0.2, trip), 60.0
    await provided(monkeypatch, provider, places, shares, per_connection=per_connection, seconds=seconds)
    used = provider.used(places, 1.0, seconds)
    print(f"{name}: {used:.1%} used, {sorted(provider.served.values())} messages by site")
    assert provider.most_open == places
    assert used >= 0.95
    sites = sum(map(len, shares))
    turns = [count / min(per_connection, 30 / 0.2) for count in provider.served.values()]  # of connections
    assert len(turns) == sites
    if sites > places:
        assert max(turns) - min(turns) <= max(2, 0.1 * max(turns))


LIMITED = {
    "twenty each": (4, [[20] * 4] * 3, 10),
    "one more than a connection takes": (4, [[11] * 4] * 3, 10),
    "less than a connection takes": (4, [[7] * 10] * 3, 10),
    "one worker has nothing after a while": (4, [[5] * 4, [40] * 4, [5] * 4], 10),
}


def total(shares: Sequence[Sequence[int]]) -> int:
    return sum(map(sum, shares))


@pytest.mark.parametrize("name", LIMITED)
async def test_who_has_no_more_mail_leaves_the_place_to_others_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    places, shares, per_connection = LIMITED[name]
    provider = Provider(0.2, NEAR)
    await provided(monkeypatch, provider, places, shares, per_connection=per_connection, seconds=120.0)
    used = provider.used(places, *middle([end for _, end in provider.spans]))
    print(f"{name}: {used:.1%} used")
    assert len(provider.spans) == total(shares)
    assert provider.most_open == places
    assert used >= 0.95


async def test_a_long_connection_ends_for_those_that_have_none(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    provider = Provider(0.2, NEAR)
    await provided(monkeypatch, provider, 1, [[0], [0]], per_connection=100_000, seconds=120.0)
    assert provider.most_open == 1
    assert provider.served["mx1.example.net"] == pytest.approx(provider.served["mx2.example.net"], rel=0.05)
    assert provider.used(1, 1.0, 120.0) >= 0.95


@pytest.mark.parametrize("connections", [1, 3])
async def test_the_connections_that_a_rule_gives_to_a_site_are_those_of_all_nodes(
    connections: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    provider, shape = Provider(0.2, NEAR), Shape(connections=connections, messages_per_connection=10)
    senders = await among_nodes(monkeypatch, provider, shape, 3, seconds=60.0)
    used = provider.used(connections, 1.0, 60.0)
    print(f"{connections} connections of three nodes: {used:.1%} used")
    assert provider.most_open == connections
    assert used >= 0.95
    counts = [one.delivered for one in senders]
    assert max(counts) - min(counts) <= 0.2 * max(counts)


async def test_nodes_keep_connections_and_rates_of_a_site_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    provider = Provider(0.2, NEAR)
    shape = Shape(connections=3, messages=(Rate("5/1s"),), messages_per_connection=10)
    await among_nodes(monkeypatch, provider, shape, 3, seconds=60.0)
    began = [begin for begin, _ in provider.spans]
    assert provider.most_open <= 3
    assert most_within(began, 1.0 - 1e-6) <= 5
    assert len(began) >= 0.95 * 5 * 60
