"""Addresses in the log, hidden: wherever they stand, always alike, and nothing else changed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.observe.veil import Veil

VEIL = Veil(b"k" * 32)
HIDDEN = r"~[0-9a-f]{12}@"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("ann@example.org", HIDDEN + r"example\.org"),
        ("<ann@example.org>", "<" + HIDDEN + r"example\.org>"),
        ("550 5.1.1 <ann.b+c@example.org>: no such user", "550 5.1.1 <" + HIDDEN + r"example\.org>: no such user"),
        ('"a b"@example.org', HIDDEN + r"example\.org"),
        ("ünni@exämple.org", HIDDEN + r"exämple\.org"),
        ("ann@[192.0.2.1]", HIDDEN + r"\[192\.0\.2\.1\]"),
        ("ann@example.org,bob@example.net", HIDDEN + r"example\.org," + HIDDEN + r"example\.net"),
        ("no address at all", "no address at all"),
        ("@example.org", "@example.org"),
    ],
)
def test_what_looks_like_an_address_is_hidden(text: str, hidden: str) -> None:
    line = json.dumps({"a": text}, ensure_ascii=False).encode()
    found = json.loads(VEIL.over(line))["a"]
    assert re.fullmatch(hidden, found)
    assert "ann" not in found


def test_the_same_address_looks_the_same_and_another_does_not() -> None:
    assert VEIL.address("Ann@Example.org").lower() == VEIL.address("ann@example.org")
    assert VEIL.address("ann@example.org") != VEIL.address("bob@example.org")
    assert VEIL.address("ann@example.org") != Veil(b"l" * 32).address("ann@example.org")


def test_what_is_hidden_stays_as_it_is() -> None:
    assert VEIL.address(VEIL.address("ann@example.org")) == VEIL.address("ann@example.org")


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_line_stays_json(value: object) -> None:
    for ascii_only in (True, False):
        line = json.dumps({"a": value}, ensure_ascii=ascii_only).encode(errors="surrogatepass")
        try:
            json.loads(line)
        except UnicodeDecodeError:
            continue  # half a surrogate
        json.loads(VEIL.over(line))


def test_a_long_word_takes_no_long_time() -> None:
    line = b"a" * 200_000 + b" ann@example.org"
    assert VEIL.over(line).endswith(b"@example.org")
