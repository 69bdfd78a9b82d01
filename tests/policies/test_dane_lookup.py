"""TLSA records by a real validating resolver (unbound): vouched for, unsigned, forged, behind aliases."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.net.dns import Answer, Resolver
from engine.policies.dane import Records, look_up
from tests.support.programs import marks
from tests.support.unbound import Told, unbound

pytestmark = marks("unbound")

TLSA = "3 1 1 " + "aa" * 32
OTHER = "3 1 1 " + "bb" * 32

GOOD = Told(
    "good.example",
    {
        "@": {"MX": "10 mx"},
        "mx": {"A": "127.0.0.2"},
        "_25._tcp.mx": {"TLSA": [TLSA, "2 0 1 " + "cc" * 32]},
        "bare": {"A": "127.0.0.3"},
        "alias": {"CNAME": "mx"},
        "both": {"CNAME": "bare"},
        "_25._tcp.both": {"TLSA": OTHER},
        "out": {"CNAME": "mx.plain.example."},
        "_25._tcp.out": {"TLSA": OTHER},
        "moved": {"A": "127.0.0.4"},
        "_25._tcp.moved": {"CNAME": "_25._tcp.mx"},
        "away": {"A": "127.0.0.4"},
        "_25._tcp.away": {"CNAME": "_25._tcp.mx.plain.example."},
        "bogus": {"A": "127.0.0.5"},
        "_25._tcp.bogus": {"TLSA": TLSA},
        "four": {"A": "127.0.0.6", "AAAA": "::6"},
    },
    forged={"_25._tcp.bogus": {"TLSA": OTHER}, "four": {"AAAA": "::7"}},
)
PLAIN = Told("plain.example", {"mx": {"A": "127.0.0.2"}, "_25._tcp.mx": {"TLSA": TLSA}}, signed=False)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, unbound(Path(folder), GOOD, PLAIN) as address:
        yield address


async def found(server: str, host: str) -> Records:
    resolver = Resolver([server])
    addresses = await resolver.addresses(host)
    assert isinstance(addresses, Answer), addresses
    return await look_up(resolver.ask, host, addresses, 25)


async def test_what_unbound_vouches_for(server: str) -> None:
    resolver = Resolver([server])
    assert resolver.validates
    assert (await resolver.mx("good.example")).secure
    assert not (await resolver.addresses("mx.plain.example")).secure


@pytest.mark.parametrize(
    ("host", "base", "records"),
    [
        ("mx.good.example", "mx.good.example", {TLSA, "2 0 1 " + "cc" * 32}),
        ("alias.good.example", "mx.good.example", {TLSA, "2 0 1 " + "cc" * 32}),  # the end of the aliases first
        ("both.good.example", "both.good.example", {OTHER}),  # then the name itself (RFC 7672 2.2.3)
        ("out.good.example", "out.good.example", {OTHER}),  # only the alias is vouched for
        ("moved.good.example", "moved.good.example", {TLSA, "2 0 1 " + "cc" * 32}),
    ],
)
async def test_records(server: str, host: str, base: str, records: set[str]) -> None:
    dane = (await found(server, host)).dane
    assert dane is not None
    assert (dane.host, dane.base) == (host, base)
    assert set(map(str, dane.records)) == records


@pytest.mark.parametrize("host", ["bare.good.example", "mx.plain.example", "away.good.example"])
async def test_none(server: str, host: str) -> None:
    """None are there; nobody vouches for the host; nobody vouches for where they are."""
    records = await found(server, host)
    assert records.dane is None
    assert not records.trouble


async def test_a_forged_answer_is_trouble(server: str) -> None:
    records = await found(server, "bogus.good.example")
    assert records.dane is None
    assert "SERVFAIL" in records.trouble


async def test_trouble_with_one_kind_of_address_does_not_take_dane_away(server: str) -> None:
    addresses = await Resolver([server]).addresses("four.good.example")
    assert isinstance(addresses, Answer)
    assert (addresses.records, addresses.secure) == (("127.0.0.6",), True)
