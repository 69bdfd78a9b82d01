"""What each IMAP command is read as: the examples of the RFCs, and what is refused."""

from datetime import date

import pytest

from engine.protocols.imap import sets
from engine.protocols.imap.append import AppendBegin
from engine.protocols.imap.events import NeedData, Request
from engine.protocols.imap.fetch import Attribute, Binary, BinarySize, Body, Fetch, Preview, Section
from engine.protocols.imap.mailboxes import (
    Close,
    Create,
    Delete,
    List,
    Lsub,
    Namespace,
    Rename,
    Resync,
    Select,
    Status,
    Subscribe,
)
from engine.protocols.imap.messages import Copy, Expunge, Store
from engine.protocols.imap.notify import Group, Notify
from engine.protocols.imap.rights import (
    DeleteAcl,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    ListRights,
    MyRights,
    SetAcl,
    SetMetadata,
    SetQuota,
)
from engine.protocols.imap.search import Criterion, Returns, Search, Sort, Thread
from engine.protocols.imap.search_keys import (
    Aged,
    And,
    Contains,
    Dated,
    Everything,
    HasFlag,
    HeaderContains,
    Identified,
    Modified,
    Not,
    Numbered,
    Or,
    SaveDateSupported,
    SearchKey,
    Sized,
)
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.session import Id, Noop, Unauthenticate
from engine.protocols.imap.sets import SequenceSet
from engine.protocols.imap.table import COMMANDS, Command, State


def numbers(text: bytes) -> SequenceSet:
    found = sets.parse(text)
    assert found is not None
    return found


ALL = numbers(b"1:*")
FLAGS, UID, MODSEQ = Attribute("FLAGS"), Attribute("UID"), Attribute("MODSEQ")
FAST = (FLAGS, Attribute("INTERNALDATE"), Attribute("RFC822.SIZE"))
SEEN, DELETED = HasFlag("\\Seen"), HasFlag("\\Deleted")


def searching(key: SearchKey, *, uid: bool = False, returns: Returns | None = None) -> Search:
    return Search(key, uid, returns)


def opened(state: State = State.SELECTED, *features: str) -> ImapServer:
    """A session in this state, of a client that has enabled these."""
    server = ImapServer("imap.example.org", plaintext=True)
    server.state = state
    server.features = frozenset(features)
    return server


def read(server: ImapServer, octets: bytes) -> Command | bytes:
    """The command that these octets are, or what was answered."""
    server.receive(b"A1 " + octets + b"\r\n")
    event = server.next_event()
    if isinstance(event, NeedData):
        return server.outgoing().removeprefix(b"+ Ready for the literal\r\n")
    assert isinstance(event, Request), event
    assert event.tag == b"A1"
    return event.command


MAILBOXES: list[tuple[bytes, Command]] = [
    (b"NOOP", Noop()),
    (b"noop ", Noop()),
    (b"CHECK", Noop()),
    (b"UNAUTHENTICATE", Unauthenticate()),
    (b'ID ("name" "sodr" "version" "19.34" "vendor" NIL)',
     Id((("name", "sodr"), ("version", "19.34"), ("vendor", None)))),
    (b"ID NIL", Id(())),
    (b"SELECT INBOX", Select("INBOX", False)),
    (b"SELECT inbox", Select("INBOX", False)),
    (b"EXAMINE blurdybloop", Select("blurdybloop", True)),
    (b"SELECT INBOX (CONDSTORE)", Select("INBOX", False, condstore=True)),
    (b"CREATE owatagusiam/", Create("owatagusiam/")),
    (b"CREATE MyDrafts (USE (\\Drafts))", Create("MyDrafts", ("\\Drafts",))),
    (b"CREATE Everything (USE (\\All \\sent))", Create("Everything", ("\\All", "\\Sent"))),
    (b"DELETE foo/bar", Delete("foo/bar")),
    (b"RENAME blurdybloop sarasoop", Rename("blurdybloop", "sarasoop")),
    (b"SUBSCRIBE #news.comp.mail.mime", Subscribe("#news.comp.mail.mime", True)),
    (b"UNSUBSCRIBE #news.comp.mail.mime", Subscribe("#news.comp.mail.mime", False)),
    (b'LIST "" ""', List("", ("",))),
    (b"LIST /usr/staff/jones \"\"", List("/usr/staff/jones", ("",))),
    (b"LIST ~/Mail/ %", List("~/Mail/", ("%",))),
    (b'LIST (SUBSCRIBED) "" "*"', List("", ("*",), frozenset({"SUBSCRIBED"}), extended=True)),
    (b'LIST () "" "%" RETURN (CHILDREN)', List("", ("%",), returns=frozenset({"CHILDREN"}), extended=True)),
    (b'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"',
     List("", ("%",), frozenset({"SUBSCRIBED", "RECURSIVEMATCH"}), extended=True)),
    (b'LIST "" ("INBOX" "Drafts" "Sent/%")', List("", ("INBOX", "Drafts", "Sent/%"), extended=True)),
    (b'LIST (SPECIAL-USE) "" "*"', List("", ("*",), frozenset({"SPECIAL-USE"}), extended=True)),
    (b'LIST "" % RETURN (STATUS (MESSAGES UNSEEN))',
     List("", ("%",), returns=frozenset({"STATUS"}), status=("MESSAGES", "UNSEEN"), extended=True)),
    (b'LIST "" "%" RETURN (SUBSCRIBED CHILDREN MYRIGHTS)',
     List("", ("%",), returns=frozenset({"SUBSCRIBED", "CHILDREN", "MYRIGHTS"}), extended=True)),
    (b'LIST "" % RETURN (METADATA ("/shared/vendor/cmu/color" /private/comment))',
     List("", ("%",), returns=frozenset({"METADATA"}), extended=True,
          metadata=("/shared/vendor/cmu/color", "/private/comment"))),
    (b'LSUB "#news." "comp.mail.*"', Lsub("#news.", "comp.mail.*")),
    (b"NAMESPACE", Namespace()),
    (b"STATUS blurdybloop (UIDNEXT MESSAGES)", Status("blurdybloop", ("UIDNEXT", "MESSAGES"))),
    (b"STATUS x (DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ MAILBOXID APPENDLIMIT RECENT UIDVALIDITY UNSEEN)",
     Status("x", ("DELETED", "DELETED-STORAGE", "SIZE", "HIGHESTMODSEQ", "MAILBOXID", "APPENDLIMIT", "RECENT",
                  "UIDVALIDITY", "UNSEEN"))),
    (b"CLOSE", Close(expunge=True)),
    (b"UNSELECT", Close(expunge=False)),
]  # fmt: skip

MESSAGES: list[tuple[bytes, Command]] = [
    (b"EXPUNGE", Expunge(None)),
    (b"UID EXPUNGE 3000:3002", Expunge(numbers(b"3000:3002"))),
    (b"STORE 2:4 +FLAGS (\\Deleted)", Store(numbers(b"2:4"), False, "+", False, ("\\Deleted",))),
    (b"store 1 -flags.silent (\\SEEN $Junk)", Store(numbers(b"1"), False, "-", True, ("\\Seen", "$Junk"))),
    (b"UID STORE 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
     Store(numbers(b"6,4,8"), True, "+", True, ("\\Deleted",), 12121230045)),
    (b"STORE $ FLAGS \\Seen \\Draft", Store(sets.SAVED, False, "", False, ("\\Seen", "\\Draft"))),
    (b"STORE 1 FLAGS ()", Store(numbers(b"1"), False, "", False, ())),
    (b"COPY 2:4 MEETING", Copy(numbers(b"2:4"), False, "MEETING", move=False)),
    (b"UID COPY $ Saved", Copy(sets.SAVED, True, "Saved", move=False)),
    (b"UID MOVE 42:69 foo", Copy(numbers(b"42:69"), True, "foo", move=True)),
    (b"SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
     searching(And((HasFlag("\\Flagged"), Dated("INTERNAL", "SINCE", date(1994, 2, 1)),
                    Not(Contains("FROM", "Smith")))))),
    (b'SEARCH TEXT "string not in mailbox"', searching(Contains("TEXT", "string not in mailbox"))),
    ("SEARCH CHARSET UTF-8 TEXT {12}\r\nматьма".encode(), searching(Contains("TEXT", "матьма"))),
    (b"SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994",
     searching(And((HasFlag("\\Flagged"), Dated("INTERNAL", "SINCE", date(1994, 2, 1)))),
               returns=Returns(smallest=True, count=True))),
    (b"SEARCH RETURN () FLAGGED", searching(HasFlag("\\Flagged"), returns=Returns(all=True))),
    (b"UID SEARCH RETURN (SAVE) $ SMALLER 4096",
     searching(And((Numbered(sets.SAVED, uid=True), Sized(False, 4096))), uid=True, returns=Returns(save=True))),
    (b"UID SEARCH RETURN (PARTIAL -1:-100) UNDELETED UNKEYWORD $Junk",
     searching(And((Not(DELETED), Not(HasFlag("$Junk")))), uid=True, returns=Returns(partial=(-1, -100)))),
    (b"UID SEARCH RETURN (PARTIAL 23500:24000 COUNT) ALL",
     searching(Everything(), uid=True, returns=Returns(count=True, partial=(23500, 24000)))),
    (b"SEARCH UNSEEN YOUNGER 259200", searching(And((Not(SEEN), Aged(False, 259200))))),
    (b"SEARCH OLDER 604800", searching(Aged(True, 604800))),
    (b'SEARCH MODSEQ "/flags/\\\\draft" all 620162338', searching(Modified(620162338))),
    (b"SEARCH MODSEQ 620162338 LARGER 50000", searching(And((Modified(620162338), Sized(True, 50000))))),
    (b"SEARCH EMAILID M6d99ac3275bb4e", searching(Identified("EMAILID", "M6d99ac3275bb4e"))),
    (b"SEARCH THREADID T64b478a75b7ea9", searching(Identified("THREADID", "T64b478a75b7ea9"))),
    (b"SEARCH SAVEDBEFORE 1-Jan-2020 SAVEDATESUPPORTED",
     searching(And((Dated("SAVED", "BEFORE", date(2020, 1, 1)), SaveDateSupported())))),
    (b"SEARCH OR (SENTON \"2-Mar-2001\" 1:3,5) UID 7:* HEADER X-Spam \"\"",
     searching(And((Or(And((Dated("SENT", "ON", date(2001, 3, 2)), Numbered(numbers(b"1:3,5"), uid=False))),
                       Numbered(numbers(b"7:*"), uid=True)), HeaderContains("X-Spam", ""))))),
    (b"SEARCH NEW", searching(And((HasFlag("\\Recent"), Not(SEEN))))),
    (b"SEARCH OLD BCC a BODY b CC c SUBJECT d TO e KEYWORD f",
     searching(And((Not(HasFlag("\\Recent")), Contains("BCC", "a"), Contains("BODY", "b"), Contains("CC", "c"),
                    Contains("SUBJECT", "d"), Contains("TO", "e"), HasFlag("f"))))),
    (b"SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
     Sort((Criterion("SUBJECT"), Criterion("DATE", reverse=True)), Everything(), uid=False)),
    (b"UID SORT RETURN (ALL COUNT) (DISPLAYFROM) us-ascii UNDELETED",
     Sort((Criterion("DISPLAYFROM"),), Not(DELETED), uid=True, returns=Returns(all=True, count=True))),
    (b"THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
     Thread("ORDEREDSUBJECT", Dated("INTERNAL", "SINCE", date(2000, 3, 5)), uid=False)),
    (b"UID THREAD references UTF-8 SEEN", Thread("REFERENCES", SEEN, uid=True)),
]  # fmt: skip

HEADER = Section(text="HEADER.FIELDS", fields=("DATE", "FROM"))
FETCHES: list[tuple[bytes, Command]] = [
    (b"FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
     Fetch(numbers(b"2:4"), False, (FLAGS, Body(HEADER, b"BODY[HEADER.FIELDS (DATE FROM)]", peek=False)))),
    (b"FETCH 12 FULL", Fetch(numbers(b"12"), False, (*FAST, Attribute("ENVELOPE"), Attribute("BODY")))),
    (b"FETCH 1:* fast", Fetch(ALL, False, FAST)),
    (b"FETCH 1 ALL", Fetch(numbers(b"1"), False, (*FAST, Attribute("ENVELOPE")))),
    (b"UID FETCH 4827313:4828442 FLAGS", Fetch(numbers(b"4827313:4828442"), True, (UID, FLAGS))),
    (b"UID FETCH 1 (UID FLAGS uid)", Fetch(numbers(b"1"), True, (UID, FLAGS))),
    (b"FETCH 1 body.peek[]<0.2048>", Fetch(numbers(b"1"), False, (Body(Section(), b"BODY[]<0>", True, (0, 2048)),))),
    (b"FETCH 1 (BODY[1.2.HEADER] BODY[4.1.MIME] BODY[3] BODY[TEXT])",
     Fetch(numbers(b"1"), False, (
         Body(Section((1, 2), "HEADER"), b"BODY[1.2.HEADER]", False),
         Body(Section((4, 1), "MIME"), b"BODY[4.1.MIME]", False),
         Body(Section((3,)), b"BODY[3]", False),
         Body(Section((), "TEXT"), b"BODY[TEXT]", False)))),
    (b'FETCH 1 BODY.PEEK[2.HEADER.FIELDS.NOT ("X y")]',
     Fetch(numbers(b"1"), False, (
         Body(Section((2,), "HEADER.FIELDS.NOT", ("X y",)), b'BODY[2.HEADER.FIELDS.NOT ("X y")]'),))),
    (b"FETCH 1 (" + b" ".join([b"FLAGS"] * 40) + b")", Fetch(numbers(b"1"), False, (FLAGS,))),
    (b"FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)",
     Fetch(numbers(b"1"), False, (
         Body(Section(), b"RFC822", False), Body(Section(text="HEADER"), b"RFC822.HEADER"),
         Body(Section(text="TEXT"), b"RFC822.TEXT", False), Attribute("RFC822.SIZE")))),
    (b"FETCH 1 (BINARY[1.2]<5.10> BINARY.PEEK[] BINARY.SIZE[3])",
     Fetch(numbers(b"1"), False, (
         Binary((1, 2), b"BINARY[1.2]<5>", False, (5, 10)), Binary((), b"BINARY[]"),
         BinarySize((3,), b"BINARY.SIZE[3]")))),
    (b"FETCH 1 (PREVIEW PREVIEW (LAZY) EMAILID THREADID SAVEDATE BODYSTRUCTURE)",
     Fetch(numbers(b"1"), False, (
         Preview(), Preview(lazy=True), Attribute("EMAILID"), Attribute("THREADID"), Attribute("SAVEDATE"),
         Attribute("BODYSTRUCTURE")))),
    (b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)", Fetch(ALL, True, (UID, FLAGS, MODSEQ), 12345)),
    (b"UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-30)",
     Fetch(numbers(b"25900:26600"), True, (UID, FLAGS), partial=(-1, -30))),
    (b"FETCH $ (ENVELOPE INTERNALDATE MODSEQ)",
     Fetch(sets.SAVED, False, (Attribute("ENVELOPE"), Attribute("INTERNALDATE"), MODSEQ))),
]  # fmt: skip

OTHERS: list[tuple[bytes, Command]] = [
    (b'GETQUOTA ""', GetQuota("")),
    (b"GETQUOTAROOT INBOX", GetQuotaRoot("INBOX")),
    (b'SETQUOTA "" (STORAGE 512 message 10)', SetQuota("", (("STORAGE", 512), ("MESSAGE", 10)))),
    (b"GETACL INBOX", GetAcl("INBOX")),
    (b"SETACL INBOX Byron +lrswipkda", SetAcl("INBOX", "Byron", "+", "lrswipkda")),
    (b"SETACL INBOX/Drafts John -kx", SetAcl("INBOX/Drafts", "John", "-", "kx")),
    (b'SETACL a -anyone ""', SetAcl("a", "-anyone", "", "")),
    (b"DELETEACL INBOX chris", DeleteAcl("INBOX", "chris")),
    (b"LISTRIGHTS ~/Mail/saved smith", ListRights("~/Mail/saved", "smith")),
    (b"MYRIGHTS INBOX", MyRights("INBOX")),
    (b'GETMETADATA "" /shared/comment', GetMetadata("", ("/shared/comment",))),
    (b'GETMETADATA "INBOX" (/shared/comment /private/Comment)',
     GetMetadata("INBOX", ("/shared/comment", "/private/comment"))),
    (b'GETMETADATA (DEPTH infinity MAXSIZE 1024) "INBOX" (/private/filters/values)',
     GetMetadata("INBOX", ("/private/filters/values",), 1024, None)),
    (b'GETMETADATA "INBOX" (MAXSIZE 1024) (/shared/comment /private/comment)',
     GetMetadata("INBOX", ("/shared/comment", "/private/comment"), 1024)),
    (b"SETMETADATA INBOX (/private/comment {33}\r\nMy new comment across\r\ntwo lines.)",
     SetMetadata("INBOX", (("/private/comment", b"My new comment across\r\ntwo lines."),))),
    (b"SETMETADATA INBOX (/private/comment NIL /shared/x ~{2+}\r\n\0\1)",
     SetMetadata("INBOX", (("/private/comment", None), ("/shared/x", b"\0\1")))),
    (b"NOTIFY NONE", Notify(())),
    (b"NOTIFY SET STATUS (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (DATE FROM)]) MessageExpunge FlagChange))"
     b" (subtree (Lists INBOX) (MessageNew MessageExpunge)) (personal NONE)",
     Notify((
         Group("SELECTED", (), frozenset({"MessageNew", "MessageExpunge", "FlagChange"}),
               (UID, Body(HEADER, b"BODY[HEADER.FIELDS (DATE FROM)]"))),
         Group("SUBTREE", ("Lists", "INBOX"), frozenset({"MessageNew", "MessageExpunge"})),
         Group("PERSONAL", (), frozenset())), status=True)),
    (b"NOTIFY SET (mailboxes misc (MailboxName SubscriptionChange))",
     Notify((Group("MAILBOXES", ("misc",), frozenset({"MailboxName", "SubscriptionChange"})),))),
]  # fmt: skip
EXAMPLES = MAILBOXES + MESSAGES + FETCHES + OTHERS


@pytest.mark.parametrize(("octets", "command"), EXAMPLES, ids=[str(octets)[:60] for octets, _ in EXAMPLES])
def test_the_command_is_read(octets: bytes, command: Command) -> None:
    assert read(opened(), octets) == command


def test_the_examples_meet_every_command_of_the_table() -> None:
    met = {b" ".join(octets.upper().split()[: 1 + octets.upper().startswith(b"UID ")]) for octets, _ in EXAMPLES}
    elsewhere = {
        b"CAPABILITY", b"LOGOUT", b"STARTTLS", b"AUTHENTICATE", b"LOGIN", b"ENABLE", b"COMPRESS", b"IDLE", b"APPEND",
        b"REPLACE", b"UID REPLACE",
    }  # fmt: skip
    uid_alike = {b"MOVE", b"UID SEARCH", b"UID SORT"}
    assert COMMANDS.keys() - met - elsewhere - uid_alike == set()


def test_qresync() -> None:
    """RFC 7162 3.2.5."""
    server = opened(State.AUTHENTICATED, "QRESYNC")
    known = Resync(67890007, 20050715194045000, numbers(b"41,43:211,214:541"))
    octets = b"SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))"
    assert read(server, octets) == Select("INBOX", False, resync=known)
    server = opened(State.AUTHENTICATED, "QRESYNC")
    octets = b"SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1:3 41,43:44)))"
    matched = Resync(67890007, 90060115194045000, numbers(b"41:211,214:541"), (numbers(b"1:3"), numbers(b"41,43:44")))
    assert read(server, octets) == Select("INBOX", False, resync=matched)
    server = opened(State.SELECTED, "QRESYNC")
    assert read(server, b"UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)") == Fetch(
        numbers(b"300:500"), True, (UID, FLAGS, MODSEQ), 12345, vanished=True
    )


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"SELECT x (QRESYNC (1 1) QRESYNC (1 1))", b"QRESYNC stands twice"),
        (b"SELECT x (QRESYNC (1 1 1:*))", b"What is known has neither * nor $"),
        (b"SELECT x (QRESYNC (1 1 $))", b"What is known has neither * nor $"),
        (b"SELECT x (QRESYNC (0 1))", b"A UIDVALIDITY is out of range"),
        (b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", b"VANISHED goes with UID FETCH and CHANGEDSINCE"),
        (b"UID FETCH 1 FLAGS (VANISHED)", b"VANISHED goes with UID FETCH and CHANGEDSINCE"),
    ],
)
def test_malformed_qresync(octets: bytes, text: bytes) -> None:
    assert read(opened(State.SELECTED, "QRESYNC"), octets) == b"A1 BAD %b\r\n" % text


@pytest.mark.parametrize(
    ("item", "seen"), [(b"BODY[]", True), (b"BODY.PEEK[]", False), (b"RFC822.TEXT", True), (b"BINARY.PEEK[1]", False)]
)
def test_what_makes_a_message_seen(item: bytes, seen: bool) -> None:
    found = read(opened(), b"FETCH 1 (FLAGS " + item + b")")
    assert isinstance(found, Fetch)
    assert found.sets_seen is seen


WRONG = [
    (b"", b"Unknown command"),
    (b"FROBNICATE", b"Unknown command"),
    (b"UID NOOP", b"Unknown command"),
    (b"NOOP x", b"There is more than the command takes"),
    (b"SELECT", b"An argument is missing"),
    (b"SELECT INBOX (FOO)", b"FOO is no parameter of SELECT"),
    (b"CREATE x (FOO)", b"USE is the only parameter of CREATE"),
    (b'LIST "" * FOO', b"RETURN and its options are the only thing that may follow"),
    (b"FETCH 1 BODY[" + b"1." * 100 + b"1]", b"The part lies too deep"),
    (b"FETCH 1 BODY[]<4294967296.1>", b"A range of octets is out of range"),
    (b"STORE 1 (FOO 1) FLAGS ()", b"UNCHANGEDSINCE is the only modifier of STORE"),
    (b"SEARCH OLDER 0", b"An interval is out of range"),
    (b"SEARCH RETURN (FOO) ALL", b"The result option FOO is unknown here"),
    (b"GETMETADATA (FOO 1) a /shared/x", b"The option FOO is unknown here"),
    (b"GETMETADATA (DEPTH 2) a /shared/x", b"DEPTH is 0, 1 or infinity"),
    (b"NOTIFY SET (foo NONE)", b"The filter FOO is unknown here"),
    (b'ID ("' + b"x" * 31 + b'" NIL)', b"A field of ID is too long"),
    (b"ID (" + b" ".join([b'"x" NIL'] * 31) + b")", b"ID takes 30 fields at most"),
    (b'APPEND x "17-Jul-1996" {3+}\r\nabc', b'A date and time is like "17-Jul-1996 02:44:25 -0700"'),
    (b"SELECT INBOX (QRESYNC (1 1))", b"ENABLE QRESYNC comes first"),
    (b'SELECT "INBOX', b"A mailbox name is missing or malformed"),
    (b'SELECT "a\\b"', b"A mailbox name is missing or malformed"),
    (b"SELECT (a)", b"A mailbox name is missing or malformed"),
    (b'LIST (RECURSIVEMATCH) "" *', b"RECURSIVEMATCH needs something to match"),
    (b'LIST (FOO) "" *', b"The option FOO is unknown here"),
    (b"STATUS x ()", b"An option is missing or malformed"),
    (b"STATUS x (FOO)", b"The option FOO is unknown here"),
    (b"FETCH 0 FLAGS", b"A set of messages is missing or malformed"),
    (b"FETCH 4294967296 FLAGS", b"A number of a message is out of range"),
    (b"FETCH 1 BODY[MIME]", b"MIME needs the number of a part"),
    (b"FETCH 1 BODY[0]", b"A section is missing or malformed"),
    (b"FETCH 1 BODY[]<0.0>", b"A range of octets is missing or malformed"),
    (b"FETCH 1 FLAGS[1]", b"FLAGS has no section"),
    (b"FETCH 1 (ALL)", b"The fetch item ALL is unknown here"),
    (b"FETCH 1 ()", b"A fetch item is missing or malformed"),
    (b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", b"ENABLE QRESYNC comes first"),
    (b"FETCH 1 FLAGS (FOO)", b"The modifier FOO is unknown here"),
    (b"FETCH 1 (FLAGS  UID)", b"A fetch item is missing or malformed"),
    (b"FETCH 1 FLAGS (PARTIAL 1:2)", b"PARTIAL goes with UID FETCH"),
    (b"FETCH 1 BODY[HEADER.FIELDS (a\rb)]", b"A space is missing"),
    (b'FETCH 1 BODY[HEADER.FIELDS ({3+}\r\na\r\n)]', b"A field name holds no line break"),
    (b"STORE 1 +FLAGS (\\Recent)", b"\\Recent cannot be set"),
    (b"STORE 1 +FLAGS.LOUD (\\Seen)", b"FLAGS, +FLAGS or -FLAGS is missing or malformed"),
    (b"SEARCH", b"An argument is missing"),
    (b"SEARCH FUZZY TEXT x", b"The search key FUZZY is unknown here"),
    (b"SEARCH SINCE 30-Feb-1994", b"A date is like 1-Feb-1994"),
    (b"SEARCH RETURN (PARTIAL 1:-5) ALL", b"A range counts from one end, in numbers of 32 bits"),
    (b"SEARCH RETURN (PARTIAL 1:5 ALL) ALL", b"PARTIAL stands once, and without ALL"),
    (b"SORT (FOO) UTF-8 ALL", b"The sort key FOO is unknown here"),
    (b"THREAD REFS UTF-8 ALL", b"The algorithm REFS is unknown here"),
    (b"SETACL a b +z", b"The rights are some of lrswipkxteacd"),
    (b"GETMETADATA a /comment", b"An entry is like /private/comment or /shared/comment"),
    (b"GETMETADATA a /private//x", b"An entry is like /private/comment or /shared/comment"),
    (b"NOTIFY SET STATUS (selected MessageNew (FLAGS UID) MessageExpunge)", b"( is missing"),
    (b"NOTIFY SET (selected (MessageNew))",
     b"MessageNew and MessageExpunge go together, and FlagChange goes with them"),
    (b"NOTIFY SET (personal (FlagChange))",
     b"MessageNew and MessageExpunge go together, and FlagChange goes with them"),
    (b"NOTIFY SET (inboxes (MessageNew (UID) MessageExpunge))", b"Fetch items are for the selected mailbox"),
    (b"NOTIFY SET (selected (MailboxName))", b"The selected mailbox has events of messages only"),
    (b"COMPRESS LZ4", b"DEFLATE is the only compression here"),
    (b'SELECT {3+}\r\na\0b', b"A mailbox name holds octets that it cannot hold"),
    (b'SELECT ~{3+}\r\nabc', b"There is more than the command takes"),
    (b"SEARCH TEXT \xff", b"A string is missing or malformed"),
    (b'SEARCH TEXT "\xff"', b"A string is in UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "text"), WRONG, ids=lambda value: str(value)[:60])
def test_a_malformed_command_is_bad_and_says_why(octets: bytes, text: bytes) -> None:
    server = opened()
    assert read(server, octets) == b"A1 BAD %b\r\n" % text
    assert read(server, b"NOOP") == Noop()


@pytest.mark.parametrize(
    ("octets", "answer"),
    [
        (b"SEARCH CHARSET KOI8-R TEXT x", b"A1 NO [BADCHARSET (US-ASCII UTF-8)]"),
        (b"SORT (DATE) KOI8-R ALL", b"A1 NO [BADCHARSET (US-ASCII UTF-8)]"),
        (b"CREATE x (USE (\\Nothing))", b"A1 NO [USEATTR]"),
        (b"NOTIFY SET (personal (AnnotationChange))", b"A1 NO [BADEVENT (MessageNew MessageExpunge FlagChange "),
        (b"SELECT &Jjo!", b"A1 NO [CANNOT]"),
    ],
)
def test_what_is_not_to_be_had_is_refused_with_its_code(octets: bytes, answer: bytes) -> None:
    said = read(opened(), octets)
    assert isinstance(said, bytes)
    assert said.startswith(answer)


@pytest.mark.parametrize(
    "octets",
    [b"FETCH 1 FLAGS", b"STORE 1 FLAGS ()", b"COPY 1 x", b"MOVE 1 x", b"SEARCH ALL", b"SORT (DATE) UTF-8 ALL",
     b"THREAD REFERENCES UTF-8 ALL", b"UID SEARCH 1:3", b"FETCH $ FLAGS", b"REPLACE 1 x {5+}\r\nabcde"],
)  # fmt: skip
def test_with_uidonly_there_are_no_message_numbers(octets: bytes) -> None:
    """RFC 9586 3."""
    said = read(opened(State.SELECTED, "UIDONLY"), octets)
    assert said == b"A1 BAD [UIDREQUIRED] With UIDONLY there are no message numbers\r\n"


@pytest.mark.parametrize("octets", [b"UID FETCH 1 FLAGS", b"UID SEARCH UID 1:3 $", b"UID MOVE 1 x"])
def test_with_uidonly_there_are_uids(octets: bytes) -> None:
    assert not isinstance(read(opened(State.SELECTED, "UIDONLY"), octets), bytes)


@pytest.mark.parametrize(
    "octets",
    [b"SELECT a (CONDSTORE)", b"STATUS a (HIGHESTMODSEQ)", b"FETCH 1 MODSEQ", b"FETCH 1 FLAGS (CHANGEDSINCE 1)",
     b"STORE 1 (UNCHANGEDSINCE 1) FLAGS ()", b"SEARCH MODSEQ 1", b'LIST "" * RETURN (STATUS (HIGHESTMODSEQ))'],
)  # fmt: skip
def test_commands_that_enable_condstore(octets: bytes) -> None:
    """RFC 7162 3.1."""
    server = opened()
    assert "CONDSTORE" not in server.features
    assert not isinstance(read(server, octets), bytes)
    assert "CONDSTORE" in server.features


def test_commands_that_do_not() -> None:
    server = opened()
    read(server, b"FETCH 1 (FLAGS UID)")
    assert not server.features


def test_names_are_in_modified_utf_7_until_utf_8_is_enabled() -> None:
    assert read(opened(), b"DELETE ~peter/mail/&U,BTFw-/&ZeVnLIqe-") == Delete("~peter/mail/台北/日本語")
    assert read(opened(State.SELECTED, "IMAP4rev2"), 'DELETE "台&-"'.encode()) == Delete("台&-")
    assert read(opened(State.SELECTED, "UTF8=ACCEPT"), 'DELETE "台"'.encode()) == Delete("台")


def test_a_literal_stands_wherever_a_string_does() -> None:
    server = opened()
    assert read(server, b"RENAME {5}\r\nfoo b {3+}\r\nbaz") == Rename("foo b", "baz")


def test_an_append_tells_of_its_mailbox_first() -> None:
    server = opened()
    server.receive(b"A2 UID REPLACE 7 {3+}\r\nbox {5}\r\n")
    assert server.next_event() == AppendBegin(b"A2", "box", numbers(b"7"), uid=True)
