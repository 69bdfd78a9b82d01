"""Limits of a provider with many sites, of which every worker sends to some: what all of them saw together."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

import pytest

from tests.relay.behaviour import ORIGIN
from tests.relay.sending import send
from tests.relay.simulator import simulated
from tests.relay.tally import Seen, middle, most_within
from tests.relay.test_relay_limits import LATE, PATIENCE
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import Postroad, merged, until

SITES = 12

RULES = f"""
[provider.rated]
domains = ["rated-*.{ORIGIN}"]
provider_messages = ["60/15s"]

[provider.quick]
domains = ["quick-*.{ORIGIN}"]
provider_messages = ["10/1s"]

[provider.lone]
domains = ["lone-*.{ORIGIN}"]
connections = 2
messages = ["1/1s"]

[provider.peopled]
domains = ["peopled-*.{ORIGIN}"]
provider_recipients = ["60/15s"]

[provider.narrow]
domains = ["narrow-*.{ORIGIN}"]
provider_connections = 4
messages_per_connection = 10
"""

SOUR = f"""
[provider.sour]
domains = ["sour-*.{ORIGIN}"]

[[automation]]
name = "soured"
providers = ["sour"]
classes = ["x-lemon"]
after = "10/5m"
scope = "provider"
action = "suspend"
"""


def sees(folder: Path, site: Mapping[str, object], *nodes: Mapping[str, object], each: int = 20) -> list[Seen]:
    """What the sites have seen of so many messages for each, of two recipients, from nodes of three workers each."""
    name = str(site["name"])
    messages = [[f"{one}{n}@{name}-{n % SITES}.{ORIGIN}" for one in "mn"] for n in range(each * SITES)]
    share = len(messages) // len(nodes)
    with simulated(folder / "sites", {"sites": SITES, **site}) as simulator, ExitStack() as stack:
        settings = simulator.settings(retry=["2s"])
        for number, node in enumerate(nodes):
            place = folder / f"node{number}"
            place.mkdir()
            (place / "shaping.toml").write_text(RULES)
            more = {"shaping": {"file": "shaping.toml"}, "server": {"workers": 3}}
            server = stack.enter_context(Postroad(place, merged(merged(settings, more), node)))
            send(server, *messages[number * share : (number + 1) * share])
            stack.callback(lambda server=server: _failed(server))
        until(lambda: len(simulator.arrived(name)) == 2 * len(messages), f"all mail at {name}", PATIENCE)
        assert set(simulator.arrived(name).values()) == {1}
        return list(simulator.report(name).values())


def _failed(server: Postroad) -> None:
    assert not [*server.all("failed"), *server.all("bug"), *server.all("deferred")]


def at_once(seen: Sequence[Seen]) -> int:
    """The most transactions that were ever under way at the same time."""
    steps = sorted(
        step
        for one in seen
        for since, until in zip(one.spans[::2], one.spans[1::2], strict=True)
        for step in ((since, 1), (until, -1))
    )
    return max(accumulate(step for _, step in steps))


def test_messages_to_all_sites_together(tmp_path: Path) -> None:
    seen = sees(tmp_path, {"name": "rated"}, {}, each=12)
    assert most_within((moment for one in seen for moment in one.asked), 15 * LATE) <= 60 * 1.01
    assert all(one.asked for one in seen)


def test_a_rate_over_a_second_is_shared_as_well(tmp_path: Path) -> None:
    seen = sees(tmp_path, {"name": "quick"}, {})
    # Ten in each of six seconds are sixty, and what a busy machine delays by up to three seconds comes besides. Of
    # workers that share nothing there would be 180.
    assert most_within((moment for one in seen for moment in one.asked), 6.0) <= 60 + 30


@pytest.mark.slow
def test_a_rate_over_a_second_is_kept_to_a_hundredth(tmp_path: Path) -> None:
    """By three workers, in any minute. `tests/shaping/test_shared_rates.py` has single seconds, in virtual time."""
    seen = sees(tmp_path, {"name": "quick"}, {}, each=65)
    moments = [moment for one in seen for moment in one.asked]
    assert len(moments) == 65 * SITES
    assert most_within(moments, 60.0) <= 600 * 1.01


def test_recipients_at_all_sites_together(tmp_path: Path) -> None:
    seen = sees(tmp_path, {"name": "peopled"}, {}, each=5)
    assert most_within((moment for one in seen for moment in one.recipients), 15 * LATE) <= 60 * 1.01


def test_connections_to_all_sites_together_are_used_and_never_more(tmp_path: Path) -> None:
    seen = sees(tmp_path, {"name": "narrow", "delays": {".": 1.0}}, {}, each=10)
    assert at_once(seen) <= 4
    begin, end = middle([moment for one in seen for moment in one.moments])
    used = sum(one.used(4, begin, end) for one in seen)
    print(f"{used:.0%} of the connections used")
    assert used > 0.8  # a busy machine takes a while between two; in virtual time it is 95 % (test_shared_places.py)


def test_replies_of_all_sites_are_counted_together(tmp_path: Path) -> None:
    """Ten in five minutes are ten of the server, of whichever sites and workers; by a class of our own."""
    (tmp_path / "shaping.toml").write_text(SOUR)
    (tmp_path / "patterns.toml").write_text(
        '[[class]]\nname = "x-lemon"\n[[pattern]]\nclass = "x-lemon"\ntexts = ["lemons"]'
    )
    with simulated(
        tmp_path / "sites", {"name": "sour", "sites": SITES, "steps": {"MAIL": ["550 Lemons"]}}
    ) as simulator:
        more = {"shaping": {"file": "shaping.toml"}, "server": {"workers": 3}, "bounces": {"patterns": "patterns.toml"}}
        with Postroad(tmp_path, merged(simulator.settings(retry=["1h"]), more)) as server:
            for number in range(9):
                send(server, [f"m{number}@sour-{number}.{ORIGIN}"])
            until(lambda: len(server.all("failed")) == 9, "nine that failed")
            assert not server.all("shaping-action")
            send(server, [f"tenth@sour-9.{ORIGIN}"])
            action = server.wait_for("shaping-action")
            assert (action["site"], action["name"]) == ("[provider.sour]", "soured")
            send(server, [f"late@sour-11.{ORIGIN}"])
            server.wait_for("line-held")
            assert len(server.all("shaping-action")) == 1
            asked = [len(seen.asked) for seen in simulator.report("sour").values()]
            assert sum(asked) == 10
            shown = server.command("shaping", "actions").stdout
            assert "[provider.sour]" in shown


class TestNodes:
    pytestmark = marks("redis-server")

    def test_nodes_that_share_a_store(self, tmp_path: Path, redis: Redis) -> None:
        shared = {"shared": {"url": redis.settings.url, "password_file": str(redis.settings.password_file)}}
        seen = sees(tmp_path, {"name": "narrow", "delays": {".": 0.1}}, shared, shared)
        assert at_once(seen) <= 4

    def test_nodes_that_send_to_the_same_sites(self, tmp_path: Path, redis: Redis) -> None:
        """Connections to a site, and a rate over a second, are those of both together."""
        shared = {"shared": {"url": redis.settings.url, "password_file": str(redis.settings.password_file)}}
        seen = sees(tmp_path, {"name": "lone", "delays": {".": 0.1}}, shared, shared)
        assert max(at_once([one]) for one in seen) <= 2
        # Twenty, if each had a rate of its own; what is late by less than a second changes nothing.
        assert max(most_within(one.asked, 10.0) for one in seen) <= 10 + 1
