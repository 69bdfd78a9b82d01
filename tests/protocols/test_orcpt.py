"""ORCPT: from an address and back, and what others make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.orcpt import orcpt, orcpt_address, unicode_xtext


@pytest.mark.parametrize(
    ("address", "original"),
    [
        ("ann@example.org", "rfc822;ann@example.org"),
        ("ann+AB@example.org", "rfc822;ann+2BAB@example.org"),  # which would be another address if it stood there bare
        ("a=b@example.org", "rfc822;a+3Db@example.org"),
        ("é@example.org", "utf-8;é@example.org"),
        ("é+ü@example.org", "utf-8;é\\x{2B}ü@example.org"),
    ],
)
def test_an_address_and_back(address: str, original: str) -> None:
    assert orcpt(address) == original
    assert orcpt_address(original) == address


@pytest.mark.parametrize(
    ("original", "address"),
    [
        ("", ""),
        ("rfc822;Ann+tag@example.org", "Ann+tag@example.org"),  # no xtext: taken as it is
        ("UTF-8;\\x{E9}@example.org", "é@example.org"),
        ("x400;/C=de", "/C=de"),
        ("utf-8;\\x{D800}@x", "\\x{D800}@x"),  # no character: half of a pair
        ("utf-8;a\\x{0A}b@x", "a\\x{0A}b@x"),  # a control would break what it is put into
        ("utf-8;a\\x{20}b@x", "a b@x"),
    ],
)
def test_what_others_write(original: str, address: str) -> None:
    assert orcpt_address(original) == address


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_address_survives(address: str) -> None:
    assert orcpt_address(orcpt(address)) == address


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_address_survives_as_ascii(address: str) -> None:
    written = unicode_xtext(address)
    assert written.isascii()
    assert orcpt_address(f"utf-8;{written}") == address
