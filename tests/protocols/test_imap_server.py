"""The server's side of IMAP, as dialogs: whole, byte by byte, and in any pieces; and clients that mean harm."""

import base64
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.protocols.imap import append, intake, responses
from engine.protocols.imap.append import (
    AppendBegin,
    AppendEnd,
    ContentBegin,
    ContentUrl,
    MessageBegin,
    MessageEnd,
    MessageWhole,
)
from engine.protocols.imap.cursor import Limits
from engine.protocols.imap.events import (
    AppendAborted,
    Auth,
    Closed,
    CompressionBegins,
    ContentPart,
    Disconnected,
    Event,
    IdleBegin,
    IdleEnd,
    NeedData,
    Request,
    TlsBegins,
)
from engine.protocols.imap.mailboxes import Select, Status
from engine.protocols.imap.search import Search
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.session import Authenticate, Login, Unauthenticate
from engine.protocols.imap.table import COMMANDS, OFFERED, State
from engine.protocols.sasl import Credentials, KeysWanted, Proof
from engine.protocols.scram import Keys, key
from tests.support.scram import Client

LIMITS = Limits(line=300, literal=100, whole=0, arguments=40, depth=5)


def session(state: State = State.SELECTED, whole: int = 0, **options: object) -> ImapServer:
    limits = structs.replace(LIMITS, whole=whole)
    server = ImapServer("imap.example.org", plaintext=True, auth=("PLAIN", "LOGIN"), limits=limits, **options)  # type: ignore[arg-type]
    server.state = state
    return server


def answer(server: ImapServer, event: Event) -> None:
    """What a driver does whose store has everything but a mailbox `none` and URLs."""
    match event:
        case Request(_, Select("none")) | AppendBegin(_, "none"):
            server.no("No such mailbox", b"NONEXISTENT")
        case Request(_, Search()):
            server.send(responses.search([2, 84, 882]))
            server.ok("SEARCH completed")
        case Request():
            server.ok("Done")
        case Auth(Credentials(_, login, "secret")):
            server.authenticated(login)
        case Auth():
            server.no("Wrong", b"AUTHENTICATIONFAILED")
        case ContentUrl(url):
            server.no("No such URL", b"BADURL") if b"none" in url else server.go_on()
        case AppendBegin():
            server.go_on()
        case ContentBegin(size):
            server.no("Too large", b"TOOBIG") if size > 1000 else server.go_on()
        case AppendEnd():
            server.ok("APPEND completed", b"APPENDUID 1 2")
        case TlsBegins():
            server.tls_started()


def converse(
    server: ImapServer, pieces: list[bytes], answer: Callable[[ImapServer, Event], None] = answer
) -> tuple[bytes, list[Event]]:
    """All that the session says to these octets, and its events; content parts are joined."""
    said, events = server.outgoing(), list[Event]()
    for piece in pieces:
        server.receive(piece)
        while not isinstance(event := server.next_event(), NeedData):
            if isinstance(event, ContentPart) and events and isinstance(events[-1], ContentPart):
                events[-1] = ContentPart(events[-1].octets + event.octets)
            else:
                events.append(event)
            if isinstance(event, Closed | Disconnected):
                return said + server.outgoing(), events
            answer(server, event)
            said += server.outgoing()
        said += server.outgoing()
    return said, events


MESSAGE = b"Subject: x\r\n\r\nA1 LOGOUT\r\n"
GO = b"+ Ready for the literal\r\n"
CAPABILITIES = " ".join(OFFERED).encode()

DIALOG: list[tuple[bytes, bytes]] = [
    (b"a001 CAPABILITY\r\n",
     b"* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID AUTH=PLAIN AUTH=LOGIN\r\na001 OK That is all\r\n"),
    (b"a002 SELECT INBOX\r\n", b"a002 BAD Not now: log in first\r\n"),
    (b"a003 LOGIN ann wrong\r\n", b"a003 NO [AUTHENTICATIONFAILED] Wrong\r\n"),
    (b"a004 AUTHENTICATE plain\r\n", b"+ \r\n"),
    (b"*\r\n", b"a004 BAD Cancelled\r\n"),
    (b"a005 AUTHENTICATE LOGIN\r\n", b"+ VXNlcm5hbWU6\r\n"),
    (b"YW5u\r\n", b"+ UGFzc3dvcmQ6\r\n"),
    (b"!\r\n", b"a005 BAD This is no base64\r\n"),
    (b"a006 AUTHENTICATE CRAM-MD5\r\n", b"a006 NO [CANNOT] This mechanism is not offered\r\n"),
    (b"a007 LOGIN {3}\r\n", GO),
    (b"ann {6+}\r\nsecret\r\n", b"a007 OK [CAPABILITY %b] Logged in\r\n" % CAPABILITIES),
    (b"a008 LOGIN ann secret\r\n", b"a008 BAD Not now: you have logged in\r\n"),
    (b"a009 ENABLE CONDSTORE X-NOBODY\r\n", b"* ENABLED CONDSTORE\r\na009 OK Enabled\r\n"),
    (b"a010 ENABLE QRESYNC condstore\r\n", b"* ENABLED QRESYNC\r\na010 OK Enabled\r\n"),
    (b"a011 SELECT none\r\n", b"a011 NO [NONEXISTENT] No such mailbox\r\n"),
    (b"a012 FETCH 1 FLAGS\r\n", b"a012 BAD Not now: select a mailbox first\r\n"),
    (b"a013 SELECT INBOX\r\n", b"a013 OK Done\r\n"),
    (b"a014 SEARCH ALL\r\n", b"* SEARCH 2 84 882\r\na014 OK SEARCH completed\r\n"),
    (b"a015 SELECT none\r\n",
     b"* OK [CLOSED] The mailbox before is closed\r\na015 NO [NONEXISTENT] No such mailbox\r\n"),
    (b"a016 CLOSE\r\n", b"a016 BAD Not now: select a mailbox first\r\n"),
    (b"a017 EXAMINE INBOX\r\n", b"a017 OK Done\r\n"),
    (b"a018 IDLE\r\n", b"+ Idling\r\n"),
    (b"done\r\n", b"a018 OK Idled\r\n"),
    (b"a019 IDLE\r\n", b"+ Idling\r\n"),
    (b"a020 NOOP\r\n", b"a019 BAD IDLE ends with DONE\r\n"),
    (b"a021 APPEND INBOX (\\Seen) {25}\r\n", GO),
    (MESSAGE + b"\r\n", b"a021 OK [APPENDUID 1 2] APPEND completed\r\n"),
    (b"a022 APPEND none {25}\r\n", b"a022 NO [NONEXISTENT] No such mailbox\r\n"),
    (b"a023 APPEND none {25+}\r\n" + MESSAGE + b"\r\n", b"a023 NO [NONEXISTENT] No such mailbox\r\n"),
    (b"a024 APPEND INBOX {2000}\r\n", b"a024 NO [TOOBIG] Too large\r\n"),
    (b"a025 SELECT {101}\r\n", b"a025 BAD [TOOBIG] The literal is too large\r\n"),
    (b"a026 SELECT {101+}\r\n" + b"\r\n" * 50 + b"x (foo {12+}\r\n\r\nb LOGOUT\r\n) \r\n",
     b"a026 BAD [TOOBIG] The literal is too large\r\n"),
    (b"a027 NOOP {3}\r\n", GO),
    (b"abc\r\n", b"a027 BAD There is more than the command takes\r\n"),
    (b"+ NOOP\r\n", b"* BAD A command begins with a tag\r\n"),
    (b"\r\n", b"* BAD A command begins with a tag\r\n"),
    (b"a028 NOOP\na029 LOGOUT\r\n", b"a028 BAD There is more than the command takes\r\n"),
    (b"a030 UNSELECT\r\n", b"a030 OK Done\r\n"),
    (b"a031 UNAUTHENTICATE\r\n", b"a031 OK Done\r\n"),
    (b"a032 AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n", b"a032 OK [CAPABILITY %b] Logged in\r\n" % CAPABILITIES),
    (b"a033 " + b"x" * 290 + b"{3+}\r\nabc {1+}\r\n\r\r\n", b"a033 BAD Unknown command\r\n"),
    (b"a034 " + b"x" * 300 + b"{12+}\r\n\r\nb LOGOUT\r\n\r\n", b"a034 BAD [TOOBIG] The command is too long\r\n"),
    (b"a035 LOGOUT\r\n", b"* BYE Good bye\r\na035 OK Logged out\r\n"),
]  # fmt: skip
ALL_IN = b"".join(said for said, _ in DIALOG)
ALL_OUT = b"".join(reply for _, reply in DIALOG)


def test_each_line_and_its_answer() -> None:
    server = session(State.NOT_AUTHENTICATED)
    for said, reply in DIALOG:
        assert converse(server, [said])[0] == reply, said


def test_everything_pipelined_and_byte_by_byte() -> None:
    whole = converse(session(State.NOT_AUTHENTICATED), [ALL_IN])
    assert whole[0] == ALL_OUT
    assert converse(session(State.NOT_AUTHENTICATED), [bytes([octet]) for octet in ALL_IN]) == whole


@given(places=st.lists(st.integers(0, len(ALL_IN)), max_size=12))
def test_any_split_gives_the_same(places: list[int]) -> None:
    ends = sorted({0, *places, len(ALL_IN)})
    pieces = [ALL_IN[start:end] for start, end in pairwise(ends)]
    whole = converse(session(State.NOT_AUTHENTICATED), [ALL_IN])
    assert converse(session(State.NOT_AUTHENTICATED), pieces) == whole


def test_the_greeting() -> None:
    server = ImapServer("imap.example.org", starttls=True, auth=("PLAIN",))
    server.greet()
    assert server.outgoing() == (
        b"* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID STARTTLS LOGINDISABLED] "
        b"imap.example.org IMAP server ready\r\n"
    )


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: name.decode())
@pytest.mark.parametrize("state", [State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED])
def test_a_command_is_taken_in_its_states_alone(name: bytes, state: State) -> None:
    said, events = converse(session(state), [b"a " + name + b" (\r\n"])
    assert (b"a BAD Not now" in said) == (state not in COMMANDS[name].states)
    assert b"Not now" not in said or not events


def test_what_the_store_cannot_do_is_unknown() -> None:
    server = session(offered=("IMAP4rev1", "APPENDLIMIT=100"))
    said, events = converse(server, [b"a SORT (DATE) UTF-8 ALL\r\nb ENABLE CONDSTORE\r\nc MOVE 1 x\r\n"])
    assert said == b"a BAD Unknown command\r\nb BAD Unknown command\r\nc BAD Unknown command\r\n"
    assert server.capabilities == ("IMAP4rev1", "APPENDLIMIT=100")
    assert not events


# Appending.


def test_several_messages_at_once() -> None:
    """RFC 3502 6.3.11, and a literal8 of RFC 3516."""
    octets = (
        b'A003 APPEND saved (\\Seen \\SEEN $x) "17-Jul-1996 02:44:25 -0700" {25+}\r\n' + MESSAGE
        + b" ~{3+}\r\n\0\r\n (\\Draft) {0+}\r\n\r\n"
    )  # fmt: skip
    said, events = converse(session(), [octets])
    assert said == b"A003 OK [APPENDUID 1 2] APPEND completed\r\n"
    first, *rest = events
    assert first == AppendBegin(b"A003", "saved")
    assert isinstance(rest[0], MessageBegin)
    assert rest[0].date is not None
    assert (rest[0].flags, rest[0].date.isoformat()) == (("\\Seen", "$x"), "1996-07-17T02:44:25-07:00")
    assert rest[1:] == [
        ContentBegin(25, False), ContentPart(MESSAGE), MessageEnd(),
        MessageBegin((), None), ContentBegin(3, True), ContentPart(b"\0\r\n"), MessageEnd(),
        MessageBegin(("\\Draft",), None), ContentBegin(0, False), MessageEnd(), AppendEnd(),
    ]  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_small_messages_come_whole_however_their_octets_come(step: int) -> None:
    octets = (
        b"a APPEND x (\\Seen) {25+}\r\n" + MESSAGE + b" ~{3+}\r\n\0\r\n {0+}\r\n {26+}\r\n" + MESSAGE + b"."
        b" {3}\r\nabc CATENATE (TEXT {1+}\r\nx) {2+}\r\nyz\r\nb APPEND none {25+}\r\n" + MESSAGE + b"\r\nc NOOP\r\n"
    )
    pieces = [octets[start : start + step] for start in range(0, len(octets), step)]
    said, events = converse(session(whole=26), pieces)
    assert said == GO + (
        b"a OK [APPENDUID 1 2] APPEND completed\r\nb NO [NONEXISTENT] No such mailbox\r\nc OK Done\r\n"
    )
    assert events[:-2] == [
        AppendBegin(b"a", "x"), MessageWhole(("\\Seen",), None, MESSAGE, False),
        MessageWhole((), None, b"\0\r\n", True), MessageWhole((), None, b"", False),
        MessageBegin((), None), ContentBegin(26, False), ContentPart(MESSAGE + b"."), MessageEnd(),
        MessageBegin((), None), ContentBegin(3, False), ContentPart(b"abc"), MessageEnd(),
        MessageBegin((), None, catenated=True), ContentBegin(1, False), ContentPart(b"x"), MessageEnd(),
        MessageWhole((), None, b"yz", False), AppendEnd(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "at_once"),
    [
        (b"a APPEND x {3+}\r\none\r\n", True),
        (b'a append "Sent/2026 (old)" (\\Seen $x) "17-Jul-1996 02:44:25 -0700" {3+}\r\none\r\n', False),
        (b'+a APPEND "Sent 2026/a.b-c_d" (\\Seen $x) "17-Jul-1996 02:44:25 -0700" {3+}\r\none\r\n', False),
        (b'a append "Sent 2026/a.b-c_d" (\\Seen $x) "17-Jul-1996 02:44:25 -0700" {3+}\r\none\r\n', True),
        (b"a APPEND inbox ~{2+}\r\n\0\n\r\n", True),
        (b"a APPEND x {0+}\r\n\r\n", True),
        (b"a APPEND x (\\Recent) {3+}\r\none\r\n", False),
        (b"a APPEND x {3+}\r\none \r\n", False),
        (b"a APPEND x {3+}\r\none\n\r\n", False),
        (b"a APPEND x {3}\r\none\r\n", False),
        (b"a APPEND &AOQ- {3+}\r\none\r\n", False),
        (b"a APPEND  x {3+}\r\none\r\n", False),
        (b"a APPEND x{3+}\r\none\r\n", False),
        (b"a APPENDx {3+}\r\none\r\n", False),
        (b"a APPEND x UTF8 (~{3+}\r\none)\r\n", False),
        (b"a APPEND x CATENATE (TEXT {3+}\r\none)\r\n", False),
        (b"a APPEND x {3+}\r\none {3+}\r\ntwo\r\n", False),
        (b"a APPEND x {4+}\r\none\r\nb NOOP\r\n", False),
        (b"a APPEND x {100+}\r\n" + b"1" * 100 + b"\r\n", False),
        (b"a APPEND x (" + b"k" * 280 + b") {3+}\r\none\r\n", False),
    ],
)
def test_an_append_that_has_come_whole_says_what_it_says_octet_by_octet(
    octets: bytes, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: ImapServer, event: Event) -> None:
        server.no("Not there") if isinstance(event, AppendBegin) else answer(server, event)

    octets += b"c NOOP\r\n"
    pieces = [bytes([octet]) for octet in octets]
    taken, refused = converse(session(whole=100), pieces), converse(session(whole=100), pieces, refuse)
    if at_once:
        monkeypatch.delattr(append.Appending, "read")
    assert converse(session(whole=100), [octets]) == taken
    assert converse(session(whole=100), [octets], refuse) == refused


def test_an_append_comes_after_a_login() -> None:
    said, events = converse(session(State.NOT_AUTHENTICATED, whole=100), [b"a APPEND x {3+}\r\none\r\n"])
    assert said == b"a BAD Not now: log in first\r\n"
    assert events == []


@pytest.mark.parametrize(
    ("head", "flags", "date"),
    [
        (b" ", (), ""),
        (b" (\\SEEN $x \\Seen) ", ("\\Seen", "$x"), ""),
        (b' "17-Jul-1996 02:44:25 -0700" ', (), "1996-07-17T02:44:25-07:00"),
        (b' () " 7-jul-1996 02:44:60 +2359" ', (), "1996-07-07T02:44:59+23:59"),
        (b' (a) "17-Jul-1996 02:44:25 -0700" UTF8 (', None, ""),
        (b" (\\Recent) ", None, ""),
        (b' "17-Jul-1996 02:44:61 -0700" ', None, ""),
        (b' "17-Jul-1996 02:44:25 -2400" ', None, ""),
        (b' "17-Jul-1996 02:44:25 -0060" ', None, ""),
        (b"  ", None, ""),
        (b"", None, ""),
        (b" (a b)", None, ""),
        (b" (a)x ", None, ""),
    ],
)
def test_what_begins_another_message(head: bytes, flags: tuple[str, ...] | None, date: str) -> None:
    """Read in one go or word by word, it is the same."""
    found = append.begun(head)
    assert (found and (found.flags, found.date.isoformat() if found.date else "")) == (
        None if flags is None else (flags, date)
    )
    for whole in (0, 50):
        octets = b"a APPEND x {1+}\r\n1%b{1+}\r\n2\r\n" % head
        said, events = converse(session(whole=whole), [octets])
        if found is not None:
            assert said.startswith(b"a OK")
            begun = MessageWhole(found.flags, found.date, b"2", False) if whole else found
            assert begun in events
        elif b"UTF8" in head:
            assert said.startswith(b"a BAD ENABLE UTF8")
        else:
            assert said.startswith(b"a BAD")


def test_a_driver_may_refuse_a_message_that_has_come_whole() -> None:
    def full(server: ImapServer, event: Event) -> None:
        if isinstance(event, MessageWhole):
            server.no("The disk is full", b"OVERQUOTA")
        else:
            answer(server, event)

    octets = b"a APPEND x {25+}\r\n" + MESSAGE + b" {3+}\r\nabc\r\nb NOOP\r\n"
    said, events = converse(session(whole=100), [octets[:30], octets[30:]], full)
    assert said == b"a NO [OVERQUOTA] The disk is full\r\nb OK Done\r\n"
    assert events[:2] == [AppendBegin(b"a", "x"), MessageWhole((), None, MESSAGE, False)]
    assert len(events) == 3


@pytest.mark.parametrize("step", [1, 1000])
def test_of_messages_that_come_together_none_is_told_behind_the_one_that_is_refused(step: int) -> None:
    def full(server: ImapServer, event: Event) -> None:
        if isinstance(event, MessageWhole) and event.octets == b"two":
            server.no("The disk is full", b"OVERQUOTA")
        else:
            answer(server, event)

    octets = b"a APPEND x {3+}\r\none {3+}\r\ntwo (\\Seen) {5+}\r\nthree {6}\r\nb NOOP\r\n"
    pieces = [octets[start : start + step] for start in range(0, len(octets), step)]
    said, events = converse(session(whole=100), pieces, full)
    assert said == b"a NO [OVERQUOTA] The disk is full\r\nb OK Done\r\n"
    assert [event.octets for event in events if isinstance(event, MessageWhole)] == [b"one", b"two"]


def test_messages_that_have_come_together_are_had_together() -> None:
    server = session(whole=100)
    server.receive(b"a APPEND x {3+}\r\none {3+}\r\ntwo {5+}\r\nthree {6}\r\n")
    begun = server.next_event()
    assert isinstance(begun, AppendBegin)
    answer(server, begun)
    assert server.next_event() == MessageWhole((), None, b"one", False)
    assert [message.octets for message in server.whole_ones()] == [b"two", b"three"]
    assert list(server.whole_ones()) == []
    assert server.next_event() == MessageBegin((), None)  # what is to be asked for comes as it did
    assert list(server.whole_ones()) == []


@pytest.mark.parametrize("step", [1, 1000])
def test_a_line_between_messages_may_not_be_longer_because_they_come_together(step: int) -> None:
    octets = b"a APPEND x {1+}\r\n1 (" + b"k" * 90 + b") {1+}\r\n2\r\nb NOOP\r\n"
    pieces = [octets[start : start + step] for start in range(0, len(octets), step)]
    for line, answered in (
        (100, b"OK [APPENDUID 1 2] APPEND completed"),
        (90, b"BAD [TOOBIG] The command is too long"),
    ):
        server = ImapServer("x", limits=structs.replace(LIMITS, whole=100, line=line))
        server.state = State.SELECTED
        assert converse(server, pieces)[0] == b"a %b\r\nb OK Done\r\n" % answered


def test_what_was_answered_before_is_answered_at_once() -> None:
    server, asked = session(), list[int]()
    known = {b"STATUS x (MESSAGES)": intake.Repeat(b"* STATUS x (MESSAGES 1)\r\n", b" OK Done\r\n")}

    def ask() -> dict[bytes, intake.Repeat]:
        asked.append(1)
        return known

    server.receive(
        b"a STATUS x (MESSAGES)\r\nb STATUS x (MESSAGES)\r\nc STATUS y (MESSAGES)\r\nd STATUS x (MESSAGES)\r\n"
    )
    server.repeat(ask, 1000)
    assert server.outgoing() == b"".join(b"* STATUS x (MESSAGES 1)\r\n%b OK Done\r\n" % tag for tag in (b"a", b"b"))
    assert server.next_event() == Request(b"c", Status("y", ("MESSAGES",)))
    assert server.rest == b"STATUS y (MESSAGES)"
    server.repeat(ask, 1000)  # not while another one waits for its answer
    server.ok("Done")
    assert server.outgoing() == b"c OK Done\r\n"
    server.repeat(ask, 1000)
    assert server.outgoing() == b"* STATUS x (MESSAGES 1)\r\nd OK Done\r\n"
    server.receive(b"e NOOP\r\nf STATUS x (MESSAGES)")
    server.repeat(ask, 1000)
    assert server.next_event().tag == b"e"  # type: ignore[union-attr]
    server.ok("Done")
    server.repeat(ask, 1000)  # it has not come whole
    assert asked == [1, 1]


def test_no_more_is_answered_at_once_than_there_is_room_for() -> None:
    server = session()
    server.receive(b"a STATUS x (MESSAGES)\r\n" * 3)
    server.repeat(lambda: {b"STATUS x (MESSAGES)": intake.Repeat(b"x" * 60 + b"\r\n", b" OK\r\n")}, 100)
    assert server.outgoing().count(b"a OK") == 2
    assert isinstance(server.next_event(), Request)


@pytest.mark.parametrize(
    "octets",
    [b"a STATUS {1+}\r\nx (MESSAGES)\r\n", b"a STATUS x (MESSAGES" + b" MESSAGES" * 25 + b")\r\n", b"a NOOP\r\n"],
)
def test_only_short_commands_are_remembered(octets: bytes) -> None:
    server = session()
    server.receive(octets)
    assert isinstance(server.next_event(), Request)
    assert server.rest == b""


def test_nothing_is_repeated_before_a_login_nor_in_idle() -> None:
    for server, before in ((session(State.NOT_AUTHENTICATED), b""), (session(), b"a IDLE\r\n")):
        server.receive(before + b"b STATUS x (MESSAGES)\r\n")
        if before:
            assert isinstance(server.next_event(), IdleBegin)
        server.repeat(lambda: pytest.fail("asked"), 100)


def test_parts_are_catenated() -> None:
    """RFC 4469 5."""
    octets = (
        b'A003 APPEND Drafts (\\Seen) CATENATE (URL "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER" '
        b"TEXT {3+}\r\nabc URL {2+}\r\n/x TEXT {1+}\r\n)) CATENATE (TEXT {1+}\r\n(URL y)\r\n"
    )
    said, events = converse(session(), [octets])
    assert said == b"A003 BAD A space is missing\r\n"
    assert events[-1] == AppendAborted()
    said, events = converse(session(), [octets.replace(b"(URL y)", b"( URL y)")])
    assert said == b"A003 OK [APPENDUID 1 2] APPEND completed\r\n"
    assert events[1:] == [
        MessageBegin(("\\Seen",), None, catenated=True),
        ContentUrl(b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"),
        ContentBegin(3, False), ContentPart(b"abc"), ContentUrl(b"/x"), ContentBegin(1, False), ContentPart(b")"),
        MessageEnd(), MessageBegin((), None, catenated=True), ContentBegin(1, False), ContentPart(b"("),
        ContentUrl(b"y"), MessageEnd(), AppendEnd(),
    ]  # fmt: skip


def test_a_mailbox_that_is_called_like_a_part_is_no_argument_in_a_literal() -> None:
    said, events = converse(session(), [b"a APPEND URL {200}\r\n"])
    assert said == GO
    assert events == [AppendBegin(b"a", "URL"), MessageBegin((), None), ContentBegin(200, False)]


def test_a_refused_url_ends_the_command_and_nothing_of_it_is_obeyed() -> None:
    octets = b"a APPEND x CATENATE (URL none TEXT {10+}\r\nb LOGOUT\r\n)\r\nc NOOP\r\n"
    said, events = converse(session(), [octets])
    assert said == b"a NO [BADURL] No such URL\r\nc OK Done\r\n"
    assert not any(isinstance(event, ContentPart | Closed) for event in events)


def test_utf8_data() -> None:
    """RFC 6855 4."""
    assert not session().utf8
    octets = b"a APPEND x UTF8 (~{3+}\r\nabc)\r\n"
    assert converse(session(), [octets])[0] == b"a BAD ENABLE UTF8=ACCEPT comes first\r\n"
    server = session()
    server.features = frozenset({"UTF8=ACCEPT"})
    assert server.utf8
    _, events = converse(server, [octets])
    assert events[1:3] == [MessageBegin((), None, utf8=True), ContentBegin(3, True)]
    assert events[-1] == AppendEnd()


def test_replace_takes_one_message_for_one() -> None:
    """RFC 8508 3."""
    said, events = converse(session(), [b"a REPLACE 4 Drafts (\\Seen) {25+}\r\n" + MESSAGE + b"\r\n"])
    assert said == b"a OK [APPENDUID 1 2] APPEND completed\r\n"
    assert events[-1] == AppendEnd()
    for octets in (b"a REPLACE 4 x {1+}\r\na {1+}\r\nb\r\n", b"a REPLACE 4,5 x {1+}\r\na\r\n"):
        said, _ = converse(session(), [octets + b"c NOOP\r\n"])
        assert said == b"a BAD REPLACE takes one message\r\nc OK Done\r\n"


def test_a_driver_may_refuse_amid_the_content() -> None:
    def full(server: ImapServer, event: Event) -> None:
        if isinstance(event, ContentPart):
            server.no("The disk is full", b"OVERQUOTA")
        else:
            answer(server, event)

    octets = b"a APPEND x {25+}\r\n" + MESSAGE + b" {3+}\r\nabc\r\nb NOOP\r\n"
    said, events = converse(session(), [octets[:30], octets[30:]], full)
    assert said == b"a NO [OVERQUOTA] The disk is full\r\nb OK Done\r\n"
    assert not any(isinstance(event, MessageEnd) for event in events)


def test_content_is_never_gathered() -> None:
    server = session()
    server.receive(b"a APPEND x {900}\r\n")
    for _ in range(2):
        assert not isinstance(server.next_event(), NeedData)
        if server._pending is not None:
            server.go_on()
    server.next_event()
    server.go_on()
    for _ in range(9):
        server.receive(b"x" * 100)
        assert server.next_event() == ContentPart(b"x" * 100)
        assert not server._intake._reader._buffer


# The layers below.


def test_nothing_leaks_through_starttls() -> None:
    """RFC 9051 6.2.1, 11.1: what a stranger put behind STARTTLS is not obeyed under TLS."""
    server = ImapServer("imap.example.org", starttls=True, auth=("PLAIN",))
    said, events = converse(server, [b"a LOGIN ann secret\r\nb STARTTLS\r\nc LOGIN eve evil\r\n", b"d CAPABILITY\r\n"])
    assert events == [TlsBegins()]
    assert said == (
        b"a NO [PRIVACYREQUIRED] No login without TLS\r\nb OK Begin the handshake\r\n"
        b"* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID AUTH=PLAIN\r\nd OK That is all\r\n"
    )
    assert converse(server, [b"e STARTTLS\r\n"])[0] == b"e BAD TLS runs already\r\n"


def test_what_comes_before_the_handshake_is_void() -> None:
    server = ImapServer("imap.example.org", starttls=True)
    server.receive(b"b STARTTLS\r\n")
    assert server.next_event() == TlsBegins()
    server.receive(b"c LOGIN eve")
    server.tls_started()
    server.receive(b"d NOOP\r\n")
    assert server.next_event() == Request(b"d", COMMANDS[b"NOOP"].read(None))  # type: ignore[misc, arg-type]


def test_compression_begins_behind_its_ok() -> None:
    """RFC 4978 3."""
    server = session()
    said, events = converse(server, [b"a COMPRESS DEFLATE\r\nb NOOP\r\n"])
    assert (said, events) == (b"a OK Deflating\r\n", [CompressionBegins()])
    assert "COMPRESS=DEFLATE" not in server.capabilities
    assert converse(server, [b"c COMPRESS DEFLATE\r\n"])[0] == b"c NO [COMPRESSIONACTIVE] Compressed already\r\n"


def test_news_are_sent_while_the_client_idles() -> None:
    server = session()
    _, events = converse(server, [b"a IDLE\r\n"])
    server.send(responses.exists(4))
    assert events == [IdleBegin()]
    assert converse(server, [b"DO", b"NE\r\n"]) == (b"* 4 EXISTS\r\na OK Idled\r\n", [IdleEnd()])


def test_unauthenticate_forgets() -> None:
    """RFC 8437 3."""
    server = session(State.NOT_AUTHENTICATED)
    octets = b"a LOGIN ann secret\r\nb ENABLE UIDONLY\r\nc UNAUTHENTICATE\r\nd SELECT x\r\n"
    said, events = converse(server, [octets])
    assert events[-1] == Request(b"c", Unauthenticate())
    assert said.endswith(b"d BAD Not now: log in first\r\n")
    assert (server.login, server.features) == ("", frozenset())


# Logins.


def scram() -> ImapServer:
    return ImapServer("imap.example.org", tls_active=True, auth=("SCRAM-SHA-256",))


def response(octets: bytes) -> bytes:
    return base64.b64encode(octets) + b"\r\n"


def test_a_whole_scram_login() -> None:
    client, server = Client("ann", "pencil"), scram()
    server.receive(b"a AUTHENTICATE SCRAM-SHA-256\r\n" + response(client.first))
    assert server.next_event() == Auth(KeysWanted("SCRAM-SHA-256", "ann"))
    made = key("pencil", b"salt", 4096)
    server.take_keys(Keys(b"salt", 4096, (made,)))
    challenge = server.outgoing().removeprefix(b"+ \r\n+ ")
    server.receive(response(client.final(base64.b64decode(challenge))))
    assert isinstance(server.next_event(), NeedData)
    assert server.outgoing() == b"+ " + response(b"v=" + base64.b64encode(client.signature))
    server.receive(b"\r\n")
    assert server.next_event() == Auth(Proof("SCRAM-SHA-256", "ann", made))
    server.authenticated("ann@example.org")
    assert (server.state, server.login) == (State.AUTHENTICATED, "ann@example.org")


def test_scram_asks_for_its_keys_first() -> None:
    server = scram()
    server.receive(b"a AUTHENTICATE SCRAM-SHA-256 " + response(b"n,,n=ann,r=fyko"))
    assert server.next_event() == Auth(KeysWanted("SCRAM-SHA-256", "ann"))
    with pytest.raises(RuntimeError):
        server.authenticated("ann")
    server.no("Not here", b"UNAVAILABLE")
    assert server.outgoing() == b"a NO [UNAVAILABLE] Not here\r\n"
    with pytest.raises(RuntimeError):
        server.take_keys(Keys(b"salt", 4096, ()))


def test_who_breaks_the_rules_of_a_mechanism_has_failed() -> None:
    said, events = converse(session(State.NOT_AUTHENTICATED), [b"a AUTHENTICATE PLAIN AAA=\r\n" * 3])
    assert said.startswith(b"a NO [AUTHENTICATIONFAILED] ")
    assert events == [Closed()]


def test_no_login_by_any_mechanism_without_tls() -> None:
    server = ImapServer("imap.example.org", auth=("PLAIN",))
    said, events = converse(server, [b"a AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n"])
    assert (said, events) == (b"a NO [PRIVACYREQUIRED] No login without TLS\r\n", [])


def test_failed_logins_are_counted() -> None:
    said, events = converse(session(State.NOT_AUTHENTICATED), [b"a LOGIN ann x\r\n" * 4])
    assert said.count(b"a NO [AUTHENTICATIONFAILED]") == 3
    assert said.endswith(b"* BYE Too many failed logins\r\n")
    assert events[-1] == Closed()


def test_a_password_shows_in_no_repr() -> None:
    server = session(State.NOT_AUTHENTICATED)
    server.receive(b"a LOGIN ann secret\r\n")
    assert "secret" not in repr(server.next_event())
    assert "secret" not in repr(Login("ann", "secret"))
    assert "AGFubgB" not in repr(Authenticate("PLAIN", b"AGFubgBzZWNyZXQ="))


# Clients that mean harm.


def test_mistakes_in_a_row_are_counted() -> None:
    said, _ = converse(session(), [(b"a FOO\r\n" * 19 + b"b NOOP\r\n") * 3])
    assert b"BYE" not in said
    said, events = converse(session(), [b"a FOO\r\n" * 21])
    assert said == b"a BAD Unknown command\r\n" * 20 + b"* BYE Too many mistakes\r\n"
    assert events == [Closed()]


@pytest.mark.parametrize(
    ("octets", "answer"),
    [
        (b"a SEARCH " + b"(" * 6 + b"ALL" + b")" * 6, b"a BAD The command is nested too deeply\r\n"),
        (b"a SEARCH " + b"NOT " * 6 + b"ALL", b"a BAD The command is nested too deeply\r\n"),
        (b"a SEARCH " + b"OR ALL " * 6 + b"ALL", b"a BAD The command is nested too deeply\r\n"),
        (b"a SEARCH " + b"ALL " * 41, b"a BAD The command has too many arguments\r\n"),
        (b"a SELECT {99999999999999999999+}", b""),
        (b"a SELECT {999999999999999999999+}", b"a BAD A mailbox name is missing or malformed\r\n"),
        (b"a SEARCH TEXT {60+}\r\n" + b"x" * 60 + b" TEXT {41}", b"a BAD [TOOBIG] The literal is too large\r\n"),
        (b"a APPEND x CATENATE (URL {101}", b"a BAD [TOOBIG] The literal is too large\r\n"),
        (b"a APPEND x ((\\Seen) {5}", b"a BAD A flag is missing or malformed\r\n"),
        (b"a APPEND x", b"a BAD An argument is missing\r\n"),
        (b"a APPEND", b"a BAD An argument is missing\r\n"),
        (b"a APPEND ", b"a BAD A mailbox name is missing\r\n"),
        (b"a APPEND x text", b"a BAD A message comes as a literal\r\n"),
        (b"a APPEND x CATENATE (FOO)", b"a BAD CATENATE takes parts of TEXT and URL\r\n"),
        (b"a APPEND {5}x {3}", b"a BAD A mailbox name is missing or malformed\r\n"),
        (b"x" * 250 + b" NOOP", b"* BAD A command begins with a tag\r\n"),
        (b"a\tNOOP", b"* BAD A command begins with a tag\r\n"),
        (b"a NOOP\0", b"a BAD There is more than the command takes\r\n"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_hostile_commands(octets: bytes, answer: bytes) -> None:
    assert converse(session(), [octets + b"\r\n"])[0] == answer


def test_a_refused_literal_that_does_not_wait_is_read_past() -> None:
    server = session()
    octets = b"a SELECT {5000+}\r\n"
    assert converse(server, [octets, b"\r\nb LOGOUT" * 500])[0] == b""
    assert len(server._intake._reader._buffer) < 100
    assert converse(server, [b"\r\nc NOOP\r\n"])[0] == b"a BAD [TOOBIG] The literal is too large\r\nc OK Done\r\n"


def test_an_endless_line_takes_no_memory() -> None:
    server = session()
    for _ in range(100):
        assert converse(server, [b"a " + b"x" * 100])[0] == b""
        assert len(server._intake._reader._buffer) < 500
    assert converse(server, [b"\r\n"])[0] == b"a BAD [TOOBIG] The command is too long\r\n"


def test_no_text_smuggles_a_line_in() -> None:
    server = session()
    server.receive(b"a NOOP\r\n")
    server.next_event()
    server.no("x\r\n* BYE é", b"CANNOT")
    assert server.outgoing() == b"a NO [CANNOT] x??* BYE ?\r\n"


def test_the_end_of_file_comes_after_what_was_said() -> None:
    server = session()
    server.receive(b"a NOOP\r\nb NO")
    server.receive(b"")
    assert isinstance(server.next_event(), Request)
    server.ok("Done")
    assert server.next_event() == server.next_event() == Disconnected()


def test_an_event_waits_for_its_answer() -> None:
    server = session()
    with pytest.raises(RuntimeError):
        server.ok("x")
    with pytest.raises(RuntimeError):
        server.no("x")
    with pytest.raises(RuntimeError):
        server.bad("x")
    server.receive(b"a NOOP\r\n")
    server.next_event()
    for wrong in (server.next_event, server.go_on, lambda: server.authenticated("x")):
        with pytest.raises(RuntimeError):
            wrong()
    server.bad("No such message")
    assert server.outgoing() == b"a BAD No such message\r\n"


@pytest.mark.parametrize("octets", [b"a IDLE\r\n", b"a AUTHENTICATE PLAIN\r\n"])
def test_no_is_for_what_waits(octets: bytes) -> None:
    server = session(State.NOT_AUTHENTICATED if b"AUTH" in octets else State.SELECTED)
    converse(server, [octets])
    with pytest.raises(RuntimeError):
        server.no("Not you")


def test_bye_ends_the_session_at_once() -> None:
    server = session()
    server.receive(b"a NOOP\r\n")
    server.next_event()
    server.bye("Shutting down", b"UNAVAILABLE")
    assert server.next_event() == Closed()
    assert server.outgoing() == b"* BYE [UNAVAILABLE] Shutting down\r\n"


def many_literals(count: int) -> bytes:
    return b"a LOGIN" + b" {0+}\r\n" * count + b"\r\nb NOOP\r\n"


def test_no_more_literals_are_gathered_than_a_command_may_have() -> None:
    """Each one has all that came before it looked at again: thousands of empty ones would keep a server busy."""
    server = ImapServer("mx.example.org", plaintext=True, limits=Limits(literals=3))
    server.receive(many_literals(3))
    assert isinstance(server.next_event(), NeedData | Request)
    assert b"TOOBIG" not in server.outgoing()
    server = ImapServer("mx.example.org", plaintext=True, limits=Limits(literals=3))
    server.receive(many_literals(4))
    assert isinstance(server.next_event(), Request)
    assert server.outgoing() == b"a BAD [TOOBIG] The literal is too large\r\n"


@pytest.mark.parametrize("start", [b"a LOGIN", b"a NONSENSE", b"a NOOP " + b"x" * 70_000])
def test_any_number_of_literals_is_read_past(start: bytes) -> None:
    """Without a call within a call for each of them."""
    server = ImapServer("mx.example.org", plaintext=True)
    server.receive(start + b" {1+}\r\nx" * 9000 + b"\r\nb NOOP\r\n")
    assert isinstance(server.next_event(), Request)
    assert server.outgoing().startswith(b"a BAD")


def test_a_repeated_command_means_what_its_session_has_enabled() -> None:
    line = b'a STATUS "&AOQ-" (MESSAGES)\r\n'
    for utf8, name in ((False, "ä"), (True, "&AOQ-"), (False, "ä")):
        server = session(State.AUTHENTICATED)
        server.features = frozenset({"IMAP4rev2"} if utf8 else ())
        server.receive(line)
        assert server.next_event() == Request(b"a", Status(name, ("MESSAGES",)))


def test_no_password_is_remembered() -> None:
    intake._remembered.cache_clear()
    for line in (b"a LOGIN ann s3cret\r\n", b"a AUTHENTICATE PLAIN AGFubgBzM2NyZXQ=\r\n"):
        server = session(State.NOT_AUTHENTICATED)
        server.receive(line)
        assert isinstance(server.next_event(), Auth)
    assert intake._remembered.cache_info().currsize == 0
