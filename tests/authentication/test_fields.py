"""Header fields with their exact octets, and where the body begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authentication.fields import Field, Fields, split_message, with_crlf
from engine.message import HEADER_LIMIT


def test_fields() -> None:
    fields = Fields.parse(b"From: a\r\nsubject :b\r\n\tc\r\n \r\nFROM:d\r\n\r\nBody: no field\r\n")
    assert list(fields) == [
        Field("from", b"From: a\r\n"),
        Field("subject", b"subject :b\r\n\tc\r\n \r\n"),
        Field("from", b"FROM:d\r\n"),
    ]
    assert (len(fields), fields.flaw) == (3, "")
    assert [field.value for field in fields.named("from")] == [b" a", b"d"]
    assert fields.named("subject")[0].value == b"b\r\n\tc\r\n "
    assert fields.named("to") == []


def test_a_section_without_its_last_line_end() -> None:
    assert list(Fields.parse(b"From: a")) == [Field("from", b"From: a\r\n")]
    assert list(Fields.parse(b"")) == list(Fields.parse(b"\r\nFrom: a\r\n")) == []


@pytest.mark.parametrize(
    ("section", "names", "flaw"),
    [
        (b"From a@b.test Fri Jan 15\r\nTo: b\r\n", ["to"], ""),
        (b"From : a@b.test\r\nFrom: c@d.test\r\n", ["from", "from"], ""),  # none of a mailbox file, but obsolete
        (b"To: b\r\nFrom a@b.test Fri Jan 15\r\n", ["to"], "no field"),
        (b" folded from the start\r\nTo: b\r\n", ["to"], "no field"),
        (b"To: b\r\nnonsense\r\nCc: c\r\n", ["to", "cc"], "no field"),
        (b"T\xc3\xb6: b\r\nCc: c\r\n", ["cc"], "no field"),
        (b": b\r\nCc: c\r\n", ["cc"], "no field"),
        (b"To: b\nCc: c\r\n", ["to"], "bare"),
        (b"To: b\rCc: c\r\n", ["to"], "bare"),
    ],
)
def test_flaws(section: bytes, names: list[str], flaw: str) -> None:
    fields = Fields.parse(section)
    assert [field.name for field in fields] == names
    assert flaw in fields.flaw
    assert bool(flaw) == bool(fields.flaw)


@given(st.integers(1, 60), st.sampled_from([b"", b"\r\n", b"body\r\n\r\nmore"]), st.booleans())
def test_split_message_in_any_chunks(size: int, body: bytes, has_header: bool) -> None:
    header = b"From: a\r\nTo: b\r\n c\r\n" if has_header else b""
    octets = header + b"\r\n" + body
    fields, rest = split_message(octets[place : place + size] for place in range(0, len(octets), size))
    assert list(fields) == list(Fields.parse(header))
    assert b"".join(rest) == body


def test_split_a_message_that_has_no_body() -> None:
    for octets in (b"", b"From: a\r\n"):
        fields, rest = split_message([octets])
        assert (list(fields), list(rest)) == (list(Fields.parse(octets)), [])


def test_a_header_without_end() -> None:
    octets = b"X: y\r\n" * 50_000 + b"\r\nbody"
    fields, rest = split_message([octets[:1000], octets[1000:]])
    assert "more than" in fields.flaw
    assert len(b"".join(rest)) == len(octets) - HEADER_LIMIT


def test_with_crlf() -> None:
    assert with_crlf(b"a\nb\r\n\nc\r") == b"a\r\nb\r\n\r\nc\r"
