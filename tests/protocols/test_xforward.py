"""XFORWARD: what is said, what is read, and for how long it counts."""

import pytest

from engine.protocols.smtp_events import Mail
from engine.protocols.smtp_server import SmtpServer
from engine.protocols.xforward import LIMIT, commands, parse

TOLD = {"NAME": "", "ADDR": "192.0.2.7", "HELO": "a+b c", "IDENT": "01X"}


def test_only_what_is_offered_is_said_and_as_xtext() -> None:
    assert list(commands(TOLD, "NAME ADDR helo PORT")) == [
        b"XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.7 HELO=a+2Bb+20c\r\n"
    ]
    assert list(commands(TOLD, "")) == []
    assert list(commands(TOLD, "SOURCE")) == []
    assert list(commands({"HELO": "é\r\n"}, "HELO")) == [b"XFORWARD HELO=?+0D+0A\r\n"]


def test_no_line_is_too_long() -> None:
    lines = list(commands({"NAME": "n" * 255, "HELO": "h" * 255, "ADDR": "::1"}, "NAME HELO ADDR"))
    assert len(lines) == 2
    assert all(len(line) <= LIMIT for line in lines)


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("ADDR=192.0.2.7 HELO=a+2Bb", {"ADDR": "192.0.2.7", "HELO": "a+b"}),
        ("name=[UNAVAILABLE]", {"NAME": ""}),
        ("NAME=", {"NAME": ""}),
        ("", None),
        ("ADDR", None),
        ("HELO=a+0Db", None),
        ("HELO=a+20b", None),
        ("HELO=é", None),
    ],
)
def test_reading(argument: str, found: dict[str, str] | None) -> None:
    assert parse(argument) == found


def test_it_counts_for_one_transaction() -> None:
    server = SmtpServer(hostname="mx.test", size_limit=1000, recipients_limit=1, xforward=True)
    server.greet()
    said = "EHLO f\r\nXFORWARD ADDR=192.0.2.7\r\nXFORWARD HELO=a\r\nMAIL FROM:<>\r\n"
    server.receive(said.encode())
    while not isinstance(server.next_event(), Mail):
        pass
    assert server.forwarded == {"ADDR": "192.0.2.7", "HELO": "a"}
    server.accept()
    server.receive(b"RSET\r\nMAIL FROM:<>\r\n")
    while not isinstance(server.next_event(), Mail):
        pass
    assert server.forwarded == {}


def test_it_is_unknown_where_nobody_is_believed() -> None:
    server = SmtpServer(hostname="mx.test", size_limit=1000, recipients_limit=1)
    server.greet()
    server.receive(b"EHLO f\r\nXFORWARD ADDR=192.0.2.7\r\n")
    server.next_event()
    server.next_event()
    said = server.outgoing()
    assert said.endswith(b"500 5.5.1 Unknown command\r\n")
    assert b"XFORWARD" not in said
