"""Content fields: the examples of RFC 2045 and 2231, and what mailers write instead."""

from urllib.parse import quote_from_bytes as quoted

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.parameters import (
    continued,
    media_type,
    parameter,
    parameters,
    token_and_parameters,
    value_of,
    values_of,
)

TYPES = [
    (b"text/plain; charset=us-ascii (Plain text)", (b"text", b"plain", ((b"charset", b"us-ascii"),))),  # RFC 2045 5.1
    (b'text/plain; charset="us-ascii"', (b"text", b"plain", ((b"charset", b"us-ascii"),))),
    (b"TEXT / (c) HTML", (b"TEXT", b"HTML", ())),
    (b'a/b; x="(no comment)"', (b"a", b"b", ((b"x", b"(no comment)"),))),
    (b'a/b; x="a;b=c"; y=z', (b"a", b"b", ((b"x", b"a;b=c"), (b"y", b"z")))),
    (b'a/b; name=two words.pdf; x="open', (b"a", b"b", ((b"name", b"two words.pdf"), (b"x", b"open")))),
    (b"a/b;;; ; x=1;", (b"a", b"b", ((b"x", b"1"),))),
    (b"a/b; novalue; =x; y=", (b"a", b"b", ((b"y", b""),))),
    (b"a/b x=1", (b"a", b"b", ((b"x", b"1"),))),
    (b"text", None),
    (b"/plain", None),
    (b"", None),
    (b'"text/plain"', None),
]


@pytest.mark.parametrize(("value", "expected"), TYPES)
def test_a_content_type_is_read(value: bytes, expected: object) -> None:
    assert media_type(value) == expected


VALUES = [
    # RFC 2231 3 and 4
    (b'x; URL*0="ftp://"; URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"', b"url",
     "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"),
    (b"x; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", b"title", "This is ***fun***"),
    (b"x; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
     b"title", "This is even more ***fun*** isn't it!"),
    (b"x; n*1=b; n*0=a; n*3=d", b"n", "ab"),
    (b"x; n*=iso-8859-1''%E4; n=a", b"n", "ä"),
    (b"x; n*0*=utf-8''%C3; n*1*=%A4", b"n", "ä"),
    (b"x; n*=%C3%A4", b"n", "ä"),
    (b"x; n*=nonesuch''%C3%A4", b"n", "ä"),
    (b'x; n="=?utf-8?q?=C3=A4?="', b"n", "ä"),
    (b'x; n="\xe4"', b"n", "ä"),
    (b"x; N=a; n=b", b"n", "a"),
    (b"x; m=a", b"n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "name", "expected"), VALUES)
def test_a_parameter_is_text(value: bytes, name: bytes, expected: str) -> None:
    assert value_of(token_and_parameters(value)[1], name) == expected
    assert parameter(token_and_parameters(value)[1], name).decode("utf-8", "replace") in {expected, expected} | {
        pair[1].decode("utf-8", "replace") for pair in token_and_parameters(value)[1]
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"attachment; filename=a.txt", ["a.txt"]),
        (b"attachment; filename=a.exe; filename=A.TXT; FileName=a.exe", ["a.exe", "A.TXT"]),
        (b"attachment; filename=a.exe; filename*=utf-8''b%20.txt", ["b .txt", "a.exe"]),
        (b"attachment; filename*=utf-8''; filename=a.exe", ["a.exe"]),
        (b"attachment; filename*=''a.txt; filename*=''b.exe", ["a.txt", "b.exe"]),
        (b"attachment; filename*0=a.; filename*1=exe; filename=b", ["a.exe", "b"]),
        (b"attachment; filename==?utf-8?q?a=2Eexe?=", ["a.exe"]),
        (b'attachment; filename=""', []),
        (b"attachment", []),
    ],
)
def test_every_value_of_a_parameter(value: bytes, expected: list[str]) -> None:
    assert list(values_of(token_and_parameters(value)[1], b"filename")) == expected


@given(
    st.lists(
        st.sampled_from([b"a", b"*", b"0", b"=", b";", b'"', b"\\", b"(", b")", b"'", b"%", b"%41", b"/", b"\xff"])
    )
)
def test_no_value_makes_it_fail(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    media_type(value)
    for name in (b"a", b""):
        assert isinstance(value_of(parameters(value), name), str)
        assert isinstance(parameter(parameters(value), name), bytes)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"x; a=1; b=2", ((b"a", b"1"), (b"b", b"2"))),
        (b"x; b=2; n*0=long; c=3; N*1=name.bin", ((b"b", b"2"), (b"n", b"longname.bin"), (b"c", b"3"))),
        (b"x; n*1=name; n*0=long", ((b"n", b"longname"),)),
        (b"x; n*0*=utf-8'en'%C3; n*1*=%A4; n*2=\"b c\"", ((b"n*", b"utf-8'en'%C3%A4b%20c"),)),
        (b"x; n*0=a; n*1*=%20b", ((b"n*", b"''a%20b"),)),
        (b"x; n*=utf-8''%C3%A4; n=a", ((b"n*", b"utf-8''%C3%A4"), (b"n", b"a"))),
        (b"x; n*0=a; n*2=c", ((b"n", b"a"),)),
        (b"x; n*1=a; m*x=b", ((b"n*1", b"a"), (b"m*x", b"b"))),
    ],
)
def test_continuations_are_put_together_for_imap(sent: bytes, told: object) -> None:
    """RFC 2231 8."""
    assert continued(token_and_parameters(sent)[1]) == told


KEYS = [b"n*0", b"n*0*", b"n*1", b"n*1*", b"N*2", b"m*0"]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.binary(max_size=6)), unique_by=lambda pair: pair[0].rstrip(b"*")))
def test_put_together_they_mean_the_same(sent: list[tuple[bytes, bytes]]) -> None:
    pairs = tuple((key, quoted(value).encode() if key.endswith(b"*") else value) for key, value in sent)
    assert value_of(continued(pairs), b"n") == value_of(pairs, b"n")
