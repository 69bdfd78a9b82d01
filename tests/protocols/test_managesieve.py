"""The server's side of ManageSieve, as dialogs: whole, byte by byte, and in any pieces."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols import managesieve_words, sasl
from engine.protocols.managesieve import COMMANDS, Session
from engine.protocols.managesieve_events import (
    CheckScript,
    Closed,
    Code,
    DeleteScript,
    Event,
    GetScript,
    HaveSpace,
    ListScripts,
    Login,
    PutScript,
    RenameScript,
    SetActive,
    Signal,
    StartTls,
    State,
    Unauthenticate,
)

PLAIN = base64.b64encode(b"\0ann\0secret")
LOGIN = b'AUTHENTICATE "PLAIN" "%s"\r\n' % PLAIN


def session(**options: object) -> Session:
    defaults = {
        "extensions": ("fileinto", "vacation"),
        "plaintext": True,
        "auth": ("PLAIN", "LOGIN"),
        "script_limit": 100,
    }
    return Session("Postroad", **(defaults | options))  # type: ignore[arg-type]


def answer(session: Session, event: Event) -> None:
    """What a driver does over a store with the scripts `a` (active) and `b`."""
    match event:
        case Login(sasl.Credentials(_, login, "secret")):
            session.logged_in(login)
        case Login():
            session.refused()
        case StartTls():
            session.tls_started()
        case PutScript(_, content) | CheckScript(content) if b"wrong" in content:
            session.failed("line 1: this is wrong\r\nline 2: this too")
        case PutScript("warn", _):
            session.done("line 1: better not", warnings=True)
        case HaveSpace(_, size) if size > 50:
            session.failed("quota", Code.QUOTA)
        case ListScripts():
            session.listed(["a", 'b"'], "a")
        case GetScript("a"):
            session.script(b"keep;\r\n")
        case GetScript() | SetActive("none"):
            session.failed("there is no such script", Code.NONEXISTENT)
        case DeleteScript("a"):
            session.failed("it is active", Code.ACTIVE)
        case RenameScript(_, "b"):
            session.failed("there is one", Code.ALREADYEXISTS)
        case _:
            session.done()


def converse(
    session: Session, pieces: list[bytes], answer: Callable[[Session, Event], None] = answer
) -> tuple[bytes, list[Event]]:
    """All that the session says to these octets, and asks its driver."""
    said, asked = session.outgoing(), []
    for piece in pieces:
        session.receive(piece)
        while (event := session.next_event()) is not Signal.NEED_DATA:
            assert not isinstance(event, Signal)
            if isinstance(event, Closed):
                return said + session.outgoing(), asked
            asked.append(event)
            answer(session, event)
            said += session.outgoing()
        said += session.outgoing()
    return said, asked


def said(*commands: bytes, **options: object) -> list[str]:
    """What is said to these commands after the login."""
    opened = session(**options)
    converse(opened, [LOGIN])
    return converse(opened, list(commands))[0].decode().split("\r\n")[:-1]


def test_the_greeting() -> None:
    greeting = session(starttls=True, notify=("mailto",)).outgoing()
    assert greeting.decode().split("\r\n") == [
        '"IMPLEMENTATION" "Postroad"', '"SIEVE" "fileinto vacation"', '"NOTIFY" "mailto"', '"SASL" "PLAIN LOGIN"',
        '"STARTTLS"', '"MAXREDIRECTS" "4"', '"UNAUTHENTICATE"', '"VERSION" "1.0"', 'OK "Postroad ready"', "",
    ]  # fmt: skip


def test_without_tls_nobody_may_log_in() -> None:
    closed = session(plaintext=False, starttls=True)
    assert b'"SASL" ""\r\n"STARTTLS"\r\n' in closed.outgoing()
    assert converse(closed, [LOGIN])[0].startswith(b'NO (ENCRYPT-NEEDED) "')
    closed.receive(b"STARTTLS\r\n" + LOGIN)
    assert closed.next_event() == StartTls()
    assert closed.outgoing() == b'OK "begin the handshake"\r\n'
    closed.tls_started()
    again = closed.outgoing()
    assert b'"SASL" "PLAIN LOGIN"\r\n' in again
    assert b"STARTTLS" not in again
    assert closed.next_event() is Signal.NEED_DATA  # what came in the clear is forgotten
    assert converse(closed, [b"STARTTLS\r\n"])[0].startswith(b"NO ")
    assert converse(closed, [LOGIN])[0] == b'OK "welcome"\r\n'


DIALOGS = [
    (b'HAVESPACE "x" 10\r\n', 'OK "done"', HaveSpace("x", 10)),
    (b'HAVESPACE "x" 60\r\n', 'NO (QUOTA) "quota"', HaveSpace("x", 60)),
    (b'HAVESPACE "x" 101\r\n', 'NO (QUOTA/MAXSIZE) "a script has at most 100 octets"', None),
    (b'PUTSCRIPT "x" {5+}\r\nkeep;\r\n', 'OK "done"', PutScript("x", b"keep;")),
    (b'PUTSCRIPT "x" {5}\r\nkeep;\r\n', 'OK "done"', PutScript("x", b"keep;")),
    (b'putscript {1+}\r\nx "keep;"\r\n', 'OK "done"', PutScript("x", b"keep;")),
    (b'PUTSCRIPT "x" {0+}\r\n\r\n', 'OK "done"', PutScript("x", b"")),
    (b'PUTSCRIPT "x" "a\\"b\\\\"\r\n', 'OK "done"', PutScript("x", b'a"b\\')),
    (b'PUTSCRIPT "warn" "keep;"\r\n', 'OK (WARNINGS) "line 1: better not"', PutScript("warn", b"keep;")),
    (b'CHECKSCRIPT "keep;"\r\n', 'OK "done"', CheckScript(b"keep;")),
    (b'SETACTIVE "b"\r\n', 'OK "done"', SetActive("b")),
    (b'SETACTIVE ""\r\n', 'OK "done"', SetActive("")),
    (b'SETACTIVE "none"\r\n', 'NO (NONEXISTENT) "there is no such script"', SetActive("none")),
    (b'DELETESCRIPT "a"\r\n', 'NO (ACTIVE) "it is active"', DeleteScript("a")),
    (b'DELETESCRIPT "b"\r\n', 'OK "done"', DeleteScript("b")),
    (b'RENAMESCRIPT "a" "b"\r\n', 'NO (ALREADYEXISTS) "there is one"', RenameScript("a", "b")),
    (b'RENAMESCRIPT "a" "gr\xc3\xbc\xc3\x9fe"\r\n', 'OK "done"', RenameScript("a", "grüße")),
    (b'GETSCRIPT "b"\r\n', 'NO (NONEXISTENT) "there is no such script"', GetScript("b")),
    (b"NOOP\r\n", 'OK "done"', None),
    (b'NOOP "tag 1"\r\n', 'OK (TAG "tag 1") "done"', None),
    (b"UNAUTHENTICATE\r\n", 'OK "done"', Unauthenticate()),
    (b"LOGOUT\r\n", 'OK "good bye"', None),
    (b"FROB\r\n", 'NO "unknown command"', None),
    (b"\r\n", 'NO "unknown command"', None),
    (b"5\r\n", 'NO "this is no command"', None),
    (b"GETSCRIPT\r\n", 'NO "write it like this: GETSCRIPT \\"name\\""', None),
    (b"GETSCRIPT 5\r\n", 'NO "write it like this: GETSCRIPT \\"name\\""', None),
    (b'GETSCRIPT "a" "b"\r\n', 'NO "write it like this: GETSCRIPT \\"name\\""', None),
    (b'GETSCRIPT "\r\n', 'NO "this is no command"', None),
    (b'GETSCRIPT "../a"\r\n', 'NO "this is no name for a script"', None),
    (b'GETSCRIPT "\xff"\r\n', 'NO "this is no name for a script"', None),
    (b'GETSCRIPT ""\r\n', 'NO "this is no name for a script"', None),
    (b'GETSCRIPT "%s"\r\n' % (b"x" * 129), 'NO "this is no name for a script"', None),
    (LOGIN, 'NO "not after the login"', None),
    (b"STARTTLS\r\n", 'NO "not after the login"', None),
]


@pytest.mark.parametrize(("command", "reply", "event"), DIALOGS)
def test_one_command(command: bytes, reply: str, event: Event | None) -> None:
    opened = session()
    converse(opened, [LOGIN])
    outgoing, asked = converse(opened, [command])
    assert outgoing.decode() == reply + "\r\n"
    assert asked == ([] if event is None else [event])


def test_every_command_is_in_a_dialog() -> None:
    told = b" ".join(command for command, _, _ in DIALOGS).upper()
    assert {name for name in COMMANDS if name.encode() not in told} <= {"LISTSCRIPTS", "CAPABILITY"}


def test_listing_and_getting() -> None:
    assert said(b"LISTSCRIPTS\r\n") == ['"a" ACTIVE', '"b\\""', 'OK "all scripts"']
    assert said(b'GETSCRIPT "a"\r\n') == ["{7}", "keep;", "", 'OK "the script"']


def test_a_text_of_several_lines_goes_in_braces() -> None:
    assert said(b'CHECKSCRIPT "wrong"\r\n') == ["NO {39}", "line 1: this is wrong", "line 2: this too"]


def test_capabilities_after_the_login() -> None:
    told = said(b"CAPABILITY\r\n")
    assert '"OWNER" "ann"' in told
    assert not any("SASL" in line or "STARTTLS" in line for line in told)


def test_after_unauthenticate_one_may_log_in_again() -> None:
    assert said(b"UNAUTHENTICATE\r\nLISTSCRIPTS\r\n" + LOGIN + b"NOOP\r\n") == [
        'OK "done"', 'NO "not before the login"', 'OK "welcome"', 'OK "done"',
    ]  # fmt: skip


def test_before_the_login_there_are_no_scripts() -> None:
    opened = session(mistakes=99)
    opened.outgoing()
    for name in COMMANDS.keys() - {"AUTHENTICATE", "STARTTLS", "LOGOUT", "CAPABILITY", "NOOP"}:
        assert converse(opened, [name.encode() + b"\r\n"]) == (b'NO "not before the login"\r\n', [])


def test_a_login_in_steps() -> None:
    opened = session()
    opened.outgoing()
    assert converse(opened, [b'AUTHENTICATE "PLAIN"\r\n'])[0] == b'""\r\n'
    assert converse(opened, [b'"%s"\r\n' % PLAIN])[0] == b'OK "welcome"\r\n'
    opened = session()
    opened.outgoing()
    assert converse(opened, [b'AUTHENTICATE "login"\r\n'])[0] == b'"VXNlcm5hbWU6"\r\n'
    assert converse(opened, [b"{4+}\r\nYW5u\r\n"])[0] == b'"UGFzc3dvcmQ6"\r\n'
    assert converse(opened, [b'"c2VjcmV0"\r\n'])[0] == b'OK "welcome"\r\n'


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        ([b'AUTHENTICATE "PLAIN"\r\n', b'"*"\r\n'], b'NO "cancelled"\r\n'),
        ([b'AUTHENTICATE "PLAIN"\r\n', b'"####"\r\n'], b'NO "this is no base64"\r\n'),
        ([b'AUTHENTICATE "PLAIN"\r\n', b"NOOP 5\r\n"], b'NO "a response is one string"\r\n'),
        ([b'AUTHENTICATE "PLAIN" "AAAA"\r\n'], b'NO "PLAIN wants an identity, a login and a password"\r\n'),
        ([b'AUTHENTICATE "FROB"\r\n'], b'NO "this mechanism is not offered"\r\n'),
        ([b'AUTHENTICATE "PLAIN" "%s"\r\n' % base64.b64encode(b"\0ann\0no")], b'NO "wrong user name or password"\r\n'),
    ],
)
def test_a_login_that_fails(commands: list[bytes], reply: bytes) -> None:
    opened = session()
    opened.outgoing()
    assert converse(opened, commands)[0].endswith(reply)
    assert opened.state is State.NON_AUTHENTICATED
    assert converse(opened, [LOGIN])[0] == b'OK "welcome"\r\n'


def test_guessing_is_cut_short() -> None:
    opened = session(tries=2)
    wrong = b'AUTHENTICATE "PLAIN" "%s"\r\n' % base64.b64encode(b"\0ann\0no")
    assert converse(opened, [wrong * 3])[0].endswith(b'BYE "wrong user name or password"\r\n')
    assert opened.state is State.CLOSED


def test_a_store_that_cannot_be_asked_is_not_the_clients_fault() -> None:
    opened = session(tries=1)
    opened.outgoing()
    assert converse(opened, [LOGIN], lambda one, _: one.refused("try later", temporary=True))[0] == (
        b'NO (TRYLATER) "try later"\r\n'
    )
    assert opened.state is State.NON_AUTHENTICATED


def test_too_many_mistakes() -> None:
    opened = session(mistakes=3)
    replies = converse(opened, [b"FROB\r\n" * 5])[0]
    assert replies.endswith(b'NO "unknown command"\r\nBYE "unknown command; too many mistakes, good bye"\r\n')


def test_mistakes_between_commands_that_make_sense_end_nothing() -> None:
    opened = session(mistakes=3)
    replies = converse(opened, [b"FROB\r\nFROB\r\nNOOP\r\n" * 5])[0]
    assert replies.count(b'NO "unknown command"') == 10
    assert b"BYE" not in replies


def test_a_script_too_large_is_thrown_away_as_it_comes() -> None:
    opened = session()
    converse(opened, [LOGIN])
    opened.receive(b'PUTSCRIPT "x" {1000000+}\r\n')
    assert opened.next_event() is Signal.NEED_DATA
    for _ in range(1000):
        opened.receive(b"LOGOUT\r\n" * 125)
        assert opened.next_event() is Signal.NEED_DATA
        assert len(opened._reader._received) == 0
    assert converse(opened, [b"\r\nNOOP\r\n"]) == (
        b'NO (QUOTA/MAXSIZE) "a script has at most 100 octets"\r\nOK "done"\r\n', [],
    )  # fmt: skip


def test_a_line_too_long_is_thrown_away_as_it_comes() -> None:
    opened = session()
    converse(opened, [LOGIN])
    for _ in range(100):
        opened.receive(b"x" * 1000)
        assert opened.next_event() is Signal.NEED_DATA
        assert len(opened._reader._received) <= managesieve_words.LINE_LIMIT + 1001
    assert converse(opened, [b"\r\nNOOP\r\n"])[0] == b'NO "this is no command"\r\nOK "done"\r\n'


def test_a_long_line_that_ends_in_braces_is_thrown_away_with_what_they_announce() -> None:
    command = b"x" * 20_000 + b" {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n"
    opened = session()
    converse(opened, [LOGIN])
    wanted = b'NO "this is no command"\r\nOK "done"\r\n'
    assert converse(opened, [command])[0] == wanted
    assert converse(opened, [command[at : at + 7] for at in range(0, len(command), 7)])[0] == wanted


def test_what_follows_a_broken_line_in_braces_is_no_command() -> None:
    assert said(b'FROB "a" "b" "c" "d" "e" {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n') == ['NO "this is no command"', 'OK "done"']
    assert said(b"FROB @ {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n") == ['NO "this is no command"', 'OK "done"']


def test_an_answer_that_nothing_asked_for() -> None:
    opened = session()
    with pytest.raises(RuntimeError):
        opened.done()
    opened.receive(LOGIN)
    opened.next_event()
    with pytest.raises(RuntimeError):
        opened.next_event()
    with pytest.raises(RuntimeError):
        opened.listed([])


WHOLE = LOGIN + b"".join(command for command, _, _ in DIALOGS[:-2] if not command.startswith((b"UNAUTH", b"LOGOUT")))


def test_byte_by_byte() -> None:
    whole = converse(session(mistakes=99), [WHOLE])
    assert converse(session(mistakes=99), [bytes([octet]) for octet in WHOLE]) == whole
    assert len(whole[1]) > 15


@given(st.lists(st.integers(0, len(WHOLE)), max_size=9).map(sorted))
def test_in_any_pieces(cuts: list[int]) -> None:
    pieces = [WHOLE[start:end] for start, end in zip([0, *cuts], [*cuts, len(WHOLE)], strict=True)]
    assert converse(session(mistakes=99), pieces) == converse(session(mistakes=99), [WHOLE])
