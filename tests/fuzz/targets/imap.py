"""IMAP: what a client may say to our server, and the words that it is said in."""

import re

from engine.protocols import sasl
from engine.protocols.imap import dates, names, sets, strings
from engine.protocols.imap.append import AppendBegin, AppendEnd, ContentBegin, ContentUrl
from engine.protocols.imap.cursor import Cursor, Limits, Malformed
from engine.protocols.imap.events import (
    Auth,
    Closed,
    CompressionBegins,
    ContentPart,
    Event,
    NeedData,
    Request,
    TlsBegins,
)
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.session import ENABLED
from engine.protocols.imap.table import State
from tests.fuzz.targets.cutting import cut, limits, option

LIMITS = Limits(line=200, literal=60, whole=40, arguments=50, depth=6)
RESPONSE = 80  # octets of a response in a login
LARGEST = 1000  # octets of content

_ANSWER = rb"(?:[^ \r\n]+ (?:OK|NO|BAD|BYE|CAPABILITY|ENABLED)[ -~]*\r\n|\+ [ -~]*\r\n)*"


def imap(data: bytes) -> None:
    """The server's side of IMAP: the same replies and events, and no more in memory than its limits."""
    chosen, data = option(data)
    whole, pieces = cut(data)
    with limits(sasl, RESPONSE_LIMIT=RESPONSE):
        said, events = _imap(whole, chosen)
        assert (said, events) == _imap(pieces, chosen)
    assert re.fullmatch(_ANSWER, said)


def _imap(pieces: list[bytes], chosen: int) -> tuple[bytes, list[object]]:
    state = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED, State.SELECTED)[chosen & 3]
    server = ImapServer(
        "mx.example.org", plaintext=bool(chosen & 4), starttls=bool(chosen & 8), auth=("PLAIN",), limits=LIMITS
    )
    server.state = state
    server.features = frozenset(ENABLED.values()) if chosen & 16 else frozenset()
    fussy = bool(chosen & 32)
    said, events = b"", list[object]()
    for piece in pieces:
        server.receive(piece)
        while not isinstance(event := server.next_event(), NeedData):
            _note(events, event)
            if isinstance(event, Closed | TlsBegins | CompressionBegins):
                return said + server.outgoing(), events
            _answer(server, event, no=fussy and len(events) % 3 == 0)
            said += server.outgoing()
        said += server.outgoing()
        assert len(server._intake._reader._buffer) <= LIMITS.line + LIMITS.literal + RESPONSE
    return said, events


def _note(events: list[object], event: Event) -> None:
    """Parts of one literal count as one, wherever they were cut."""
    if isinstance(event, ContentPart) and events and isinstance(events[-1], ContentPart):
        events[-1] = ContentPart(events[-1].octets + event.octets)
    else:
        events.append(event)


def _answer(server: ImapServer, event: Event, *, no: bool) -> None:
    match event:
        case Request() | AppendEnd():
            server.no("no") if no else server.ok("yes")
        case Auth(sasl.Credentials(_, login)):
            server.no("no") if no else server.authenticated(login)
        case ContentBegin(size):
            server.no("no") if no or size > LARGEST else server.go_on()
        case AppendBegin() | ContentUrl():
            server.no("no") if no else server.go_on()


def imap_words(data: bytes) -> None:
    """Names, sets, dates and strings: what can be read is written again, and means the same."""
    data = b"".join(cut(data)[0])
    _name(data)
    found = sets.parse(data)
    if found is not None:
        assert found.render() == data
        spans = found.spans(9)
        assert spans == sorted(spans)
        assert all(low <= high for low, high in spans)
    moment = dates.parse_date_time(data)
    if moment is not None:
        assert dates.parse_date_time(dates.date_time(moment)[1:-1]) == moment
    for utf8 in (False, True):
        cursor = Cursor(strings.string(data, utf8=utf8))
        assert cursor.string(binary=True) == data
        assert cursor.at_end
    try:
        cursor = Cursor(data)
        octets = cursor.astring()
    except Malformed:
        return
    assert Cursor(strings.astring(octets)).astring() == octets


def _name(data: bytes) -> None:
    for utf8 in (False, True):
        name = names.decode(data, utf8=utf8)
        if name is not None:
            assert names.encode(name, utf8=utf8) == data or name == names.INBOX
            assert names.Pattern(name, "/").matches(name)
            assert names.Pattern("*", "/").matches(name)
