"""The stage smtp_filter against real sockets: what the filter is told, and what its answers lead to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine import Defer, Delivered, Duration, Each, Envelope, Message, MessageId, Recipient, Reject, Session
from engine.message import Octets
from engine.net.names import Hostname
from stages.accept import Accept
from stages.smtp_filter import SmtpFilter
from tests.support.remote import DROP, USUAL, Remote, serving

CONTENT = b"Subject: hello\r\n\r\nHello\r\n.dot\r\n"
OFFERS = (*USUAL, "CHUNKING", "STARTTLS", "XFORWARD NAME ADDR PROTO HELO SOURCE")


def letter(content: bytes = CONTENT, peer: str = "192.0.2.7") -> Message:
    session = Session(peer=peer, helo="client.example.net")
    recipients = (Recipient("b@example.org"), Recipient("c@example.org"))
    return Message(MessageId.new(), Envelope("s@example.net", recipients, session), Octets(content))


@asynccontextmanager
async def filtering(remote: Remote, **settings: object) -> AsyncIterator[SmtpFilter]:
    async with (
        serving(remote),
        SmtpFilter(Hostname("mx.example.org"), host=f"127.0.0.1:{remote.port}", **settings) as stage,  # type: ignore[arg-type]
    ):
        yield stage


async def test_it_hears_from_where_a_message_came_and_no_word_that_a_proxy_does_not_understand() -> None:
    remote = Remote(extensions=OFFERS)
    async with filtering(remote) as stage:
        assert isinstance(await stage(letter()), Delivered)
        assert isinstance(await stage(letter(peer="2001:db8::7")), Delivered)
    told = "NAME=[UNAVAILABLE] ADDR={} PROTO=ESMTP HELO=client.example.net SOURCE=REMOTE"
    assert [line for line in remote.commands if line.startswith("XFORWARD")] == [
        f"XFORWARD {told.format('192.0.2.7')}",
        f"XFORWARD {told.format('IPV6:2001:db8::7')}",
    ]
    assert {line.split()[0] for line in remote.commands} == {"EHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "QUIT"}
    assert [got.content for got in remote.received] == [CONTENT, CONTENT]


@pytest.mark.parametrize("extensions", [OFFERS, ("XFORWARD ADDR",)], ids=["pipelined", "one by one"])
async def test_one_that_will_not_hear_it_gets_the_message_all_the_same(extensions: tuple[str, ...]) -> None:
    remote = Remote({"XFORWARD": "550 5.7.0 Not from you"}, extensions=extensions)
    async with filtering(remote) as stage:
        assert isinstance(await stage(letter()), Delivered)


@pytest.mark.parametrize(("extensions", "settings"), [(USUAL, {}), (OFFERS, {"xforward": False})])
async def test_who_is_not_to_be_told_is_not(extensions: tuple[str, ...], settings: dict[str, object]) -> None:
    remote = Remote(extensions=extensions)
    async with filtering(remote, **settings) as stage:
        assert isinstance(await stage(letter()), Delivered)
    assert not [line for line in remote.commands if line.startswith("XFORWARD")]


async def test_what_it_refuses_is_refused_and_what_it_puts_off_waits() -> None:
    for answer, kind in (("550 5.7.1 Spam", Reject), ("451 4.7.1 Later", Defer), (DROP, Defer)):
        async with filtering(Remote({".": answer})) as stage:
            assert isinstance(await stage(letter()), kind)


async def test_one_that_speaks_lmtp_answers_for_each() -> None:
    remote = Remote({". c@example.org": "550 5.7.1 Spam"}, lmtp=True)
    async with filtering(remote, protocol="lmtp") as stage:
        verdict = await stage(letter())
    assert isinstance(verdict, Each)
    assert [type(one) for one in verdict.verdicts.values()] == [Delivered, Reject]


async def test_one_that_is_away_is_waited_for() -> None:
    async with serving(remote := Remote()):
        pass
    async with SmtpFilter(
        Hostname("mx.example.org"), host=f"127.0.0.1:{remote.port}", retry=(Duration("1m"),)
    ) as stage:
        verdict = await stage(letter())
    assert isinstance(verdict, Defer)
    assert 50 < (verdict.retry_after or 0) < 70


async def test_a_report_of_our_own_is_passed_on() -> None:
    async with filtering(remote := Remote()) as stage:
        assert await stage(report := letter(peer="")) is report
    assert remote.received == []


async def test_what_goes_round_in_a_circle_is_refused() -> None:
    async with filtering(remote := Remote()) as stage:
        verdict = await stage(letter(b"Received: from a by b; now\r\n" * 101 + CONTENT))
        assert isinstance(verdict, Reject)
        assert verdict.code == "5.4.6"
        assert isinstance(await stage(letter(b"Received: from a by b; now\r\n" * 100 + CONTENT)), Delivered)
    assert len(remote.received) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "one of them"), ({"host": "127.0.0.1"}, "port"), ({"host": "a:1", "socket": "/b"}, "one of them")],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    assert [said in text for text in SmtpFilter.check(**settings)] == [True]


def test_only_named_clients_are_believed() -> None:
    assert ["clients" in text for text in Accept.check(xforward=True)] == [True]
    assert not list(Accept.check(xforward=True, clients=("127.0.0.1/32",)))
