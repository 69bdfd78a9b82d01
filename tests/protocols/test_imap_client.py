"""Python's own IMAP client against our side of the protocol, without a socket between them."""

import imaplib
from collections.abc import Iterator

import pytest

from engine.protocols.imap import codes, dates, responses, sets
from engine.protocols.imap.append import AppendBegin, AppendEnd, ContentBegin
from engine.protocols.imap.events import (
    Auth,
    Closed,
    ContentPart,
    Event,
    IdleBegin,
    NeedData,
    Request,
)
from engine.protocols.imap.fetch import Attribute, Body, Fetch
from engine.protocols.imap.mailboxes import List, Namespace, Select, Status
from engine.protocols.imap.messages import Copy, Expunge, Store
from engine.protocols.imap.search import Search, Sort, Thread
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.view import May, View

LETTER = b'Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nHello ("you") {3}\r\n'

RESULTS: dict[type, bytes] = {
    Search: responses.search([1, 2]),
    Sort: responses.search([2, 1], sort=True),
    Thread: responses.threads([responses.Node(1, [responses.Node(2)])]),
}


class Mailbox:
    """A driver over a list of messages, as small as it can be."""

    def __init__(self) -> None:
        self.server = ImapServer("imap.example.org", plaintext=True, auth=("PLAIN",))
        self.letters = {7: LETTER, 9: LETTER * 2}
        self.flags = dict.fromkeys(self.letters, b"")
        self.view = View(self.letters)
        self.content = b""
        self.server.greet()

    def answer(self, event: Event) -> None:
        match event:
            case Auth():
                self.server.authenticated("ann")
            case Request(_, command):
                ok = self.obey(command)
                self.tell()
                self.server.ok("Done", ok or b"")
            case AppendBegin() | ContentBegin():
                self.server.go_on()
            case ContentPart(octets):
                self.content += octets
            case AppendEnd():
                self.letters[12], self.content = self.content, b""
                self.flags[12] = b""
                self.view.appeared([12])
                self.tell()
                self.server.ok("Done", codes.append_uid(1, sets.of([12])))
            case IdleBegin():
                self.server.send(responses.exists(5))

    def tell(self) -> None:
        news = self.view.tell(May.ALL)
        self.server.send(responses.expunged(news.expunged))
        if news.exists is not None:
            self.server.send(responses.exists(news.exists))
        self.server.send(responses.fetch_flags([(change.number, change.flags) for change in news.changed]))

    def obey(self, command: object) -> bytes | None:
        send = self.server.send
        match command:
            case Select():
                send(responses.flags([b"\\Seen"]), responses.exists(len(self.view)), responses.recent(0))
                send(codes.untagged_ok("UIDs", codes.uid_validity(1)))
                return b"READ-WRITE"
            case List():
                send(responses.listing(["\\HasNoChildren"], "/", "INBOX"), responses.listing([], "/", 'a "b" é'))
            case Status(mailbox, items):
                send(responses.status(mailbox, dict.fromkeys(items, 3)))
            case Namespace():
                send(responses.namespace([responses.Space("", "/")]))
            case Search() | Sort() | Thread():
                send(RESULTS[type(command)])
            case Fetch(messages, uid, items):
                for found in self.view.chosen(messages, uid=uid):
                    send(*self.fetched(found, items))
            case Store(messages, uid, _, _, flags):
                for found in self.view.chosen(messages, uid=uid):
                    self.view.changed([found], [" ".join(flags).encode()], [1])
            case Copy(messages, uid):
                chosen = sets.of(self.view.chosen(messages, uid=uid))
                return codes.copy_uid(1, chosen, chosen)
            case Expunge():
                self.view.vanished([7])
        return None

    def fetched(self, uid: int, items: tuple[object, ...]) -> Iterator[bytes]:
        number = self.view.number(uid)
        assert number is not None
        ready = {
            "UID": b"UID %d" % uid, "FLAGS": b"FLAGS ()", "INTERNALDATE": b"INTERNALDATE %b" % dates.utc(0),
            "RFC822.SIZE": b"RFC822.SIZE %d" % len(self.letters[uid]),
        }  # fmt: skip
        small = [ready[item.name] for item in items if isinstance(item, Attribute)]
        bodies = [item for item in items if isinstance(item, Body)]
        if bodies:
            yield responses.fetch_head(number, small, bodies[0].label, len(self.letters[uid]))
            yield self.letters[uid]
            yield responses.FETCH_TAIL
        else:
            yield responses.fetch(number, small)


class Client(imaplib.IMAP4):
    """A client whose socket is the session itself."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.waiting = b""
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.waiting += self.mailbox.server.outgoing()

    def send(self, data: bytes) -> None:
        server = self.mailbox.server
        server.receive(bytes(data))
        while not isinstance(event := server.next_event(), NeedData | Closed):
            self.mailbox.answer(event)
        self.waiting += server.outgoing()

    def read(self, size: int) -> bytes:
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data

    def readline(self) -> bytes:
        line, end, self.waiting = self.waiting.partition(b"\n")
        return line + end

    def shutdown(self) -> None:
        """There is no socket."""


@pytest.fixture
def client() -> Client:
    client = Client(Mailbox())
    assert client.login("ann", 'se cr"et')[0] == "OK"
    assert client.select()[1] == [b"2"]
    return client


def test_it_knows_what_we_can_do(client: Client) -> None:
    assert {"IMAP4REV2", "AUTH=PLAIN"} <= set(client.capabilities)
    assert {b"QRESYNC", b"THREAD=REFERENCES"} <= set(client.capability()[1][-1].split())
    assert client.close()[0] == client.enable("CONDSTORE")[0] == "OK"


def test_plain_without_tls_where_that_is_allowed() -> None:
    client = Client(Mailbox())
    assert client.authenticate("PLAIN", lambda _: b"\0ann\0secret")[0] == "OK"


def test_messages_come_as_they_are(client: Client) -> None:
    _, data = client.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
    assert [part[1] for part in data if isinstance(part, tuple)] == [LETTER, LETTER * 2]
    _, data = client.uid("FETCH", "7,9", "(FLAGS)")
    assert data == [b"1 (UID 7 FLAGS ())", b"2 (UID 9 FLAGS ())"]
    assert imaplib.Internaldate2tuple(client.fetch("1", "INTERNALDATE")[1][0]) is not None


def test_messages_go_in_as_they_are(client: Client) -> None:
    assert client.append("INBOX", "(\\Seen)", imaplib.Time2Internaldate(0), LETTER)[0] == "OK"
    assert client.response("APPENDUID") == ("APPENDUID", [b"1 12"])
    assert client.response("EXISTS") == ("EXISTS", [b"2", b"3"])
    assert client.fetch("3", "(RFC822)")[1][0][1] == LETTER


def test_changes_are_told(client: Client) -> None:
    assert client.store("1:2", "+FLAGS", "(\\Deleted)")[1] == [b"1 (FLAGS (\\Deleted))", b"2 (FLAGS (\\Deleted))"]
    assert client.expunge()[1] == [b"1"]
    assert client.copy("1", "Sent")[0] == "OK"
    assert client.response("COPYUID") == ("COPYUID", [b"1 9 9"])


def test_mailboxes_and_results(client: Client) -> None:
    assert client.list()[1] == [b'(\\HasNoChildren) "/" INBOX', b'() "/" "a \\"b\\" &AOk-"']
    assert client.status("INBOX", "(MESSAGES UNSEEN)")[1] == [b"INBOX (MESSAGES 3 UNSEEN 3)"]
    assert client.namespace()[1] == [b'(("" "/")) NIL NIL']
    assert client.search("UTF-8", "SUBJECT", '"x"')[1] == [b"1 2"]
    assert client.sort("(DATE)", "UTF-8", "ALL")[1] == [b"2 1"]
    assert client.thread("REFERENCES", "UTF-8", "ALL")[1] == [b"(1 2)"]


def test_mistakes_are_errors(client: Client) -> None:
    with pytest.raises(imaplib.IMAP4.error, match="A set of messages is missing"):
        client.fetch("0", "FLAGS")
    assert client.noop()[0] == "OK"
    assert client.logout()[0] == "BYE"
