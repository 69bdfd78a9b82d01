"""SMTP and LMTP: what a client may say to our server, a server may answer to our client, and the content between."""

import base64
import re
from collections.abc import Iterator
from typing import Any

from engine.protocols import sasl, smtp_heard
from engine.protocols import smtp_client as client_side
from engine.protocols import smtp_server as server_side
from engine.protocols.smtp_client import Closing, ContentWanted, Finished, Ready, Refused, SmtpClient, TlsReady
from engine.protocols.smtp_content import TERMINATOR, Breaks, DotStuffing, unstuffed
from engine.protocols.smtp_events import (
    NEED_DATA,
    Auth,
    Content,
    ContentBegin,
    ContentEnd,
    ContentPart,
    Disconnected,
    Mail,
    Quit,
    Rcpt,
    StartTls,
    TooManyErrors,
)
from engine.protocols.smtp_heard import PeerError, Replies, Reply
from engine.protocols.smtp_parameters import parse_mail, parse_rcpt
from engine.protocols.smtp_server import SmtpServer
from engine.protocols.smtp_transaction import To, Transaction
from tests.fuzz.targets.cutting import cut, limits, option, pieces_of
from tests.support.smtp import KEYS, accept

CHANNEL = sasl.Channel({"tls-exporter": bytes(32)}, ("a@example.org",))
LINE, HOLD = 128, 64
"""Octets of a command line, and of content that is held back."""

CONSTANT = ("PLAIN", "LOGIN")
"""Mechanisms that say the same each time: SCRAM makes up a nonce."""

_REPLY = re.compile(rb"(?:[2-5]\d\d-[ -~]{0,506}\r\n)*[2-5]\d\d [ -~]{0,506}\r\n")
_COMMAND = re.compile(rb"[^\x00-\x1f\x7f]{4,1000}\r\n")
_BREAK = re.compile(rb"\r\n|\r|\n")


def smtp_server(data: bytes) -> None:
    """The server's side: the same replies and events, and no more in memory than a line or a bit of content."""
    chosen, data = option(data)
    whole, pieces = cut(data)
    with limits(server_side, HOLD_LIMIT=HOLD), limits(sasl, RESPONSE_LIMIT=HOLD):
        said, events = _smtp_server(whole, chosen)
        assert (said, events) == _smtp_server(pieces, chosen)
    assert re.fullmatch(rb"(?:%s)*" % _REPLY.pattern, re.sub(rb"334 [A-Za-z0-9+/=]*\r\n", b"", said))


def _smtp_server(pieces: list[bytes], chosen: int) -> tuple[bytes, list[object]]:
    tls, starttls, loose, fussy, lmtp = (bool(chosen & bit) for bit in (1, 2, 4, 8, 16))
    smtp = SmtpServer(
        hostname="mx.example.org", size_limit=1000, recipients_limit=5, errors_limit=10, command_line_limit=LINE,
        tls_active=tls, starttls=starttls, auth=CONSTANT, bare_newlines="accept" if loose else "refuse",
        lmtp=lmtp,
    )  # fmt: skip
    smtp.greet()
    said, events = smtp.outgoing(), []
    for piece in (*pieces, b""):
        smtp.receive(piece)
        while (event := smtp.next_event()) is not NEED_DATA:
            events.append(event)
            if isinstance(event, StartTls | Quit | TooManyErrors | Disconnected):  # what follows STARTTLS is dropped
                return said + smtp.outgoing(), list(_joined(events))
            if fussy and len(events) % 3 == 0 and isinstance(event, _DECIDED):
                smtp.refuse(450, "4.0.0", "Not now", counts=True)
            else:
                accept(smtp, event)
            said += smtp.outgoing()
        said += smtp.outgoing()
        assert len(smtp._buffer) - smtp._position <= max(LINE, HOLD)
    raise AssertionError("the end of the connection was not seen")


_DECIDED = Mail | Rcpt | ContentBegin | Content | ContentEnd | Auth


def _joined(events: list[Any]) -> Iterator[object]:
    """Each content as one, in however many parts it came; what was broken off is none."""
    parts: list[bytes] = []
    for event in events:
        match event:
            case ContentPart(data):
                parts.append(data)
                continue
            case ContentEnd(size):
                assert size == sum(map(len, parts))
                yield Content(b"".join(parts))
            case _:
                yield event
        parts = []


def login(data: bytes) -> None:
    """A SASL exchange."""
    lines = data.split(b"\n")
    responses = [sasl.decode(line) for line in lines]
    for line, response in zip(lines, responses, strict=True):
        assert response is None or response == base64.b64decode(line, validate=True)
    for name, mechanism in sasl.MECHANISMS.items():
        exchange = mechanism(CHANNEL)
        for response in (None, *responses, *lines):
            step = exchange.step(response)
            if isinstance(step, sasl.KeysWanted):
                assert isinstance(exchange, sasl.Scram)
                step = exchange.take(KEYS)
            if isinstance(step, sasl.Challenge):
                continue
            if isinstance(step, sasl.Proof):
                assert step.key is None, "it fits by chance"
            if isinstance(step, sasl.Certificate):
                assert step.addresses == CHANNEL.addresses
                assert "\0" not in step.login
            if isinstance(step, sasl.Credentials):
                assert step.login
                assert step.password
                assert "\0" not in step.login + step.password
                assert repr(step) == f"Credentials(mechanism={name!r}, login={step.login!r})"
            break


def parameters(data: bytes) -> None:
    """What follows MAIL and RCPT. What our server takes, our client can say, and our server takes that as the same."""
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    mail = parse_mail(first)
    rcpt = parse_rcpt(second, smtputf8=isinstance(mail, Mail) and mail.smtputf8)
    if isinstance(mail, bytes) or isinstance(rcpt, bytes):
        assert all(isinstance(found, Mail | Rcpt) or _REPLY.fullmatch(found) for found in (mail, rcpt))
        return
    said = _said(mail, rcpt)
    mail_again, rcpt_again = parse_mail(said[0][5:]), parse_rcpt(said[1][5:], smtputf8=mail.smtputf8)
    assert isinstance(mail_again, Mail), (said, mail_again)
    assert isinstance(rcpt_again, Rcpt), (said, rcpt_again)
    kept = ("sender", "body", "smtputf8", "ret", "envid")
    assert [getattr(mail_again, name) for name in kept] == [getattr(mail, name) for name in kept]
    assert (rcpt_again.recipient, rcpt_again.notify) == (rcpt.recipient, rcpt.notify)
    assert _said(mail_again, rcpt_again) == said


def _said(mail: Mail, rcpt: Rcpt) -> list[str]:
    client = SmtpClient("mx.example.org")
    client.receive(b"220 hi\r\n250-hi\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n")
    assert isinstance(client.next_event(), Ready)
    client.outgoing()
    to = To(rcpt.recipient, rcpt.notify, rcpt.original)
    client.begin(Transaction(mail.sender, (to,), 18, mail.body, mail.smtputf8, ret=mail.ret, envid=mail.envid))
    lines = client.outgoing().decode().split("\r\n")
    assert len(lines) == 4, lines  # MAIL, RCPT, DATA and nothing
    return lines


def smtp_client(data: bytes) -> None:
    """What a hostile server may answer. Line for line, and with lines in pieces, the client does the same.

    All at once it may not: an answer that comes before its question is one that nothing asked for.
    """
    chosen, data = option(data)
    places, rest = data[:4], data[4:]
    lines = re.findall(rb"[^\n]*\n|[^\n]+", rest)
    with limits(smtp_heard, REPLY_LINE=LINE, REPLY_TOTAL=4 * LINE):
        _smtp_client([rest] if rest else [], chosen)
        assert _smtp_client(lines, chosen) == _smtp_client(
            [piece for line in lines for piece in pieces_of(line, places)], chosen
        )


CONTENT = b"Subject: x\r\n\r\n.\r\n"
_TRANSACTIONS = (
    Transaction(
        "a@example.org", (To("b@example.net", "NEVER"), To("c@example.net")), len(CONTENT), ret="FULL", envid="x"
    ),
    Transaction(
        "", (To("é@example.net", original="utf-8;é"),), len(CONTENT), "8BITMIME", smtputf8=True, strict_8bit=True
    ),
    Transaction("a@bücher.example", (To("b@example.net"),), len(CONTENT)),
)


def _smtp_client(pieces: list[bytes], chosen: int) -> list[object]:
    inline, tls, follow, lmtp = (bool(chosen & bit) for bit in (1, 2, 4, 8))
    client = SmtpClient("mx.example.org", lmtp=lmtp)
    left = list(_TRANSACTIONS)
    heard: list[object] = []

    def go_on() -> None:
        if left:
            client.begin(left.pop(0), inline=inline)
        else:
            client.quit()

    try:
        for piece in pieces:
            client.receive(piece)
            while (event := client.next_event()) is not None:
                heard.append(event)
                match event:
                    case ContentWanted():
                        heard.append(_commands(client))
                        heard.append(client.content(CONTENT) + client.end_content())
                        if follow and client.can_follow:
                            go_on()
                    case Ready(extensions) if tls and "STARTTLS" in extensions:
                        tls = False
                        client.start_tls()
                    case TlsReady():
                        client.tls_started()
                    case Finished(transaction, answers):
                        assert len(answers) == len(transaction.recipients)
                        assert lmtp or len({answer for answer in answers if answer.positive}) <= 1
                        if not client.content_sent(transaction):
                            go_on()
                    case Closing() | Refused() | client_side.Quit():
                        return _checked(heard)
                    case _:
                        go_on()
            heard.append(_commands(client))
            assert _kept(client._parser) <= 6 * LINE
    except PeerError:
        heard.append(PeerError)
    unsure = [transaction for transaction in _TRANSACTIONS if client.content_sent(transaction)]
    assert all(len(client.decided(transaction)) == len(transaction.recipients) for transaction in unsure)
    return _checked(heard)


def _commands(client: SmtpClient) -> bytes:
    octets = client.outgoing()
    assert all(line == b".\r\n" or _COMMAND.fullmatch(line) for line in octets.splitlines(keepends=True)), octets
    return octets


def _checked(heard: list[object]) -> list[object]:
    """What was heard and said. No transaction ends twice."""
    ended = [id(event.transaction) for event in heard if isinstance(event, Finished)]
    assert len(ended) == len({*ended})
    return [event for event in heard if event != b""]


def _kept(parser: Replies) -> int:
    return len(parser._buffer) + sum(map(len, parser._lines))


def replies(data: bytes) -> None:
    """Replies alone: the same in pieces, of one kind of control character, and in bounded memory."""
    whole, pieces = cut(data)
    with limits(smtp_heard, REPLY_LINE=LINE, REPLY_TOTAL=4 * LINE):
        (found, _), (found_in_pieces, broke) = _replies(whole), _replies(pieces)
    # In pieces more may be heard: one that is the beginning of a line without an end is no error yet.
    assert found == found_in_pieces[: len(found)]
    assert broke or found == found_in_pieces
    for reply in found:
        assert 200 <= reply.code <= 599
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", str(reply) + reply.text)
        assert re.fullmatch(r"[2-5]\.\d{1,3}\.\d{1,3}", reply.status)


def _replies(pieces: list[bytes]) -> tuple[list[Reply], bool]:
    parser, found = Replies(), []
    try:
        for piece in pieces:
            found += parser.feed(piece)
            assert _kept(parser) <= 6 * LINE
    except PeerError:
        return found, True
    return found, False


def stuffing(data: bytes) -> None:
    """Content of any kind, sent by our client under DATA and read by our server: the same, with CRLF as line breaks."""
    whole, pieces = cut(data)
    wire = _stuffed(whole)
    assert wire == _stuffed(pieces)
    assert (b"\r\n" + wire).find(TERMINATOR) == len(wire) - 3
    assert _clean([wire])
    content = b"".join(whole)
    assert _clean(whole) == _clean(pieces) == (not re.search(rb"\r(?!\n)|(?<!\r)\n", content))
    sent = _BREAK.sub(b"\r\n", content)
    assert unstuffed(b"\r\n" + wire[:-3])[2:] == sent + (b"" if sent.endswith(b"\r\n") or not sent else b"\r\n")


def _stuffed(pieces: list[bytes]) -> bytes:
    stuffing = DotStuffing()
    return b"".join([*map(stuffing.feed, pieces), stuffing.end()])


def _clean(pieces: list[bytes]) -> bool:
    breaks = Breaks()
    for piece in pieces:
        breaks.add(piece)
    breaks.add(b"", final=True)
    return breaks.clean
