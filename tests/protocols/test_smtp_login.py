"""AUTH (RFC 4954), the client's side: the command, the challenges, and what a server may say instead."""

import base64

import pytest

from engine.protocols.smtp_client import Challenged, LoggedIn, LoginRefused, Ready, SmtpClient
from engine.protocols.smtp_heard import PeerError


def ready(offers: str = "AUTH PLAIN") -> SmtpClient:
    client = SmtpClient("mx.example.org")
    client.receive(b"220 hello\r\n")
    client.outgoing()
    client.receive(f"250-there\r\n250 {offers}\r\n".encode())
    assert isinstance(client.next_event(), Ready)
    return client


@pytest.mark.parametrize(
    ("initial", "line"),
    [(b"\0a\0b", b"AUTH PLAIN AGEAYg==\r\n"), (b"", b"AUTH PLAIN =\r\n"), (None, b"AUTH PLAIN\r\n")],
)
def test_the_initial_response(initial: bytes | None, line: bytes) -> None:
    client = ready()
    client.authenticate("PLAIN", initial)
    assert client.outgoing() == line
    client.receive(b"235 2.7.0 Welcome\r\n")
    assert client.next_event() == LoggedIn()


def test_a_response_that_is_too_long_for_the_command_waits_for_its_challenge() -> None:
    long = 600 * b"x"
    client = ready()
    client.authenticate("PLAIN", long)
    assert client.outgoing() == b"AUTH PLAIN\r\n"
    client.receive(b"334 \r\n")
    assert client.outgoing() == base64.b64encode(long) + b"\r\n"
    assert client.next_event() is None


def test_a_challenge_and_its_response() -> None:
    client = ready()
    client.authenticate("LOGIN", None)
    client.outgoing()
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    assert client.next_event() == Challenged(b"Username:")
    client.respond(b"ann")
    assert client.outgoing() == b"YW5u\r\n"
    client.receive(b"334\r\n")
    assert client.next_event() == Challenged(b"")
    client.respond(None)
    assert client.outgoing() == b"*\r\n"
    client.receive(b"501 5.7.0 Cancelled\r\n")
    found = client.next_event()
    assert isinstance(found, LoginRefused)
    assert found.reply.code == 501


@pytest.mark.parametrize("reply", ["535 5.7.8 No", "454 4.7.0 Later", "503 5.5.1 What?", "350 Go on"])
def test_refusals(reply: str) -> None:
    client = ready()
    client.authenticate("PLAIN", b"\0a\0b")
    client.receive(f"{reply}\r\n".encode())
    assert isinstance(client.next_event(), LoginRefused)


def test_a_challenge_that_is_no_base64() -> None:
    client = ready()
    client.authenticate("PLAIN", b"\0a\0b")
    with pytest.raises(PeerError, match="no base64"):
        client.receive(b"334 what?\r\n")
