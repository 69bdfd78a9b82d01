"""Messages: ids, header fields, and copies that leave the original alone."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine import Message, MessageId
from engine.message import CHANGED, HEADER_LIMIT, Octets
from tests.support.messages import message


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_printed_and_read_again(octets: bytes) -> None:
    identity = MessageId(octets)
    text = str(identity)
    assert len(text) == 26
    assert MessageId.parse(text) == identity
    assert MessageId.parse(text.lower()) == identity


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_ids_sort_as_they_are_printed(one: bytes, two: bytes) -> None:
    assert (one < two) == (str(MessageId(one)) < str(MessageId(two)))


def test_ids_sort_by_time_and_tell_it() -> None:
    early, late = MessageId.new(1000.0), MessageId.new(1000.001)
    assert early < late
    assert (early.time, late.time) == (1000.0, 1000.001)
    assert len({MessageId.new(5.0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "0" * 25, "0" * 27, "8" + "0" * 25, "U" + "0" * 25, "0" * 25 + "-", "../" * 9])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        MessageId.parse(text)


HEADERS = [
    (b"Subject: hello\r\n\r\nbody", "Subject", "hello"),
    (b"SUBJECT : hello\r\n\r\n", "subject", "hello"),
    (b"Subject:\r\n hello\r\n\tthere\r\n\r\n", "Subject", "hello\tthere"),
    (b"Subject:  a\r\n\r\n", "Subject", "a"),
    (b"Subject:\r\n\r\n", "Subject", ""),
    (b"X-Subject: no\r\nSubject: yes\r\n\r\n", "Subject", "yes"),
    (b"X: a\r\n Subject: no\r\n\r\n", "Subject", None),
    (b"X: a\r\n\r\nSubject: body\r\n\r\n", "Subject", None),
    (b"\r\nSubject: body\r\n\r\n", "Subject", None),
    (b"\r\n\r\nSubject: body\r\n", "Subject", None),
    (b"Subject: no end of header", "Subject", "no end of header"),
    (b"", "Subject", None),
    (b"A.B: x\r\nAxB: y\r\n\r\n", "AxB", "y"),
    ("Subject: grüße\r\n\r\n".encode(), "Subject", "grüße"),
    (b"Subject: \xff\r\n\r\n", "Subject", "\ufffd"),
    (b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?= =?utf-8?b?w7w=?=\r\n\r\n", "Subject", "grüßeü"),
    (b"Subject: =?iso-8859-1?q?a=FC?= b\r\n\r\n", "Subject", "aü b"),
    (b"Subject: =?no-such-charset?q?a?=\r\n\r\n", "Subject", "=?no-such-charset?q?a?="),
    (b"Subject: =?utf-8?b?A?=\r\n\r\n", "Subject", "=?utf-8?b?A?="),
    ("Subject: =?ü?q?a?=\r\n\r\n".encode(), "Subject", "=?ü?q?a?="),
    (b"Subject: =?utf-8?q?=FF?=\r\n\r\n", "Subject", "=?utf-8?q?=FF?="),
]


@pytest.mark.parametrize(("content", "name", "value"), HEADERS)
def test_a_header_field_is_found_unfolded_and_decoded(content: bytes, name: str, value: str | None) -> None:
    assert message(content=content).header(name) == value


@given(st.binary(max_size=200), st.sampled_from([b"Subject: ", b"Subject: =?", b"=?utf-8?b?", b""]))
def test_no_content_makes_a_stage_s_look_at_the_header_fail(octets: bytes, before: bytes) -> None:
    value = message(content=before + octets).header("Subject")
    assert value is None or isinstance(value, str)


@given(
    st.sampled_from(["utf-8", "us-ascii", "unknown-8bit", "idna", "punycode", "utf-7", "hex", "x\0", "utf-8*en"]),
    st.sampled_from("bBqQ"),
    st.binary(max_size=30),
)
def test_no_encoded_word_makes_it_fail(charset: str, encoding: str, octets: bytes) -> None:
    word = b"=?" + charset.encode() + b"?" + encoding.encode() + b"?" + octets + b"?="
    assert isinstance(message(content=b"Subject: " + word.replace(b"\n", b"") + b"\r\n\r\n").header("Subject"), str)


def test_all_fields_of_a_name_come_topmost_first() -> None:
    about = message(content=b"Received: two\r\nX: y\r\nReceived: one\r\n\r\n").with_header("Received", "three")
    assert about.headers("received") == ["three", "two", "one"]
    assert about.headers("none") == []


class Pieces:
    """Content that comes in small pieces."""

    def __init__(self, octets: bytes, piece: int) -> None:
        self.octets, self.piece, self.read = octets, piece, 0

    @property
    def size(self) -> int:
        return len(self.octets)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.octets), self.piece):
            self.read = start + self.piece
            yield self.octets[start : start + self.piece]


def test_the_header_is_found_across_pieces_and_no_more_than_it_is_read() -> None:
    pieces = Pieces(b"A: b\r\nC: d\r\n\r\n" + b"x" * 1000, 3)
    about = message(content=pieces)
    assert about.header_octets() == b"A: b\r\nC: d\r\n"
    assert pieces.read < 24


@pytest.mark.parametrize("piece", [4096, 10 * HEADER_LIMIT])
def test_of_an_endless_header_only_the_start_is_looked_at(piece: int) -> None:
    octets = b"X: " + b"x" * (2 * HEADER_LIMIT) + b"\r\nSubject: far\r\n\r\n"
    about = message(content=Pieces(octets, piece))
    assert about.header("Subject") is None
    assert len(about.header_octets()) <= HEADER_LIMIT


def test_a_header_is_put_on_top_of_a_copy() -> None:
    first = message(content=b"A: b\r\n\r\nbody")
    second = first.with_header("X-One", "1").with_header("X-Two", "zwei ü")
    assert b"".join(second.chunks()) == "X-Two: zwei ü\r\nX-One: 1\r\nA: b\r\n\r\nbody".encode()
    assert second.size == len(b"".join(second.chunks()))
    assert first.header("X-One") is None
    assert second.content is first.content
    assert second.id == first.id


@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\nB", "Ä", "A\t", "A\0"])
def test_a_name_that_is_no_header_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header field name"):
        message().with_header(name, "x")


@pytest.mark.parametrize("value", ["a\r\nBcc: all", "a\nb", "a\rb", "a\0b", "\r\n x"])
def test_a_value_cannot_bring_in_another_field(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        message().with_header("X", value)


def test_facts_are_laid_over_a_copy() -> None:
    first = message().with_fact("spf.result", "pass")
    second = first.with_facts({"spf.result": "fail", "scan.score": 4.2})
    assert (first.fact("spf.result"), first.fact("scan.score", 0)) == ("pass", 0)
    assert (second.fact("spf.result"), second.fact("scan.score")) == ("fail", 4.2)
    with pytest.raises(TypeError):
        second.envelope.facts["x"] = 1  # type: ignore[index]


def test_a_message_is_frozen_and_tells_of_its_envelope() -> None:
    about: Message = message("b@rcpt.test", "c@rcpt.test")
    assert about.recipients == ("b@rcpt.test", "c@rcpt.test")
    assert about.sender == "a@sender.test"
    with pytest.raises(AttributeError, match="immutable"):
        about.id = MessageId.new()  # type: ignore[misc]
    assert replace(about, content=Octets(b"")).size == 0


# header fields that are left out

FIELDS = b"X: 1\r\nA: no\r\nB: 2\r\n  more\r\na : No,\r\n\tfolded\r\nA: yes\r\nA: no\r\n"


def no(value: str) -> bool:
    return value.lower().startswith("no")


@pytest.mark.parametrize("length", [1, 2, 7, 30, 1000])
def test_fields_are_left_out_and_the_content_stays_as_it_was(length: int) -> None:
    content = Pieces(FIELDS + b"\r\nA: no\r\n", length)
    before = message(content=content).with_header("A", "no").with_header("A", "yes")
    after = before.without_fields("A", no)
    wanted = b"A: yes\r\nX: 1\r\nB: 2\r\n  more\r\nA: yes\r\n\r\nA: no\r\n"
    assert b"".join(after.chunks()) == wanted
    assert all(after.chunks())
    assert after.size == len(wanted)
    assert after.header_octets() == wanted.removesuffix(b"\r\nA: no\r\n")
    assert after.headers("a") == ["yes", "yes"]
    assert after.content is content
    assert b"".join(before.chunks()) == b"A: yes\r\nA: no\r\n" + content.octets


def test_what_is_left_out_twice_is_left_out_once() -> None:
    once = message(content=FIELDS).without_fields("A", no)
    assert once.without_fields("A", no) is once
    assert once.without_fields("Y", no) is once
    both = once.without_fields("B", lambda value: True).with_header("C", "3")
    assert b"".join(both.chunks()) == b"C: 3\r\nX: 1\r\nA: yes\r\n"
    assert both.envelope.left_out == ((6, 45), (53, 60))


def test_the_last_field_may_lack_its_end() -> None:
    assert b"".join(message(content=b"A: yes\r\nA: no").without_fields("A", no).chunks()) == b"A: yes\r\n"


def test_many_fields_between_others_are_left_out_of_a_large_message() -> None:
    content = Pieces(b"A: no\r\nB: 1\r\n" * 10_000 + b"\r\n" + b"x" * 2_000_000, 10_000)
    after = message(content=content).without_fields("A", no)
    assert after.size == content.size - 70_000 == sum(map(len, after.chunks()))


@given(st.lists(st.sampled_from([b"A: no", b"A: yes", b"B: no", b" folded", b"", b"\r", b"A:no"])), st.integers(1, 9))
def test_leaving_out_is_the_same_in_pieces(lines: list[bytes], length: int) -> None:
    octets = b"\r\n".join(lines)
    whole = message(content=octets).without_fields("A", no)
    pieces = message(content=Pieces(octets, length)).without_fields("A", no)
    assert b"".join(pieces.chunks()) == b"".join(whole.chunks())
    assert not [value for value in whole.headers("A") if no(value)]


def test_a_whole_field_is_put_on_top_as_it_is() -> None:
    assert message().with_field(b"A: 1\r\n\t2\r\n").header_octets().startswith(b"A: 1\r\n\t2\r\nFrom:")


@pytest.mark.parametrize(
    "field", [b"", b"A: 1", b"A: 1\r\nB: 2\r\n", b"A: 1\r\n\r\n", b"A b: 1\r\n", b"A: \n\r\n", b"A: \0\r\n", b": 1\r\n"]
)
def test_what_is_no_whole_field_is_not_taken(field: bytes) -> None:
    with pytest.raises(ValueError):
        message().with_field(field)


# another content

OURS = b"Received: from x\r\n\tby y\r\n"
NEW = b"Subject: other\r\n\r\nother\r\n"


def ours() -> Message:
    return message(content=FIELDS + b"\r\nbody\r\n").with_field(OURS).without_fields("A", no)


def whole(about: Message) -> bytes:
    return b"".join(about.chunks())


def test_another_content_takes_the_place_of_the_whole() -> None:
    before = ours()
    after = before.with_content(NEW)
    assert (whole(after), after.size, after.header("Subject")) == (NEW, len(NEW), "other")
    assert (after.envelope.prepended, after.envelope.left_out, after.id) == (b"", (), before.id)
    assert (after.recipients, after.sender) == (before.recipients, before.sender)
    assert whole(before) == OURS + b"X: 1\r\nB: 2\r\n  more\r\nA: yes\r\n\r\nbody\r\n"
    assert whole(after.with_field(OURS)) == OURS + NEW


def test_our_own_fields_stay_apart_where_the_octets_still_begin_with_them() -> None:
    after = ours().with_content(OURS + NEW)
    assert (after.envelope.prepended, whole(after), bytes(after.content)) == (OURS, OURS + NEW, NEW)


def test_the_same_content_is_no_change() -> None:
    before = ours()
    assert before.with_content(whole(before)) is before


def test_copies_with_other_contents_are_told_apart() -> None:
    one, two = (message().with_content(b"\r\n" + letter).fact(CHANGED) for letter in (b"a\r\n", b"b\r\n"))
    assert one
    assert one != two
    assert message().fact(CHANGED) is None


@pytest.mark.parametrize("octets", [b"A: 1\n\nx\ny\n", b"A: 1\r\rx\ry\r", b"A: 1\r\n\nx\r\ny\r"])
def test_what_is_no_line_break_of_mail_becomes_one(octets: bytes) -> None:
    assert whole(message().with_content(octets)) == b"A: 1\r\n\r\nx\r\ny\r\n"


@pytest.mark.parametrize(
    ("declared", "octets", "then"),
    [("7BIT", NEW, "7BIT"), ("7BIT", NEW + b"\xe9", "8BITMIME"), ("8BITMIME", NEW, "8BITMIME")],
)
def test_content_that_has_become_eight_bit_is_declared_as_that(declared: str, octets: bytes, then: str) -> None:
    about = message()
    about = replace(about, envelope=replace(about.envelope, body=declared))
    assert about.with_content(octets).envelope.body == then
