"""What a server says, whole and octet by octet, and what it must not."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.imap_client.answers import (
    Answers,
    Continue,
    ImapError,
    Item,
    Large,
    Limits,
    Part,
    Status,
    Streamed,
    Untagged,
)
from engine.protocols.imap_client.client import ImapClient, quoted
from engine.protocols.imap_client.data import Fetched, Listed, fetched, listed
from tests.support.examples import examples

SAID = (
    b'* OK [CAPABILITY IMAP4rev1 SASL-IR] hi "x"\r\n'
    b'* LIST (\\HasNoChildren \\Sent) "/" {4}\r\nSent\r\n'
    b'* LIST () NIL "a \\"b\\\\"\r\n'
    b'* 1 FETCH (UID 5 FLAGS (\\Seen $Fwd) BODY[] {5}\r\na\r\nbc INTERNALDATE "17-Jul-1996")\r\n'
    b'* 2 FETCH (BODY[HEADER.FIELDS ("X Y" Z)] {0}\r\n BODY[] NIL UID 6)\r\n'
    b"P1 NO [LIMIT 3] zu viel\r\n+ abc=\r\n* BYE\r\n"
)
UNDERSTOOD: list[Item] = [
    Status("*", "OK", "CAPABILITY", "IMAP4rev1 SASL-IR", 'hi "x"'),
    Untagged(("LIST", ("\\HasNoChildren", "\\Sent"), b"/", b"Sent")),
    Untagged(("LIST", (), None, b'a "b\\')),
    Untagged(
        (
            "1", "FETCH",
            ("UID", "5", "FLAGS", ("\\Seen", "$Fwd"), "BODY[]", b"a\r\nbc", "INTERNALDATE", b"17-Jul-1996"),
        )
    ),
    Untagged(("2", "FETCH", ('BODY[HEADER.FIELDS ("X Y" Z)]', b"", "BODY[]", None, "UID", "6"))),
    Status("P1", "NO", "LIMIT", "3", "zu viel"),
    Continue(b"abc="),
    Status("*", "BYE"),
]  # fmt: skip


def items(pieces: list[bytes], limits: Limits = Limits()) -> list[Item]:  # noqa: B008, it is frozen
    answers, found = Answers(limits), list[Item]()
    for piece in pieces:
        answers.receive(piece)
        while (item := answers.next()) is not None:
            found.append(item)
    return found


@given(st.lists(st.integers(0, len(SAID)), max_size=40))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SAID)]
    assert items([SAID[a:b] for a, b in pairwise(edges)]) == UNDERSTOOD


def test_octet_by_octet() -> None:
    assert items([SAID[place : place + 1] for place in range(len(SAID))]) == UNDERSTOOD


def test_a_large_literal_comes_in_parts() -> None:
    said = b"* 1 FETCH (BODY[] {6}\r\nabcdef UID 5)\r\n"
    found = items([said[:25], said[25:]], Limits(held=3))
    assert found[0] == Large(6)
    assert b"".join(one.octets for one in found if isinstance(one, Part)) == b"abcdef"
    assert found[-1] == Untagged(("1", "FETCH", ("BODY[]", Streamed(6), "UID", "5")))


@pytest.mark.parametrize(
    "said",
    [
        b"x" * 300_000,
        b"* " + b"(" * 20 + b"\r\n",
        b"* )\r\n",
        b"* (\r\n",
        b'* "abc\r\n',
        b"hello\r\n",
        b"\r\n",
        b"* 1 FETCH {4294967297}\r\n",
        b"* 1 FETCH (" + b"{1}\r\na" * 20,
    ],
    ids=lambda said: said[:12].decode().strip() + str(len(said)),
)
def test_what_is_no_answer_ends_it(said: bytes) -> None:
    with pytest.raises(ImapError):
        items([said])


@given(st.binary(max_size=400) | st.text(alphabet='* 1()[]{}"\\\r\nAFETCHUIDBODY+', max_size=200).map(str.encode))
@examples(1000)
def test_whatever_comes_is_understood_or_refused(said: bytes) -> None:
    try:
        found = items([said, b"\r\n"], Limits(line=200, held=20, largest=100))
    except ImapError:
        return
    for item in found:
        if isinstance(item, Untagged):
            fetched(item)
            listed(item)


def test_a_command_that_was_not_given_cannot_end() -> None:
    client = ImapClient()
    assert client.command(b"NOOP") == b"P1 NOOP\r\n"
    client.receive(b"P2 OK done\r\n")
    with pytest.raises(ImapError, match="not given"):
        client.next()


def test_what_comes_before_tls_is_not_taken_for_what_comes_under_it() -> None:
    client = ImapClient()
    client.command(b"STARTTLS")
    client.receive(b"P1 OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
    assert client.next() == Status("P1", "OK", text="go")
    with pytest.raises(ImapError, match="before TLS"):
        client.encrypted()


@pytest.mark.parametrize("text", [b"a\r\nb", b"a\nb", b"\0"])
def test_a_command_has_one_line(text: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        ImapClient().command(text)
    with pytest.raises(ValueError, match="one line"):
        quoted(text)


def test_what_makes_no_sense_is_nothing() -> None:
    assert fetched(Untagged(("1", "FETCH", ("FLAGS", ())))) is None
    assert fetched(Untagged(("1", "FETCH", ("UID", "99999999999")))) is None
    assert fetched(Untagged(("1", "FETCH", ("UID", "3", "RFC822.SIZE", "-1")))) == Fetched(3)
    assert fetched(Untagged(("1", "FETCH", ("UID", "3", "INTERNALDATE", b"yesterday")))) == Fetched(3)
    assert listed(Untagged(("LIST", (), b"/", b"a\r\nb"))) is None
    assert listed(Untagged(("LIST", (), b"//", "a"))) == Listed(b"a", "", frozenset())
