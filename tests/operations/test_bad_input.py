"""Clients that break the rules, dawdle, vanish or want too much, over real connections."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.load import subjects
from tests.support.remote import Remote
from tests.support.server import PATIENCE, Dialogue, Postroad, Settings, free_port, letter, until

BOB = "bob@example.org"
NEEDS_SUBJECT = (Path(__file__).parents[2] / "filters" / "needs_subject.py").read_text()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    """A server in its default: nobody may relay. Its filter reads the header of every message."""
    settings: Settings = {
        "stage": {
            "accept": {"relay_networks": None, "max_size": "4 MB"},
            "needs_subject": {"use": "filters/needs_subject.py"},
        },
        "lane": {"inbound": {"stages": ["accept", "needs_subject", "queue", "route"]}},
    }
    with Postroad(tmp_path_factory.mktemp("strict"), settings, needs_subject=NEEDS_SUBJECT) as server:
        server.account(BOB, "eve@example.org").command("domain", "add", "catch.example")
        server.command("alias", "add", "@catch.example", BOB)
        yield server
        assert server.all("bug") == []
        assert server.all("worker-died") == []


# Who may send where. All of these come from 127.0.0.1, which is nobody special here.
OUTSIDE = [
    "user@elsewhere.test",
    "user@ELSEWHERE.TEST",
    "user@sub.example.org",
    "user@notexample.org",
    "user@example.org.elsewhere.test",
    "user@[127.0.0.1]",
    "user@[192.0.2.1]",
    "user@[IPv6:::1]",
    "user@localhost",
    "user@mx.example.org",
    "@example.org:user@elsewhere.test",
    "@mx.example.org,@example.org:user@elsewhere.test",
    '"user@elsewhere.test"@elsewhere.test',
    "postmaster@elsewhere.test",
    "user@exämple.test",
]
DISGUISED = [
    "user%elsewhere.test@example.org",
    "user%elsewhere.test@EXAMPLE.ORG",
    "elsewhere.test!user@example.org",
    '"user@elsewhere.test"@example.org',
    '"user%elsewhere.test"@example.org',
    '"elsewhere.test!user"@example.org',
    "bob%elsewhere.test@example.org",
    "@example.org:user%elsewhere.test@example.org",
]
MALFORMED = [
    "user@elsewhere.test@example.org",
    "user%elsewhere.test",
    "elsewhere.test!user",
    '"user@elsewhere.test"',
    "user",
    "",
    "user@",
    "@example.org",
    "user@elsewhere.test.",
    "user@example.org\x00@elsewhere.test",
    "<user@elsewhere.test>",
    "user@elsewhere.test>,<bob@example.org",
    "user@elsewhere..test",
]
SENDERS = ["someone@elsewhere.test", "bob@example.org", "", "postmaster@[127.0.0.1]", "bob@mx.example.org"]


@pytest.mark.parametrize("sender", SENDERS)
def test_no_open_relay(strict: Postroad, sender: str) -> None:
    for recipient in (*OUTSIDE, *DISGUISED, *MALFORMED):
        with strict.dialogue() as client:
            client.ask("EHLO client.example.net", "250")
            client.ask(f"MAIL FROM:<{sender}> SMTPUTF8", "250")
            reply = client.ask(f"RCPT TO:<{recipient}>", "5")
            assert recipient not in OUTSIDE or reply.startswith("550 5.7.1 Relaying"), (recipient, reply)
            client.ask("DATA", "554" if reply.startswith("550") else "5")
    assert strict.all("accepted", **{"from": sender}) == []


def test_a_catch_all_takes_disguised_routes_home(strict: Postroad) -> None:
    """Whatever stands before the @ of a local domain is a name in it, not a way elsewhere."""
    with strict.dialogue() as client:
        client.start("user%elsewhere.test@catch.example", sender="route@example.net").content(letter("percent"))
    event = strict.wait_for("delivered", **{"from": "route@example.net"})
    assert event["to"] == BOB


def test_not_even_friends_may_send_disguised_routes_on(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server, server.dialogue() as client:
        client.start("user@elsewhere.test")  # this one may relay
        for recipient in ("a%b.test@elsewhere.test", "b.test!a@elsewhere.test", '"a@b.test"@elsewhere.test'):
            client.ask(f"RCPT TO:<{recipient}>", "550 5.1.3")


# Content that is no letter, but harms nobody: it must come through octet for octet.
ODD = {
    "8 bits in the header": b"Subject: caf\xe9 \xff\xfe\r\nX-\xc3\xa4: y\r\n\r\n8 bits\r\n",
    "a header line of 2 MB": b"Subject: long\r\nX-Long: " + b"a" * 2_000_000 + b"\r\n\r\nlong\r\n",
    "2 MB of header lines": b"Subject: many\r\n" + b"X-Many: yes\r\n" * 160_000 + b"\r\nmany\r\n",
    "NULs": b"Subject: nul\0nul\r\n\r\n\0\0\r\n\0\r\n",
    "no header": b"\r\nSubject: in the body\r\n",
    "no empty line": b"Subject: and nothing else\r\n",
    "broken encoded words": b"Subject: =?utf-8?b?!!!?= =?nonsense?q?=ff?= =?utf-8?q?=e4?=\r\n\r\nencoded\r\n",
    "a colon first": b": \r\n:\r\nSubject: colon\r\n \r\n\t\r\n\r\ncolon\r\n",
    "only dots": b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.\r\n",
}


@pytest.mark.parametrize("what", ODD)
def test_odd_content_comes_through(strict: Postroad, what: str) -> None:
    content = ODD[what]
    expected = "550 5.7.1 Please write a subject" if what == "no header" else "250"
    strict.forget()
    with strict.dialogue() as client:
        client.start("eve@example.org").content(content, expected)
    if expected == "250":
        strict.wait_for("delivered", to="eve@example.org")
        assert strict.mailbox("eve@example.org")[-1].endswith(content)


def test_an_empty_message(strict: Postroad) -> None:
    with strict.dialogue() as client:
        client.start("eve@example.org").content(b"", "550 5.7.1 Please write a subject")


# RFC 5321 4.1.1.4: only CRLF.CRLF ends the content. What others might take for the end must not pass us by.
SMUGGLING = [
    b"\n.\n",
    b"\r\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n\n.\r\n\r\n",
    b"\r\n\x00.\r\n\n.\n",
    b"\r\r\n.\r\r\n",
]
SMUGGLED = b"MAIL FROM:<smuggler@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"


@pytest.mark.parametrize("end", SMUGGLING, ids=repr)
def test_nothing_is_smuggled_in(strict: Postroad, end: bytes) -> None:
    with strict.dialogue() as client:
        client.start(BOB, sender="outside@example.net").ask("DATA", "354")
        client.send(b"Subject: carrier\r\n\r\nx" + end + SMUGGLED + b"\r\n.\r\n")
        client.expect("550 5.6.0")
        client.ask("NOOP", "250")  # and no reply came between
    assert strict.all("accepted", **{"from": "smuggler@example.org"}) == []
    assert strict.all("accepted", **{"from": "outside@example.net"}) == []


def test_nothing_is_smuggled_out(tmp_path: Path) -> None:
    """Where bare line breaks are taken, the next server gets one message, in which they can do no harm."""
    zone = Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})
    with dns(zone) as address, smtp_server(Remote()) as remote:
        settings = {
            "dns": {"servers": [address]},
            "stage": {"resolve": {"port": remote.port}, "accept": {"bare_newlines": "accept"}},
        }
        with Postroad(tmp_path, settings) as server, server.dialogue() as client:
            for number, end in enumerate(SMUGGLING):
                client.start(f"number-{number}@remote.test")
                client.content(b"Subject: carrier\r\n\r\nx" + end + SMUGGLED)
            until(lambda: len(remote.received) == len(SMUGGLING), "the messages at the far side")
        assert {received.recipients for received in remote.received} == {
            (f"number-{number}@remote.test",) for number in range(len(SMUGGLING))
        }
        for received in remote.received:
            whole = received.content.replace(b"\r\n", b"")
            assert b"\n" not in whole
            assert b"\r" not in whole
            assert received.content.endswith(b"Subject: smuggled\r\n\r\nx\r\n")


def test_commands_with_bare_line_breaks_are_refused_whole(strict: Postroad) -> None:
    with strict.dialogue() as client:
        client.ask("EHLO client.example.net", "250")
        client.ask(b"MAIL FROM:<ann@example.net>\nRCPT TO:<bob@example.org>", "500")
        client.ask("RCPT TO:<bob@example.org>", "503")
        client.ask(b"NOOP \x00", "500")
        client.ask(b"\xff\xfe", "500")
        client.ask(b"NOOP " + b"x" * 5000, "500")
        client.ask("NOOP", "250")


def test_too_large_too_many_too_wrong(tmp_path: Path) -> None:
    settings = {"stage": {"accept": {"max_size": "100 KB", "max_recipients": 2, "max_errors": 3}}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB, "eve@example.org")
        with server.dialogue() as client:
            client.ask("EHLO client.example.net", "250")
            client.ask("MAIL FROM:<ann@example.net> SIZE=100001", "552 5.3.4")
            client.start(BOB, "eve@example.org")
            client.ask(f"RCPT TO:<{BOB}>", "452 4.5.3")
            client.content(b"Subject: large\r\n\r\n" + b"x\r\n" * 40_000, "552 5.3.4")
            client.start(BOB).content(letter("the connection is still good"))
            for _ in range(2):
                client.ask("NONSENSE", "500")
            client.send(b"NONSENSE\r\n")
            client.expect("500")
            client.expect("421")
            assert client.ended()
        assert subjects(server.mail_for(BOB)) == ["the connection is still good"]
        assert list((server.folder / "var" / "content").iterdir()) == []


# -- time


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    settings = {"stage": {"accept": {"command_timeout": "1s", "message_timeout": "2s"}}}
    with Postroad(tmp_path_factory.mktemp("impatient"), settings) as server:
        yield server.account(BOB)
        assert server.all("bug") == []


OCTETS = 500
"""At least, of somebody who sends them one by one. A command may have more."""


def trickle(client: Dialogue, octets: bytes, pause: float = 0.2) -> None:
    """Send octet by octet until the server has had enough, long before the last one: that would be two minutes on."""
    with contextlib.suppress(OSError):
        for octet in octets:
            client.send(bytes([octet]))
            time.sleep(pause)
            client.socket.settimeout(0.001)
            try:
                if client.socket.recv(1, socket.MSG_PEEK) is not None:
                    return
            except TimeoutError:
                pass
            finally:
                client.socket.settimeout(PATIENCE)
        pytest.fail("all of it was taken")


SLOW: dict[str, Callable[[Dialogue], None]] = {
    "says nothing": lambda client: None,
    "says nothing after EHLO": lambda client: void(client.ask("EHLO client.example.net", "250")),
    "says nothing after RCPT": lambda client: void(client.start(BOB)),
    "says nothing in the content": lambda client: void(client.start(BOB).ask("DATA", "354")),
    "sends a command octet by octet": lambda client: trickle(client, b"NOOP " + b"x" * OCTETS),
    "sends RCPT octet by octet": lambda client: trickle(client.start(BOB), b"RCPT TO:<" + b"x" * OCTETS),
    "sends the content octet by octet": lambda client: (
        client.start(BOB).ask("DATA", "354"),
        trickle(client, b"x\r\n" * OCTETS),
    )[1],
    "sends a chunk octet by octet": lambda client: (
        client.start(BOB).send(b"BDAT 5000 LAST\r\n"),
        trickle(client, b"x" * OCTETS),
    )[1],
}


def void(_: object) -> None:
    """For a client that goes on to do nothing."""


@pytest.mark.parametrize("what", SLOW)
def test_a_slow_client_is_sent_away(impatient: Postroad, what: str) -> None:
    impatient.forget()
    with impatient.dialogue() as client:
        SLOW[what](client)
        client.expect("421 4.4.2")
        assert client.ended()
    impatient.wait_for("client-too-slow")


def test_a_client_that_never_reads_is_sent_away(impatient: Postroad) -> None:
    """Its replies fill every buffer on the way; the server gives it up all the same."""
    impatient.forget()
    with impatient.dialogue() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(PATIENCE)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - as soon as the server has closed
            while True:
                client.send(b"HELP\r\n" * 10_000)
    impatient.wait_for("client-too-slow")
    with impatient.dialogue() as other:
        other.ask("QUIT", "221")


# -- clients that vanish

STEPS: list[tuple[str, Callable[[Dialogue], object]]] = [
    ("at once", lambda client: None),
    ("in EHLO", lambda client: client.send(b"EHLO cli")),
    ("after EHLO", lambda client: client.ask("EHLO client.example.net", "250")),
    ("after MAIL", lambda client: client.start()),
    ("after RCPT", lambda client: client.start(BOB)),
    ("after DATA", lambda client: client.start(BOB).ask("DATA", "354")),
    ("in the content", lambda client: (client.start(BOB).ask("DATA", "354"), client.send(letter("half")))),
    ("in a large content", lambda client: (client.start(BOB).ask("DATA", "354"), client.send(b"x\r\n" * 400_000))),
    (
        "before the last LF",
        lambda client: (client.start(BOB).ask("DATA", "354"), client.send(letter("nearly") + b".\r")),
    ),
    ("in a chunk", lambda client: client.start(BOB).send(b"BDAT 300000 LAST\r\n" + b"x\r\n" * 60_000)),
]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path, reset: bool) -> None:
    with Postroad(tmp_path, {"server": {"workers": 1}}) as server:
        server.account(BOB)
        for _, step in STEPS:
            client = server.dialogue()
            step(client)
            if reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        server.send(letter("behind them"), BOB)
        assert subjects(server.mail_for(BOB)) == ["behind them"]
        until(lambda: not list((server.folder / "var" / "content").iterdir()), "half messages to be removed")
        assert len(server.all("accepted")) == 1
        assert server.all("bug") == []
        assert server.noise == []


def test_a_client_that_vanishes_before_its_answer_finds_its_message_delivered(tmp_path: Path) -> None:
    """It had sent all of it: RFC 5321 4.2.5 wants the message to be kept rather than lost."""
    with Postroad(tmp_path) as server:
        server.account(BOB)
        for content in (letter("small"), b"Subject: large\r\n\r\n" + b"x\r\n" * 100_000):
            client = server.dialogue()
            client.start(BOB).ask("DATA", "354")
            client.send(content + b".\r\n")
            client.close()
        assert sorted(subjects(server.mail_for(BOB, 2))) == ["large", "small"]


# -- crowds


def test_too_many_connections_from_one_network(tmp_path: Path) -> None:
    settings = {
        "server": {"workers": 1},
        "stage": {"accept": {"relay_networks": None, "max_connections_per_network": 3, "max_connections": 5}},
    }
    with Postroad(tmp_path, settings) as server:
        port = server.ports["smtp"]
        crowd = [server.dialogue("127.0.0.2") for _ in range(3)]
        with Dialogue(port, "127.0.0.2", greeting="421 4.3.2 Too many connections from your network") as refused:
            assert refused.ended()
        others = [server.dialogue("127.0.0.3") for _ in range(2)]
        with Dialogue(port, "127.0.0.4", greeting="421 4.3.2 Too many connections") as refused:
            assert refused.ended()
        until(lambda: len(server.all("connection-refused")) == 2, "two refusals in the log")
        for client in (*crowd, *others):
            client.ask("NOOP", "250")  # those who were there first notice nothing
        crowd[0].ask("QUIT", "221")
        assert crowd[0].ended()
        until(lambda: _gets_in(port, "127.0.0.2"), "a place to be free again")
        for client in (*crowd, *others):
            client.close()


def test_hundreds_of_connections_at_once(tmp_path: Path) -> None:
    """Each gets its greeting, and one more client still gets its mail through."""
    with Postroad(tmp_path) as server:
        server.account(BOB)
        with contextlib.ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.create_connection(("127.0.0.1", server.ports["smtp"]), PATIENCE))
                for _ in range(400)
            ]
            assert all(sock.recv(4) == b"220 " for sock in sockets)
            server.send(letter("in the crowd"), BOB)
            server.mail_for(BOB)


def _gets_in(port: int, source: str) -> bool:
    with socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)) as probe:
        return probe.recv(3) == b"220"


# -- a full disk


HOLD = """
'''Holds mail back in the queue until a file appears.'''
from pathlib import Path
from engine import Defer, Message

async def hold(message: Message):
    return message if Path("gate-is-open").exists() else Defer("not yet", retry_after=0.2)
"""


def test_a_full_disk_stops_new_mail_and_not_what_is_queued(tmp_path: Path) -> None:
    """RFC 5321 4.2.3: 452. Then there is room again. Each time by a reload, and in force at once."""
    settings = {
        "server": {"workers": 1},  # each worker looks at the disk for itself, once a second
        "lane": {"inbound": {"stages": ["accept", "queue", "hold", "route"]}},
        "stage": {"hold": {"use": "filters/hold.py"}},
    }
    with Postroad(tmp_path, settings, hold=HOLD) as server:
        server.account(BOB)
        server.send(letter("queued"), BOB)
        server.wait_for("deferred", to=BOB)
        server.change({"queue": {"reserve": "1000 TB"}})
        assert server.reload().returncode == 0

        def says(code: str) -> bool:
            with server.dialogue() as client:
                client.ask("EHLO client.example.net", "250")
                return client.ask("MAIL FROM:<ann@example.net>").startswith(code)

        until(lambda: says("452 4.3.1"), "the reserve to be noticed")
        (tmp_path / "gate-is-open").touch()
        assert subjects(server.mail_for(BOB)) == ["queued"]
        assert server.stop() == 0
        server.start()
        assert says("452 4.3.1")
        server.change({"queue": {"reserve": "1 MB"}})
        assert server.reload().returncode == 0
        until(lambda: says("250"), "new mail to be welcome again")
        server.send(letter("welcome"), BOB)
        assert subjects(server.mail_for(BOB, 2)) == ["queued", "welcome"]


def test_a_full_disk_does_not_stop_the_relay(tmp_path: Path) -> None:
    port = free_port()
    with dns(Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address:
        settings = {"dns": {"servers": [address]}, "stage": {"resolve": {"port": port}}}
        with Postroad(tmp_path, settings) as server:
            server.send(letter("queued"), "ann@remote.test")
            server.wait_for("deferred", to="ann@remote.test")
            assert server.stop() == 0
            server.change({"queue": {"reserve": "1000 TB"}})
            with smtp_server(Remote(port=port)) as remote:
                server.start()
                until(lambda: remote.received, "what was queued to go out")


def test_many_clients_at_once_each_get_their_own_answer(strict: Postroad) -> None:
    """Good and bad mail mixed on 20 connections, pipelined: every reply belongs to its command."""
    failures: list[BaseException] = []

    def one(number: int) -> None:
        try:
            with strict.dialogue() as client:
                client.ask("EHLO client.example.net", "250")
                for round_ in range(10):
                    good = (number + round_) % 2 == 0
                    recipient = "eve@example.org" if good else "nobody@example.org"
                    commands = (
                        "MAIL FROM:<mix@example.net>",
                        f"RCPT TO:<{recipient}>",
                        "RCPT TO:<a@elsewhere.test>",
                        "DATA",
                    )
                    client.send("".join(f"{command}\r\n" for command in commands).encode())
                    client.expect("250 2.1.0")
                    client.expect("250 2.1.5" if good else "550 5.1.1")
                    client.expect("550 5.7.1")
                    client.expect("354" if good else "554")
                    if good:
                        client.send(letter(f"{number}-{round_}") + b".\r\nNOOP\r\n")
                        client.expect("250 2.0.0 queued as")
                    else:
                        client.send(b"RSET\r\n")
                    client.expect("250 2.0.0")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    until(lambda: len(strict.all("delivered", **{"from": "mix@example.net"})) == 100, "100 deliveries")
    found = [subject for subject in subjects(strict.mailbox("eve@example.org")) if re.fullmatch(r"\d+-\d", subject)]
    assert len(found) == len(set(found)) == 100
