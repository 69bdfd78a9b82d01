"""The server's side of SMTP: its events, the decisions on them, and that no chopping of the octets changes either."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.sasl import Channel, Credentials, KeysWanted, Proof
from engine.protocols.smtp_content import Tally
from engine.protocols.smtp_events import (
    NEED_DATA,
    Auth,
    Content,
    ContentBegin,
    ContentEnd,
    ContentPart,
    Disconnected,
    Event,
    Hello,
    Mail,
    NeedData,
    Quit,
    Rcpt,
    Reset,
    StartTls,
    TooManyErrors,
)
from engine.protocols.smtp_replies import reply
from engine.protocols.smtp_server import HOLD_LIMIT, SmtpServer
from tests.support.smtp import KEYS, accept

TRANSACTION = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
OVER = (Quit, TooManyErrors, Disconnected)


def whole(octets: bytes) -> Iterator[bytes]:
    yield octets


def byte_by_byte(octets: bytes) -> Iterator[bytes]:
    for position in range(len(octets)):
        yield octets[position : position + 1]


Feeder = Callable[[bytes], Iterator[bytes]]
feeders = pytest.mark.parametrize("feed", [whole, byte_by_byte])


def server(**settings: Any) -> SmtpServer:
    smtp = SmtpServer(
        **{"hostname": "mx.example.org", "size_limit": 1_000_000, "recipients_limit": 100, "errors_limit": 50}
        | settings
    )
    smtp.greet()
    kind = b"LMTP" if settings.get("lmtp") else b"ESMTP"
    assert smtp.outgoing() == b"220 mx.example.org " + kind + b" Postroad\r\n"
    return smtp


def events_of(smtp: SmtpServer, pieces: Iterator[bytes]) -> list[Event]:
    """All events, each accepted. Parts of content are merged, and content in parts is the same as content at once."""
    events: list[Event] = []
    for piece in pieces:
        smtp.receive(piece)
        while not isinstance(event := smtp.next_event(), NeedData):
            accept(smtp, event)
            events.append(event)
            if isinstance(event, OVER):
                return merged(events)
    return merged(events)


def merged(events: list[Event]) -> list[Event]:
    result: list[Event] = []
    parts: list[bytes] = []
    for event in events:
        match event:
            case ContentPart(data):
                assert data, "a part is never empty"
                parts.append(data)
            case ContentEnd(size):
                data = b"".join(parts)
                assert size == len(data)
                result.append(Content(data))
                parts.clear()
            case Content():
                assert not parts
                result.append(event)
            case _:
                parts.clear()
                result.append(event)
    return result


@feeders
def test_a_session(feed: Feeder) -> None:
    smtp = server()
    octets = (
        b"EHLO client.example\r\n"
        b"MAIL FROM:<a@example.org> SIZE=6 BODY=8bitmime RET=hdrs ENVID=x+2By AUTH=<> SMTPUTF8\r\n"
        b"RCPT TO:<b@example.org> NOTIFY=success,delay ORCPT=rfc822;c@example.org\r\n"
        b"RCPT TO:<Postmaster>\r\n"
        b"DATA\r\n..hi\r\n.\r\n"
        b"RSET\r\n"
        b"QUIT\r\n"
    )
    assert events_of(smtp, feed(octets)) == [
        Hello("client.example", True),
        Mail("a@example.org", 6, "8BITMIME", True, "HDRS", "x+2By", "<>"),
        Rcpt("b@example.org", "SUCCESS,DELAY", "rfc822;c@example.org"),
        Rcpt("Postmaster", "", ""),
        ContentBegin(),
        Content(b".hi\r\n"),
        Reset(),
        Quit(),
    ]
    assert smtp.next_event() == Disconnected()


def test_parameters_that_are_not_given() -> None:
    events = events_of(server(), whole(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n"))
    assert events == [Hello("c", False), Mail("", None, "7BIT", False, "", "", ""), Rcpt("b@example.org", "", "")]


def test_one_parameter_leaves_the_others_as_if_not_given() -> None:
    octets = b"HELO c\r\nMAIL FROM:<a@example.org> SIZE=5\r\nRCPT TO:<b@example.org> NOTIFY=NEVER\r\n"
    assert events_of(server(), whole(octets))[1:] == [
        Mail("a@example.org", 5, "7BIT", False, "", "", ""),
        Rcpt("b@example.org", "NEVER", ""),
    ]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"MAIL", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example.org>x", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example..org>", b"501 5.1.7 "),
        (b"MAIL FROM:<a@example.org> RET=x", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example.org>\r\nRCPT", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example.org>\r\nRCPT TO:b@example.org", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>x", b"501 5.5.4 "),
        (b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example..org>", b"501 5.1.3 "),
        (b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org> NOTIFY=x", b"501 5.5.4 "),
    ],
)
def test_what_is_no_path_or_no_parameter(command: bytes, answer: bytes) -> None:
    smtp = server()
    events_of(smtp, whole(b"HELO c\r\n" + command + b"\r\n"))
    assert smtp.outgoing().splitlines()[-1].startswith(answer)


def test_replies_wait_until_they_are_fetched() -> None:
    smtp = server()
    events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION))
    assert smtp.outgoing().count(b"\r\n") == 3
    assert smtp.outgoing() == b""


def after_hello(smtp: SmtpServer, octets: bytes) -> Event:
    """The event of the last of these octets, the ones before it accepted."""
    smtp.receive(b"EHLO c\r\n" + octets)
    while not isinstance(event := smtp.next_event(), NeedData):
        last = event
        if smtp._position == len(smtp._buffer):
            break
        accept(smtp, event)
    smtp.outgoing()
    return last


@pytest.mark.parametrize(
    ("octets", "accepted"),
    [
        (b"MAIL FROM:<a@example.org>\r\n", b"250 2.1.0 fine\r\n"),
        (TRANSACTION, b"250 2.1.5 fine\r\n"),
        (TRANSACTION + b"DATA\r\n", b"354 fine\r\n"),
        (TRANSACTION + b"DATA\r\n.\r\n", b"250 2.0.0 fine\r\n"),
        (TRANSACTION + b"BDAT 0 LAST\r\n", b""),
    ],
)
def test_decisions_in_the_drivers_words(octets: bytes, accepted: bytes) -> None:
    smtp = server()
    after_hello(smtp, octets)
    smtp.accept("fine")
    assert smtp.outgoing() == accepted
    smtp = server()
    after_hello(smtp, octets)
    smtp.refuse(451, "4.3.0", "later")
    smtp.next_event()
    assert smtp.outgoing() == b"451 4.3.0 later\r\n"


def test_a_code_of_ones_own() -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    smtp.accept("will forward", code=251, enhanced="2.1.9")
    assert smtp.outgoing() == b"251 2.1.9 will forward\r\n"


def test_the_driver_cannot_forget_a_decision() -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    with pytest.raises(RuntimeError, match="Rcpt waits"):
        smtp.next_event()
    smtp.accept()
    with pytest.raises(RuntimeError, match="no event waits"):
        smtp.accept()
    with pytest.raises(RuntimeError, match="no event waits"):
        smtp.refuse(550, "5.0.0", "no")
    with pytest.raises(RuntimeError, match="no login waits"):
        smtp.authenticated("a")
    with pytest.raises(RuntimeError, match="greeted already"):
        smtp.greet()


def test_keys_come_between_a_name_and_its_proof() -> None:
    smtp = server(auth=("SCRAM-SHA-256",), tls_active=True)
    smtp.receive(b"EHLO client\r\n")
    assert isinstance(smtp.next_event(), Hello)
    smtp.outgoing()
    smtp.receive(b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,,n=a,r=x") + b"\r\n")
    assert smtp.next_event() == Auth(KeysWanted("SCRAM-SHA-256", "a"))
    with pytest.raises(RuntimeError, match="no login waits for a decision"):
        smtp.authenticated("a")
    smtp.take_keys(KEYS)
    challenge = base64.b64decode(smtp.outgoing().removeprefix(b"334 "))
    nonce = challenge.split(b",")[0]
    smtp.receive(base64.b64encode(b"c=biws," + nonce + b",p=AAAA") + b"\r\n")
    assert smtp.next_event() == Auth(Proof("SCRAM-SHA-256", "a", None))
    with pytest.raises(RuntimeError, match="no login waits for keys"):
        smtp.take_keys(KEYS)
    smtp.refuse(535, "5.7.8", "Wrong")
    assert smtp.outgoing() == b"535 5.7.8 Wrong\r\n"


def test_a_login_is_not_accepted_by_the_way() -> None:
    smtp = server(auth=("PLAIN",), tls_active=True)
    event = after_hello(smtp, b"AUTH PLAIN AGEAcw==\r\n")
    assert event == Auth(Credentials("PLAIN", "a", "s"))
    with pytest.raises(RuntimeError):
        smtp.accept()
    assert smtp.login == ""
    smtp.authenticated("a")
    assert smtp.login == "a"
    assert smtp.protocol == "ESMTPSA"


@pytest.mark.parametrize(
    ("code", "enhanced"),
    [(250, "2.0.0"), (399, "3.0.0"), (550, "4.1.1"), (450, "5.1.1"), (550, "5.1"), (550, "5.1.1 "), (600, "6.0.0")],
)
def test_a_refusal_refuses(code: int, enhanced: str) -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    with pytest.raises(ValueError):
        smtp.refuse(code, enhanced, "text")
    smtp.accept()


@pytest.mark.parametrize(("code", "enhanced"), [(400, "4.0.0"), (599, "5.999.999")])
def test_a_refusal_may_have_any_code_of_its_class(code: int, enhanced: str) -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    smtp.refuse(code, enhanced, "text")
    assert smtp.outgoing() == f"{code} {enhanced} text\r\n".encode()


def test_a_refused_sender_leaves_no_transaction() -> None:
    smtp = server()
    after_hello(smtp, b"MAIL FROM:<a@example.org>\r\n")
    smtp.refuse(550, "5.7.1", "no")
    assert events_of(smtp, whole(b"RCPT TO:<b@example.org>\r\n")) == []
    assert smtp.outgoing() == b"550 5.7.1 no\r\n503 5.5.1 MAIL comes first\r\n"


def test_refused_content_ends_the_transaction() -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION + b"DATA\r\nx\r\n.\r\n")
    smtp.refuse(554, "5.7.1", "spam")
    events_of(smtp, whole(b"DATA\r\n"))
    assert smtp.outgoing() == b"554 5.7.1 spam\r\n503 5.5.1 MAIL comes first\r\n"


def test_refusals_count_only_when_told() -> None:
    smtp = server(errors_limit=1)
    after_hello(smtp, TRANSACTION)
    smtp.refuse(550, "5.1.1", "no")
    assert smtp.next_event() is NEED_DATA
    smtp.receive(b"RCPT TO:<c@example.org>\r\n")
    smtp.next_event()
    smtp.refuse(550, "5.1.1", "no", counts=True)
    assert smtp.next_event() == TooManyErrors()
    assert smtp.next_event() == Disconnected()
    assert smtp.outgoing().splitlines()[-1] == b"421 4.7.0 Too many errors"


FAILED_CHUNK = TRANSACTION + b"BDAT 200\r\n" + b"x" * 200


@pytest.mark.parametrize(
    ("octets", "counts"),
    [
        (b"FROBNICATE\r\n", True),
        (b"NOOP\nNOOP\r\n", True),
        (b"\xff\r\n", True),
        (b"x" * 3000 + b"\r\n", True),
        (b"RCPT TO:<b@example.org>\r\n", True),
        (b"MAIL FROM:<a@example..org>\r\n", True),
        (b"BDAT x\r\n", True),
        (b"BDAT 1\r\nx", True),
        (b"MAIL FROM:<a@example.org>\r\nBDAT 1\r\nx", True),
        (TRANSACTION + b"DATA\r\nx\n\r\n.\r\n", True),
        (TRANSACTION + b"BDAT 1\r\n\n", True),
        (b"STARTTLS\r\n", True),
        (b"AUTH PLAIN\r\n", True),
        (b"MAIL FROM:<a@example.org> SIZE=101\r\n", False),
        (TRANSACTION + b"RCPT TO:<c@example.org>\r\n", False),
        (TRANSACTION + b"DATA\r\n" + b"x" * 200 + b"\r\n.\r\n", False),
        (FAILED_CHUNK, False),
        (FAILED_CHUNK + b"BDAT 1 LAST\r\nx", False),
        (b"EXPN x\r\nVRFY x\r\nHELP\r\nNOOP\r\nRSET\r\n", False),
    ],
)
def test_what_counts_as_an_error(octets: bytes, counts: bool) -> None:
    smtp = server(errors_limit=1, size_limit=100, recipients_limit=1)
    assert (TooManyErrors() in events_of(smtp, whole(b"EHLO c\r\n" + octets))) == counts


def test_421_ends_the_session() -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    smtp.refuse(421, "4.3.2", "going down")
    smtp.receive(b"NOOP\r\n")
    assert smtp.next_event() == Disconnected()
    assert smtp.outgoing() == b"421 4.3.2 going down\r\n"


def test_421_to_one_recipient_of_several_ends_the_session() -> None:
    smtp = server(lmtp=True)
    octets = b"LHLO c\r\n" + TRANSACTION + b"RCPT TO:<c@example.org>\r\nDATA\r\nx\r\n.\r\n"
    smtp.receive(octets)
    while not isinstance(event := smtp.next_event(), Content):
        accept(smtp, event)
    smtp.refuse(421, "4.3.2", "going down", one=True)
    assert smtp.next_event() == Disconnected()


def test_close_while_a_decision_is_awaited() -> None:
    smtp = server()
    after_hello(smtp, TRANSACTION)
    smtp.close("4.4.2", "Timeout")
    assert smtp.next_event() == Disconnected()
    assert smtp.outgoing() == b"421 4.4.2 Timeout\r\n"


@pytest.mark.parametrize("octets", [b"", TRANSACTION, TRANSACTION + b"DATA\r\nhalf a li"])
def test_close_at_any_moment(octets: bytes) -> None:
    smtp = server()
    events_of(smtp, whole(b"EHLO c\r\n" + octets))
    smtp.outgoing()
    smtp.close("4.4.2", "Timeout")
    assert smtp.outgoing() == b"421 4.4.2 Timeout\r\n"
    assert smtp.next_event() == Disconnected()


def test_a_client_that_is_turned_away_may_only_quit() -> None:
    smtp = SmtpServer(hostname="mx.example.org", size_limit=1000, recipients_limit=10)
    smtp.refuse(554, "5.7.1", "No service")
    assert events_of(smtp, whole(b"EHLO c\r\nMAIL FROM:<>\r\nQUIT\r\n")) == [Quit()]
    assert [line[:3] for line in smtp.outgoing().splitlines()] == [b"554", b"503", b"503", b"221"]


@pytest.mark.parametrize(
    "octets", [b"", b"NO", b"EHLO c\r\n", b"EHLO c\r\n" + TRANSACTION + b"DATA\r\nhalf", b"EHLO c\r\nQUIT"]
)
def test_end_of_file(octets: bytes) -> None:
    smtp = server()
    events_of(smtp, whole(octets) if octets else iter(()))
    smtp.receive(b"")
    assert smtp.next_event() == Disconnected()
    assert smtp.next_event() == Disconnected()


def test_what_came_before_the_end_of_file_is_heard() -> None:
    smtp = server()
    smtp.receive(b"EHLO c\r\n")
    smtp.receive(b"")
    assert smtp.next_event() == Hello("c", True)
    assert smtp.next_event() == Disconnected()


@pytest.mark.parametrize(
    ("groups", "hasty"),
    [
        ([b"EHLO a.test\r\n", TRANSACTION + b"DATA\r\n"], False),
        ([b"EHLO a.test\r\n" + TRANSACTION], True),
        ([b"HELO a.test\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.org>\r\n"], False),
        ([b"HELO a.test\r\n", TRANSACTION], True),
        ([b"NOOP\r\nEHLO a.test\r\n"], True),
    ],
)
def test_who_sends_more_than_it_may_before_a_reply(groups: list[bytes], hasty: bool) -> None:
    smtp = server()
    for octets in groups:
        smtp.receive(octets)
        while (event := smtp.next_event()) is not NEED_DATA:
            accept(smtp, event)
    assert smtp.hasty is hasty


def test_a_greeting_in_two_parts_is_one_reply() -> None:
    smtp = SmtpServer(hostname="mx.example.org", size_limit=1, recipients_limit=1)
    smtp.tease("one moment")
    assert smtp.outgoing() == b"220-mx.example.org one moment\r\n"
    smtp.greet()
    assert smtp.outgoing() == b"220 mx.example.org ESMTP Postroad\r\n"
    with pytest.raises(RuntimeError):
        smtp.tease("too late")


def test_tls_forgets_what_was_said_and_what_is_unread() -> None:
    smtp = server(starttls=True)
    smtp.receive(b"EHLO c\r\nSTARTTLS\r\nMAIL FROM:<injected@example.org>\r\n")
    assert smtp.next_event() == Hello("c", True)
    assert smtp.next_event() == StartTls()
    smtp.receive(b"RCPT TO:<injected@example.org>\r\n")
    assert smtp.next_event() is NEED_DATA
    assert smtp._buffer == b""
    smtp.receive(b"DATA\r\n")
    smtp.outgoing()
    smtp.tls_started()
    assert smtp.next_event() is NEED_DATA
    assert smtp.outgoing() == b""
    assert (smtp.hello, smtp.tls_active, smtp.protocol) == ("", True, "SMTP")


def test_a_login_may_be_bound_to_tls_that_came_by_starttls() -> None:
    smtp = server(starttls=True, auth=("SCRAM-SHA-256-PLUS",))
    events_of(smtp, whole(b"EHLO c\r\nSTARTTLS\r\n"))
    smtp.tls_started(Channel(bindings={"tls-exporter": b"x" * 32}))
    smtp.outgoing()
    events_of(smtp, whole(b"EHLO c\r\n"))
    assert smtp.outgoing().endswith(b"250 AUTH SCRAM-SHA-256-PLUS\r\n")


@pytest.mark.parametrize(
    ("octets", "settings", "name"),
    [
        (b"HELO c\r\n", {}, "SMTP"),
        (b"EHLO c\r\n", {}, "ESMTP"),
        (b"EHLO c\r\n", {"tls_active": True}, "ESMTPS"),
        (b"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n", {}, "UTF8SMTP"),
        (b"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n", {"tls_active": True}, "UTF8SMTPS"),
        (b"NOOP\r\n", {}, "SMTP"),
        (b"LHLO c\r\n", {"lmtp": True}, "LMTP"),
        (b"LHLO c\r\n", {"lmtp": True, "tls_active": True}, "LMTPS"),
        (b"LHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n", {"lmtp": True}, "UTF8LMTP"),
    ],
)
def test_name_of_the_protocol(octets: bytes, settings: dict[str, Any], name: str) -> None:
    smtp = server(**settings)
    events_of(smtp, whole(octets))
    assert smtp.protocol == name


def offered(**settings: Any) -> list[bytes]:
    """What EHLO is answered with: the name, and what is offered. `tests/dialogs/commands.txt` lists what always is."""
    smtp = server(**settings)
    events_of(smtp, whole(b"EHLO c\r\n"))
    *lines, last = smtp.outgoing().splitlines()
    assert all(line.startswith(b"250-") for line in lines)
    assert last.startswith(b"250 ")
    return [line[4:] for line in (*lines, last)]


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"starttls": True, "auth": ("PLAIN",)}, [b"STARTTLS"]),
        ({"starttls": True, "auth": ("PLAIN", "LOGIN"), "tls_active": True}, [b"AUTH PLAIN LOGIN"]),
        ({"requiretls": True}, []),
        ({"requiretls": True, "tls_active": True}, [b"REQUIRETLS"]),
    ],
)
def test_what_is_offered_besides(settings: dict[str, Any], more: list[bytes]) -> None:
    assert offered(**settings) == [*offered(), *more]


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({}, b"502 5.5.1"),
        ({"starttls": True}, b"502 5.5.1"),
        ({"tls_active": True}, b"502 5.5.1"),
        ({"auth": ("PLAIN",)}, b"502 5.5.1"),
        ({"auth": ("PLAIN",), "starttls": True}, b"538 5.7.11"),
        ({"auth": ("PLAIN",), "tls_active": True}, b"235 2.7.0"),
    ],
)
def test_a_login_needs_tls_and_to_be_offered(settings: dict[str, Any], answer: bytes) -> None:
    smtp = server(**settings)
    events_of(smtp, whole(b"EHLO c\r\nAUTH PLAIN AGEAcw==\r\n"))
    assert smtp.outgoing().splitlines()[-1].startswith(answer + b" ")


def test_nothing_is_known_of_who_has_said_nothing() -> None:
    smtp = server()
    assert (smtp.hello, smtp.login, smtp.tls_active, smtp.protocol) == ("", "", False, "SMTP")


def test_unknown_mechanisms_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="GSSAPI"):
        server(auth=("GSSAPI",))


# Content


CONTENTS = [
    b"",
    b"\r\n",
    b"one\r\n",
    b".\r\n",
    b"..\r\n.\r\n...x\r\n",
    b"\r\n\r\n.\r\n\r\n",
    b"x" * 5000 + b"\r\n",
    b"one line of an ordinary letter\r\n.dot\r\n" * 9000,
    b"x" * 3 * HOLD_LIMIT + b"\r\n.\r\n",
    b"." + b"x" * 2 * HOLD_LIMIT + b"\r\n",
]


def stuffed(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]


@pytest.mark.parametrize("step", [1_000_000, 65_536, 65_535, 1460, 1021])
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_data_in_pieces(content: bytes, step: int) -> None:
    octets = b"HELO c\r\n" + TRANSACTION + b"DATA\r\n" + stuffed(content) + b".\r\nNOOP\r\n"
    pieces = (octets[start : start + step] for start in range(0, len(octets), step))
    assert events_of(server(), pieces)[-2:] == [ContentBegin(), Content(content)]


@pytest.mark.parametrize("first", [b"one\r\n", b".one\r\n"])
def test_a_message_ends_at_its_first_end_wherever_it_is_cut(first: bytes) -> None:
    second = b"two\r\n"
    messages = b"".join(TRANSACTION + b"DATA\r\n" + stuffed(content) + b".\r\n" for content in (first, second))
    for cut in range(len(messages)):
        pieces = iter([b"HELO c\r\n" + messages[:cut], messages[cut:]])
        contents = [event.data for event in events_of(server(), pieces) if isinstance(event, Content)]
        assert contents == [first, second]


@pytest.mark.parametrize("before", [0, 2 * HOLD_LIMIT])
@pytest.mark.parametrize("cut", range(1, 8))
def test_an_endless_line_is_cut_anywhere_near_its_end(cut: int, before: int) -> None:
    line = b"x" * 4 * HOLD_LIMIT
    octets = b"HELO c\r\n" + TRANSACTION + b"DATA\r\n" + line + b"\r\n.\r\nNOOP\r\n"
    position = len(octets) - len(b"\r\n.\r\nNOOP\r\n") + cut - 1
    pieces = (octets[:before], octets[before:position], octets[position:])
    events = events_of(server(), filter(None, pieces))
    assert events[-1] == Content(line + b"\r\n")


def test_more_may_arrive_before_the_next_part_of_content_is_asked_for() -> None:
    smtp = server()
    events_of(smtp, iter([b"HELO c\r\n" + TRANSACTION + b"DATA\r\n", b"x" * (HOLD_LIMIT - 9)]))
    smtp.receive(b"x" * HOLD_LIMIT + b"\r\n")
    assert isinstance(smtp.next_event(), ContentPart)
    smtp.receive(b"y\r\n.\r\nNOOP\r\n")
    assert smtp.next_event() == ContentPart(b"y\r\n")


@pytest.mark.parametrize("step", [1_000_000, 65_536, 1460])
@pytest.mark.parametrize("chunk", [1_000_000, 70_000, 1000])
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_bdat_in_pieces(content: bytes, chunk: int, step: int) -> None:
    chunks = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    octets = b"HELO c\r\n" + TRANSACTION
    octets += b"".join(b"BDAT %d\r\n%b" % (len(piece), piece) for piece in chunks) + b"BDAT 0 LAST\r\nNOOP\r\n"
    pieces = (octets[start : start + step] for start in range(0, len(octets), step))
    assert events_of(server(), pieces)[-2:] == [ContentBegin(), Content(content)]


@pytest.mark.parametrize("argument", [b"", b"5x", b"x5", b"-5", b"5 LAST x", b"5LAST", b"1" * 21])
def test_a_chunk_without_a_size_is_none(argument: bytes) -> None:
    smtp = server()
    events = events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION + b"BDAT " + argument + b"\r\nNOOP\r\n"))
    assert ContentBegin() not in events
    assert [line[:3] for line in smtp.outgoing().splitlines()[-2:]] == [b"501", b"250"]


@pytest.mark.parametrize("chunks", [[10], [4, 6], [10, 0]])
def test_chunks_may_have_the_size_of_the_limit_together(chunks: list[int]) -> None:
    octets = b"".join(b"BDAT %d\r\n%b" % (size, b"x" * size) for size in chunks)
    smtp = server(size_limit=10)
    events = events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION + octets + b"BDAT 0 LAST\r\n"))
    assert events[-1] == Content(b"x" * 10)


@pytest.mark.parametrize("chunks", [[11], [4, 7]])
def test_what_came_of_a_content_is_reset_by_a_chunk_that_is_too_large(chunks: list[int]) -> None:
    octets = b"".join(b"BDAT %d\r\n%b" % (size, b"x" * size) for size in chunks)
    smtp = server(size_limit=10)
    events = events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION + octets))
    assert events[-1] == Reset("552 5.3.4 The message is too large")


@feeders
def test_small_content_is_one_event(feed: Feeder) -> None:
    smtp = server()
    seen = []
    for piece in feed(b"HELO c\r\n" + TRANSACTION + b"DATA\r\n" + b"line\r\n" * 100 + b".\r\n"):
        smtp.receive(piece)
        while not isinstance(event := smtp.next_event(), NeedData):
            accept(smtp, event)
            seen.append(type(event))
    assert seen == [Hello, Mail, Rcpt, ContentBegin, Content]


def test_large_content_comes_in_large_pieces() -> None:
    smtp = server()
    events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION + b"DATA\r\n"))
    sizes = []
    for _ in range(500):
        smtp.receive(b"a line of 20 octets\r\n" * 70)
        while not isinstance(event := smtp.next_event(), NeedData):
            assert isinstance(event, ContentPart)
            sizes.append(len(event.data))
        assert len(smtp._buffer) <= 2 * HOLD_LIMIT
    assert min(sizes) > HOLD_LIMIT // 2


@pytest.mark.parametrize("size", [100, 200_000])
@pytest.mark.parametrize("step", [1_000_000, 1460])
def test_content_over_the_limit_is_dropped_and_its_end_found(size: int, step: int) -> None:
    smtp = server(size_limit=99)
    octets = b"HELO c\r\n" + TRANSACTION + b"DATA\r\n" + b"QUIT\r\n" * (size // 6 + 1) + b".\r\nNOOP\r\n"
    pieces = (octets[start : start + step] for start in range(0, len(octets), step))
    assert events_of(smtp, pieces)[-1] == Reset("552 5.3.4 The message is too large")
    assert smtp.outgoing().splitlines()[-2:] == [b"552 5.3.4 The message is too large", b"250 2.0.0 Nothing done"]


def test_memory_is_bounded_while_content_is_dropped() -> None:
    smtp = server(size_limit=10)
    events_of(smtp, whole(b"HELO c\r\n" + TRANSACTION + b"DATA\r\n"))
    for piece in [b"x" * 50_000] * 100 + [b"y\r\n" * 20_000] * 50:
        smtp.receive(piece)
        assert smtp.next_event() is NEED_DATA
        assert len(smtp._buffer) - smtp._position <= 2 * HOLD_LIMIT


def test_memory_is_bounded_while_a_line_is_dropped() -> None:
    smtp = server()
    for _ in range(100):
        smtp.receive(b"x" * 10_000 + b"\r")
        assert smtp.next_event() is NEED_DATA
        assert len(smtp._buffer) <= 10_001
    smtp.receive(b"\n")
    assert smtp.next_event() is NEED_DATA
    assert smtp.outgoing() == b"500 5.5.2 The line is too long\r\n"


def test_the_end_of_a_dropped_line_is_found_between_two_reads() -> None:
    smtp = server()
    events_of(smtp, iter([b"NOOP\r\n" + b"x" * 3000 + b"\r", b"\nNOOP\r\n"]))
    assert [line[:3] for line in smtp.outgoing().splitlines()] == [b"250", b"500", b"250"]


def test_an_empty_line_is_a_response_like_another() -> None:
    smtp = server(auth=("LOGIN",), tls_active=True)
    events_of(smtp, iter([b"EHLO c\r\n", b"AUTH LOGIN\r\n", b"\r\n", b"NOOP\r\n"]))
    assert [line[:3] for line in smtp.outgoing().splitlines()[-3:]] == [b"334", b"334", b"501"]


@feeders
@pytest.mark.parametrize("length", [12_286, 12_287, 20_000])
def test_long_lines_of_an_exchange(feed: Feeder, length: int) -> None:
    smtp = server(auth=("PLAIN",), tls_active=True)
    events_of(smtp, whole(b"EHLO c\r\nAUTH PLAIN\r\n"))
    smtp.outgoing()
    events_of(smtp, feed(b"=" * length + b"\r\nNOOP\r\n"))
    first, second = smtp.outgoing().splitlines()
    assert first[:9] == (b"501 5.5.2" if length + 2 <= 12_288 else b"500 5.5.6")
    assert second[:3] == b"250"


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\n\r", b"\r\r", b"\n\n", b"\r\n\n"])
@pytest.mark.parametrize(
    ("before", "step"), [(0, 1), (10, 1), (0, 1_000_000), (HOLD_LIMIT, 65_536), (3 * HOLD_LIMIT, 1460)]
)
def test_a_bare_newline_anywhere_refuses_the_message(newline: bytes, before: int, step: int) -> None:
    octets = b"HELO c\r\n" + TRANSACTION + b"DATA\r\n" + b"x" * before + newline + b".\r\nQUIT\r\n.\r\nNOOP\r\n"
    smtp = server()
    pieces = (octets[start : start + step] for start in range(0, len(octets), step))
    assert events_of(smtp, pieces)[-1] == Reset("550 5.6.0 Line breaks must be CRLF")
    assert smtp.outgoing().endswith(b"250 2.0.0 Nothing done\r\n")


@pytest.mark.parametrize(
    ("data", "bare"),
    [
        (b"", False),
        (b"x", False),
        (b"\r\n", False),
        (b"a\r\nb\r\n\r\n", False),
        (b"\n", True),
        (b"\r", True),
        (b"\n\r", True),
        (b"\r\r\n", True),
        (b"\r\n\n", True),
        (b"a\rb\n", True),
        (b"\rX\n\r\n", True),
    ],
)
def test_bare_newlines_across_parts(data: bytes, bare: bool) -> None:
    for cut in range(len(data) + 1):
        tally = Tally(100, strict=True)
        tally.add(data[:cut])
        tally.add(data[cut:])
        assert tally.finish() == (not bare)
        assert tally.size == len(data)


@given(st.text("a\r\n\v\x85", max_size=12).map(lambda text: text.encode("latin-1")), st.integers(0, 12))
def test_a_bare_newline_is_whatever_is_left_without_the_pairs(data: bytes, cut: int) -> None:
    tally = Tally(100, strict=True)
    tally.add(data[:cut])
    tally.add(data[cut:])
    assert tally.finish() == (not {*b"\r\n"} & {*data.replace(b"\r\n", b"")})


# Replies


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [b"550 5.1.1 "]),
        ("no", [b"550 5.1.1 no"]),
        ("one\r\n250 2.0.0 two", [b"550-5.1.1 one", b"550 5.1.1 250 2.0.0 two"]),
        ("a\0b\tü\x85c", [b"550-5.1.1 a?b??", b"550 5.1.1 c"]),
        ("x" * 500, [b"550-5.1.1 " + b"x" * 480, b"550 5.1.1 " + b"x" * 20]),
        ("\n", [b"550 5.1.1 "]),
        ("one\n\ntwo", [b"550-5.1.1 one", b"550-5.1.1 ", b"550 5.1.1 two"]),
    ],
)
def test_a_reply_is_whole_lines(text: str, lines: list[bytes]) -> None:
    assert reply(550, "5.1.1", text) == b"".join(line + b"\r\n" for line in lines)


def test_a_reply_of_several_lines_may_have_no_enhanced_code() -> None:
    assert reply(250, "", "mx.example.org\nPIPELINING\nHELP") == b"250-mx.example.org\r\n250-PIPELINING\r\n250 HELP\r\n"


@given(st.text())
def test_no_text_breaks_a_reply(text: str) -> None:
    lines = reply(451, "4.0.0", text).split(b"\r\n")
    assert lines.pop() == b""
    assert all(line[:4] in (b"451-", b"451 ") and line.isascii() and len(line) <= 510 for line in lines)
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]


# Any input, however it is chopped

WORDS = [
    *[b"HELO c\r\n", b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"BDAT 3\r\n"],
    *[b"BDAT 5 LAST\r\n", b"BDAT 0 LAST\r\n", b"RSET\r\n", b"NOOP x\r\n", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"*\r\n"],
    *[b"AUTH PLAIN AGEAcw==\r\n", b"STARTTLS\r\n", b"x\r\n", b".\r\n", b"..\r\n", b".", b"\r", b"\n", b"\r\n", b"\0"],
    *[b"\xff", b"MAIL FROM:<a@b> SIZE=99\r\n", b"QUIT\r\n", b"y" * 40, TRANSACTION + b"DATA\r\n"],
]
sessions = st.lists(st.sampled_from(WORDS), max_size=30).map(lambda words: b"EHLO c\r\n" + b"".join(words))


@pytest.mark.parametrize("tls_active", [True, False])
@given(sessions, st.lists(st.integers(1, 30)))
def test_no_chopping_changes_what_is_understood(tls_active: bool, octets: bytes, sizes: list[int]) -> None:
    def chopped() -> Iterator[bytes]:
        position = 0
        for size in sizes:
            if octets[position : position + size]:
                yield octets[position : position + size]
            position += size
        if octets[position:]:
            yield octets[position:]

    settings = {"size_limit": 30, "command_line_limit": 40, "auth": ("PLAIN", "LOGIN"), "tls_active": tls_active}
    one, many, single = server(**settings), server(**settings), server(**settings)
    expected, replies = events_of(one, whole(octets)), one.outgoing()
    assert (events_of(many, chopped()), many.outgoing()) == (expected, replies)
    assert (events_of(single, byte_by_byte(octets)), single.outgoing()) == (expected, replies)


@given(st.lists(st.binary(min_size=1) | st.sampled_from(WORDS)), st.booleans(), st.booleans())
def test_no_octets_raise(pieces: list[bytes], tls_active: bool, starttls: bool) -> None:
    smtp = server(auth=("PLAIN", "LOGIN"), tls_active=tls_active, starttls=starttls, errors_limit=5)
    events_of(smtp, iter(pieces))
    replies = smtp.outgoing()
    assert not replies or replies.endswith(b"\r\n")
