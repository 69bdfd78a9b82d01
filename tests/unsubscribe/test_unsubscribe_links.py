"""Signed links to leave a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.sealed import Expired, Forged
from engine.unsubscribe.links import Link, sign, verify

SECRETS = (b"new", b"old")
LINK = Link("ann@example.org", "news.example.org", 1_796_000_000)
NOW, YEAR = LINK.made + 10.0, 365 * 86_400.0


@pytest.mark.parametrize("address", ["ann@example.org", "Ann+tag@example.org", "é@bücher.example"])
@pytest.mark.parametrize("name", ["news.example.org", ""])
def test_a_link_says_what_was_signed(address: str, name: str) -> None:
    link = Link(address, name, LINK.made)
    for secrets in (SECRETS, SECRETS[1:]):
        token = sign(link, secrets)
        assert verify(token, SECRETS, NOW, YEAR) == link
        assert token.isascii()
        assert "=" not in token


def test_it_is_good_for_a_time() -> None:
    with pytest.raises(Expired):
        verify(sign(LINK, SECRETS), SECRETS, LINK.made + YEAR + 1, YEAR)


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda octets: octets.decode("latin-1")))
def test_nothing_else_is_one(token: str) -> None:
    with pytest.raises(Forged):
        verify(token, SECRETS, NOW, YEAR)


@given(st.integers(0, 90), st.sampled_from("ABab01-_"))
def test_no_character_may_change(place: int, character: str) -> None:
    token = sign(LINK, SECRETS)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(Forged):
            verify(changed, SECRETS, NOW, YEAR)


def test_another_secret_is_not_ours() -> None:
    with pytest.raises(Forged):
        verify(sign(LINK, (b"other",)), SECRETS, NOW, YEAR)
    with pytest.raises(ValueError, match="255"):
        sign(Link("a@b", "x" * 256, 0), SECRETS)
