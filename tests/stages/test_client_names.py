"""The stage `client_names`, with the real resolver against a real DNS: names in, flaws and refusals out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from engine import Defer, Envelope, Message, MessageId, Recipient, Reject, Session
from engine.message import Octets
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.net.zone import Fault, Zone, serve_zone
from stages.client_names import ClientNames
from tests.support.told_dns import SilentDns

OURS = Hostname("mx.example.org")
REVERSE = Zone(
    "2.0.192.in-addr.arpa",
    {"1": {"PTR": "mail.sender.test."}, "2": {"PTR": "other.sender.test."}, "4": {"PTR": "broken.sender.test."}},
)
REVERSE.fail("5", Fault.SERVFAIL)
SENDER = Zone(
    "sender.test",
    {
        "@": {"MX": "10 mail"},
        "mail": {"A": "192.0.2.1"},
        "other": {"A": "192.0.2.9"},
        "null": {"MX": "0 ."},
        "half-null": {"MX": ["0 .", "10 mail"]},
        "bare": {"TXT": "nothing"},
        "six": {"AAAA": "2001:db8::1"},
    },
)
SENDER.fail("broken", Fault.SERVFAIL)
HELO, FROM = "mail.sender.test", "ann@sender.test"


@asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[ClientNames]:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_zone, REVERSE, SENDER)
        yield ClientNames(Resolver([address]), OURS, **settings)
        nursery.cancel_scope.cancel()


async def facts(names: ClientNames, peer: str, helo: str, sender: str, **session: Any) -> dict[str, Any]:
    envelope = Envelope(sender, (Recipient("bob@example.org"),), Session(peer=peer, helo=helo, **session))
    verdict = await names(Message(MessageId.new(), envelope, Octets(b"\r\n")))
    assert isinstance(verdict, Message)
    return dict(verdict.envelope.facts)


async def refusal(
    names: ClientNames, peer: str = "192.0.2.1", helo: str = HELO, sender: str = FROM, to: str = "bob@example.org"
) -> Reject | Defer | None:
    said = names.at_recipient(Session(peer=peer, helo=helo), sender, to)
    return await said if said is not None else None


@pytest.mark.parametrize(
    ("peer", "name", "flaws"),
    [
        ("192.0.2.1", "mail.sender.test", []),
        ("192.0.2.2", "", ["client_unconfirmed"]),
        ("192.0.2.3", "", ["client_without_name"]),
        ("192.0.2.4", "", []),  # its name cannot be asked for
        ("192.0.2.5", "", []),  # nor can its address
    ],
)
async def test_the_name_of_the_address(peer: str, name: str, flaws: list[str]) -> None:
    async with stage() as names:
        assert await facts(names, peer, HELO, FROM) == {"door.flaws": flaws, "door.client_name": name}


@pytest.mark.parametrize(
    ("helo", "flaws"),
    [
        ("mail.sender.test.", []),
        ("sender.test", []),  # an MX alone
        ("six.sender.test", []),
        ("[192.0.2.1]", []),
        ("[192.0.2.77]", ["helo_wrong_literal"]),
        ("[IPv6:2001:db8::1]", ["helo_wrong_literal"]),
        ("[300.1.1.1]", ["helo_malformed"]),
        ("under_score.sender.test", ["helo_malformed"]),
        ("-a.sender.test", ["helo_malformed"]),
        ("localhost", ["helo_not_fqdn"]),
        ("192.0.2.1", ["helo_not_fqdn"]),
        ("MX.example.org", ["helo_ours"]),
        ("gone.sender.test", ["helo_unknown"]),
        ("bare.sender.test", ["helo_unknown"]),
        ("broken.sender.test", []),
    ],
)
async def test_the_name_in_helo(helo: str, flaws: list[str]) -> None:
    async with stage() as names:
        assert (await facts(names, "192.0.2.1", helo, FROM))["door.flaws"] == flaws


@pytest.mark.parametrize(
    ("sender", "flaws"),
    [
        ("", []),
        ("a@[192.0.2.1]", []),
        ("a@six.sender.test", []),
        ("a@half-null.sender.test", []),  # RFC 7505 3: then it is none
        ("a@broken.sender.test", []),
        ("a@localhost", ["sender_not_fqdn"]),
        ("a@bare.sender.test", ["sender_unknown"]),
        ("a@gone.sender.test", ["sender_unknown"]),
        ("a@null.sender.test", ["sender_null_mx"]),
    ],
)
async def test_the_domain_of_the_sender(sender: str, flaws: list[str]) -> None:
    async with stage() as names:
        assert (await facts(names, "192.0.2.1", HELO, sender))["door.flaws"] == flaws


async def test_by_default_our_own_name_and_domains_without_mail_are_refused() -> None:
    async with stage() as names:
        assert await refusal(names) is None
        said = await refusal(names, helo="mx.example.org")
        assert said == Reject("mx.example.org is the name of this server, and not yours", "5.7.1")
        said = await refusal(names, sender="a@null.sender.test")
        assert said == Reject("null.sender.test takes no mail (null MX), so none can be from it", "5.7.27")
        assert await refusal(names, helo="mx.example.org", to="postmaster@example.org") is None
        assert await refusal(names, "192.0.2.3", "localhost", "a@gone.sender.test") is None


async def test_each_may_be_refused_or_put_off_or_not_be_asked_for() -> None:
    async with stage(client_without_name="defer", helo_not_fqdn="reject", sender_unknown="off") as names:
        assert await refusal(names, "192.0.2.3") == Defer("192.0.2.3 has no name in the DNS", "4.7.25")
        said = await refusal(names, "192.0.2.3", "localhost")
        assert isinstance(said, Reject), "what is refused is not put off"
        assert (await facts(names, "192.0.2.1", HELO, "a@off.sender.test"))["door.flaws"] == []


async def test_our_own_people_are_not_looked_at() -> None:
    async with stage() as names:
        assert await facts(names, "192.0.2.3", "localhost", FROM, trusted=True) == {}
        session = Session(peer="192.0.2.3", helo="mx.example.org", login="ann@example.org", trusted=True)
        assert names.at_recipient(session, FROM, "bob@example.org") is None


async def test_a_dns_that_is_silent_holds_nobody_up_for_long(autojump_clock: trio.testing.MockClock) -> None:
    dns = SilentDns("mx.slow.test", {"1.2.0.192.in-addr.arpa": {"PTR": HELO}, HELO: {"A": "192.0.2.1"}})
    names = ClientNames(dns, OURS)  # type: ignore[arg-type]
    found = await facts(names, "192.0.2.1", "mx.slow.test", "a@gone.sender.test")
    assert found == {"door.flaws": ["sender_unknown"], "door.client_name": HELO}
    assert trio.current_time() < 5
