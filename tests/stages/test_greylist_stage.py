"""The stage `greylist`: whom it asks to come again, what SPF is asked for, and who is exempt."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Defer, Session
from engine.abuse import Tables
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.stage import load_stage
from engine.storage.environment import StorageError
from stages.greylist import Greylist
from tests.support.post import Clock
from tests.support.server import ROOT
from tests.support.told_dns import TROUBLE, ToldDns

STRANGER = Session(peer="192.0.2.1", helo="client.test")
NEIGHBOUR = Session(peer="192.0.2.77", helo="client.test")
ELSEWHERE = Session(peer="198.51.100.1", helo="client.test")
ANN, BOB = "ann@example.net", "bob@example.org"
DNS = {
    "example.net": {"TXT": "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 -all"},
    "slow.test": {"TXT": TROUBLE},
}


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse") as tables:
        yield tables


class Stage:
    def __init__(self, tables: Tables, clock: Clock, **settings: Any) -> None:
        self.dns = ToldDns(DNS)
        resolver = Resolver(["127.0.0.1"])
        resolver.ask = self.dns  # type: ignore[method-assign,assignment]
        self.stage = Greylist(tables, resolver, Hostname("mx.example.org"), **settings)
        self.stage._known.clock = clock

    async def __call__(self, session: Session = STRANGER, sender: str = ANN, recipient: str = BOB) -> bool:
        """Whether the recipient may come in."""
        said = await self.stage.at_recipient(session, sender, recipient)
        assert said is None or isinstance(said, Defer)
        return said is None


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


async def test_a_neighbour_comes_again_and_hears_when(tables: Tables, clock: Clock) -> None:
    stage = Stage(tables, clock)
    said = await stage.stage.at_recipient(STRANGER, ANN, BOB)
    assert said == Defer("Greylisted, please come again in 300 seconds", "4.7.1")
    clock.now += 100.5
    said = await stage.stage.at_recipient(NEIGHBOUR, ANN, "Bob@EXAMPLE.org".replace("Bob", "bob"))
    assert said == Defer("Greylisted, please come again in 200 seconds", "4.7.1")
    clock.now += 200
    assert await stage(NEIGHBOUR)
    assert not await stage(ELSEWHERE, sender="eve@other.test")


async def test_spf_is_asked_about_who_is_not_known_alone(tables: Tables, clock: Clock) -> None:
    stage = Stage(tables, clock)
    assert not await stage(ELSEWHERE)
    assert ("example.net", "TXT") in stage.dns.asked
    clock.now += 300
    assert await stage(Session(peer="203.0.113.5", helo="other.test"))
    stage.dns.asked.clear()
    assert await stage(Session(peer="203.0.113.5", helo="other.test"))
    assert stage.dns.asked == []
    assert await stage(ELSEWHERE, sender="new@example.net"), "the domain is known now"
    assert not await stage(STRANGER, sender="new@example.net"), "but who only says so is not"
    assert not await stage(ELSEWHERE, sender="")
    assert not await stage(ELSEWHERE, sender="ann@slow.test")


async def test_who_is_proved_may_need_no_second_try(tables: Tables, clock: Clock) -> None:
    stage = Stage(tables, clock, only="unproved")
    assert await stage(ELSEWHERE)
    assert not await stage(STRANGER)


@pytest.mark.parametrize(
    ("session", "sender", "recipient"),
    [
        (Session(peer="192.0.2.1", trusted=True), ANN, BOB),
        (Session(peer="192.0.2.1", login="bob@example.org"), ANN, BOB),
        (Session(peer="10.1.2.3"), ANN, BOB),
        (STRANGER, "x@friend.test", BOB),
        (STRANGER, "one@other.test", BOB),
        (STRANGER, ANN, "Postmaster@example.org"),
        (STRANGER, ANN, "abuse@example.org"),
        (STRANGER, ANN, "x@open.example.org"),
    ],
)
async def test_who_is_exempt(tables: Tables, clock: Clock, session: Session, sender: str, recipient: str) -> None:
    stage = Stage(
        tables, clock,
        networks=(ipaddress.ip_network("10.0.0.0/8"),),
        senders=("Friend.test", "one@other.test"),
        recipients=("postmaster@", "abuse@", "open.example.org"),
    )  # fmt: skip
    assert await stage(session, sender, recipient)
    assert tables["triplets"].local.entries() == []


async def test_a_store_that_fails_stops_no_mail(
    tables: Tables, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(tables["triplets"].local, "change", broken)
    assert await Stage(tables, clock)()


def test_what_cannot_be_meant() -> None:
    assert list(Greylist.check(delay=60.0, window=60.0)) == [
        "window must be longer than delay, or nobody ever comes in time"
    ]
    assert list(Greylist.check(network_ipv4=33, network_ipv6=-1)) == [
        "network_ipv4 must be a number of bits from 0 to 32",
        "network_ipv6 must be a number of bits from 0 to 128",
    ]
    spec = load_stage("greylist", "", ROOT)
    assert spec.hooks == ("at_recipient",)
