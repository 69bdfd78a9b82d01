"""Which source a message leaves from: by its shares, and the same one each time."""

from collections import Counter

import pytest

from engine import MessageId
from engine.config import EgressSource, Family
from engine.egress.choice import order, reachable

SHARES = {"mx1": 1, "mx2": 2, "mx3": 5}
TARGETS = [("mx", "192.0.2.1"), ("mx", "2001:db8::1"), ("backup", "192.0.2.2")]


def test_shares_are_kept() -> None:
    count = 8000
    first = Counter(order(MessageId(number.to_bytes(16, "big")), SHARES)[0] for number in range(count))
    for name, share in SHARES.items():
        # Five standard deviations of a binomial distribution with n = 8000 are at most 224.
        assert abs(first[name] - count * share / 8) < 224, name


def test_a_message_keeps_its_source_whatever_becomes_of_others() -> None:
    for _ in range(200):
        identity = MessageId.new()
        whole = order(identity, SHARES)
        assert order(identity, dict(reversed(SHARES.items()))) == whole
        without = {name: share for name, share in SHARES.items() if name != whole[1]}
        assert order(identity, without) == [whole[0], whole[2]]
        assert [name for name in order(identity, {**SHARES, "new": 3}) if name != "new"] == whole


@pytest.mark.parametrize(
    ("source", "family", "found"),
    [
        (EgressSource(), "any", TARGETS),
        (EgressSource(), "ipv6", TARGETS[1:2]),
        (EgressSource(ipv4="192.0.2.9"), "any", [TARGETS[0], TARGETS[2]]),
        (EgressSource(ipv6="2001:db8::9"), "any", TARGETS[1:2]),
        (EgressSource(ipv4="192.0.2.9", ipv6="2001:db8::9"), "any", TARGETS),
        (EgressSource(ipv4="192.0.2.9", ipv6="2001:db8::9", family="ipv6"), "any", TARGETS[1:2]),
        (EgressSource(ipv4="192.0.2.9", ipv6="2001:db8::9"), "ipv4", [TARGETS[0], TARGETS[2]]),
        (EgressSource(ipv4="192.0.2.9"), "ipv6", []),
        (EgressSource(family="ipv4"), "ipv6", []),
    ],
)
def test_families(source: EgressSource, family: Family, found: list[tuple[str, str]]) -> None:
    assert reachable(TARGETS, source, family) == found
