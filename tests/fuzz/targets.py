"""Every parser that hostile octets reach, each as a function of octets: whole and in pieces it must say the same.

A target raises nothing, whatever it is given. The first octets of its input tell where the rest is cut into pieces.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from engine import Envelope, Message, MessageId, Recipient
from engine.config import ConfigError, parse
from engine.links import wire
from engine.message import Octets
from engine.protocols import dsn
from engine.protocols.address import Malformed, normalised, parse_path, xtext_decode
from engine.protocols.pop3 import Closed, Login, Remove, Retrieve, Session, Signal
from engine.protocols.pop3 import StartTls as Stls
from engine.protocols.smtp_client import Closing, ContentWanted, PeerError, Ready, Replies, SmtpClient, To, Transaction
from engine.protocols.smtp_events import NEED_DATA, Content, ContentEnd, ContentPart, Disconnected, Quit, TooManyErrors
from engine.protocols.smtp_server import SmtpServer
from tests.support.smtp import accept

_CUTS = 4


def cut(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The octets in one piece, and in several."""
    places, rest = data[:_CUTS], data[_CUTS:]
    ends = sorted({place % (len(rest) + 1) for place in places})
    pieces = [rest[start:end] for start, end in zip([0, *ends], [*ends, len(rest)], strict=True)]
    return [rest] if rest else [], [piece for piece in pieces if piece]  # without empty ones: they would be the end


def smtp_server(data: bytes) -> None:
    """The server's side of SMTP."""
    whole, pieces = cut(data)
    assert _smtp_server(whole) == _smtp_server(pieces)


def _smtp_server(pieces: list[bytes]) -> tuple[bytes, list[object]]:
    smtp = SmtpServer(hostname="mx.example.org", size_limit=10_000, recipients_limit=5, errors_limit=10)
    smtp.greet()
    said, events = smtp.outgoing(), []
    for piece in (*pieces, b""):
        smtp.receive(piece)
        while (event := smtp.next_event()) is not NEED_DATA:
            match event:
                case ContentPart(data):
                    events.append(("content", data))
                case Content(data):
                    events += [("content", data), "content ends"]
                case ContentEnd():
                    events.append("content ends")
                case _:
                    events.append(event)
            if isinstance(event, Quit | TooManyErrors | Disconnected):
                return said + smtp.outgoing(), list(_joined(events))
            accept(smtp, event)
            said += smtp.outgoing()
        said += smtp.outgoing()
    return said, list(_joined(events))


def _joined(events: list[object]) -> Iterator[object]:
    """Parts of one content as one."""
    parts: list[bytes] = []
    for event in events:
        if isinstance(event, tuple) and event[0] == "content":
            parts.append(event[1])
            continue
        if event == "content ends" or parts:
            yield b"".join(parts)
            parts = []
        yield event
    yield b"".join(parts)


def smtp_client(data: bytes) -> None:
    """What a hostile server may answer. In pieces it hears other commands of ours, so only the end counts."""
    whole, pieces = cut(data)
    _smtp_client(whole)
    _smtp_client(pieces)


def _smtp_client(pieces: list[bytes]) -> None:
    client = SmtpClient("mx.example.org")
    begun = False
    with contextlib.suppress(PeerError):
        for piece in pieces:
            client.receive(piece)
            while (event := client.next_event()) is not None:
                if isinstance(event, ContentWanted):
                    client.content(b"Subject: x\r\n\r\n.\r\n")
                    client.end_content()
                elif isinstance(event, Closing):
                    return
                elif isinstance(event, Ready) and not begun:
                    begun = True
                    client.begin(Transaction("a@example.org", (To("b@example.net"), To("c@example.net")), 18))
            client.outgoing()


def replies(data: bytes) -> None:
    """Replies alone."""
    whole, pieces = cut(data)
    results = []
    for some in (whole, pieces):
        parser, found = Replies(), []
        with contextlib.suppress(PeerError):
            for piece in some:
                found += parser.feed(piece)
        results.append(found)
    # A piece with an error in it gives none of its replies; what came before must be the same.
    assert results[0] == results[1][: len(results[0])]


def addresses(data: bytes) -> None:
    """Paths, and what is made of them."""
    text = data.decode("utf-8", "replace")
    for utf8 in (True, False):
        found = parse_path(text, null_ok=True, utf8=utf8)
        if not isinstance(found, Malformed) and str(found):
            assert normalised(normalised(str(found))) == normalised(str(found))
    xtext_decode(text)


def pop3(data: bytes) -> None:
    """The server's side of POP3."""
    whole, pieces = cut(data)
    assert _pop3(whole) == _pop3(pieces)


class _Item:
    size, uidl = 20, "1.1"


def _pop3(pieces: list[bytes]) -> bytes:
    session = Session("mx.example.org", plaintext=True, auth=("PLAIN", "LOGIN"))
    said = session.outgoing()
    for piece in pieces:
        session.receive(piece)
        while (event := session.next_event()) is not Signal.NEED_DATA:
            match event:
                case Closed():
                    return said + session.outgoing()
                case Login():
                    session.logged_in([_Item(), _Item()])
                case Stls():
                    session.tls_started()
                case Retrieve():
                    session.body_begins()
                    session.body(b"Subject: x\r\n\r\n.\r\n")
                    session.body_ends()
                case Remove():
                    session.removed()
            said += session.outgoing()
        said += session.outgoing()
    return said


def headers(data: bytes) -> None:
    """Header fields of a message, decoded."""
    message = Message(MessageId(bytes(16)), Envelope("a@b.test", (Recipient("c@d.test"),)), Octets(data))
    message.header_octets()
    for name in ("Subject", "From", "To", "Content-Type"):
        first, every = message.header(name), message.headers(name)
        assert first == (every[0] if every else None)


def link(data: bytes) -> None:
    """A frame between processes."""
    with contextlib.suppress(wire.WireError):
        wire.unpack(data)


def report(data: bytes) -> None:
    """A delivery report about a message of anyone's making: always a well-formed one."""
    text = data[:200].decode("utf-8", "replace")
    failed = dsn.RecipientReport("b@example.net", "failed", "5.1.1", text, text, text, text)
    octets = dsn.report(
        hostname="mx.example.org", sender="a@example.org", envid=text, arrived=0.0, recipients=[failed],
        original_headers=data, message_id="x@mx.example.org", date=0.0, original=data,
    )  # fmt: skip
    assert b"\n" not in octets.replace(b"\r\n", b"")


def configuration(data: bytes) -> None:
    """pipeline.toml."""
    with contextlib.suppress(ConfigError):
        parse(data.decode("utf-8", "replace"), Path("/nonexistent/pipeline.toml"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (smtp_server, smtp_client, replies, addresses, pop3, headers, link, report, configuration)
}
