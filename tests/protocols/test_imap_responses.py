"""What the IMAP server says, as the examples of the RFCs have it."""

import imaplib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.imap import codes, dates, responses, sets, strings
from engine.protocols.imap.cursor import Cursor
from engine.protocols.imap.responses import Node, Space
from engine.protocols.imap.search import Returns
from engine.protocols.imap.sets import SequenceSet


def numbers(text: bytes) -> SequenceSet:
    found = sets.parse(text)
    assert found is not None
    return found


FOUND = (2, 10, 11, 12, 20, 21, 40)

EXAMPLES: list[tuple[bytes, bytes]] = [
    (responses.words(b"CAPABILITY", ["IMAP4rev2", "STARTTLS"]), b"* CAPABILITY IMAP4rev2 STARTTLS"),
    (responses.words(b"ENABLED", []), b"* ENABLED"),
    (responses.identity([("name", "Postroad"), ("version", "1")]), b'* ID ("name" "Postroad" "version" "1")'),
    (responses.identity([]), b"* ID NIL"),
    (responses.listing(["\\Noselect"], "/", "~/Mail/foo"), b'* LIST (\\Noselect) "/" ~/Mail/foo'),
    (responses.listing([], None, "INBOX"), b"* LIST () NIL INBOX"),
    (responses.listing(["\\Marked"], "\\", "a b"), b'* LIST (\\Marked) "\\\\" "a b"'),
    (responses.listing([], "/", "a*"), b'* LIST () "/" "a*"'),
    (responses.listing([], "/", "nil"), b'* LIST () "/" "nil"'),
    (responses.listing([], "/", "台"), b'* LIST () "/" &U,A-'),
    (responses.listing([], "/", "台", utf8=True), '* LIST () "/" "台"'.encode()),
    (responses.listing([], "/", "foo2", child_info=["SUBSCRIBED", "SPECIAL-USE"]),
     b'* LIST () "/" foo2 ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))'),
    (responses.listing([], "/", "new", old_name="old one"), b'* LIST () "/" new ("OLDNAME" ("old one"))'),
    (responses.listing([], ".", "#news.x", lsub=True), b'* LSUB () "." #news.x'),
    (responses.status("blurdybloop", {"MESSAGES": 231, "UIDNEXT": 44292}),
     b"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)"),
    (responses.status("x", {"MAILBOXID": "F2212ea87-6097", "APPENDLIMIT": None}),
     b"* STATUS x (MAILBOXID (F2212ea87-6097) APPENDLIMIT NIL)"),
    (responses.namespace([Space("", "/")], [Space("~", "/")], [Space("#shared/", "/"), Space("#public/", "/")]),
     b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/"))'),
    (responses.namespace([Space("INBOX.", ".")]), b'* NAMESPACE (("INBOX." ".")) NIL NIL'),
    (responses.flags([b"\\Answered", b"$Junk"]), b"* FLAGS (\\Answered $Junk)"),
    (responses.exists(23), b"* 23 EXISTS"),
    (responses.recent(0), b"* 0 RECENT"),
    (responses.expunged([8, 3]), b"* 8 EXPUNGE\r\n* 3 EXPUNGE"),
    (responses.vanished(numbers(b"405,407,410:412")), b"* VANISHED 405,407,410:412"),
    (responses.vanished(numbers(b"300:310"), earlier=True), b"* VANISHED (EARLIER) 300:310"),
    (responses.fetch(23, [b"FLAGS (\\Seen)", b"RFC822.SIZE 44827"]), b"* 23 FETCH (FLAGS (\\Seen) RFC822.SIZE 44827)"),
    (responses.fetch(25996, [b"FLAGS (\\Seen)"], uid_only=True), b"* 25996 UIDFETCH (FLAGS (\\Seen))"),
    (responses.fetch_head(12, [b"UID 7"], b"BODY[]<0>", 5) + b"abcde" + responses.FETCH_TAIL,
     b"* 12 FETCH (UID 7 BODY[]<0> {5}\r\nabcde)"),
    (responses.fetch_head(12, [], b"BINARY[1]", 2, binary=True), b"* 12 FETCH (BINARY[1] ~{2}"),
    (responses.fetch_head(7, [], b"BODY[]", 0, uid_only=True), b"* 7 UIDFETCH (BODY[] {0}"),
    (codes.status_line(b"a", b"OK", "[ALERT] x"), b"a OK ?ALERT] x"),
    (codes.status_line(b"a", b"OK", ""), b"a OK Done"),
    (responses.fetch_flags([(1, b"\\Seen"), (2, b"")]), b"* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())"),
    (responses.fetch_flags([(1, 100, b"a b", 65)], uid=True, modseq=True),
     b"* 1 FETCH (UID 100 FLAGS (a b) MODSEQ (65))"),
    (responses.fetch_flags([(100, b"a", 65)], uid=True, modseq=True, uid_only=True),
     b"* 100 UIDFETCH (FLAGS (a) MODSEQ (65))"),
    (responses.search([2, 3, 6]), b"* SEARCH 2 3 6"),
    (responses.search([]), b"* SEARCH"),
    (responses.search([], modseq=5), b"* SEARCH"),
    (responses.search([2, 5], modseq=917162500), b"* SEARCH 2 5 (MODSEQ 917162500)"),
    (responses.search([5, 3], sort=True), b"* SORT 5 3"),
    (responses.esearch(b"A282", FOUND, Returns(smallest=True, count=True), uid=False),
     b'* ESEARCH (TAG "A282") MIN 2 COUNT 7'),
    (responses.esearch(b"A283", FOUND, Returns(all=True), uid=False),
     b'* ESEARCH (TAG "A283") ALL 2,10:12,20:21,40'),
    (responses.esearch(b"A284", (), Returns(smallest=True, all=True), uid=True), b'* ESEARCH (TAG "A284") UID'),
    (responses.esearch(b'a"', FOUND, Returns(largest=True), uid=True, modseq=9),
     b'* ESEARCH (TAG "a\\"") UID MAX 40 MODSEQ 9'),
    (responses.esearch(b"E01", (23765, 23764, 23763), Returns(all=True), uid=False),
     b'* ESEARCH (TAG "E01") ALL 23765,23764,23763'),
    (responses.esearch(b"A01", FOUND, Returns(partial=(-1, -3)), uid=True),
     b'* ESEARCH (TAG "A01") UID PARTIAL (-1:-3 20:21,40)'),
    (responses.esearch(b"A02", FOUND, Returns(partial=(8, 9)), uid=True),
     b'* ESEARCH (TAG "A02") UID PARTIAL (8:9 NIL)'),
    (responses.threads([Node(2), Node(3, [Node(6, [Node(4, [Node(23)]), Node(44, [Node(7, [Node(96)])])])])]),
     b"* THREAD (2)(3 6 (4 23)(44 7 96))"),
    (responses.threads([Node(None, [Node(3), Node(5)])]), b"* THREAD ((3)(5))"),
    (responses.threads([]), b"* THREAD"),
    (responses.acl("INBOX", [("Fred", "rwipsldexta"), ("", "l")]), b'* ACL INBOX Fred rwipsldexta "" l'),
    (responses.list_rights("~/Mail/saved", "smith", "la", ["r", "swicdkxte"]),
     b"* LISTRIGHTS ~/Mail/saved smith la r swicdkxte"),
    (responses.my_rights("INBOX", "rwiptsldaex"), b"* MYRIGHTS INBOX rwiptsldaex"),
    (responses.quota("", [("STORAGE", 10, 512)]), b'* QUOTA "" (STORAGE 10 512)'),
    (responses.quota("!partition/sda4", [("STORAGE", 104, 10923847), ("MESSAGE", 1, 2)]),
     b"* QUOTA !partition/sda4 (STORAGE 104 10923847 MESSAGE 1 2)"),
    (responses.quota_root("INBOX", ["", "#user/ann"]), b'* QUOTAROOT INBOX "" #user/ann'),
    (responses.metadata("INBOX", [("/private/comment", b"My comment"), ("/shared/x", None)]),
     b'* METADATA "INBOX" (/private/comment "My comment" /shared/x NIL)'),
    (responses.metadata("", [("/shared/comment", b"a\r\nb")]), b'* METADATA "" (/shared/comment {4}\r\na\r\nb)'),
    (codes.untagged_ok("UIDs valid", codes.uid_validity(3857529045)), b"* OK [UIDVALIDITY 3857529045] UIDs valid"),
    (codes.untagged_ok("Predicted", codes.uid_next(4392)), b"* OK [UIDNEXT 4392] Predicted"),
    (codes.untagged_ok("First unseen", codes.unseen(12)), b"* OK [UNSEEN 12] First unseen"),
    (codes.untagged_ok("Limited", codes.permanent_flags([b"\\Deleted", b"\\*"])),
     b"* OK [PERMANENTFLAGS (\\Deleted \\*)] Limited"),
    (codes.untagged_ok("Highest", codes.highest_modseq(715194045007)), b"* OK [HIGHESTMODSEQ 715194045007] Highest"),
    (codes.untagged_ok("None", codes.highest_modseq(0)), b"* OK [NOMODSEQ] None"),
    (codes.untagged_ok("Ok", codes.mailbox_id("F2212ea87")), b"* OK [MAILBOXID (F2212ea87)] Ok"),
    (codes.status_line(b"A003", b"OK", "APPEND completed", codes.append_uid(38505, sets.of([3955, 3956]))),
     b"A003 OK [APPENDUID 38505 3955:3956] APPEND completed"),
    (codes.status_line(b"A004", b"OK", "Done", codes.copy_uid(38505, numbers(b"304,319:320"), numbers(b"3956:3958"))),
     b"A004 OK [COPYUID 38505 304,319:320 3956:3958] Done"),
    (codes.status_line(b"d105", b"OK", "Conditional STORE failed", codes.modified(numbers(b"7,9"))),
     b"d105 OK [MODIFIED 7,9] Conditional STORE failed"),
    (codes.status_line(b"a", b"NO", "No", codes.bad_url(b'/x;UID=1]\r\n"')), b'a NO [BADURL "/x;UID=1\\""] No'),
    (codes.status_line(b"a", b"OK", "Done", codes.metadata_longer(2199)), b"a OK [METADATA LONGENTRIES 2199] Done"),
    (codes.untagged_ok("Still processing", codes.in_progress(b"A001", 454, 1000)),
     b'* OK [INPROGRESS ("A001" 454 1000)] Still processing'),
    (codes.untagged_ok("Still", codes.in_progress(b"A001", 999)), b'* OK [INPROGRESS ("A001" 999 NIL)] Still'),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), EXAMPLES, ids=lambda value: str(value)[:50])
def test_responses(written: bytes, expected: bytes) -> None:
    assert written == expected + b"\r\n"


def test_a_search_that_is_only_saved_says_nothing() -> None:
    assert responses.esearch(b"A", FOUND, Returns(save=True), uid=False) == b""
    assert responses.esearch(b"A", FOUND, Returns(save=True, count=True), uid=False) != b""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [((1, 2), (2, 10)), ((7, 9), (40,)), ((8, 9), ()), ((-1, -1), (40,)), ((-6, -9), (2, 10)), ((-8, -9), ())],
)
def test_partial(wanted: tuple[int, int], found: Sequence[int]) -> None:
    assert tuple(responses.partial(FOUND, wanted)) == found


def test_a_thread_of_any_depth() -> None:
    deep = Node(1)
    for _ in range(10_000):
        deep = Node(1, [deep, Node(2)])
    assert responses.threads([deep]).count(b"(") == 20_001


@pytest.mark.parametrize(
    ("octets", "plain", "utf8"),
    [
        (b"", b'""', b'""'),
        (b'a"\\', b'"a\\"\\\\"', b'"a\\"\\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb", b"{4}\r\na\r\nb"),
        ("é".encode(), b"{2}\r\n\xc3\xa9", b'"\xc3\xa9"'),
        (b"\xff", b"{1}\r\n\xff", b"{1}\r\n\xff"),
        (b"\0", b"~{1}\r\n\0", b"~{1}\r\n\0"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings_by_their_octets(octets: bytes, plain: bytes, utf8: bytes) -> None:
    assert (strings.string(octets), strings.string(octets, utf8=True)) == (plain, utf8)
    assert strings.nstring(octets) == plain
    assert strings.nstring(None) == b"NIL"


@given(octets=st.binary(max_size=40), utf8=st.booleans())
def test_what_is_written_can_be_read(octets: bytes, *, utf8: bool) -> None:
    string = Cursor(strings.string(octets, utf8=utf8))
    assert string.string(binary=True) == octets
    assert string.at_end
    if b"\0" not in octets:
        word = Cursor(strings.astring(octets, utf8=utf8))
        assert word.astring() == octets
        assert word.at_end


@given(moment=st.datetimes(), minutes=st.integers(-1439, 1439))
def test_moments_are_read_as_they_are_written(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert dates.parse_date_time(dates.date_time(moment)[1:-1]) == moment


def test_dates() -> None:
    assert dates.utc(837596665) == b'"17-Jul-1996 09:44:25 +0000"'
    assert dates.parse_date_time(b" 1-Jan-2017 23:59:60 +0000") == datetime(2017, 1, 1, 23, 59, 59, tzinfo=UTC)
    assert imaplib.Internaldate2tuple(b"INTERNALDATE %b" % dates.utc(837596665)) is not None
    wrong = (
        b"17-Jul-1996 02:44:25 -2400", b"31-Jun-1996 02:44:25 +0000", b"17-Jul-1996 24:00:00 +0000",
        b"17-Jux-1996 00:00:00 +0000", b"17-Jul-1996 00:00:61 +0000", b"17-Jul-1996 00:00:00 +0060",
    )  # fmt: skip
    assert [dates.parse_date_time(text) for text in wrong] == [None] * 6
    with pytest.raises(ValueError, match="zone"):
        dates.date_time(datetime(2020, 1, 1))
