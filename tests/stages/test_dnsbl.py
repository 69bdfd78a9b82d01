"""The stage `dnsbl`, with the real resolver against real lists: clients in, refusals and facts out."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from engine import Envelope, Message, MessageId, Recipient, Reject, Session
from engine.message import Octets
from engine.net.dns import Resolver
from engine.net.zone import Zone, serve_zone
from stages.dnsbl import Dnsbl, DnsList
from tests.support.told_dns import SilentDns

BAD = Zone(
    "bad.example",
    {
        "2.0.0.127": {"A": "127.0.0.2", "TXT": '"see https://bad.example/?ip=127.0.0.2"'},
        "3.0.0.127": {"A": "127.0.0.10"},
        "5.0.0.127": {"A": "127.255.255.254"},
        "6.0.0.127": {"A": "203.0.113.9"},
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2": {"A": "127.0.0.4"},
    },
)
WORSE = Zone("worse.example", {"2.0.0.127": {"A": "127.0.0.2"}})
GOOD = Zone("good.example", {"3.0.0.127": {"A": "127.0.5.2"}, "2.0.0.127": {"A": "127.0.5.0"}})
DOMAINS = Zone("domains.example", {"spam.test": {"A": "127.0.1.2"}, "botnet.test": {"A": "127.0.1.3"}})
ZONES = (BAD, WORSE, GOOD, DOMAINS)

LISTS = (
    DnsList(zone="bad.example", answers=("127.0.0.2-11",), weight=3),
    DnsList(zone="worse.example", text="no: https://worse.example/%s"),
    DnsList(zone="good.example", answers=("127.0.*.1-3",), weight=-2),
    DnsList(zone="domains.example", of=("sender", "helo"), weight=5),
)


@asynccontextmanager
async def stage(lists: Iterable[DnsList] = LISTS, **settings: Any) -> AsyncIterator[Dnsbl]:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_zone, *ZONES)
        yield Dnsbl(Resolver([address]), lists=tuple(lists), **settings)
        nursery.cancel_scope.cancel()


async def refusal(
    dnsbl: Dnsbl, peer: str, sender: str = "ann@example.net", *, to: str = "bob@example.org", helo: str = "mx.test"
) -> Reject | None:
    said = dnsbl.at_recipient(Session(peer=peer, helo=helo), sender, to)
    found = await said if said is not None else None
    assert found is None or isinstance(found, Reject)
    return found


async def facts(
    dnsbl: Dnsbl, peer: str, sender: str = "ann@example.net", helo: str = "mx.test", **session: Any
) -> dict[str, Any]:
    envelope = Envelope(sender, (Recipient("bob@example.org"),), Session(peer=peer, helo=helo, **session))
    verdict = await dnsbl(Message(MessageId.new(), envelope, Octets(b"\r\n")))
    assert isinstance(verdict, Message)
    return dict(verdict.envelope.facts)


@pytest.mark.parametrize(
    ("peer", "zones", "score"),
    [
        ("127.0.0.2", ["bad.example", "worse.example"], 4.0),
        ("127.0.0.3", ["bad.example", "good.example"], 1.0),
        ("127.0.0.4", [], 0.0),
        ("127.0.0.5", [], 0.0),  # the list does not answer us
        ("127.0.0.6", [], 0.0),  # it answers what is no listing
        ("2001:db8::1", ["bad.example"], 3.0),
        ("::ffff:127.0.0.2", ["bad.example", "worse.example"], 4.0),
    ],
)
async def test_scores_of_addresses(peer: str, zones: list[str], score: float) -> None:
    async with stage() as dnsbl:
        assert await facts(dnsbl, peer) == {"door.dnsbl": zones, "door.dnsbl_score": score}


@pytest.mark.parametrize(
    ("sender", "helo", "score"),
    [
        ("x@Spam.test", "mx.test", 5.0),
        ("x@example.net", "BOTNET.test", 5.0),
        ("x@spam.test", "botnet.test", 5.0),  # one list counts once
        ("", "[127.0.0.4]", 0.0),
    ],
)
async def test_scores_of_domains(sender: str, helo: str, score: float) -> None:
    async with stage() as dnsbl:
        assert (await facts(dnsbl, "127.0.0.4", sender, helo))["door.dnsbl_score"] == score


async def test_who_has_too_much_is_refused_and_told_where_it_is_listed() -> None:
    async with stage(reject_at=3) as dnsbl:
        said = await refusal(dnsbl, "127.0.0.2")
        assert said == Reject("127.0.0.2 is listed by bad.example: see https://bad.example/?ip=127.0.0.2", "5.7.1")
        assert await refusal(dnsbl, "127.0.0.3") is None, "another list speaks for it"
        assert await refusal(dnsbl, "127.0.0.4", "x@spam.test") == Reject("spam.test is listed by domains.example")
        for recipient in ("Postmaster@example.org", "abuse@example.org", "postmaster"):
            assert await refusal(dnsbl, "127.0.0.2", to=recipient) is None


async def test_words_of_our_own() -> None:
    async with stage(LISTS[1:2]) as dnsbl:
        assert await refusal(dnsbl, "127.0.0.2") == Reject("no: https://worse.example/127.0.0.2")


async def test_nobody_is_refused_where_it_is_only_noted() -> None:
    async with stage(reject_at=0) as dnsbl:
        assert dnsbl.at_recipient(Session(peer="127.0.0.2"), "", "bob@example.org") is None


async def test_our_own_people_are_not_looked_up() -> None:
    async with stage() as dnsbl:
        before = BAD.questions.total()
        for session in ({"trusted": True}, {"login": "ann@example.org", "trusted": True}):
            assert await facts(dnsbl, "127.0.0.2", **session) == {}
            assert dnsbl.at_recipient(Session(peer="127.0.0.2", **session), "", "bob@example.org") is None
        assert BAD.questions.total() == before


async def test_a_client_is_looked_up_once_for_all_of_its_recipients() -> None:
    async with stage() as dnsbl:
        name = ("2.0.0.127.worse.example", "A")
        before = WORSE.questions[name]
        for _ in range(5):
            assert await refusal(dnsbl, "127.0.0.2") is not None
        assert (await facts(dnsbl, "127.0.0.2"))["door.dnsbl_score"] == 4
        assert WORSE.questions[name] == before + 1


async def test_a_silent_list_is_left_out_in_time_and_then_left_alone(
    capfd: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    dns = SilentDns("silent.example", {"2.0.0.127.bad.example": {"A": "127.0.0.2"}})
    lists = (DnsList(zone="silent.example", weight=9), DnsList(zone="bad.example"))
    dnsbl = Dnsbl(dns, lists=lists, reject_at=5)  # type: ignore[arg-type]
    for number in (2, 3, 4):
        began = trio.current_time()
        assert await refusal(dnsbl, f"127.0.0.{number}") is None
        assert trio.current_time() - began == 3
    assert (await facts(dnsbl, "127.0.0.2"))["door.dnsbl"] == ["bad.example"]
    assert '"event":"unreachable","process":"","what":"the list silent.example"' in capfd.readouterr().err
    began = trio.current_time()
    for number in range(10, 20):
        assert await refusal(dnsbl, f"127.0.0.{number}") is None
    assert trio.current_time() == began


async def test_a_list_that_will_not_answer_us_is_told_to_the_operator(capfd: pytest.CaptureFixture[str]) -> None:
    zone = Zone("over.example", {f"{number}.0.0.127": {"A": "127.255.255.255"} for number in range(2, 6)})
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_zone, zone)
        dnsbl = Dnsbl(Resolver([address]), lists=(DnsList(zone="over.example"),))
        for number in range(2, 6):
            assert await refusal(dnsbl, f"127.0.0.{number}") is None
        assert "does not answer our questions, but 127.255.255.255" in capfd.readouterr().err
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lists": ()}, "lists names no list"),
        ({"lists": (DnsList(zone="a.example", answers=("10.0.0.1",)),)}, "a.example: '10.0.0.1' is no answer"),
        ({"lists": (DnsList(zone="spamhaus"),)}, "'spamhaus' is no zone"),
        ({"lists": LISTS, "reject_at": -1}, "reject_at must not be negative"),
    ],
)
def test_what_cannot_be_meant(settings: dict[str, Any], text: str) -> None:
    (said,) = Dnsbl.check(**settings)
    assert said.startswith(text)
