"""ENVELOPE, BODY and BODYSTRUCTURE as octets: the examples of RFC 9051 and RFC 5322, broken fields, sections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.addresses import addresses
from engine.mime.bodystructure import body, bodystructure
from engine.mime.fields import only
from engine.mime.rendering import nstring, string
from engine.mime.sections import Section, numbered, numbers, parse, section
from engine.mime.structure import structure
from tests.support.lists import is_one_list

# The message of RFC 9051 8, as far as it is shown there.
EXAMPLE = b"""\
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.ed>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""".replace(b"\n", b"\r\n")


def test_the_envelope_and_body_of_the_example() -> None:
    message = structure([EXAMPLE, b"line\r\n" * 92])
    assert message.envelope == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
        b'"<B27397-0100000@cac.washington.ed>")'
    )
    assert body(message) == b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 552 92)'
    assert section(message, "HEADER") == (0, len(EXAMPLE), (), False)


def test_the_multipart_of_rfc_9051_7_5_2() -> None:
    octets = (
        b"Content-Type: MULTIPART/MIXED; boundary=b\r\n\r\n--b\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n"
        b"Content-Transfer-Encoding: 7BIT\r\n\r\n" + b"x\r\n" * 23 + b"\r\n--b\r\n"
        b'Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME="cc.diff"\r\n'
        b"Content-ID: <960723163407.20117h@cac.washington.edu>\r\n"
        b"Content-Description: Compiler diff\r\nContent-Transfer-Encoding: BASE64\r\n\r\nQUJD\r\n\r\n--b--\r\n"
    )
    message = structure([octets])
    assert body(message) == (
        b'(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 69 23)'
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" '
        b'"Compiler diff" "BASE64" 6 1) "MIXED")'
    )
    assert bodystructure(message).endswith(b' 6 1 NIL NIL NIL NIL) "MIXED" ("boundary" "b") NIL NIL NIL)')


def test_extension_data_and_messages_inside() -> None:
    message = structure([
        b"Content-Type: message/rfc822\nContent-MD5: Q2hlY2s=\nContent-Language: en, fr\nContent-Location: a\n"
        b'Content-Disposition: inline; filename="\xe4"\n\nSubject: "q" \\\nFrom: a@b\n\nx\n'
    ])  # fmt: skip
    one = b'((NIL NIL "a" "b"))'
    assert bodystructure(message) == (
        b'("message" "rfc822" NIL NIL NIL "7bit" 28 (NIL "\\"q\\" \\\\" %b %b %b NIL NIL NIL NIL NIL) '
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 2 1 NIL NIL NIL NIL) 4 "Q2hlY2s=" '
        b'("inline" ("filename" {1}\r\n\xe4)) ("en" "fr") "a")' % (one, one, one)
    )


ADDRESSES = [
    # RFC 5322 A.1 to A.6
    (b'"Joe Q. Public" <john.q.public@example.com>', [(b"Joe Q. Public", None, b"john.q.public", b"example.com")]),
    (b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
     [(b"Mary Smith", None, b"mary", b"x.test"), (None, None, b"jdoe", b"example.org"),
      (b"Who?", None, b"one", b"y.test")]),
    (b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
     [(None, None, b"boss", b"nil.test"), (b'Giant; "Big" Box', None, b"sysservices", b"example.net")]),
    (b"A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
     [(None, None, b"A Group", None), (b"Ed Jones", None, b"c", b"a.test"), (None, None, b"joe", b"where.test"),
      (b"John", None, b"jdoe", b"one.test"), (None, None, None, None)]),
    (b"Undisclosed recipients:;", [(None, None, b"Undisclosed recipients", None), (None, None, None, None)]),
    (b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [(b"Pete", None, b"pete", b"silly.test")]),
    (b"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
     b"         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
     [(None, None, b"A Group", None), (b"Chris Jones", None, b"c", b"public.example"),
      (None, None, b"joe", b"example.org"), (b"John", None, b"jdoe", b"one.test"), (None, None, None, None)]),
    (b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
     [(None, None, b"Hidden recipients", None), (None, None, None, None)]),
    (b"Joe Q. Public <john.q.public@example.com>", [(b"Joe Q. Public", None, b"john.q.public", b"example.com")]),
    (b"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
     [(b"Mary Smith", b"@node.test", b"mary", b"example.net"), (None, None, b"jdoe", b"test.example")]),
    (b"John Doe <jdoe@machine(comment).  example>", [(b"John Doe", None, b"jdoe", b"machine.example")]),
    # What is met
    (b"a@b (Ann Lee)", [(b"Ann Lee", None, b"a", b"b")]),
    (b"=?utf-8?q?J=C3=BCrgen?= <j@b>", [(b"=?utf-8?q?J=C3=BCrgen?=", None, b"j", b"b")]),
    ("Jürgen <j@b>".encode(), [("Jürgen".encode(), None, b"j", b"b")]),
    (b'"a@b" <c@d>', [(b"a@b", None, b"c", b"d")]),
    (b"a@b <c@d>", [(b"a@b", None, b"c", b"d")]),
    (b'"quoted local"@[127.0.0.1]', [(None, None, b"quoted local", b"[127.0.0.1]")]),
    (b"undisclosed-recipients", [(None, None, b"undisclosed-recipients", b"")]),
    (b"Ann <ann>", [(b"Ann", None, b"ann", b"")]),
    (b"Ann <>", [(b"Ann", None, b"", b"")]),
    (b"<>", []),
    (b"a@b;c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
    (b"Ann <a@b", [(b"Ann", None, b"a", b"b")]),
    (b'"open <a@b>', [(None, None, b"open <a@b>", b"")]),
    (b"a@b@c", [(None, None, b"a@b", b"c")]),
    (b"Ann <@r1,@r2 , @r3:a@b>, c@d", [(b"Ann", b"@r1,@r2,@r3", b"a", b"b"), (None, None, b"c", b"d")]),
    (b"g: a@b, h: c@d;, e@f",
     [(None, None, b"g", None), (None, None, b"a", b"b"), (None, None, b"h:c", b"d"), (None, None, None, None),
      (None, None, b"e", b"f")]),
    (b"g: a@b", [(None, None, b"g", None), (None, None, b"a", b"b"), (None, None, None, None)]),
    (b" , ,, ", []),
    (b"", []),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), ADDRESSES)
def test_addresses_are_read(value: bytes, expected: object) -> None:
    assert addresses(value) == expected


def test_what_an_envelope_says_of_fields_that_are_missing_empty_or_there_twice() -> None:
    octets = b"From: a@b\nSender:\nReply-To: ,\nSubject:\nTo: c@d\nTo: e@f\nIn-Reply-To: <x@y>\n <z@y>\n\n"
    one = b'((NIL NIL "a" "b"))'
    assert structure([octets]).envelope == (
        b'(NIL "" %b %b %b ((NIL NIL "c" "d")(NIL NIL "e" "f")) NIL NIL "<x@y> <z@y>" NIL)' % (one, one, one)
    )
    assert structure([b""]).envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a", b'"a"'),
        (b'a"\\', b'"a\\"\\\\"'),
        (b"\xc3\xa4", b"{2}\r\n\xc3\xa4"),
        (b"a\0b", b'"ab"'),
        (b"a\nb", b"{3}\r\na\nb"),
    ],
)
def test_strings(octets: bytes, expected: bytes) -> None:
    assert string(octets) == nstring(octets) == expected
    assert (string(b""), nstring(b""), nstring(None)) == (b'""', b"NIL", b"NIL")


PIECES = [
    b"From: ", b"To: ", b"Content-Type: ", b"Content-Disposition: ", b"Content-Language: ",
    b"multipart/mixed; boundary=b", b"message/rfc822", b"\n", b"\r\n", b"\n\n", b"--b", b" ", b"a", b"@", b"<", b">",
    b"(", b")", b'"', b"\\", b",", b":", b";", b"\0", b"\xff", b"\r", b"=",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_whatever_the_message_is_a_client_can_read_the_answers(octets: bytes) -> None:
    message = structure([octets])
    assert is_one_list(message.envelope)
    assert is_one_list(body(message))
    assert is_one_list(bodystructure(message))


# ---- sections ----

# The shape of the example of RFC 9051 6.4.5.1.
NESTED = b"""\
Subject: top
Content-Type: multipart/mixed; boundary=a

--a

one
--a
Content-Type: application/octet-stream

two
--a
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=b

--b

three one
--b
Content-Type: application/octet-stream

three two
--b--
--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif
Content-ID: <i>

four one
--c
Content-Type: message/rfc822

Subject: four two
Content-Type: multipart/mixed; boundary=d

--d

four two one
--d
Content-Type: multipart/alternative; boundary=e

--e

four two two one
--e
Content-Type: text/richtext

four two two two
--e--
--d--
--c
Content-Type: message/rfc822

Subject: four three

plain
--c--
--a--
"""

SECTIONS = [
    ("", NESTED),
    ("HEADER", b"Subject: top\nContent-Type: multipart/mixed; boundary=a\n\n"),
    ("TEXT", NESTED.partition(b"\n\n")[2]),
    ("1", b"one"),
    ("2", b"two"),
    ("1.MIME", b"\n"),
    ("3.HEADER", b"Subject: three\nContent-Type: multipart/mixed; boundary=b\n\n"),
    ("3.header.fields (subject)", b"Subject: three\n\n"),
    ('3.HEADER.FIELDS.NOT ("Subject")', b"Content-Type: multipart/mixed; boundary=b\n\n"),
    ("HEADER.FIELDS (X)", b"\n"),
    ("3.TEXT", b"--b\n\nthree one\n--b\nContent-Type: application/octet-stream\n\nthree two\n--b--"),
    ("3.1", b"three one"),
    ("3.2", b"three two"),
    ("3.2.MIME", b"Content-Type: application/octet-stream\n\n"),
    ("4.1", b"four one"),
    ("4.1.MIME", b"Content-Type: image/gif\nContent-ID: <i>\n\n"),
    ("4.2.HEADER", b"Subject: four two\nContent-Type: multipart/mixed; boundary=d\n\n"),
    ("4.2.1", b"four two one"),
    ("4.2.2.1", b"four two two one"),
    ("4.2.2.2", b"four two two two"),
    ("4.3", b"Subject: four three\n\nplain"),
    ("4.3.1", b"plain"),
    ("4.3.TEXT", b"plain"),
    ("4.3.1.MIME", b"Subject: four three\n\n"),
    ("5", None),
    ("1.1", None),
    ("1.HEADER", None),
    ("4.TEXT", None),
    ("4.3.2", None),
    ("4.3.1.1", None),
    ("MIME", None),
    ("0", None),
    ("1.", None),
    ("x", None),
    ("HEADER.FIELDS ()", None),
    ("1TEXT", None),
]


@pytest.mark.parametrize(("specifier", "expected"), SECTIONS)
def test_a_section_is_found(specifier: str, expected: bytes | None) -> None:
    found = section(structure([NESTED]), specifier)
    assert (None if found is None else found.picked(NESTED[found.start : found.end])) == expected


def test_a_message_of_one_part_has_itself_for_part_1() -> None:
    octets = b"A: b\n\nbody"
    message = structure([octets])
    for specifier, expected in (("1", b"body"), ("TEXT", b"body"), ("1.MIME", b"A: b\n\n"), ("2", None), ("1.1", None)):
        found = section(message, specifier)
        assert (None if found is None else octets[found.start : found.end]) == expected
    inner = structure([b"Content-Type: message/rfc822\n\n" + octets])
    assert section(inner, "1.HEADER") == (30, 36, (), False)
    assert section(inner, "1.1") == (36, 40, (), False)


def test_a_specifier_is_parsed() -> None:
    assert parse('1.2.header.fields.not (From "To")') == Section((1, 2), "HEADER.FIELDS.NOT", (b"From", b"To"))
    assert parse("") == Section()


@pytest.mark.parametrize(
    ("header", "names", "negate", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n 3\r\na: 4\r\n\r\n", [b"a"], False, b"A: 1\r\na: 4\r\n\r\n"),
        (b"A: 1\r\nB: 2\r\n 3\r\na: 4\r\n\r\n", [b"A"], True, b"B: 2\r\n 3\r\n\r\n"),
        (b"A : 1\nno field\n more\nB: 2\n\n", [b"A", b"no field"], False, b"A : 1\n\n"),
        (b"A: 1", [b"A"], False, b"A: 1\r\n\r\n"),
        (b"", [b"A"], True, b"\r\n"),
    ],
)  # fmt: skip
def test_fields_of_some_names(header: bytes, names: list[bytes], negate: bool, expected: bytes) -> None:
    assert only(header, names, negate=negate) == expected


IN_EACH_OTHER = (
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nfirst\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n"
    b"Content-Type: text/html\r\n\r\nhtml\r\n--b--\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: x\r\n\r\ninner\r\n--a--\r\n"
)


def test_the_numbers_of_parts() -> None:
    found = [(number, part.media.decode()) for number, part in numbers(structure([IN_EACH_OTHER]))]
    assert found == [
        ("1", "text/plain"), ("2", "message/rfc822"), ("2.1", "text/plain"), ("2.2", "text/html"),
        ("3", "message/rfc822"), ("3.1", "text/plain"),
    ]  # fmt: skip
    assert [number for number, _ in numbers(structure([b"Subject: x\r\n\r\ntext\r\n"]))] == ["1"]


@given(
    st.lists(
        st.sampled_from([
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"--a\r\n", b"--a--\r\n", b"--b\r\n",
            b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/x; boundary=b\r\n\r\n",
            b"Subject: x\r\n", b"\r\n", b"text\r\n",
        ]),
        max_size=30,
    )
)  # fmt: skip
def test_every_number_finds_its_part(pieces: list[bytes]) -> None:
    message = structure(pieces)
    found = list(numbers(message))
    assert len({number for number, _ in found}) == len(found) >= 1
    for number, part in found:
        assert numbered(message, tuple(map(int, number.split(".")))) is part
