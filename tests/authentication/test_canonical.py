"""Canonical forms against the RFC's examples, and against the same rules line by line, at all chunk boundaries."""

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.authentication.canonical import BodyForm, digest_body, digest_body_now, relaxed_field
from tests.authentication import reference

FORMS = {BodyForm(relaxed, length) for relaxed in (False, True) for length in (None, 0, 1, 7, 10**9)}

TEXT = st.lists(st.sampled_from([b"a", b"bc", b" ", b"\t", b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b"\x0b\xff"])).map(
    b"".join
)


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({cut % (len(octets) + 1) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(octets)], strict=True):
        yield octets[start:end]


def test_the_example_of_rfc_6376() -> None:
    """RFC 6376 3.4.5."""
    assert relaxed_field(b"A: X\r\n") == b"a:X\r\n"
    assert relaxed_field(b"B : Y\t\r\n\tZ  \r\n") == b"b:Y Z\r\n"
    body = b" C \r\nD \t E\r\n\r\n\r\n"
    digests = digest_body_now([body], [BodyForm(relaxed=True), BodyForm(relaxed=False)])
    assert digests[BodyForm(relaxed=True)].sha256 == hashlib.sha256(b" C\r\nD E\r\n").digest()
    assert digests[BodyForm(relaxed=False)].sha256 == hashlib.sha256(b" C \r\nD \t E\r\n").digest()


@pytest.mark.parametrize(("relaxed", "form"), [(False, b"\r\n"), (True, b"")])
@pytest.mark.parametrize("chunks", [[], [b""], [b"\r\n"], [b"\r", b"\n\r", b"\n"]])
def test_an_empty_body(chunks: list[bytes], form: bytes, *, relaxed: bool) -> None:
    """RFC 6376 3.4.3, 3.4.4."""
    digest = digest_body_now(chunks, [BodyForm(relaxed)])[BodyForm(relaxed)]
    assert digest == (hashlib.sha256(form).digest(), len(form))


@given(TEXT, st.lists(st.integers(0, 200)))
@example(b"a \r\n \r\n", [2, 3, 4, 5, 6])
@example(b"a\r\r\n\n\r\n", [2, 3])
@example(b" ", [])
@example(b"a\r", [])
@example(b"\r\n\r ", [])
def test_bodies_in_any_chunks(body: bytes, cuts: list[int]) -> None:
    digests = digest_body_now(pieces(body, cuts), FORMS)
    assert set(digests) == FORMS
    for form, digest in digests.items():
        whole = reference.body(body, relaxed=form.relaxed)
        assert digest == (hashlib.sha256(whole[: form.length]).digest(), len(whole))


@given(TEXT.map(lambda text: text.replace(b"\r", b"").replace(b"\n", b"\r\n ")))
def test_fields(value: bytes) -> None:
    octets = b"X-Some \t:" + value + b"\r\n"
    assert relaxed_field(octets) == reference.relaxed_field(octets)


async def test_a_large_body_lets_others_have_their_turn(autojump_clock) -> None:
    body = [b"line\r\n" * 10_000] * 100 + [b"\r\n" * 3_000_000, b" \t" * 1_000_000]
    digests = await digest_body(body, FORMS)
    assert digests == digest_body_now([b"".join(body)], FORMS)
    assert digests[BodyForm(relaxed=True)].size == 6_000_000


async def test_nothing_is_read_where_nothing_is_wanted() -> None:
    assert await digest_body(iter([b"a"]), []) == {}
