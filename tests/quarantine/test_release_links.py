"""Signed words about parked mail: what was signed here is good, and nothing else is."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.message import MessageId
from engine.protocols.sealed import Expired, Forged
from engine.quarantine.links import Link, sign, verify

NOW = 1_800_000_000.0
OURS = (b"new secret", b"old secret")
LINK = Link("release", MessageId.new(NOW), "bob@example.org", int(NOW) + 100)


@given(st.sampled_from(["release", "delete"]), st.text(), st.integers(int(NOW), 2**40))
@example("release", "b\udc80b@example.org", int(NOW))
def test_what_is_signed_comes_back(action, recipient: str, expires: int) -> None:
    link = Link(action, LINK.identity, recipient[:200], expires)
    assert verify(sign(link, OURS), OURS, NOW) == link


def test_an_older_secret_is_still_good() -> None:
    token = sign(LINK, OURS[1:])
    assert verify(token, OURS, NOW) == LINK
    with pytest.raises(Forged):
        verify(token, OURS[:1], NOW)
    with pytest.raises(Forged):
        verify(token, (), NOW)


def test_one_that_is_too_old() -> None:
    token = sign(LINK, OURS)
    assert verify(token, OURS, NOW + 100) == LINK
    with pytest.raises(Expired):
        verify(token, OURS, NOW + 101)


def test_every_changed_bit_is_seen() -> None:
    token = sign(LINK, OURS)
    octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(Forged):
            verify(base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode(), OURS, NOW)


@given(st.text() | st.binary().map(lambda octets: base64.urlsafe_b64encode(octets).rstrip(b"=").decode()))
@example("")
@example("A")
@example("A" * 5000)
@example(sign(LINK, OURS)[:-1])
@example(sign(LINK, OURS) + "A")
@example(sign(LINK, OURS) + "=")
@example(sign(LINK, OURS) + "\n")
def test_anything_else_is_none(token: str) -> None:
    with pytest.raises(Forged):
        verify(token, OURS, NOW)
