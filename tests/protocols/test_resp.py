"""RESP: requests as they go out, replies whole, octet by octet, and garbled."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.protocols import resp
from engine.protocols.resp import ErrorReply, Garbled, Reader, Reply, request

REPLIES: list[tuple[bytes, Reply]] = [
    (b"+OK\r\n", b"OK"),
    (b"-ERR no such thing\r\n", ErrorReply("ERR no such thing")),
    (b":-12\r\n", -12),
    (b"$5\r\nab\r\nc\r\n", b"ab\r\nc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n*2\r\n$-1\r\n$1\r\nx\r\n-WRONG\r\n", [1, [None, b"x"], ErrorReply("WRONG")]),
]


def test_a_request() -> None:
    assert request("SET", b"k\r\n", 12) == b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$2\r\n12\r\n"


@pytest.mark.parametrize(("octets", "reply"), REPLIES)
def test_a_reply_whole_and_octet_by_octet(octets: bytes, reply: Reply) -> None:
    (found,) = Reader().feed(octets)
    assert (found, type(found)) == (reply, type(reply))
    reader = Reader()
    assert [reader.feed(octets[at : at + 1]) for at in range(len(octets))] == [[]] * (len(octets) - 1) + [[reply]]


@given(some.lists(some.sampled_from(REPLIES), max_size=9), some.data())
def test_many_replies_however_they_come(several: list[tuple[bytes, Reply]], data: some.DataObject) -> None:
    octets = b"".join(one for one, _ in several)
    cut = data.draw(some.integers(0, len(octets)))
    reader = Reader()
    assert reader.feed(octets[:cut]) + reader.feed(octets[cut:]) == [reply for _, reply in several]


@pytest.mark.parametrize(
    "octets",
    [
        b"220 mx.example.org ESMTP\r\n", b":x\r\n", b"$x\r\n", b"$1\r\nab\r\n", b"$99999999999\r\n", b"*x\r\n",
        b"*1\r\n" * (resp.DEPTH_LIMIT + 1), b"+" + b"x" * (resp.LINE_LIMIT + 1),
    ],
)  # fmt: skip
def test_another_language(octets: bytes) -> None:
    with pytest.raises(Garbled):
        Reader().feed(octets)
