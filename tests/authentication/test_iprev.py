"""iprev (RFC 8601 3): an address, its names, and their addresses."""

import pytest

from engine.authentication.iprev import NAMES_LIMIT, check
from tests.support.told_dns import TROUBLE, ToldDns

TABLE = {
    "1.2.0.192.in-addr.arpa": {"PTR": ["other.example.", "MX.example."]},
    "other.example": {"A": "192.0.2.9"},
    "mx.example": {"A": ["192.0.2.7", "192.0.2.1"], "AAAA": "2001:DB8:0::1"},
    "2.2.0.192.in-addr.arpa": {"PTR": "other.example"},
    "3.2.0.192.in-addr.arpa": {"PTR": "nobody.example"},
    "4.2.0.192.in-addr.arpa": {"PTR": TROUBLE},
    "5.2.0.192.in-addr.arpa": {"PTR": ["down.example", "other.example"]},
    "6.2.0.192.in-addr.arpa": {"PTR": ["down.example", "six.example"]},
    "six.example": {"A": "192.0.2.6"},
    "down.example": {"A": TROUBLE},
    "8.2.0.192.in-addr.arpa": {"A": "192.0.2.8"},
    f"{'1' + '.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR": "mx.example"},
}


@pytest.mark.parametrize(
    ("ip", "result", "name"),
    [
        ("192.0.2.1", "pass", "mx.example"),
        ("::ffff:192.0.2.1", "pass", "mx.example"),
        ("2001:db8::1", "pass", "mx.example"),
        ("192.0.2.2", "fail", ""),
        ("192.0.2.3", "fail", ""),
        ("192.0.2.4", "temperror", ""),
        ("192.0.2.5", "temperror", ""),
        ("192.0.2.6", "pass", "six.example"),
        ("192.0.2.7", "permerror", ""),
        ("192.0.2.8", "permerror", ""),
    ],
)
async def test_an_address_and_its_names(ip, result, name):
    found = await check(ToldDns(TABLE), ip)
    assert (found.result, found.name) == (result, name)
    assert bool(found.why) == (result != "pass")


async def test_only_the_first_names_are_looked_at():
    names = [f"a{number}.example" for number in range(5_000)]
    ask = ToldDns({"1.2.0.192.in-addr.arpa": {"PTR": names}} | {name: {"A": "192.0.2.2"} for name in names})
    assert (await check(ask, "192.0.2.1")).result == "fail"
    assert len(ask.asked) == 1 + NAMES_LIMIT
