"""What header fields offer to people who want no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.unsubscribe import ONE_CLICK, offer, uris

HTTPS = "https://example.org/u?x=1"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("<mailto:leave@example.org>, <https://example.org/u>", ("mailto:leave@example.org", "https://example.org/u")),
        ("(click) <https://example.org/ u>", ("https://example.org/u",)),
        ("<https://example.org/u", ()),
        ("https://example.org/u", ()),
        ("", ()),
        ("<a>" * 50, ("a",) * 20),
        ("(" * 50_000, ()),
        ("<" * 50_000, ()),
    ],
)
def test_the_uris_of_a_field(value: str, found: tuple[str, ...]) -> None:
    assert uris(value) == found


@pytest.mark.parametrize(
    ("unsubscribe", "post", "one_click"),
    [
        ([f"<{HTTPS}>"], [ONE_CLICK], True),
        ([f"<mailto:x@example.org>, <{HTTPS}>"], [" list-unsubscribe=one-click "], True),
        ([f"<{HTTPS}>"], [], False),
        ([f"<{HTTPS}>"], ["List-Unsubscribe=Two-Clicks"], False),
        ([f"<{HTTPS}>"], [ONE_CLICK, ONE_CLICK], False),
        ([f"<{HTTPS}>", "<https://evil.example/>"], [ONE_CLICK], False),
        (["<http://example.org/u>"], [ONE_CLICK], False),
        (["<https://user@example.org/u>"], [ONE_CLICK], False),
        (["<mailto:x@example.org>"], [ONE_CLICK], False),
        ([], [ONE_CLICK], False),
    ],
)
def test_one_click_needs_a_link_and_the_word(unsubscribe: list[str], post: list[str], one_click: bool) -> None:
    assert offer(unsubscribe, post, []).one_click is one_click


@pytest.mark.parametrize(
    ("names", "covered", "sealed"),
    [
        ("from:list-unsubscribe:list-unsubscribe-post", True, True),
        ("From : List-Unsubscribe-Post:\r\n List-Unsubscribe", True, True),
        ("from:list-unsubscribe", False, True),
        ("from:list-id", False, True),
        ("from:subject", False, False),
    ],
)
def test_what_a_signature_covers(names: str, covered: bool, sealed: bool) -> None:
    found = offer([], [], [f"v=1; a=rsa-sha256; h={names}; bh=x; b=h=from", "nonsense"])
    assert (found.covered, found.sealed) == (covered, sealed)


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_looked_at(unsubscribe: str, post: str, signature: str) -> None:
    found = offer([unsubscribe], [post], [signature])
    assert not found.https or found.https.lower().startswith("https://")
