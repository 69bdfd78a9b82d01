"""The tree of parts: the examples of RFC 2046, broken messages, limits, and the same tree from any chunks."""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime import structure as scanner
from engine.mime.part import Part
from engine.mime.structure import structure

RFC_2046_SIMPLE = b"""\
From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
"""

RFC_2049_COMPLEX = b"""\
MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
To: Ned Freed <ned@innosoft.com>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
             boundary=unique-boundary-1

This is the preamble area of a multipart message.

--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part, but
illustrates explicit versus implicit typing of body
parts.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... base64-encoded 8000 Hz single-channel
      mu-law-format audio data goes here ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... base64-encoded image data goes here ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
"""

RFC_2046_DIGEST = b"""\
From: Moderator-Address
To: Recipient-List
Date: Mon, 22 Mar 1994 13:34:51 +0000
Subject: Internet Digest, volume 42
MIME-Version: 1.0
Content-Type: multipart/mixed;
              boundary="---- main boundary ----"

------ main boundary ----

  ...Introductory text or table of contents...

------ main boundary ----
Content-Type: multipart/digest;
              boundary="---- next message ----"

------ next message ----

From: someone-else
Date: Fri, 26 Mar 1993 11:13:32 +0200
Subject: my opinion

  ...body goes here ...

------ next message ----

From: someone-else-again
Date: Fri, 26 Mar 1993 10:07:13 -0500
Subject: my different opinion

  ... another body goes here ...

------ next message ------

------ main boundary ------
"""


def crlf(octets: bytes) -> bytes:
    return octets.replace(b"\n", b"\r\n")


def outline(part: Part) -> Any:
    """The types of a tree, as nested tuples."""
    media = part.media.decode()
    return (media, *map(outline, part.parts)) if part.parts else media


def bodies(octets: bytes) -> list[bytes]:
    """The bodies of all leaves."""
    return [octets[part.body : part.end] for part in structure([octets]).walk() if not part.parts]


def of(kind: bytes, body: bytes) -> bytes:
    """A message of that Content-Type."""
    return b"Content-Type: " + kind + b"\n\n" + body


@pytest.mark.parametrize("ends", [bytes, crlf], ids=["LF", "CRLF"])
def test_the_simple_example_of_rfc_2046(ends: Callable[[bytes], bytes]) -> None:
    octets = ends(RFC_2046_SIMPLE)
    assert outline(structure([octets])) == ("multipart/mixed", "text/plain", "text/plain")
    one, other = bodies(octets)
    assert one == ends(b"This is implicitly typed plain US-ASCII text.\nIt does NOT end with a linebreak.")
    assert other == ends(b"This is explicitly typed plain US-ASCII text.\nIt DOES end with a linebreak.\n")
    assert [part.lines for part in structure([octets]).walk()] == [17, 1, 2]


@pytest.mark.parametrize("ends", [bytes, crlf], ids=["LF", "CRLF"])
def test_the_complex_examples(ends: Callable[[bytes], bytes]) -> None:
    assert outline(structure([ends(RFC_2049_COMPLEX)])) == (
        "multipart/mixed", "text/plain", "text/plain", ("multipart/parallel", "audio/basic", "image/jpeg"),
        "text/enriched", ("message/rfc822", "text/plain"),
    )  # fmt: skip
    assert outline(structure([ends(RFC_2046_DIGEST)])) == (
        "multipart/mixed", "text/plain",
        ("multipart/digest", ("message/rfc822", "text/plain"), ("message/rfc822", "text/plain")),
    )  # fmt: skip


def test_where_a_part_is_and_what_its_header_says() -> None:
    octets = crlf(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        b'Content-Type: Image/PNG; name="a\\"b" (c); x = y\nContent-Transfer-Encoding: BASE64 (c)\n'
        b"Content-ID: <1@a>\nContent-Description: a\n\tpicture\nContent-MD5: Q2hlY2s=\n"
        b"Content-Disposition: attachment; filename=a.png\nContent-Language: en, (c) fr\n"
        b"Content-Location: http://a/\n\n"
        b"AAAA\nBBBB\n\n--b--\n"
    )
    message = structure([octets])
    (part,) = message.parts
    assert octets[part.start :].startswith(b"Content-Type: Image")
    assert octets[part.start : part.body].endswith(b"http://a/\r\n\r\n")
    assert (octets[part.body : part.end], part.lines, part.size) == (b"AAAA\r\nBBBB\r\n", 2, 12)
    assert (part.type, part.subtype, part.encoding) == (b"Image", b"PNG", b"BASE64")
    assert part.parameters == ((b"name", b'a"b'), (b"x", b"y"))
    details = part.details
    assert details is not None
    assert (details.id, details.description, details.md5) == (b"<1@a>", b"a\tpicture", b"Q2hlY2s=")
    assert (details.disposition, details.disposition_parameters) == (b"attachment", ((b"filename", b"a.png"),))
    assert (details.language, details.location) == ((b"en", b"fr"), b"http://a/")
    assert (message.start, message.end) == (0, len(octets))


ONE = ("multipart/mixed", "text/plain")
BROKEN = [
    # The octets, their outline, the bodies of leaves.
    (b"", "text/plain", [b""]),
    (b"\n", "text/plain", [b""]),
    (b"no header\n\nbody", "text/plain", [b"body"]),
    (b"A: b", "text/plain", [b""]),
    (b"\nbody\n", "text/plain", [b"body\n"]),
    (of(b"multipart/mixed", b"--b\n\nx\n"), "text/plain", [b"--b\n\nx\n"]),
    (of(b"multipart/mixed; boundary=b", b"nothing of it\n"), "text/plain", [b"nothing of it\n"]),
    (of(b'multipart/mixed; boundary=""', b"--\n\nx\n--\n"), "text/plain", [b"--\n\nx\n--\n"]),
    (of(b"multipart/mixed; boundary=b", b"--b\n\nno end\n"), ONE, [b"no end\n"]),
    (of(b"multipart/mixed; boundary=b", b"--b"), ONE, [b""]),
    (of(b"multipart/mixed; boundary=b", b"--b\n--b--\n"), ONE, [b""]),
    (of(b"multipart/mixed; boundary=b", b"--b\n\n--b--\n"), ONE, [b""]),
    (of(b"multipart/mixed; boundary=b", b"--b\nX: y\n--b\n\nz\n--b--"), (*ONE, "text/plain"), [b"", b"z"]),
    (of(b"multipart/mixed; boundary=b", b"--b--\n--b\n\nx"), "text/plain", [b"--b--\n--b\n\nx"]),
    (of(b"multipart/mixed; boundary=b", b" --b\n\nx--b\n"), "text/plain", [b" --b\n\nx--b\n"]),
    (of(b"multipart/mixed; boundary=b", b"--b \t\n\nx\n--b-- trailing\nend"), ONE, [b"x"]),
    (of(b'multipart/mixed; boundary="b "', b"--b\n\nx\n--b--"), ONE, [b"x"]),
    (of(b"multipart/mixed; boundary*0=b; boundary*1=c", b"--bc\n\nx\n--bc--"), ONE, [b"x"]),
    (of(b"multipart/mixed; boundary*=us-ascii'en'b%20c", b"--b c\n\nx"), ONE, [b"x"]),
    (of(b"nonsense", b"x"), "text/plain", [b"x"]),
    (of(b"text/html/x; charset", b"x"), "text/html", [b"x"]),
    (of(b"message/rfc822", b""), ("message/rfc822", "text/plain"), [b""]),
    (of(b"message/rfc822", b"A: b"), ("message/rfc822", "text/plain"), [b""]),
    (of(b"message/rfc822\nContent-Transfer-Encoding: base64", b"QTogYg=="), "application/octet-stream", [b"QTogYg=="]),
    (of(b"message/delivery-status", b"A: b\n\nC: d\n"), "message/delivery-status", [b"A: b\n\nC: d\n"]),
    (of(b"Message/Global", b"A: b\n\nx"), ("message/global", "text/plain"), [b"x"]),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected", "leaves"), BROKEN)
def test_broken_messages_have_a_tree_as_well(octets: bytes, expected: Any, leaves: list[bytes]) -> None:
    assert outline(structure([octets])) == expected
    assert bodies(octets) == leaves
    assert outline(structure([crlf(octets)])) == expected
    assert bodies(crlf(octets)) == [crlf(leaf) for leaf in leaves]


def nested(outer: bytes, inner: bytes, *, is_closed: bool) -> bytes:
    """A multipart in a multipart, between two texts."""
    end = b"--" + inner + b"--\n" if is_closed else b""
    return of(
        b"multipart/mixed; boundary=" + outer,
        b"--%b\n\n1\n--%b\nContent-Type: multipart/related; boundary=%b\n\n--%b\n\n2\n--%b\n\n3\n%b--%b\n\n4\n--%b--\n"
        % (outer, outer, inner, inner, inner, end, outer, outer),
    )


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize(
    ("outer", "inner"), [(b"a", b"b"), (b"foo", b"foobar"), (b"foobar", b"foo"), (b"foo", b"foo--")]
)
def test_boundaries_that_begin_like_one_another(outer: bytes, inner: bytes, *, is_closed: bool) -> None:
    octets = nested(outer, inner, is_closed=is_closed)
    related = ("multipart/related", "text/plain", "text/plain")
    assert outline(structure([octets])) == ("multipart/mixed", "text/plain", related, "text/plain")
    assert bodies(octets) == [b"1", b"2", b"3", b"4"]


def test_of_equal_boundaries_the_innermost_counts() -> None:
    octets = nested(b"a", b"a", is_closed=True)
    assert bodies(octets)[:3] == [b"1", b"2", b"3"]
    assert outline(structure([octets]))[2] == ("multipart/related", "text/plain", "text/plain")


def test_the_end_of_an_outer_multipart_ends_those_in_it() -> None:
    octets = of(
        b"multipart/mixed; boundary=a",
        b"--a\nContent-Type: message/rfc822\n\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--a--\n--b\n\ny\n",
    )
    assert outline(structure([octets])) == ("multipart/mixed", ("message/rfc822", ("multipart/mixed", "text/plain")))
    assert bodies(octets) == [b"x"]


def test_an_empty_line_that_is_header_and_delimiter_belongs_to_all_that_end_there() -> None:
    octets = b"Content-Type: multipart/digest; boundary=bc\n\n--bc\n\n"
    octets = of(b"multipart/mixed; boundary=b", b"--b\n" + octets + b"--b\n\nx")
    whole = structure([octets])
    ranges_hold(whole, 0, len(octets))
    assert outline(whole)[1:] == (("multipart/digest", ("message/rfc822", "text/plain")), "text/plain")


# ---- any chunks give the same tree ----

LINES = [
    b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/digest; boundary=bb",
    b"--b", b"--bb", b"--b--", b"--bb--", b"--c", b"-", b"--", b"", b"x", b"\r", b"Subject: a",
    b"Content-Type: message/rfc822", b"Content-Type: text/html",
    b"Content-Type: multipart/mixed;", b' boundary="b--"', b"--b----",
]  # fmt: skip
MESSAGES = st.lists(
    st.tuples(st.sampled_from(LINES) | st.binary(max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r", b""])),
    max_size=30,
).map(lambda lines: b"".join(line + end for line, end in lines))


def ranges_hold(part: Part, start: int, end: int) -> None:
    assert start <= part.start <= part.body <= part.end <= end
    place = part.body
    for inner in part.parts:
        ranges_hold(inner, place, part.end)
        place = inner.end


@given(MESSAGES, st.lists(st.integers(0, 400), max_size=6))
def test_chunks_make_no_difference_and_parts_lie_within_one_another(octets: bytes, cuts: list[int]) -> None:
    whole = structure([octets])
    ends = sorted({min(cut, len(octets)) for cut in cuts} | {len(octets)})
    assert structure(octets[start:end] for start, end in zip([0, *ends], ends, strict=False)) == whole
    assert structure(octets[place : place + 1] for place in range(len(octets))) == whole
    ranges_hold(whole, 0, len(octets))
    assert (whole.start, whole.end) == (0, len(octets))
    for part in whole.walk():
        assert part.lines == octets.count(b"\n", part.body, part.end)
        assert bool(part.parts) == (part.is_multipart or part.media in {b"message/rfc822", b"message/global"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=Part) == whole


@given(MESSAGES, st.lists(st.integers(0, 400), max_size=6))
def test_limits_hold_for_any_message(octets: bytes, cuts: list[int]) -> None:
    ends = sorted({min(cut, len(octets)) for cut in cuts} | {len(octets)})
    with patch.multiple(scanner, DEPTH=3, PARTS=5, HEADER_LIMIT=60, BOUNDARY_LIMIT=2):
        whole = structure([octets])
        assert structure(octets[start:end] for start, end in zip([0, *ends], ends, strict=False)) == whole
    assert sum(1 for _ in whole.walk()) <= 5
    assert depth(whole) <= 5
    ranges_hold(whole, 0, len(octets))


def depth(part: Part) -> int:
    return 1 + max(map(depth, part.parts), default=0)


# ---- hostile messages ----


def steps(function: Callable[[], object]) -> int:
    """Python lines and calls that a function takes: its work, on whatever machine."""
    count = 0

    def trace(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(None)
    return count


def multiparts(count: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%05d\n\n--b%05d\n" % (number, number) for number in range(count)
    )


def messages(count: int) -> bytes:
    return b"Content-Type: message/rfc822\n\n" * count


HOSTILE: list[tuple[str, Callable[[int], bytes]]] = [
    ("multiparts in multiparts", multiparts),
    ("messages in messages", messages),
    ("parts", lambda count: of(b"multipart/mixed; boundary=b", b"--b\n\n" * count)),
    ("lines like boundaries", lambda count: of(b"multipart/mixed; boundary=bbbb", b"--bbb\n" * count)),
    (
        "lines like boundaries in a header",
        lambda count: of(b"multipart/mixed; boundary=b", b"--b\n" + b"--a\n" * count),
    ),
    ("header fields", lambda count: b"Content-Type: text/plain\n" * count),
    ("a folded field", lambda count: b"Content-Type: text/plain;\n" + b" a=b;\n" * count),
    ("comments", lambda count: b"Content-Type: " + b"(" * count),
    ("quotes", lambda count: b"Content-Type: text/plain; a=" + b'"\\' * count),
    ("open quotes", lambda count: b'From: "' + b'\\"' * count),
    ("open comments", lambda count: b"From: " + b"(a" * count),
    ("groups", lambda count: b"To: " + b"a:" * count),
    ("brackets", lambda count: b"To: " + b"<a" * count),
    ("addresses", lambda count: b"To: " + b"a@b," * count),
    ("commas", lambda count: b"To: " + b"," * count),
    ("octets of no charset", lambda count: b"Content-Type: a/b; boundary=" + b"\xff" * count),
]


@pytest.mark.parametrize(("name", "make"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_the_work_grows_with_the_message(name: str, make: Callable[[int], bytes]) -> None:
    small, large = (steps(lambda count=count: structure([make(count)])) for count in (300, 3000))  # type: ignore[misc]
    assert large < 11 * small + 1000


@pytest.mark.parametrize("make", [multiparts, messages])
def test_what_is_too_deep_is_a_leaf(make: Callable[[int], bytes]) -> None:
    octets = make(10_000)
    whole = structure([octets])
    assert depth(whole) <= 2 * scanner.DEPTH
    (leaf,) = [part for part in whole.walk() if not part.parts]
    assert (leaf.media, leaf.end) == (b"application/octet-stream", len(octets))
    assert leaf.size > len(octets) * 0.99


def test_the_last_part_has_all_that_is_too_many() -> None:
    octets = of(b"multipart/mixed; boundary=b", b"--b\n\nx\n" * 20_000 + b"--b--\n")
    whole = structure([octets])
    assert sum(1 for _ in whole.walk()) == scanner.PARTS
    assert whole.parts[-1].end == len(octets)


@pytest.mark.parametrize("length", [999, 100_000, 1_000_000])
def test_a_boundary_that_is_no_line_is_none(length: int) -> None:
    boundary = b"b" * length
    octets = of(b"multipart/mixed; boundary=" + boundary, b"--" + boundary + b"\n\nx\n")
    assert outline(structure([octets])) == "text/plain"


def test_of_a_header_bomb_only_the_beginning_is_read_and_kept() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"Content-Type: text/html\n"
        for _ in range(200):
            yield b"X: " + b"x" * 65_536 + b"\n"
        yield b"Content-Language: en\n\nbody\n"

    taking = scanner.Scanner()
    for chunk in chunks():
        taking.feed(chunk)
        kept = len(taking._rest) + sum(map(len, taking._section or []))
        assert kept < scanner.HEADER_LIMIT + 2 * 65_600
    whole = taking.end()
    assert (whole.media, whole.details, whole.size) == (b"text/html", None, 5)
    assert len(taking.header) == scanner.HEADER_LIMIT


def test_of_a_body_next_to_nothing_is_kept() -> None:
    taking = scanner.Scanner()
    taking.feed(of(b"multipart/mixed; boundary=b", b"--b\n\n"))
    for chunk in (b"x" * 100_000, b"\n" * 100_000, b"\n--b" * 20_000, b"\n--" * 30_000, b"\r\n-"):
        taking.feed(chunk)
        assert len(taking._rest) < 2_000


def test_the_stored_form_is_small() -> None:
    message = structure([b"Subject: x\nContent-Type: text/plain; charset=utf-8\n\nbody\n"])
    assert len(msgspec.msgpack.encode(message)) - len(message.envelope) < 64
