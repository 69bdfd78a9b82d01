"""IMAP: commands read, and lists of flags written."""

from collections.abc import Callable

import pytest

from bench.micro.measure import Measure
from engine.protocols.imap import responses
from engine.protocols.imap.events import Event, NeedData, Request
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.table import State
from engine.protocols.imap.view import May, View

pytestmark = pytest.mark.benchmark(group="IMAP")

COUNT = 1000

COMMANDS = {
    "NOOP": b"NOOP",
    "UID FETCH (FLAGS BODY.PEEK[HEADER.FIELDS …])": b"UID FETCH 4827313:4828442 (FLAGS INTERNALDATE RFC822.SIZE "
    b"BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT MESSAGE-ID)])",
    "SEARCH, 4 keys": b'UID SEARCH RETURN (ALL) UNDELETED SINCE 1-Feb-1994 OR FROM "Smith" SUBJECT "coast"',
    "STORE +FLAGS": b"UID STORE 1:*,7 +FLAGS.SILENT (\\Seen $Forwarded)",
}


def obey(server: ImapServer, octets: bytes) -> int:
    """How many commands were read."""
    server.receive(octets)
    count = 0
    event: Event
    while not isinstance(event := server.next_event(), NeedData):
        assert isinstance(event, Request)
        server.ok("Done")
        count += 1
    server.outgoing()
    return count


@pytest.mark.parametrize("what", COMMANDS)
def test_command(measure: Measure, what: str) -> None:
    server = ImapServer("imap.rcpt.test", tls_active=True)
    server.state = State.SELECTED
    octets = b"".join(b"A%d %b\r\n" % (number, COMMANDS[what]) for number in range(COUNT))
    assert measure(f"{what}, read and answered", obey, server, octets, operations=COUNT) == COUNT


@pytest.mark.parametrize("modseq", [False, True], ids=["", "MODSEQ"])
def test_flags(measure: Measure, *, modseq: bool) -> None:
    shown = (b"", b"\\Seen", b"\\Answered \\Seen", b"\\Flagged \\Seen $Forwarded")
    rows = [
        (number, number + 7000, shown[number % 4], *([number + 900_000] * modseq)) for number in range(1, COUNT + 1)
    ]
    what = f"UID and FLAGS{' and MODSEQ' * modseq} of 1,000 messages, written"
    written = measure(what, lambda: responses.fetch_flags(rows, uid=True, modseq=modseq))
    assert written.count(b"\r\n") == COUNT


def test_one_fetch_at_a_time(measure: Measure) -> None:
    rows = [(number, b"UID %d" % (number + 7000), b"FLAGS (\\Seen)") for number in range(1, COUNT + 1)]

    def work() -> bytes:
        fetch: Callable[..., bytes] = responses.fetch
        return b"".join([fetch(number, items) for number, *items in rows])

    assert measure("1,000 FETCH responses from items that are ready", work).count(b"\r\n") == COUNT


def test_view(measure: Measure) -> None:
    """A mailbox of 10,000, of which half goes at once while as many come."""

    def work() -> int:
        view = View(range(1, 10_001))
        view.vanished(range(1, 10_001, 2))
        view.appeared(range(10_001, 15_001))
        return len(view.tell(May.ALL).expunged)

    assert measure("a view of 10,000 messages: 5,000 go, 5,000 come", work) == 5000
