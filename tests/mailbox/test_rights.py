"""Rights of RFC 4314: letters, identifiers, and what they add up to."""

import pytest

from engine.mailbox.rights import RIGHTS, Grant, Identity, changed, held, identifier, plain, shown

ANN = Identity(7, "ann@example.org", frozenset({"sales@example.org"}))


@pytest.mark.parametrize(
    ("written", "stored", "seen"),
    [
        ("", "", ""),
        ("srl", "lrs", "lrs"),
        ("lrswipkxtea", RIGHTS, RIGHTS + "cd"),
        ("lc", "lkx", "lkxc"),
        ("d", "te", "ted"),
        ("k", "k", "kc"),
        ("t", "t", "td"),
        ("llrr", "lr", "lr"),
        ("y", None, None),
        ("L", None, None),
    ],
)
def test_letters(written: str, stored: str | None, seen: str | None) -> None:
    if stored is None:
        with pytest.raises(ValueError, match="no right"):
            plain(written)
    else:
        assert plain(written) == stored
        assert shown(stored) == seen


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("-ann@b\u00fccher.example", "-ann@xn--bcher-kva.example"),
        ("Anyone", "anyone"),
        ("-AUTHENTICATED", "-authenticated"),
        ("group:Sales@example.org", "$sales@example.org"),
        ("-$sales@example.org", "-$sales@example.org"),
        *[(text, None) for text in ("", "-", "$", "ann", "$anyone", "@example.org", "a\0@b.org", "x" * 300 + "@b.org")],
    ],
)
def test_identifiers_are_stored_in_one_form(written: str, stored: str | None) -> None:
    if stored is None:
        with pytest.raises(ValueError, match="is none of"):
            identifier(written)
    else:
        assert identifier(written) == identifier(stored) == stored


@pytest.mark.parametrize(
    ("grants", "rights"),
    [
        ([], ""),
        ([("ann@example.org", "lr")], "lr"),
        ([("ben@example.org", "lr"), ("$staff@example.org", "lr")], ""),
        ([("anyone", "l"), ("authenticated", "r"), ("$sales@example.org", "w")], "lrw"),
        ([("anyone", "lrs"), ("-ann@example.org", "rs")], "l"),
        ([("ann@example.org", "lrs"), ("-$sales@example.org", "s"), ("-anyone", "r")], "l"),
        ([("-ben@example.org", "l"), ("anyone", "l")], "l"),
        ([("ann@example.org", "lr", 7)], "lr"),
        ([("ann@example.org", "lr", 6)], ""),  # an account that had the address before
        ([("anyone", "l"), ("-ann@example.org", "l", 6)], "l"),
    ],
)
def test_rights_are_all_that_were_given_without_those_taken_away(grants: list[tuple], rights: str) -> None:
    assert held([Grant(*one) for one in grants], ANN) == rights


@pytest.mark.parametrize(
    ("before", "operation", "named", "after"),
    [("lr", "", "sw", "sw"), ("lr", "+", "rs", "lrs"), ("lrs", "-", "rw", "ls"), ("l", "-", "l", "")],
)
def test_rights_are_replaced_added_or_taken(before: str, operation: str, named: str, after: str) -> None:
    assert changed(before, operation, named) == after
