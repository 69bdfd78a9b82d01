"""Names of mailboxes, and the wildcards that find them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.imap.names import Pattern, decode, encode

NAMES = [
    ("INBOX", b"INBOX"),
    ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 5.1.3
    ("☺!", b"&Jjo-!"),
    ("台北日本語", b"&U,BTF2XlZyyKng-"),
    ("a&b", b"a&-b"),
    ("&-", b"&--"),
    ("😀", b"&2D3eAA-"),
    ("Entwürfe", b"Entw&APw-rfe"),
    ("", b""),
]


@pytest.mark.parametrize(("name", "octets"), NAMES)
def test_modified_utf_7_both_ways(name: str, octets: bytes) -> None:
    assert encode(name, utf8=False) == octets
    assert decode(octets, utf8=False) == name
    assert decode(encode(name, utf8=True), utf8=True) == name


@pytest.mark.parametrize(
    "octets",
    [
        b"&Jjo!", b"&", b"&U,BTFw", b"&AGE-", b"&U,BTFw-&ZeVnLIqe-", b"&2D0-", b"\xc3\xa9", b"&AAA-", b"&AA0ACg-",
        b"&====-", b"&U,BTFx-", b"&AP/-", b"a\tb", b"&ICg-",
    ],
)  # fmt: skip
def test_a_name_has_one_spelling_and_no_controls(octets: bytes) -> None:
    assert decode(octets, utf8=False) is None


def test_utf_8() -> None:
    assert decode(b"&Jjo-", utf8=True) == "&Jjo-"
    assert decode(b"\xff", utf8=True) is None
    assert decode("a\u2028".encode(), utf8=True) is None


@pytest.mark.parametrize("octets", [b"inbox", b"InBoX"])
def test_inbox_in_any_case(octets: bytes) -> None:
    assert decode(octets, utf8=False) == "INBOX"
    assert decode(b"inbox/x", utf8=False) == "inbox/x"
    assert decode("ınbox".encode(), utf8=True) == "ınbox"  # upper() makes an I of the first letter


@given(name=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20))
def test_any_name_comes_back(name: str) -> None:
    wanted = "INBOX" if name.isascii() and name.upper() == "INBOX" else name
    assert decode(encode(name, utf8=False), utf8=False) == wanted


@given(octets=st.binary(max_size=20) | st.text("&-AUw,+/=a", max_size=12).map(str.encode))
def test_what_can_be_read_is_written_the_same(octets: bytes) -> None:
    name = decode(octets, utf8=False)
    assert name is None or name == "INBOX" or encode(name, utf8=False) == octets


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("*", "a/b/c", True),
        ("%", "a/b", False),
        ("%", "a", True),
        ("%/%", "a/b", True),
        ("a/%", "a/b/c", False),
        ("a/*", "a/b/c", True),
        ("a*", "a", True),
        ("%b", "a/b", False),
        ("*b", "a/b", True),
        ("*%", "a/b", True),
        ("%*%", "a/b", True),
        ("", "", True),
        ("", "a", False),
        ("inbox", "INBOX", True),
        ("iNb%", "INBOX", True),
        ("inbox/x", "INBOX/x", True),
        ("Inbox/%", "INBOX/x", True),
        ("inbox/x", "INBOX/X", False),
        ("inboxes", "INBOXes", False),
        ("A", "a", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns(pattern: str, name: str, found: bool) -> None:
    assert Pattern(pattern, "/").matches(name) is found


@given(pattern=st.text("ab/*%", max_size=10), name=st.text("ab/", max_size=10))
def test_patterns_are_those_of_a_regular_expression(pattern: str, name: str) -> None:
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(sign, re.escape(sign)) for sign in pattern)
    assert Pattern(pattern, "/").matches(name) is bool(re.fullmatch(expression, name, re.DOTALL))


def test_a_hostile_pattern_ends() -> None:
    """A search that goes back and forth would not, within the life of the universe."""
    assert not Pattern("*a" * 500 + "b", "/").matches("a" * 1000)
