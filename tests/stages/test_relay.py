"""The relay stage against real sockets: what each answer and each fault of the next server leads to."""

import errno
import ipaddress
import itertools
import os
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from msgspec.structs import replace

from engine import Defer, Delivered, Duration, Each, Envelope, Message, MessageId, Recipient, Reject
from engine.bounces import classifier
from engine.message import Octets
from engine.net.names import Hostname
from engine.outbound.pool import PENALTY, Pool
from engine.protocols.smtp_heard import KEPT
from engine.protocols.timing import Timing
from engine.shaping.automation import Actions
from stages.relay import Relay
from tests.support.programs import needs, path_of
from tests.support.remote import DROP, SILENCE, USUAL, Remote, serving

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CONTENT = b"Subject: hello\r\n\r\nHello\r\n.dot\r\n"


@pytest.fixture
def jumping_clock() -> trio.testing.MockClock:
    """Jumps only when nothing has happened for a while, sockets included."""
    return trio.testing.MockClock(autojump_threshold=0.02)


@asynccontextmanager
async def relay(**settings: object) -> AsyncIterator[Relay]:
    async with Relay(Hostname("mx.example.org"), **{"allow_networks": LOOPBACK, **settings}) as stage:  # type: ignore[arg-type]
        yield stage


def letter(
    port: int,
    *to: str,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    content: bytes = CONTENT,
    **envelope: object,
) -> Message:
    facts = {
        "resolve.site": "remote",
        "resolve.hosts": [[10 * n, f"mx{n}.example.net", [address]] for n, address in enumerate(hosts, 1)],
        "resolve.port": port,
    }
    recipients = tuple(Recipient(address) for address in to or ("b@example.net",))
    made = Envelope(**{"sender": "a@example.org", "recipients": recipients, "facts": facts, **envelope})  # type: ignore[arg-type]
    return Message(MessageId.new(), made, Octets(content))


async def send_one(remote: Remote, *to: str, **settings: object) -> object:
    async with serving(remote), relay(**settings) as stage:
        return await stage(letter(remote.port, *to))


async def test_delivers_and_says_goodbye() -> None:
    remote = Remote()
    verdict = await send_one(remote)
    assert verdict == Delivered("250 2.0.0 Ok: queued", "mx1.example.net", tell="nothing")
    assert [(got.sender, got.recipients, got.content) for got in remote.received] == [
        ("a@example.org", ("b@example.net",), CONTENT)
    ]
    assert remote.commands == [
        "EHLO mx.example.org",
        f"MAIL FROM:<a@example.org> SIZE={len(CONTENT)}",
        "RCPT TO:<b@example.net>",
        "DATA",
        "QUIT",
    ]


@pytest.mark.parametrize(
    "extensions",
    [(), ("PIPELINING",), ("PIPELINING", "CHUNKING"), ("CHUNKING",), USUAL],
    ids=lambda extensions: "+".join(extensions) or "none",
)
@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_content_arrives_whole_whatever_is_offered(extensions: tuple[str, ...], size: int) -> None:
    content = b"Subject: x\r\n\r\n" + b".a line that begins with a dot\r\n" * (size // 32) + b"end\r\n"
    remote = Remote(extensions=extensions)
    async with serving(remote), relay() as stage:
        for _ in range(2):
            assert isinstance(await stage(letter(remote.port, content=content)), Delivered)
    assert [got.content == content for got in remote.received] == [True, True]
    assert remote.connections == 1


async def test_prepended_header_fields_go_before_the_content() -> None:
    remote = Remote()
    async with serving(remote), relay() as stage:
        await stage(letter(remote.port).with_header("X-Mark", "1"))
    assert remote.received[0].content == b"X-Mark: 1\r\n" + CONTENT


async def test_header_fields_that_are_left_out_are_not_sent() -> None:
    remote = Remote(extensions=("SIZE",))
    async with serving(remote), relay() as stage:
        await stage(letter(remote.port).without_fields("Subject", lambda _: True))
    assert remote.received[0].content == CONTENT.removeprefix(b"Subject: hello\r\n")
    assert any(command.endswith(f"SIZE={len(remote.received[0].content)}") for command in remote.commands)


async def test_falls_back_to_helo() -> None:
    remote = Remote(script={"EHLO": "502 5.5.1 What?"})
    assert isinstance(await send_one(remote), Delivered)
    assert remote.commands[:2] == ["EHLO mx.example.org", "HELO mx.example.org"]


ANSWERS = [
    ({"MAIL": "550 5.7.1 Go away"}, "5.7.1", "550 5.7.1 Go away"),
    ({"MAIL": "451 4.7.1 Greylisted"}, "4.7.1", "451 4.7.1 Greylisted"),
    ({"RCPT": "550 No such user"}, "5.0.0", "550 No such user"),
    ({"RCPT": "450 4.2.1 Later"}, "4.2.1", "450 4.2.1 Later"),
    ({"RCPT": "550 5.1.1 No", "DATA": "354 Really?"}, "5.1.1", "550 5.1.1 No"),
    ({"DATA": "554 5.7.0 No data from you"}, "5.7.0", "554 5.7.0 No data from you"),
    ({"DATA": "451 4.3.0 Not now"}, "4.3.0", "451 4.3.0 Not now"),
    ({".": "550 5.6.0 Spam"}, "5.6.0", "550 5.6.0 Spam"),
    ({".": "452 4.3.1 Full"}, "4.3.1", "452 4.3.1 Full"),
    ({".": "550-5.7.1 Two\r\n550 5.7.1 lines"}, "5.7.1", "550 5.7.1 Two lines"),
]


REFUSALS = [
    (script, code, reply, extensions)
    for extensions in ((), USUAL, (*USUAL, "CHUNKING"))
    for script, code, reply in ANSWERS
    if not ("DATA" in script and "CHUNKING" in extensions)  # BDAT has no DATA
]


@pytest.mark.parametrize(("script", "code", "reply", "extensions"), REFUSALS)
async def test_a_refusal_becomes_the_verdict(
    script: dict[str, str], code: str, reply: str, extensions: tuple[str, ...]
) -> None:
    remote = Remote(script={key: [text, _FINE[key]] for key, text in script.items()}, extensions=extensions)
    async with serving(remote), relay() as stage:
        verdict = await stage(letter(remote.port))
        assert isinstance(verdict, Reject if code.startswith("5") else Defer)
        assert (verdict.code, verdict.reply, verdict.remote) == (code, reply, "mx1.example.net")
        # The connection is still in step: the next message goes through it.
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert remote.connections == 1
    assert [got.content for got in remote.received] == [CONTENT]


_FINE = {"MAIL": "250 Ok", "RCPT": "250 Ok", "DATA": "354 Ok", ".": "250 Ok"}


@pytest.mark.parametrize("extensions", [(), USUAL, (*USUAL, "CHUNKING")], ids=["plain", "pipelining", "chunking"])
async def test_each_recipient_gets_its_own_verdict(extensions: tuple[str, ...]) -> None:
    script = {"RCPT no@example.net": "550 5.1.1 No", "RCPT late@example.net": "450 4.2.0 Later"}
    remote = Remote(script=script, extensions=extensions)
    verdict = await send_one(remote, "yes@example.net", "no@example.net", "late@example.net")
    assert isinstance(verdict, Each)
    assert [type(verdict.verdicts[f"{name}@example.net"]) for name in ("yes", "no", "late")] == [
        Delivered,
        Reject,
        Defer,
    ]
    assert remote.received[0].recipients == ("yes@example.net",)


async def test_many_recipients_are_split() -> None:
    remote = Remote()
    to = [f"b{n}@example.net" for n in range(7)]
    verdict = await send_one(remote, *to, recipients_per_transaction=3)
    assert isinstance(verdict, Delivered)
    assert sorted(itertools.chain(*(got.recipients for got in remote.received))) == to
    assert sorted(len(got.recipients) for got in remote.received) == [1, 3, 3]


OFFERS = [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")]


@pytest.mark.parametrize("offers", OFFERS, ids=lambda offers: "+".join(offers) or "none")
async def test_no_transaction_names_more_recipients_than_the_server_announces(offers: tuple[str, ...]) -> None:
    to = [f"b{n}@example.net" for n in range(5)]
    remote = Remote(script={f"RCPT {to[3]}": "550 5.1.1 No"}, extensions=(*offers, "LIMITS RCPTMAX=2"))
    verdict = await send_one(remote, *to)
    assert isinstance(verdict, Each)
    assert {address: type(each) for address, each in verdict.verdicts.items()} == {
        address: Reject if address == to[3] else Delivered for address in to
    }
    assert sorted(got.recipients for got in remote.received) == [(to[0], to[1]), (to[2],), (to[4],)]


CLASSES = """
[[class]]
name = "x-lunch"
retry = "soon"
[[pattern]]
class = "x-lunch"
texts = ["at lunch"]
"""

PAUSES = {
    "451 4.3.0 Local trouble": 100,
    "451 4.7.1 Greylisted": 200,
    "452 4.2.2 Over quota": 300,
    "452 The mailbox is full": 300,
    "421 4.7.0 Your address is listed by Spamhaus": 400,
    "450 4.7.1 Client host blocked using zen.spamhaus.org": 400,
    "450 4.7.28 You send too fast": 100,
    "451 4.3.0 We are at lunch": 200,
    "421 4.7.0 Come back": 100,  # its codes alone say little
    "450 4.2.0 Not now": 100,
}


@pytest.mark.parametrize("reply", PAUSES)
async def test_a_reply_picks_the_schedule_by_its_class(reply: str, tmp_path: Path) -> None:
    (tmp_path / "patterns.toml").write_text(CLASSES)
    actions = Actions(rules=(), known=classifier(tmp_path / "patterns.toml"))
    pauses = {"retry": 100, "retry_greylisted": 200, "retry_full": 300, "retry_patient": 400}
    settings = {name: (Duration(f"{seconds}s"),) for name, seconds in pauses.items()}
    remote = Remote(script={"RCPT": reply})
    async with serving(remote), relay(actions=actions, **settings) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert verdict.retry_after == pytest.approx(PAUSES[reply], rel=0.11)


async def test_a_server_that_talks_much_fills_no_log() -> None:
    """Sixty kilobytes of a refusal, for each of many recipients."""
    novel = "".join(f"550-5.1.1 {'No. ' * 250}{number}\r\n" for number in range(60)) + "550 5.1.1 No"
    remote = Remote(script={"RCPT": novel})
    verdict = await send_one(remote, *(f"b{n}@example.net" for n in range(5)))
    assert isinstance(verdict, Reject)
    assert verdict.code == "5.1.1"
    assert verdict.reply.startswith("550 5.1.1 No. No.")
    assert len(verdict.reply) == KEPT


TOO_MANY = ["452 4.5.3 Error: too many recipients", "552 Too many recipients", "452 4.5.3 Come again with the others"]


@pytest.mark.parametrize("said", TOO_MANY)
@pytest.mark.parametrize("offers", OFFERS, ids=lambda offers: "+".join(offers) or "none")
async def test_recipients_beyond_what_a_server_takes_at_a_time_go_behind_the_others(
    offers: tuple[str, ...], said: str
) -> None:
    """RFC 5321 4.5.3.1.10: nobody is put off by that, or refused."""
    to = [f"b{n}@example.net" for n in range(8)]
    remote = Remote(script={f"RCPT {to[1]}": "550 5.1.1 No"}, extensions=offers, most=3, too_many=said)
    async with serving(remote), relay(connections=1) as stage:
        verdict = await stage(letter(remote.port, *to))
        again = await stage(letter(remote.port, *to[2:]))
    assert isinstance(verdict, Each)
    assert {address: type(each) for address, each in verdict.verdicts.items()} == {
        address: Reject if address == to[1] else Delivered for address in to
    }
    assert isinstance(again, Delivered)
    assert sorted(sum((got.recipients for got in remote.received), ())) == sorted([to[0], *to[2:], *to[2:]])
    assert max(len(got.recipients) for got in remote.received) == 3
    assert remote.connections == 1


async def test_a_server_for_which_one_recipient_is_too_many_is_tried_again_later() -> None:
    """552 is no last word there, and 452 no reason to ask at once."""
    for said in ("552 5.5.3 Too many recipients", "452 4.5.3 Too many recipients"):
        remote = Remote(script={"RCPT": said})
        verdict = await send_one(remote, "a@example.net", "b@example.net")
        assert isinstance(verdict, Defer)
        assert verdict.code == "4.5.3"
        assert sum(command.startswith("MAIL") for command in remote.commands) == 1


async def test_what_is_left_of_a_message_goes_by_another_server_when_the_connection_breaks() -> None:
    to = [f"b{n}@example.net" for n in range(4)]
    remote = Remote(script={"MAIL": ["250 Ok", DROP, "250 Ok"]}, extensions=("PIPELINING",), most=2)
    async with serving(remote), relay(connections=1) as stage:
        assert isinstance(await stage(letter(remote.port, *to)), Delivered)
    assert sorted(sum((got.recipients for got in remote.received), ())) == to
    assert remote.connections == 2


@pytest.mark.parametrize("offers", OFFERS, ids=lambda offers: "+".join(offers) or "none")
async def test_no_connection_has_more_transactions_than_the_server_announces(offers: tuple[str, ...]) -> None:
    remote = Remote(extensions=(*offers, "LIMITS MAILMAX=2"))
    async with serving(remote), relay(connections=1) as stage, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(stage, letter(remote.port))
    assert len(remote.received) == 5
    assert remote.connections == 3
    mails = "".join(command[0] for command in remote.commands if command.startswith(("EHLO", "MAIL")))
    assert mails == "EMMEMMEM"


@pytest.mark.parametrize("offers", OFFERS, ids=lambda offers: "+".join(offers) or "none")
async def test_no_connection_names_more_domains_than_the_server_announces(offers: tuple[str, ...]) -> None:
    remote = Remote(extensions=(*offers, "LIMITS RCPTDOMAINMAX=1"))
    async with serving(remote), relay(connections=1) as stage:
        verdict = await stage(letter(remote.port, "a@one.example", "b@two.example", "c@One.example"))
        assert isinstance(await stage(letter(remote.port, "d@two.example")), Delivered)
    assert isinstance(verdict, Delivered)
    assert [got.recipients for got in remote.received] == [
        ("a@one.example", "c@One.example"),
        ("b@two.example",),
        ("d@two.example",),
    ]
    assert remote.connections == 2


async def test_limits_count_for_the_connection_that_announced_them(jumping_clock: trio.testing.MockClock) -> None:
    to = ("b@example.net", "c@example.net")
    remote = Remote(extensions=("PIPELINING", "LIMITS RCPTMAX=1"))
    async with serving(remote), relay() as stage:
        await stage(letter(remote.port, *to))
        await trio.sleep(4)  # the connection has ended
        remote.extensions = ("PIPELINING",)
        await stage(letter(remote.port, *to))
    assert [got.recipients for got in remote.received] == [(to[0],), (to[1],), to]


async def test_who_has_it_keeps_it_when_the_connection_breaks_before_the_others() -> None:
    to = ("b@example.net", "c@example.net")
    remote = Remote(script={".": ["250 2.0.0 Ok", DROP]}, extensions=("PIPELINING", "LIMITS RCPTMAX=1"))
    verdict = await send_one(remote, *to)
    assert isinstance(verdict, Each)
    assert [type(verdict.verdicts[address]) for address in to] == [Delivered, Defer]


async def test_others_go_on_to_the_next_server_with_its_own_limits() -> None:
    to = [f"b{n}@example.net" for n in range(4)]
    remote = Remote(script={"MAIL": ["250 Ok", DROP, "250 Ok"]}, extensions=("PIPELINING", "LIMITS RCPTMAX=3"))
    async with serving(remote), relay(connections=1) as stage:
        verdict = await stage(letter(remote.port, *to, hosts=("127.0.0.1", "127.0.0.1")))
    assert isinstance(verdict, Delivered)
    assert sorted(itertools.chain(*(got.recipients for got in remote.received))) == to


CONTACT_FAULTS = [
    {"CONNECT": DROP},
    {"CONNECT": SILENCE},
    {"CONNECT": "421 4.3.2 Busy"},
    {"CONNECT": "554 5.7.1 Not from you"},
    {"CONNECT": b"SSH-2.0-OpenSSH_9.9\r\n"},
    {"CONNECT": b"220 " + b"x" * 5000},
    {"CONNECT": b"220-more\r\n" * 10_000},
    {"EHLO": DROP},
    {"EHLO": "421 4.3.2 Busy"},
    {"EHLO": "450 4.3.2 Later"},
    {"EHLO": SILENCE},
]
DIALOGUE_FAULTS = [
    {"MAIL": DROP},
    {"MAIL": SILENCE},
    {"MAIL": "421 4.3.2 Closing"},
    {"MAIL": b"nonsense\r\n"},
    {"MAIL": "250 Ok\r\n250 Ok\r\n250 Ok\r\n250 Ok\r\n250 Too many"},
    {"RCPT": DROP},
    {"RCPT": "421 4.3.2 Closing"},
    {"RCPT": "354 Out of step"},
    {"DATA": DROP},
    {"DATA": SILENCE},
    {"DATA": "421 4.3.2 Closing"},
    {"DATA": "250 Out of step"},
    {".": "421 4.3.2 Closing"},
]


@pytest.mark.parametrize("script", CONTACT_FAULTS + DIALOGUE_FAULTS, ids=lambda script: str(script)[:40])
async def test_the_next_host_is_tried(script: dict[str, object], jumping_clock: trio.testing.MockClock) -> None:
    first = Remote(script=script)  # type: ignore[arg-type]
    async with serving(first), serving(Remote(port=first.port), "127.0.0.2") as second, relay() as stage:
        verdict = await stage(letter(first.port, hosts=("127.0.0.1", "127.0.0.2")))
    assert verdict == Delivered("250 2.0.0 Ok: queued", "mx2.example.net", tell="nothing")
    assert len(second.received) == 1
    assert not first.received


@pytest.mark.parametrize("script", CONTACT_FAULTS + DIALOGUE_FAULTS, ids=lambda script: str(script)[:40])
async def test_trouble_with_the_only_host_defers(
    script: dict[str, object], jumping_clock: trio.testing.MockClock
) -> None:
    verdict = await send_one(Remote(script=script))  # type: ignore[arg-type]
    assert isinstance(verdict, Defer)
    assert verdict.code.startswith("4.")
    assert verdict.remote == "mx1.example.net"
    assert verdict.retry_after is not None
    assert 270 <= verdict.retry_after <= 330


@pytest.mark.parametrize("fault", [DROP, SILENCE, b"nonsense\r\n"])
async def test_no_answer_to_the_content_defers_and_goes_nowhere_else(
    fault: object, jumping_clock: trio.testing.MockClock
) -> None:
    first = Remote(script={".": fault})  # type: ignore[dict-item]
    async with serving(first), serving(Remote(port=first.port), "127.0.0.2") as second, relay() as stage:
        verdict = await stage(letter(first.port, hosts=("127.0.0.1", "127.0.0.2")))
    assert isinstance(verdict, Defer)
    assert not second.connections


async def test_a_refusal_in_the_middle_of_the_content_is_heard() -> None:
    """A server that answers early and closes has said why; the reply must not be lost with the connection."""

    async def rude(listener: trio.socket.SocketType) -> None:
        sock, _ = await listener.accept()
        for answer in (b"220 hi", b"250 hi", b"250 Ok", b"250 Ok", b"354 Go", b"552 5.3.4 Too big"):
            await sock.send(answer + b"\r\n")
            if not answer.startswith(b"354"):
                await sock.recv(1000)
        await trio.sleep(0.2)
        sock.shutdown(socket.SHUT_WR)
        await trio.sleep_forever()

    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rude, listener)
        async with relay(block_timeout=Duration("1s")) as stage:
            verdict = await stage(letter(listener.getsockname()[1], content=b"x" * 20_000_000))
        nursery.cancel_scope.cancel()
    listener.close()
    assert isinstance(verdict, Reject)
    assert verdict.code == "5.3.4"


async def test_a_closed_port_is_passed_over_and_remembered(jumping_clock: trio.testing.MockClock) -> None:
    second = Remote()
    async with serving(second, "127.0.0.2"), relay(idle=Duration("1s")) as stage:
        both = letter(second.port, hosts=("127.0.0.3", "127.0.0.2"))
        assert isinstance(await stage(both), Delivered)
        await trio.sleep(5)
        first = Remote(port=second.port)
        async with serving(first, "127.0.0.3"):  # where no other test asks for just any port
            assert isinstance(await stage(both), Delivered)
            assert (first.connections, second.connections) == (0, 2)
            await trio.sleep(PENALTY + 5)
            assert isinstance(await stage(both), Delivered)
            assert (first.connections, second.connections) == (1, 2)


async def test_a_server_is_not_passed_over_because_we_had_no_socket(
    monkeypatch: pytest.MonkeyPatch, jumping_clock: trio.testing.MockClock
) -> None:
    remote = Remote()
    opened = trio.socket.socket
    left = iter(range(3))

    def exhausted(*arguments: int) -> trio.socket.SocketType:
        if next(left, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(*arguments)

    async with serving(remote), relay() as stage:
        monkeypatch.setattr(trio.socket, "socket", exhausted)
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Delivered)
    assert next(left, None) is None


async def test_a_thousand_messages_do_not_each_wait_for_a_dead_host(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote(script={"CONNECT": SILENCE})
    verdicts = []
    async with serving(remote), relay(greeting_timeout=Duration("30s")) as stage:
        began = trio.current_time()

        async def one() -> None:
            verdicts.append(await stage(letter(remote.port)))

        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(one)
        assert trio.current_time() - began < 65
    assert all(isinstance(verdict, Defer) for verdict in verdicts)
    assert len(verdicts) == 1000
    assert remote.connections <= 2


async def test_a_reused_connection_that_has_gone_costs_nothing(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote(script={"MAIL": ["250 Ok", DROP, "250 Ok"]})
    async with serving(remote), relay() as stage:
        assert isinstance(await stage(letter(remote.port)), Delivered)
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert remote.connections == 2


async def test_idle_connections_end_with_quit(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote()
    async with serving(remote), relay(idle=Duration("3s")) as stage:
        await stage(letter(remote.port))
        await trio.sleep(4)
        assert remote.commands[-1] == "QUIT"
        assert not remote.open


async def test_connections_stay_under_the_limit_and_are_reused() -> None:
    remote = Remote()
    verdicts = []
    async with serving(remote), relay(connections=4, messages_per_connection=50) as stage:

        async def one(number: int) -> None:
            verdicts.append(await stage(letter(remote.port, f"b{number}@example.net")))

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(one, number)
    assert all(isinstance(verdict, Delivered) for verdict in verdicts)
    assert len({got.recipients for got in remote.received}) == len(remote.received) == 300
    assert 2 <= remote.most_open <= 4
    assert 6 <= remote.connections <= 20


async def test_a_site_that_allows_one_connection_is_served_through_it(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote(script={"CONNECT": ["220 Hello", "421 4.7.0 Too many connections"]})
    verdicts = []
    async with serving(remote), relay() as stage:

        async def one() -> None:
            verdicts.append(await stage(letter(remote.port)))

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(one)
    assert [type(verdict) for verdict in verdicts] == [Delivered] * 200
    assert remote.connections <= 3


async def test_a_message_behind_a_slow_one_gets_its_own_connection(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote(script={".": [SILENCE, "250 Ok"]})
    async with serving(remote), relay() as stage, trio.open_nursery() as nursery:
        nursery.start_soon(stage, letter(remote.port, "slow@example.net"))
        await trio.sleep(0.1)
        began = trio.current_time()
        assert isinstance(await stage(letter(remote.port)), Delivered)
        assert trio.current_time() - began < 2
        nursery.cancel_scope.cancel()


async def test_a_message_that_no_server_is_left_for_does_not_wait_for_a_connection_that_cannot_take_it(
    jumping_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While some connections are busy and one is still to be greeted, the pool once tried without end."""
    remote = Remote(
        script={"CONNECT": [*["220 Hello"] * 3, SILENCE], "MAIL": [*["250 Ok"] * 2, DROP, "250 Ok"], ".": SILENCE}
    )
    tries = itertools.count()
    connection = Pool._connection

    async def counted(self: Pool, site: object) -> None:
        assert next(tries) < 1000
        await connection(self, site)  # type: ignore[arg-type]

    monkeypatch.setattr(Pool, "_connection", counted)
    heard: list[float] = []
    began = trio.current_time()
    async with serving(remote), relay() as stage, trio.open_nursery() as nursery:

        async def one() -> None:
            if isinstance(await stage(letter(remote.port)), Defer):
                heard.append(trio.current_time() - began)
                nursery.cancel_scope.cancel()

        for _ in range(30):
            nursery.start_soon(one)
    assert heard[0] < 60


async def test_closing_waits_for_what_runs(jumping_clock: trio.testing.MockClock) -> None:
    remote = Remote()
    verdicts = []
    async with serving(remote), trio.open_nursery() as nursery, relay(connections=1) as stage:

        async def one() -> None:
            verdicts.append(await stage(letter(remote.port)))

        for _ in range(50):
            nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
    assert [type(verdict) for verdict in verdicts] == [Delivered] * 50


async def test_a_bug_in_one_session_defers_one_message(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Octets):
        def chunks(self) -> Iterator[bytes]:
            yield b"Subject: x\r\n"
            raise RuntimeError("no such page")

    remote = Remote()
    async with serving(remote), relay() as stage:
        bad = replace(letter(remote.port), content=Broken(b"x" * 100))
        assert isinstance(await stage(bad), Defer)
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert "no such page" in caplog.text
    assert [got.content for got in remote.received] == [CONTENT]


async def test_content_of_another_length_than_announced_is_not_sent_as_whole(caplog: pytest.LogCaptureFixture) -> None:
    class Short(Octets):
        def chunks(self) -> Iterator[bytes]:
            yield self[:-1]

    remote = Remote(extensions=(*USUAL, "CHUNKING"))
    async with serving(remote), relay() as stage:
        verdict = await stage(replace(letter(remote.port), content=Short(CONTENT)))
    assert isinstance(verdict, Defer)
    assert not remote.received


async def test_an_address_that_would_break_the_dialogue_is_refused() -> None:
    remote = Remote()
    async with serving(remote), relay() as stage:
        verdict = await stage(letter(remote.port, "b@example.net>\r\nRCPT TO:<c@example.net"))
        assert isinstance(verdict, Reject)
        assert verdict.code == "5.1.3"
        assert isinstance(await stage(letter(remote.port)), Delivered)


async def test_private_targets_are_refused_unless_allowed() -> None:
    remote = Remote()
    async with serving(remote), relay(allow_networks=()) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Reject)
    assert verdict.code == "5.4.4"
    assert "allow_networks" in verdict.log
    assert not remote.connections


async def test_without_the_facts_of_resolve_it_defers() -> None:
    async with relay() as stage:
        message = letter(1)
        bare = replace(message, envelope=replace(message.envelope, facts={}))
        verdict = await stage(bare)
    assert isinstance(verdict, Defer)
    assert "resolve" in verdict.log


@pytest.mark.parametrize("script", [{"RCPT": "450 4.2.1 Later"}, {"RCPT": DROP}])
async def test_a_deferral_names_the_time_from_which_on_it_is_a_refusal(script: dict[str, object]) -> None:
    remote = Remote(script=script)
    async with serving(remote), relay() as stage:
        verdict = await stage(letter(remote.port, arrived=5000.0))
    assert isinstance(verdict, Defer)
    assert verdict.expires == 5000.0 + 5 * 86400


async def test_dsn_parameters_are_passed_on_only_where_offered() -> None:
    for extensions, offered in ((USUAL, True), (("PIPELINING",), False)):
        remote = Remote(extensions=extensions)
        recipient = Recipient("b@example.net", notify="SUCCESS,FAILURE", original="rfc822;B+x@example.net")
        async with serving(remote), relay() as stage:
            await stage(letter(remote.port, recipients=(recipient,), ret="HDRS", envid="id=1"))
        asked = " ".join(remote.commands)
        assert ("RET=HDRS ENVID=id+3D1" in asked) == offered
        assert ("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@example.net" in asked) == offered


async def test_the_sender_is_told_by_one_server_alone() -> None:
    for extensions, tell in ((USUAL, "nothing"), (("PIPELINING",), "relayed")):
        verdict = await send_one(Remote(extensions=extensions))
        assert isinstance(verdict, Delivered)
        assert verdict.tell == tell


async def test_the_sender_is_told_who_no_more_knows_by_when() -> None:
    """RFC 2852 4.1.4.2: of a message that may be late, where it goes on without that; others have been told already."""
    by = Timing(by=time.time() + 3600, by_mode="N")
    for extensions, tell in ((USUAL, "untimed"), (("PIPELINING",), "untimed"), ((*USUAL, "DELIVERBY"), "nothing")):
        remote = Remote(extensions=extensions)
        async with serving(remote), relay() as stage:
            verdict = await stage(letter(remote.port, timing=by))
        assert isinstance(verdict, Delivered)
        assert verdict.tell == tell
        assert any("BY=3" in command for command in remote.commands) == ("DELIVERBY" in extensions)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx1.example.net").configure_cert(context)
    return context


@pytest.mark.parametrize("policy", ["opportunistic", "require"])
async def test_tls_is_used_where_offered(tls: ssl.SSLContext, policy: str) -> None:
    remote = Remote(extensions=(*USUAL, "STARTTLS"), tls=tls)
    assert isinstance(await send_one(remote, tls=policy), Delivered)
    assert remote.received[0].encrypted
    assert [command.split()[0] for command in remote.commands[:3]] == ["EHLO", "STARTTLS", "EHLO"]


async def test_tls_is_not_used_where_it_is_never_wanted(tls: ssl.SSLContext) -> None:
    remote = Remote(extensions=(*USUAL, "STARTTLS"), tls=tls)
    assert isinstance(await send_one(remote, tls="never"), Delivered)
    assert not remote.received[0].encrypted


BROKEN_TLS = [
    (("PIPELINING",), {}),
    (("STARTTLS",), {"STARTTLS": "454 4.7.0 Not now"}),
    (("STARTTLS",), {"STARTTLS": b"220 Go\r\n" + b"\x15\x03\x01\x00\x02\x02\x28"}),
    (("STARTTLS",), {"STARTTLS": DROP}),
]


@pytest.mark.parametrize(("extensions", "script"), BROKEN_TLS[:2])
async def test_opportunistic_tls_goes_on_in_the_clear(extensions: tuple[str, ...], script: dict[str, str]) -> None:
    remote = Remote(extensions=extensions, script=script)
    assert isinstance(await send_one(remote), Delivered)
    assert remote.connections == 1


@pytest.mark.parametrize("policy", ["require", "verify"])
@pytest.mark.parametrize(("extensions", "script"), BROKEN_TLS)
async def test_required_tls_never_falls_back(
    extensions: tuple[str, ...], script: dict[str, str], policy: str, jumping_clock: trio.testing.MockClock
) -> None:
    remote = Remote(extensions=extensions, script=script)
    verdict = await send_one(remote, tls=policy)
    assert isinstance(verdict, Defer)
    assert not remote.received
    assert not any(command.startswith("MAIL") for command in remote.commands)


async def test_a_failed_handshake_is_followed_by_clear_text_on_a_new_connection() -> None:
    no_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    remote = Remote(extensions=("STARTTLS",), tls=no_certificate)
    assert isinstance(await send_one(remote), Delivered)
    assert remote.connections == 2
    assert not remote.received[0].encrypted


@pytest.mark.parametrize(("trusted", "host"), [(True, 1), (False, 1), (True, 2)], ids=["right", "unknown CA", "name"])
async def test_verify_wants_a_trusted_certificate_for_the_host(
    trusted: bool, host: int, tls: ssl.SSLContext, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (authority if trusted else trustme.CA()).cert_pem.tempfile() as bundle:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        remote = Remote(extensions=("STARTTLS",), tls=tls)
        async with serving(remote), relay(tls="verify") as stage:
            message = letter(remote.port)
            facts = {**message.envelope.facts, "resolve.hosts": [[1, f"mx{host}.example.net", ["127.0.0.1"]]]}
            verdict = await stage(message.with_facts(facts))
    if trusted and host == 1:
        assert isinstance(verdict, Delivered)
    else:
        assert isinstance(verdict, Defer)
        assert verdict.code == "4.7.5"


@pytest.mark.parametrize("name", ["connections", "messages_per_connection", "recipients_per_transaction"])
def test_limits_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Relay(Hostname("mx.example.org"), **{name: 0})


@needs("smtp-sink")
@pytest.mark.parametrize("options", [(), ("-p",), ("-e",), ("-f", "RCPT"), ("-r", "DATA"), ("-q", "MAIL")])
async def test_smtp_sink(options: tuple[str, ...]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
    process = await trio.lowlevel.open_process(
        [path_of("smtp-sink"), *as_nobody, *options, f"127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL
    )
    verdicts = []
    try:
        await _listening(port)
        async with relay() as stage:

            async def one() -> None:
                verdicts.append(await stage(letter(port)))

            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(one)
    finally:
        process.terminate()
        await process.wait()
    expected = {"-f": Reject, "-r": Defer, "-q": Defer}.get(options[0] if options else "", Delivered)
    assert [type(verdict) for verdict in verdicts] == [expected] * 100


async def _listening(port: int) -> None:
    for _ in range(100):
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.05)
        else:
            await stream.aclose()
            return
    raise AssertionError("smtp-sink does not listen")


async def test_a_yes_with_nonsense_behind_it_is_a_yes() -> None:
    """Both come in one piece; the message must not be sent again."""
    remote = Remote({".": b"250 2.0.0 Ok\r\nwhat?\r\n"})
    assert await send_one(remote) == Delivered("250 2.0.0 Ok", "mx1.example.net", tell="nothing")
    assert sum(command.startswith("MAIL") for command in remote.commands) == 1
