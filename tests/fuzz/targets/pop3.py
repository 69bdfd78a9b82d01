"""POP3: what a client may say to our server."""

import contextlib
import re

from engine.protocols import pop3 as protocol
from engine.protocols import sasl
from engine.protocols.pop3 import Closed, Login, Refusal, Remove, Retrieve, RetrieveSome, Session, Signal, StartTls
from engine.protocols.surrogate import in_ascii
from tests.fuzz.targets.cutting import cut, limits, option

LINE, HIGH_WATER = 80, 100
BODY = b"Subject: x\r\n\r\n.\r\n..\n.x"

_REPLY = rb"(?:\+OK|-ERR) [ -~]*\r\n"


class _Item:
    size, uidl = 20, "1.1"


def pop3(data: bytes) -> None:
    """The server's side of POP3: the same replies and events, and no more in memory than a line."""
    chosen, data = option(data)
    whole, pieces = cut(data)
    with limits(protocol, LINE_LIMIT=LINE, HIGH_WATER=HIGH_WATER), limits(sasl, RESPONSE_LIMIT=LINE):
        said, asked = _pop3(whole, chosen)
        assert (said, asked) == _pop3(pieces, chosen)
    said = re.sub(rb"(?m)^\+ [A-Za-z0-9+/=]*\r\n", b"", said)  # challenges
    assert re.fullmatch(rb"(?:%s(?:(?!\+OK|-ERR|\.\r)[^\n]*\n)*(?:\.\r\n)?)+" % _REPLY, said)


def _pop3(pieces: list[bytes], chosen: int) -> tuple[bytes, list[object]]:
    tls, stls, plaintext, fussy = (bool(chosen & bit) for bit in (1, 2, 4, 8))
    session = Session("mx.example.org", tls=tls, stls=stls, plaintext=plaintext, auth=("PLAIN", "LOGIN"))
    said, asked = session.outgoing(), []
    for piece in pieces:
        session.receive(piece)
        while (event := session.next_event()) is not Signal.NEED_DATA:
            if isinstance(event, RetrieveSome):
                said += session.some([_given(number, asked, fussy) for number in event.numbers])
                continue
            if event is not Signal.SEND_FIRST:
                asked.append(event)
            no = fussy and len(asked) % 3 == 0
            match event:
                case Closed() | StartTls():  # what follows STLS is dropped
                    return said + session.outgoing(), asked
                case Login():
                    session.refused(Refusal.CREDENTIALS) if no else session.logged_in([_Item()] * 12)
                case Retrieve():
                    _retrieve(session, no)
                case Remove():
                    session.not_removed() if no else session.removed()
            said += session.outgoing()
        said += session.outgoing()
        assert len(session._received) <= LINE + 2
    return said, asked


def _given(number: int, asked: list[object], fussy: bool) -> bytes | None:
    """As if it had been asked for alone."""
    asked.append(Retrieve(number, None))
    return None if fussy and len(asked) % 3 == 0 else BODY


def _retrieve(session: Session, no: bool) -> None:
    if no:
        session.not_retrieved(gone=True)
        return
    session.body_begins()
    session.body(BODY)
    session.body_ends()


def pop3_body(data: bytes) -> None:
    """A message of any kind that is read: the same in pieces, and its end is the only line of one dot."""
    whole, pieces = cut(data)
    body = _sent(whole)
    assert body == _sent(pieces)
    content = b"".join(whole)
    lines = body.split(b"\n")
    assert lines[-2:] == [b".\r", b""]
    assert b"." not in [line.rstrip(b"\r") for line in lines[:-2]]
    read = b"".join(line.removeprefix(b".") + b"\n" for line in lines[:-2])
    assert read in (content, content + b"\r\n")


def pop3_surrogate(data: bytes) -> None:
    """A message for a reader that knows ASCII alone: the same in pieces, no field more, and the body as it was."""
    whole, pieces = cut(data)
    content = b"".join(whole)
    made = b"".join(in_ascii(iter(whole)))
    assert made == b"".join(in_ascii(iter(pieces)))
    if content.isascii():
        assert made == content
    end = re.search(rb"(?:\A|\n)\r?\n", content)
    header, body = (content[: end.end()], content[end.end() :]) if end else (content, b"")
    assert made.endswith(body)
    fields = made[: len(made) - len(body)]
    assert len(re.findall(rb"(?m)^[^ \t\r\n]", fields)) <= len(re.findall(rb"(?m)^[^ \t\r\n]", header))
    with contextlib.suppress(UnicodeDecodeError):
        header.decode()
        assert fields.isascii()


def _sent(pieces: list[bytes]) -> bytes:
    session = Session("mx.example.org", plaintext=True)
    session.receive(b"USER a\r\nPASS b\r\nRETR 1\r\n")
    session.next_event()
    session.logged_in([_Item()])
    session.next_event()
    session.body_begins()
    session.outgoing()
    for piece in pieces:
        session.body(piece)
    session.body_ends()
    return session.outgoing()
