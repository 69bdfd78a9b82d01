"""The server's side of POP3, as dialogs: whole, byte by byte, and in any pieces."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.pop3 import (
    COMMANDS,
    HIGH_WATER,
    LINE_LIMIT,
    SMALL,
    TOGETHER,
    Closed,
    Event,
    Login,
    Refusal,
    Remove,
    Retrieve,
    RetrieveSome,
    Session,
    Signal,
    StartTls,
    State,
)
from engine.protocols.sasl import Credentials, KeysWanted


@dataclass(frozen=True)
class Item:
    size: int
    uidl: str


ITEMS = (Item(120, "7.1"), Item(200, "7.2"), Item(30, "7.9"))
BODY = b"Subject: x\r\n\r\n.dot\r\n..two\r\nend"


def opened(**options: bool) -> Session:
    """A session in TRANSACTION state, its greetings taken away."""
    session = Session("mx.example.org", plaintext=True, **options)
    session.receive(b"USER ann\r\nPASS secret\r\n")
    assert session.next_event() == Login(Credentials("USER", "ann", "secret"))
    session.logged_in(ITEMS)
    session.outgoing()
    return session


def answer(session: Session, event: Event) -> bytes | None:
    """What a driver over a healthy store does; what it sends by itself."""
    match event:
        case Login(Credentials(_, _, "secret")):
            session.logged_in(ITEMS)
        case Login():
            session.refused(Refusal.CREDENTIALS)
        case StartTls():
            session.tls_started()
        case Retrieve(_, lines):
            session.body_begins()
            session.body(BODY if lines is None else BODY[:14])
            session.body_ends()
        case RetrieveSome(numbers):
            return session.some([BODY] * len(numbers))
        case Remove():
            session.removed()
    return None


def converse(session: Session, pieces: list[bytes], answer: Callable[[Session, Event], bytes | None] = answer) -> bytes:
    """All that the session says to these octets."""
    said = session.outgoing()
    for piece in pieces:
        session.receive(piece)
        while (event := session.next_event()) is not Signal.NEED_DATA:
            if isinstance(event, Closed):
                return said + session.outgoing()
            if not isinstance(event, Signal):
                said += answer(session, event) or b""
            said += session.outgoing()
        said += session.outgoing()
    return said


DIALOG = [
    (b"CAPA", b"+OK capabilities\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\n"
              b"LANG\r\nUTF8 USER\r\nUSER\r\nIMPLEMENTATION Postroad\r\n.\r\n"),
    (b"LANG", b"+OK languages\r\nen English\r\n.\r\n"),
    (b"LANG en-GB", b"+OK en English it is\r\n"),
    (b"LANG *", b"+OK en English it is\r\n"),
    (b"LANG de", b"-ERR no such language; LANG lists those there are\r\n"),
    (b"UTF8 x", b"-ERR write it like this: UTF8\r\n"),
    (b"UTF8", b"+OK header fields may be UTF-8\r\n"),
    (b"USER \xff", b"-ERR a command is ASCII or UTF-8\r\n"),
    (b"STAT", b"-ERR not in AUTHORIZATION state\r\n"),
    (b"PASS secret", b"-ERR USER comes first\r\n"),
    (b"USER ann", b"+OK now the password\r\n"),
    (b"PASS wrong pass", b"-ERR [AUTH] wrong user name or password\r\n"),
    (b"user ann@example.org", b"+OK now the password\r\n"),
    (b"pass secret", b"+OK mailbox has 3 messages (350 octets)\r\n"),
    (b"USER ann", b"-ERR not in TRANSACTION state\r\n"),
    (b"STAT", b"+OK 3 350\r\n"),
    (b"LIST", b"+OK 3 messages (350 octets)\r\n1 120\r\n2 200\r\n3 30\r\n.\r\n"),
    (b"LIST 2", b"+OK 2 200\r\n"),
    (b"LIST 4", b"-ERR no such message\r\n"),
    (b"LIST 0", b"-ERR no such message\r\n"),
    (b"UIDL", b"+OK 3 messages (350 octets)\r\n1 7.1\r\n2 7.2\r\n3 7.9\r\n.\r\n"),
    (b"UIDL 3", b"+OK 3 7.9\r\n"),
    (b"DELE 2", b"+OK message 2 deleted\r\n"),
    (b"DELE 2", b"-ERR no such message\r\n"),
    (b"RETR 2", b"-ERR no such message\r\n"),
    (b"STAT", b"+OK 2 150\r\n"),
    (b"LIST", b"+OK 2 messages (150 octets)\r\n1 120\r\n3 30\r\n.\r\n"),
    (b"RSET", b"+OK mailbox has 3 messages (350 octets)\r\n"),
    (b"NOOP", b"+OK done\r\n"),
    (b"RETR 1", b"+OK 120 octets\r\nSubject: x\r\n\r\n..dot\r\n...two\r\nend\r\n.\r\n"),
    (b"TOP 1 0", b"+OK top of message\r\nSubject: x\r\n\r\n.\r\n"),
    (b"TOP 1", b"-ERR write it like this: TOP number lines\r\n"),
    (b"RETR x", b"-ERR write it like this: RETR number\r\n"),
    (b"STAT 1", b"-ERR write it like this: STAT\r\n"),
    (b"CAPA", b"+OK capabilities\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\n"
              b"LANG\r\nUTF8 USER\r\nUSER\r\nIMPLEMENTATION Postroad\r\n.\r\n"),
    (b"UTF8", b"-ERR not in TRANSACTION state\r\n"),
    (b"lang i-default", b"+OK en English it is\r\n"),
    (b"APOP ann c4c9334bac560ecc979e58001b3e22fb", b"-ERR unknown command\r\n"),
    (b"DELE 1", b"+OK message 1 deleted\r\n"),
    (b"QUIT", b"+OK good bye\r\n"),
]  # fmt: skip
GREETING = b"+OK mx.example.org POP3 server ready\r\n"
ALL_IN = b"".join(line + b"\r\n" for line, _ in DIALOG)
ALL_OUT = GREETING + b"".join(reply for _, reply in DIALOG)


def test_each_command_and_its_reply() -> None:
    session = Session("mx.example.org", plaintext=True, mistakes=50)
    assert session.outgoing() == GREETING
    for line, reply in DIALOG:
        assert converse(session, [line + b"\r\n"]) == reply, line
    assert session.state is State.CLOSED


def test_the_dialog_meets_every_command_but_stls_and_auth() -> None:
    met = {line.split()[0].decode().upper() for line, _ in DIALOG}
    assert set(COMMANDS) - met == {"STLS", "AUTH"}


def test_everything_pipelined_in_one_piece() -> None:
    assert converse(Session("mx.example.org", plaintext=True, mistakes=50), [ALL_IN]) == ALL_OUT


def test_everything_byte_by_byte() -> None:
    octets = [bytes([octet]) for octet in ALL_IN]
    assert converse(Session("mx.example.org", plaintext=True, mistakes=50), octets) == ALL_OUT


@given(st.lists(st.integers(0, len(ALL_IN)), max_size=20))
def test_everything_in_any_pieces(cuts: list[int]) -> None:
    pieces = [ALL_IN[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(ALL_IN)], strict=True)]
    assert converse(Session("mx.example.org", plaintext=True, mistakes=50), pieces) == ALL_OUT


FRAGMENTS = [*(line for line, _ in DIALOG), b"STLS", b"\r\n", b"\r\n", b"\n", b" ", b"1", b"0", b"99999999999"]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20)).map(b"".join))
def test_no_octets_break_a_session(octets: bytes) -> None:
    session = opened(stls=True)
    said = converse(session, [octets])
    assert said.count(b"\r\n") == said.count(b"\n")
    if session.state is not State.CLOSED:
        said = converse(session, [b"\nCAPA\r\n"])
        assert said.endswith(b"Postroad\r\n.\r\n") or session.state is State.CLOSED


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        (b"..\r\n", b"...\r\n.\r\n"),
        (b"a\n.\n", b"a\n..\n\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
    ],
)
def test_dots_and_last_lines(body: bytes, sent: bytes) -> None:
    for pieces in ([body], [body[n : n + 1] for n in range(len(body))], [b"", body, b""]):
        session = opened()
        session.receive(b"RETR 1\r\n")
        assert session.next_event() == Retrieve(1, None)
        session.body_begins()
        for piece in pieces:
            session.body(piece)
        session.body_ends()
        assert session.outgoing() == b"+OK 120 octets\r\n" + sent


def test_top_asks_for_lines() -> None:
    session = opened()
    session.receive(b"TOP 2 10\r\n")
    assert session.next_event() == Retrieve(2, 10)


def test_a_message_that_cannot_be_read() -> None:
    session = opened()
    said = converse(session, [b"RETR 1\r\nNOOP\r\n"], lambda session, _: session.not_retrieved())
    assert said == b"-ERR [SYS/TEMP] the message cannot be read now\r\n+OK done\r\n"


def test_quit_removes_and_only_quit() -> None:
    session = opened()
    session.receive(b"DELE 3\r\nDELE 1\r\nQUIT\r\nNOOP\r\n")
    assert session.next_event() == Remove((1, 3))
    assert session.state is State.UPDATE
    session.not_removed()
    assert session.next_event() == Closed()
    assert session.outgoing().endswith(b"-ERR [SYS/TEMP] some deleted messages not removed\r\n")


def test_an_open_question_must_be_answered_by_its_own_method() -> None:
    session = opened()
    session.receive(b"DELE 1\r\nQUIT\r\n")
    session.next_event()
    for wrong in (session.next_event, session.body_ends, session.tls_started, lambda: session.logged_in(())):
        with pytest.raises(RuntimeError):
            wrong()
    session.removed()


def test_no_password_in_the_clear() -> None:
    session = Session("mx", stls=True)
    said = converse(session, [b"CAPA\r\nUSER ann\r\nPASS secret\r\n"])
    assert b"\r\nUSER\r\n" not in said
    assert b"\r\nSTLS\r\n" in said
    assert said.endswith(b"-ERR [AUTH] no password without TLS; begin with STLS\r\n-ERR USER comes first\r\n")


def test_stls_forgets_what_came_before_and_with_it() -> None:
    session = Session("mx", stls=True, plaintext=True)
    session.receive(b"USER mallory\r\nSTLS\r\nUSER mallory\r\nPASS x\r\n")
    assert session.next_event() == StartTls()
    assert session.outgoing().endswith(b"+OK begin the handshake\r\n")
    session.receive(b"NOOP\r\n")
    session.tls_started()
    assert session.next_event() is Signal.NEED_DATA
    said = converse(session, [b"PASS secret\r\n", b"STLS\r\n", b"CAPA\r\n"])
    assert said.startswith(b"-ERR USER comes first\r\n-ERR TLS runs already\r\n")
    assert b"STLS\r\n" not in said.partition(b"capabilities")[2]
    assert b"\r\nUSER\r\n" in said


def test_stls_where_it_is_not_offered_and_after_login() -> None:
    assert converse(Session("mx"), [b"STLS\r\n"]).endswith(b"-ERR TLS is not offered here\r\n")
    assert converse(opened(stls=True), [b"STLS\r\n"]) == b"-ERR not in TRANSACTION state\r\n"


def test_messages_that_are_asked_for_together_are_given_together() -> None:
    session = opened()
    session.receive(b"NOOP\r\nRETR 1\r\nretr 3\nRETR 03\r\nRETR 4\r\nRETR 2\r\n")
    event = session.next_event()
    assert event == RetrieveSome((1, 3, 3)), "up to one that is not there"
    with pytest.raises(RuntimeError):
        session.next_event()
    text = b"+OK %d octets\r\n"
    ends = b".a\r\n.\r\n", b"", None
    assert session.some(ends) == b"", "it can be sent with what comes"
    assert session.next_event() == Retrieve(2, None)
    assert session.outgoing() == b"+OK done\r\n" + text % 120 + b"..a\r\n..\r\n.\r\n" + text % 30 + (
        b".\r\n-ERR the message is gone\r\n-ERR no such message\r\n"
    )
    session.body_begins()
    session.body_ends()
    session.receive(b"RETR 1\r\nRETR 2\r\n")
    session.next_event()
    said = session.some([b"x" * HIGH_WATER, b"y"])
    assert said == text % 200 + b".\r\n" + text % 120 + b"x" * HIGH_WATER + b"\r\n.\r\n" + text % 200 + b"y\r\n.\r\n"
    assert session.outgoing() == b""


@pytest.mark.parametrize(
    ("sizes", "together"),
    [
        ([1, SMALL, SMALL + 1, 1, 1], [(1, 2), 3, (4, 5)]),
        ([SMALL] * 12, [tuple(range(1, 9)), (9, 10, 11, 12)]),
        ([SMALL + 1, SMALL + 1, 1], [1, 2, 3]),
        ([TOGETHER // 9] * 4, [(1, 2, 3, 4)]),
    ],
)
def test_only_small_messages_are_given_together_and_not_too_many(sizes: list[int], together: list[object]) -> None:
    session = Session("mx", plaintext=True)
    session.receive(b"USER ann\r\nPASS secret\r\n")
    session.next_event()
    session.logged_in([Item(size, f"7.{number}") for number, size in enumerate(sizes)])
    session.receive(b"".join(b"RETR %d\r\n" % number for number in range(1, len(sizes) + 1)))
    asked: list[object] = []
    while not isinstance(event := session.next_event(), Signal):
        assert isinstance(event, Retrieve | RetrieveSome)
        asked.append(event.numbers if isinstance(event, RetrieveSome) else event.number)
        answer(session, event)
    assert asked == together


def test_messages_that_cannot_be_read_are_each_refused() -> None:
    session = opened()
    session.receive(b"RETR 1\r\nRETR 2\r\n")
    session.next_event()
    session.none_retrieved()
    assert session.next_event() is Signal.NEED_DATA
    assert session.outgoing() == b"-ERR [SYS/TEMP] the message cannot be read now\r\n" * 2


@pytest.mark.parametrize("refusal", Refusal)
def test_refusals_carry_their_code(refusal: Refusal) -> None:
    session = Session("mx", plaintext=True)
    said = converse(session, [b"USER a\r\nPASS b\r\n"] * 4, lambda session, _: session.refused(refusal))
    assert f"-ERR {refusal.value}\r\n".encode() in said
    # Only a wrong password uses up the three tries.
    assert (session.state is State.CLOSED) == (refusal is Refusal.CREDENTIALS)
    assert said.count(b"-ERR") == (3 if refusal is Refusal.CREDENTIALS else 4)


def test_twenty_mistakes_in_a_row_end_the_session() -> None:
    session = Session("mx", plaintext=True)
    said = converse(session, [b"EHLO x\r\n" * 22])
    assert said.count(b"-ERR") == 20
    assert said.endswith(b"unknown command; too many mistakes, good bye\r\n")


def test_mistakes_between_commands_that_make_sense_end_nothing() -> None:
    """As a program makes them that tries what a server takes."""
    session = Session("mx", plaintext=True)
    said = converse(session, [(b"EHLO x\r\n" * 19 + b"CAPA\r\n") * 5])
    assert said.count(b"-ERR") == 95
    assert session.state is State.AUTHORIZATION


@pytest.mark.parametrize("chopped", [False, True])
def test_a_line_too_long_is_one_mistake_and_takes_no_memory(chopped: bool) -> None:
    line = b"USER " + b"x" * 1_000_000 + b"\r\n"
    session = Session("mx", plaintext=True)
    session.outgoing()
    pieces = [line[n : n + 60_000] for n in range(0, len(line), 60_000)] if chopped else [line]
    assert converse(session, [*pieces, b"USER ann\r\n"]) == b"-ERR line too long\r\n+OK now the password\r\n"
    assert len(session._received) <= LINE_LIMIT + 1


def test_the_longest_line_is_obeyed() -> None:
    session = Session("mx", plaintext=True)
    session.outgoing()
    assert converse(session, [b"USER " + b"x" * (LINE_LIMIT - 6) + b"\r\n"]) == b"+OK now the password\r\n"


def test_a_long_listing_is_handed_over_in_bounded_pieces_and_in_order() -> None:
    session = Session("mx", plaintext=True)
    session.receive(b"USER a\r\nPASS b\r\n")
    session.next_event()
    session.logged_in([Item(n, f"7.{n}") for n in range(50_000)])
    session.receive(b"UIDL\r\nNOOP\r\nLIST\r\nNOOP\r\n" * 3)
    said, pieces = b"", 0
    while (signal := session.next_event()) is Signal.SEND_FIRST:
        piece = session.outgoing()
        assert len(piece) < HIGH_WATER + 1000
        said, pieces = said + piece, pieces + 1
    said += session.outgoing()
    assert signal is Signal.NEED_DATA
    assert pieces > 20
    assert said.count(b"\r\n.\r\n+OK done\r\n") == 6
    assert said.count(b"\r\n50000 7.49999\r\n.\r\n") == said.count(b"\r\n50000 49999\r\n.\r\n") == 3


def test_a_password_keeps_its_spaces_and_stays_out_of_logs() -> None:
    session = Session("mx", plaintext=True)
    session.receive("USER ann\nPASS  two  spaces ä \n".encode())
    login = session.next_event()
    assert login == Login(Credentials("USER", "ann", " two  spaces ä "))
    assert "spaces" not in repr(login)


def sasl_session(**options: bool) -> Session:
    session = Session("mx.example.org", auth=("PLAIN", "LOGIN"), **({"plaintext": True} | options))
    session.outgoing()
    return session


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"AUTH PLAIN AGFubgBzZWNyZXQ=", b"+OK mailbox"),
        (b"auth plain\r\nAGFubgBzZWNyZXQ=", b"+ \r\n+OK mailbox"),
        (b"AUTH LOGIN\r\nYW5u\r\nc2VjcmV0", b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK mailbox"),
        (b"AUTH LOGIN YW5u\r\nc2VjcmV0", b"+ UGFzc3dvcmQ6\r\n+OK mailbox"),
        (b"AUTH PLAIN AGFubgB3cm9uZw==", b"-ERR [AUTH] wrong"),
        (b"AUTH PLAIN =", b"-ERR [AUTH] PLAIN wants"),
        (b"AUTH PLAIN\r\n*", b"+ \r\n-ERR cancelled"),
        (b"AUTH PLAIN\r\n!", b"+ \r\n-ERR this is no base64"),
        (b"AUTH PLAIN\r\n" + b"A" * 12_300, b"+ \r\n-ERR this is no base64"),
        (b"AUTH GSSAPI", b"-ERR this mechanism is not offered"),
        (b"AUTH", b"-ERR write it like this: AUTH mechanism"),
    ],
)
def test_sasl(said: bytes, heard: bytes) -> None:
    octets = said + b"\r\n"
    assert converse(sasl_session(), [octets]).startswith(heard)
    assert converse(sasl_session(), [octets[n : n + 1] for n in range(len(octets))]).startswith(heard)


def test_a_response_may_be_longer_than_a_command() -> None:
    password = base64.b64encode(b"\0ann\0" + b"x" * 2000)
    assert (
        converse(sasl_session(), [b"AUTH PLAIN\r\n", password, b"\r\n"])
        == b"+ \r\n-ERR [AUTH] wrong user name or password\r\n"
    )


def test_sasl_is_offered_where_it_would_be_obeyed() -> None:
    assert b"SASL PLAIN LOGIN\r\n" in converse(sasl_session(), [b"CAPA\r\n"])
    clear = sasl_session(plaintext=False)
    assert b"SASL" not in converse(clear, [b"CAPA\r\n"])
    assert (
        converse(clear, [b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"])
        == b"-ERR [AUTH] no login without TLS; begin with STLS\r\n"
    )


def test_nobody_is_let_in_before_the_proof() -> None:
    session = Session("mx.example.org", plaintext=True, auth=("SCRAM-SHA-256",))
    session.receive(b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,,n=ann,r=x") + b"\r\n")
    assert session.next_event() == Login(KeysWanted("SCRAM-SHA-256", "ann"))
    with pytest.raises(AssertionError, match="proven"):
        session.logged_in(ITEMS)


def test_stls_comes_before_utf8() -> None:
    session = Session("mx.example.org", stls=True)
    assert b"UTF8\r\n" in converse(session, [b"CAPA\r\n"])
    assert converse(session, [b"UTF8\r\nSTLS\r\n"]).endswith(b"-ERR STLS comes before UTF8\r\n")
    assert session.utf8


def test_when_mail_goes_by_itself_is_announced_first_for_all_then_for_the_account() -> None:
    session = Session("mx.example.org", plaintext=True, expire="30 USER")
    assert b"\r\nEXPIRE 30 USER\r\n" in converse(session, [b"CAPA\r\nUSER ann\r\nPASS secret\r\n"])
    assert b"\r\nEXPIRE NEVER\r\n" in converse(session, [b"CAPA\r\n"])
    session = Session("mx.example.org", plaintext=True)
    session.receive(b"USER ann\r\nPASS secret\r\n")
    assert isinstance(session.next_event(), Login)
    session.logged_in([], expire="7")
    assert b"\r\nEXPIRE 7\r\n" in converse(session, [b"CAPA\r\n"])


def test_the_time_between_two_logins_is_announced() -> None:
    assert b"\r\nLOGIN-DELAY 60\r\n" in converse(Session("mx.example.org", login_delay=60), [b"CAPA\r\n"])
