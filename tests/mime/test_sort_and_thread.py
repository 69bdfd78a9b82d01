"""Dates, base subjects, SORT and THREAD: RFC 5256, 5051 and 5957 by their examples and rules."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.dates import sent, sent_or
from engine.mime.fields import fields
from engine.mime.sorting import CRITERIA, SortKeys, casemap, ordered, sort_keys
from engine.mime.subjects import base_subject
from engine.mime.threads import (
    Node,
    Threadable,
    identity_and_references,
    message_ids,
    ordered_subject,
    references,
    rendered,
)

DATES = [
    (b"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"),  # RFC 5322 A.1.1
    (b"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
     "1969-02-13T23:32:00-03:30"),  # A.5
    (b"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06+00:00"),  # A.6.2
    (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"),  # A.6.3
    (b"1 Jan 2024 10:00 EST", "2024-01-01T10:00:00-05:00"),
    (b"1 Jan 2024 10:00 Z", "2024-01-01T10:00:00+00:00"),
    (b"1 Jan 49 10:00 A", "2049-01-01T10:00:00+00:00"),
    (b"1 Jan 124 10:00", "2024-01-01T10:00:00+00:00"),
    (b"Mon, 1-Jan-2024 10.00.30 +01:00", "2024-01-01T10:00:30+01:00"),
    (b"Tue Jan  2 03:04:05 2024", "2024-01-02T03:04:05+00:00"),
    (b"2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00"),
    (b"Monday, 1 January 2024", "2024-01-01T00:00:00+00:00"),
    (b"1 Jan 2024 25:00:00 +0100", "2024-01-01T00:00:00+01:00"),  # RFC 5256 2.2: the time is none
    (b"1 Jan 2024 10:00:60 +9999", "2024-01-01T10:00:59+00:00"),
    (b"31 Feb 2024 10:00:00 +0000", None),
    (b"1 Foo 2024 10:00:00 +0000", None),
    (b"1 Jan 0001 00:00 +2300", None),
    (b"31 Dec 9999 23:59:59 -2300", None),
    (b"yesterday", None),
    (b"", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), DATES)
def test_a_date_is_read(value: bytes, expected: str | None) -> None:
    found = sent(value)
    assert (None if found is None else found.isoformat()) == expected


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from(
        [UTC, datetime.fromisoformat("2024-01-01T00:00:00-03:30").tzinfo])))  # fmt: skip
def test_what_the_standard_library_writes_is_read(date: datetime) -> None:
    assert sent(format_datetime(date).encode()) == date.replace(microsecond=0)


@given(st.lists(st.sampled_from([b"1", b"99", b" ", b"Jan", b":", b"00", b"-", b"+", b"2024", b",", b"(", b"T", b"."])))
def test_no_date_makes_it_fail(pieces: list[bytes]) -> None:
    assert isinstance(sent_or(b"".join(pieces), 5.0), float)
    assert (sent_or(None, 5.0), sent_or(b"x", 5.0)) == (5.0, 5.0)


SUBJECTS = [
    ("hello", "hello", False),
    ("Re: hello", "hello", True),
    ("RE : FW: fwd[2]: [list] re: hello (fwd) (FWD) ", "hello", True),
    ("[list] hello", "hello", False),
    ("[list] [other] re: hello", "hello", True),
    ("[a] [b]", "[b]", False),
    ("[a]", "[a]", False),
    ("[fwd: hello]", "hello", True),
    ("[Fwd: [a] Re: [fwd: hello]]", "hello", True),
    ("hello  \t there", "hello there", False),
    ("re", "re", False),
    ("regards: x", "regards: x", False),
    ("Re:", "", True),
    ("(fwd)", "", True),
    ("[fwd:]", "", True),
    ("re: [a", "[a", True),
    ("hello [a]", "hello [a]", False),
    ("[a[b]] x", "[a[b]] x", False),
    ("Re[[a]]: x", "Re[[a]]: x", False),
    ("", "", False),
]


@pytest.mark.parametrize(("subject", "base", "is_reply"), SUBJECTS)
def test_the_base_subject(subject: str, base: str, is_reply: bool) -> None:
    assert base_subject(subject) == (base, is_reply)


@given(st.lists(st.sampled_from(["re", "fwd", ":", "[", "]", " ", "(fwd)", "[fwd:", "x", "\t"])).map("".join))
def test_a_base_subject_has_no_more_to_remove(subject: str) -> None:
    base = base_subject(subject).text
    assert base_subject(base).text == base or "[" in base  # a blob that stands alone stays


@pytest.mark.parametrize("piece", ["re:", "[a]", "(fwd)", "[fwd:", "re[", "[", " ", "re ", "[a]re:", "]"])
def test_the_work_grows_with_the_subject(piece: str) -> None:
    """Taking one piece after the other off a copy would be 10,000,000,000 steps."""
    assert len(base_subject(piece * (400_000 // len(piece))).text) <= 400_000


def test_texts_compare_by_unicode_casemap() -> None:
    assert casemap("aB") == casemap("Ab") == "AB"
    assert casemap("é") == casemap("É") == casemap("e\u0301") == "E\u0301"
    assert casemap("ß") == "ß"  # the simple titlecase, RFC 5051 2
    assert casemap("ǆ") == casemap("Ǆ") == "Dz\u030c"


class Mail(NamedTuple):
    number: int
    keys: SortKeys
    received: float = 0.0
    size: int = 0


def mail(number: int, header: bytes, received: float = 0.0, size: int = 0) -> Mail:
    return Mail(number, sort_keys(fields(header), received), received, size)


MAILS = [
    mail(1, b"From: Zoe <a@x>\nTo: b@x\nCc: c@x\nSubject: b\nDate: 1 Jan 2024 10:00 +0000\n", 30.0, 3),
    mail(2, b"From: b@x\nTo: Ann <z@x>\nSubject: Re: a\nDate: 1 Jan 2024 09:00 -0500\n", 20.0, 2),
    mail(3, b"From: =?utf-8?q?=C3=84nne?= <A@y>\nTo: g: d@x;\nSubject: A\nDate: none\n", 10.0, 1),
    mail(4, b"\n", 10.0, 1),
]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ([("ARRIVAL", False)], [3, 4, 2, 1]),
        ([("ARRIVAL", True)], [1, 2, 3, 4]),
        ([("DATE", False)], [3, 4, 1, 2]),
        ([("SIZE", False), ("DATE", True)], [3, 4, 2, 1]),
        ([("SUBJECT", False)], [4, 2, 3, 1]),
        ([("SUBJECT", True), ("DATE", False)], [1, 3, 2, 4]),
        ([("FROM", False)], [4, 1, 3, 2]),
        ([("DISPLAYFROM", False)], [4, 3, 2, 1]),
        ([("TO", False)], [4, 1, 3, 2]),
        ([("DISPLAYTO", False)], [4, 2, 1, 3]),
        ([("CC", True)], [1, 2, 3, 4]),
    ],
)
def test_messages_are_sorted(criteria: list[tuple[str, bool]], expected: list[int]) -> None:
    assert [one.number for one in ordered(MAILS, criteria)] == expected
    assert {name for name, _ in criteria} <= CRITERIA


# ---- threads ----


def letters(*rows: tuple[str, str] | tuple[str, str, str]) -> list[Threadable]:
    """Messages 1, 2, 3… a second apart: a subject, an ID, and what it refers to."""
    made = []
    for number, (subject, identity, *others) in enumerate(rows, 1):
        base = base_subject(subject)
        before = tuple(other.encode() for other in others[0].split()) if others else ()
        made.append(Threadable(number, float(number), casemap(base.text), base.is_reply, identity.encode(), before))
    return made


THREADS = [
    ([("a", "1"), ("re: a", "2", "1"), ("re: a", "3", "1 2"), ("b", "4")], b"(1 2 3)(4)"),
    ([("a", "1"), ("re: a", "2", "1"), ("re: a", "3", "1"), ("re: a", "4", "1 2")], b"(1 (2 4)(3))"),
    # RFC 5256 3, step 3: what is not there is left out, but at the top it holds its answers together.
    ([("a", "1", "x"), ("b", "2", "x")], b"((1)(2))"),
    ([("a", "1", "x y"), ("b", "2", "x y")], b"((1)(2))"),
    ([("a", "1"), ("b", "2", "1 x"), ("c", "3", "1 x")], b"(1 (2)(3))"),
    ([("a", "1", "x")], b"(1)"),
    # Step 5: by subject.
    ([("a", "1"), ("re: a", "2")], b"(1 2)"),
    ([("re: a", "1"), ("a", "2")], b"(2 1)"),
    ([("a", "1"), ("a", "2")], b"((1)(2))"),
    ([("re: a", "1"), ("re: a", "2")], b"((1)(2))"),
    ([("a", "1"), ("a", "2"), ("a", "3")], b"((1)(2)(3))"),
    ([("", "1"), ("", "2")], b"(1)(2)"),
    ([("re: a", "1", "x"), ("re: a", "2", "x"), ("a", "3")], b"((1)(2)(3))"),
    ([("re: a", "1", "x"), ("re: a", "2", "x"), ("re: a", "3", "y"), ("re: a", "4", "y")], b"((1)(2)(3)(4))"),
    # Duplicates and missing IDs.
    ([("a", "1"), ("b", "1"), ("c", "", "1")], b"(1 3)(2)"),
    # Loops.
    ([("a", "1", "2"), ("b", "2", "1")], b"(2 1)"),
    ([("a", "1", "1")], b"(1)"),
    ([("a", "1", "3"), ("b", "2", "1"), ("c", "3", "2")], b"(3 1 2)"),
    # A message says itself what it answers; others can not say otherwise.
    ([("a", "1"), ("b", "2"), ("c", "3", "1"), ("d", "4", "2 3")], b"(1 3 4)(2)"),
    ([("a", "1"), ("b", "2"), ("d", "4", "1 2")], b"(1 2 3)"),
    ([], b""),
]


@pytest.mark.parametrize(("rows", "expected"), THREADS)
def test_threads_by_references(rows: list[tuple[str, str]], expected: bytes) -> None:
    assert rendered(references(letters(*rows))) == expected
    assert rendered(references(letters(*rows)[::-1])) == expected


def test_siblings_stand_by_their_sent_date() -> None:
    mails = [Threadable(1, 9.0, "A", message_id=b"1"), Threadable(2, 3.0, "B", True, b"2", (b"1",)),
             Threadable(3, 2.0, "C", True, b"3", (b"1",)), Threadable(4, 1.0, "D", message_id=b"4")]  # fmt: skip
    assert rendered(references(mails)) == b"(4)(1 (3)(2))"


def test_threads_by_ordered_subject() -> None:
    mails = letters(("a", ""), ("b", ""), ("re: a", ""), ("[x] A (fwd)", ""), ("re: b", ""))
    assert rendered(ordered_subject(mails)) == b"(1 (3)(4))(2 5)"
    assert rendered([]) == b""


def test_the_response_of_rfc_5256() -> None:
    """Section 5: 3 is answered by 6, which is answered by 4 and 44, and by those in turn."""
    nodes = {number: Node(Threadable(number, 0.0)) for number in (2, 3, 6, 4, 23, 44, 7, 96)}
    for parent, child in ((3, 6), (6, 4), (6, 44), (4, 23), (44, 7), (7, 96)):
        nodes[parent].children.append(nodes[child])
    assert rendered([nodes[2], nodes[3]]) == b"(2)(3 6 (4 23)(44 7 96))"
    group = Node()
    group.children = [nodes[3], nodes[2]]
    assert rendered([group]) == b"((3 6 (4 23)(44 7 96))(2))"


@given(st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 7), max_size=4), st.integers(0, 3)), max_size=10))
def test_each_message_stands_in_the_threads_once(rows: list[tuple[int, list[int], int]]) -> None:
    mails = [
        Threadable(
            number, float(sent), "AB"[sent % 2] if sent else "", sent > 1, b"%d" % own, [b"%d" % one for one in refs]
        )
        for number, (own, refs, sent) in enumerate(rows, 1)
    ]
    for threads in (references(mails), ordered_subject(mails)):
        assert sorted(numbers(threads)) == [one.number for one in mails]


def numbers(threads: list[Node]) -> Iterator[int]:
    waiting = list(threads)
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children)
        if node.mail:
            yield node.mail.number


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_a_thread_of_thousands_is_no_deeper_than_the_stack_nor_slow(order: str) -> None:
    """Walking up from each message to the first would be 200,000,000 steps."""
    mails = [
        Threadable(number, 0.0, message_id=b"%d" % number, references=(b"%d" % (number - 1),))
        for number in range(1, 20_001)
    ]
    if order == "backward":
        mails.reverse()
    if order == "shuffled":
        random.Random(5).shuffle(mails)
    mails = [Threadable(place, 0.0, "", False, one.message_id, one.references) for place, one in enumerate(mails)]
    assert rendered(references(mails)).count(b"(") == 1


def test_what_a_header_refers_to() -> None:
    header = b'Message-ID:  < "a"@b > junk\nIn-Reply-To: <c@d> <e@f>\nReferences: <g@h>\n <i@j> not <this <k@l>\n'
    assert identity_and_references(fields(header)) == (b"a@b", (b"g@h", b"i@j", b"k@l"))
    assert identity_and_references(fields(b"In-Reply-To: your letter <c@d> <e@f>\n")) == (b"", (b"c@d",))
    assert message_ids(b'<"x y"@z> <01KF8JCEOCBS0045PS@xxx.yyy.com> <"01KF8JCEOCBS0045PS"@xxx.yyy.com>') == [
        b"xy@z", b"01KF8JCEOCBS0045PS@xxx.yyy.com", b"01KF8JCEOCBS0045PS@xxx.yyy.com",
    ]  # fmt: skip
    many = b"References: " + b"<a@b> " * 5000
    assert len(identity_and_references(fields(many))[1]) == 200
