"""Sieve: scripts of anyone's making, letters that they are run on, and what a client may say to ManageSieve."""

import re

from engine.protocols import managesieve as protocol
from engine.protocols import managesieve_events as events
from engine.protocols import managesieve_words as words
from engine.protocols import sasl
from engine.regex import compiled
from engine.sieve import Alone, Keep, Limits, Octets, ScriptError, compile_script, dumps, execute, loads, printing
from engine.sieve.lexer import Source
from engine.sieve.syntax import parse
from tests.fuzz.targets.cutting import cut, limits, option

_LIMITS = Limits(script=4096, nesting=15, regex=200, instructions=200, work=1_000_000, text=1000)
_LETTER = b"From: a@b.test\r\nTo: c@d.test\r\nSubject: aab\r\nX: 12\r\n\r\nabc\r\n"
_WORLD = Alone("a@b.test", "c@d.test")
_JUDGING = compile_script(
    b"""require ["body", "date", "index", "variables", "regex", "vacation", "editheader", "duplicate", "enotify"];
    if anyof (header :matches ["subject", "from"] "*needle*", address :all ["from", "to"] "needle",
              header :regex "subject" "(a|b)+needle$", body :text :contains "needle", body :raw :contains "needle",
              body :content ["", "multipart"] :contains "needle", date "date" "julian" "needle",
              date :index 1 :last "received" "iso8601" "needle", duplicate :header "subject") { keep; }
    addheader "X-New" "${1}"; deleteheader :contains "subject" "a"; vacation "gone";
    notify "mailto:a@b.test";"""
)


def sieve_script(data: bytes) -> None:
    """What parses is printed and parses again; what compiles can be kept, and its run comes to an end."""
    try:
        commands = parse(Source(data, _LIMITS.script), _LIMITS.nesting)
    except ScriptError as error:
        _are_told(error)
        return
    assert parse(Source(printing.script(commands).encode(), 4 * _LIMITS.script), _LIMITS.nesting) == commands
    try:
        script = compile_script(data, _LIMITS)
    except ScriptError as error:
        _are_told(error)
        return
    assert loads(dumps(script)) == script
    found = execute(script, Octets(_LETTER), _WORLD, _LIMITS)
    assert len(found.actions) <= _LIMITS.actions
    assert not found.error or found.actions == (Keep(),)


def _are_told(error: ScriptError) -> None:
    assert 1 <= len(error.mistakes) <= _LIMITS.mistakes
    assert all(mistake.line >= 1 and mistake.column >= 1 and mistake.text for mistake in error.mistakes)


def sieve_letter(data: bytes) -> None:
    """A script that looks at all of a letter, whatever it is: it never raises, and finds nothing that is not there."""
    found = execute(_JUDGING, Octets(data), _WORLD)
    if found.error or b"needle" in data.lower():
        return
    last = found.actions[-1]
    assert isinstance(last, Keep)
    assert last.header is not None
    assert b"X-New:" in last.header


def sieve_regex(data: bytes) -> None:
    """An expression and a text: whether it matches is the same whether the groups are wanted or not."""
    pattern, _, text = data.decode("utf-8", "replace").partition("\n")
    for casemap in (False, True):
        try:
            expression = compiled(pattern, casemap=casemap, limit=_LIMITS.regex)
        except ValueError:
            return
        groups = expression.groups(text, _free)
        assert expression.matches(text, _free) is (groups is not None)
        assert groups is None or all(group in text for group in groups)


def _free(_work: int) -> None: ...


def managesieve(data: bytes) -> None:
    """The server's side of ManageSieve: the same replies and events, and no more in memory than a line or a script."""
    chosen, data = option(data)
    whole, pieces = cut(data)
    with limits(words, LINE_LIMIT=80), limits(sasl, RESPONSE_LIMIT=60):
        said, asked = _managesieve(whole, chosen)
        assert (said, asked) == _managesieve(pieces, chosen)
    assert re.match(rb'"IMPLEMENTATION" "x"\r\n', said)
    assert said.endswith(b"\r\n")


def _managesieve(pieces: list[bytes], chosen: int) -> tuple[bytes, list[object]]:
    tls, starttls, plaintext, fussy = (bool(chosen & bit) for bit in (1, 2, 4, 8))
    session = protocol.Session(
        "x",
        extensions=("fileinto",),
        tls=tls,
        starttls=starttls,
        plaintext=plaintext,
        auth=("PLAIN", "LOGIN"),
        script_limit=40,
    )
    said, asked = session.outgoing(), []
    for piece in pieces:
        session.receive(piece)
        while (event := session.next_event()) is not events.Signal.NEED_DATA:
            assert not isinstance(event, events.Signal)
            asked.append(event)
            if isinstance(event, events.Closed | events.StartTls):  # what follows STARTTLS is dropped
                return said + session.outgoing(), asked
            _answer(session, event, no=fussy and len(asked) % 3 == 0)
            said += session.outgoing()
        said += session.outgoing()
        assert len(session._reader._received) <= 81
    return said, asked


def _answer(session: protocol.Session, event: events.Event, *, no: bool) -> None:
    match event:
        case events.Login():
            session.refused() if no else session.logged_in("a")
        case events.ListScripts() if not no:
            session.listed(["a", 'b"'], "a")
        case events.GetScript() if not no:
            session.script(b"keep;\r\n")
        case events.Unauthenticate():
            session.done()
        case events.PutScript(_, content) | events.CheckScript(content):
            assert len(content) <= 80
            session.failed("line 1:\r\nwrong") if no else session.done("fine", warnings=True)
        case _:
            session.failed("no", events.Code.NONEXISTENT) if no else session.done()
