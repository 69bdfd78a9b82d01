"""What clamd answers, whole and octet by octet."""

import pytest

from engine.protocols.clamd import ANSWER_LIMIT, Answer, ClamdClient, ClamdError


def client() -> ClamdClient:
    """One that has begun with its first message."""
    begun = ClamdClient()
    begun.begin(5)
    return begun


@pytest.mark.parametrize(
    ("text", "answer", "reusable"),
    [
        (b"1: stream: OK\0", Answer(), True),
        (b"1: stream: Win.Test.EICAR_HDB-1 FOUND\0", Answer("Win.Test.EICAR_HDB-1"), True),
        (b"1: INSTREAM size limit exceeded. ERROR\0", Answer(error="INSTREAM size limit exceeded"), False),
        (b"INSTREAM size limit exceeded. ERROR\0", Answer(error="INSTREAM size limit exceeded"), False),
        (b"1: stream: Can't allocate memory ERROR\0", Answer(error="Can't allocate memory"), False),
        (b"UNKNOWN COMMAND ERROR\0", Answer(error="UNKNOWN COMMAND"), False),
    ],
)
def test_an_answer(text: bytes, answer: Answer, reusable: bool) -> None:
    whole = client()
    assert whole.receive(text) == answer
    assert whole.reusable is reusable
    by_octets = client()
    found = [by_octets.receive(text[at : at + 1]) for at in range(len(text))]
    assert found == [*[None] * (len(text) - 1), answer]


def test_what_is_too_large_can_be_told() -> None:
    assert Answer(error="INSTREAM size limit exceeded").too_large
    assert not Answer(error="Can't allocate memory").too_large
    assert not Answer("Name.size limit exceeded").too_large


@pytest.mark.parametrize("text", [b"2: stream: OK\0", b"PONG\0", b"stream: \0", b"\xff\0", b"x" * (ANSWER_LIMIT + 1)])
def test_nonsense(text: bytes) -> None:
    with pytest.raises(ClamdError):
        client().receive(text)


def test_a_session_is_opened_once() -> None:
    session = ClamdClient()
    assert session.begin(258) == b"zIDSESSION\0zINSTREAM\0\x00\x00\x01\x02"
    assert session.receive(b"1: stream: OK\0") == Answer()
    assert session.begin(0) == b"zINSTREAM\0", "a chunk without octets would be the end"
    assert session.receive(b"2: stream: OK\0") == Answer()
