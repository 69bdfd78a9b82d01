"""Transfer encodings: the rules of RFC 2045 6, broken bodies, and the same octets from any chunks."""

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.transfer import decoded, is_known

BODIES = [
    (b"7bit", b"a=41", b"a=41"),
    (b"BINARY", b"\0\xff", b"\0\xff"),
    (b"base64", b"aGVs\r\nbG8=\r\n", b"hello"),
    (b"Base64", b"aGVsbG8", b"hello"),  # without padding
    (b"base64", b"aGVsbG8=aGVsbG8=", b"hellohello"),  # one after the other
    (b"base64", b"a G*V\xffsbG8=", b"hello"),
    (b"base64", b"aGVsb", b"hel"),
    (b"base64", b"====", b""),
    (b"base64", b"", b""),
    (  # RFC 2045 6.7
        b"quoted-printable",
        b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
        b"Now's the time for all folk to come to the aid of their country.",
    ),
    (b"quoted-printable", b"a=3D=3d=20 \t\r\nb \n", b"a== \r\nb\n"),
    (b"quoted-printable", b"a= \t\r\nb", b"ab"),
    (b"quoted-printable", b"a=\nb=", b"ab"),
    (b"quoted-printable", b"a  ", b"a"),
    (b"quoted-printable", b"a=XYb=4", b"a=XYb=4"),
    (b"quoted-printable", b"gr=C3=BC\xc3\xbc", "grüü".encode()),
    (b"x-unknown", b"a=41", b"a=41"),
]


@pytest.mark.parametrize(("encoding", "body", "expected"), BODIES)
def test_a_body_is_decoded_whole_and_octet_by_octet(encoding: bytes, body: bytes, expected: bytes) -> None:
    assert b"".join(decoded([body], encoding)) == expected
    assert b"".join(decoded([body[place : place + 1] for place in range(len(body))], encoding)) == expected


def test_encodings_that_are_known() -> None:
    assert all(map(is_known, (b"7BIT", b"8bit", b"binary", b"Quoted-Printable", b"base64")))
    assert not any(map(is_known, (b"x-uuencode", b"", b"base64 x")))


@given(
    st.lists(st.sampled_from([b"=", b"A", b"=4", b"1", b" ", b"\t", b"\r", b"\n", b"+/", b"\xff"])), st.integers(1, 5)
)
def test_chunks_make_no_difference(pieces: list[bytes], step: int) -> None:
    body = b"".join(pieces)
    for encoding in (b"base64", b"quoted-printable"):
        whole = b"".join(decoded([body], encoding))
        assert b"".join(decoded([body[place : place + step] for place in range(0, len(body), step)], encoding)) == whole


@given(st.binary(max_size=300))
def test_what_the_standard_library_encodes_is_read(octets: bytes) -> None:
    assert b"".join(decoded([base64.encodebytes(octets)], b"base64")) == octets
    encoded = quopri.encodestring(octets.replace(b"\r", b""))
    assert b"".join(decoded([encoded], b"quoted-printable")) == octets.replace(b"\r", b"")


@pytest.mark.parametrize("piece", [b" ", b"=", b"= ", b"\t\r", b"A"])
def test_the_work_grows_with_the_body(piece: bytes) -> None:
    """Two million octets, in chunks that cut every line: a quadratic pattern would not come to an end."""
    chunks = [piece * 4096] * (2_000_000 // 4096 // len(piece))
    for encoding in (b"base64", b"quoted-printable"):
        assert sum(map(len, decoded(chunks, encoding))) <= sum(map(len, chunks))
