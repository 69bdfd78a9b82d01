"""BATV: as Exim does it, whose bounces come back and for how long."""

import pytest

from engine.return_path.batv import Batv

DAY = 86_400.0
NOW = 1_767_312_000.0  # 2026-01-02
BATV = Batv((b"horse", b"battery"))


def test_as_exim_does_it() -> None:
    """Of Exim 4.96: ${prvs{ann@example.org}{horse}{0}} and, of another key, ${prvs{bob@example.org}{battery}{3}}."""
    assert BATV.sign("ann@example.org", NOW) == "prvs=046246ec36=ann@example.org"
    assert BATV.open("prvs=346248d03d=bob@example.org", NOW) == "bob@example.org"


@pytest.mark.parametrize("sender", ["ann@example.org", "Ann+shop=x@Example.ORG", "jörg@bücher.example"])
def test_a_bounce_comes_back_in_whatever_case(sender: str) -> None:
    signed = BATV.sign(sender, NOW)
    assert BATV.open(signed, NOW) == sender
    assert BATV.open(signed.upper(), NOW) == sender.upper()
    assert BATV.sign(signed, NOW) == signed, "once is enough"


@pytest.mark.parametrize("sender", [f"{'l' * 240}@example.org", '"a b"@example.org'])
def test_what_cannot_be_signed_stays(sender: str) -> None:
    assert BATV.sign(sender, NOW) == sender


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.org",
        "prvs=046246ec37=ann@example.org",
        "prvs=046346ec36=ann@example.org",
        "prvs=146246ec36=ann@example.org",
        "prvs=046246ec36=bob@example.org",
        "prvs=046246ec36=ann@example.com",
        "prvs=046246ec3=ann@example.org",
        "prvs=46ec360462=ann@example.org",
        "prvs=٠46246ec36=ann@example.org",
        "prvs=046246ec36=@example.org",
        "btv1==046246ec36==ann@example.org",
    ],
)
def test_what_is_not_ours_stands_for_nobody(address: str) -> None:
    assert BATV.open(address, NOW) is None


@pytest.mark.parametrize(("days", "good"), [(0, True), (7, True), (8, False), (500, False), (-1, False), (1000, True)])
def test_it_is_good_for_a_week(days: int, good: bool) -> None:
    assert (BATV.open("prvs=046246ec36=ann@example.org", NOW + days * DAY) is not None) is good


def test_old_secrets_go_on_to_be_good_until_they_are_removed() -> None:
    signed = Batv((b"battery",)).sign("ann@example.org", NOW)
    assert BATV.open(signed, NOW) == "ann@example.org"
    assert Batv((b"horse",)).open(signed, NOW) is None


@pytest.mark.parametrize(
    ("name", "exempt"),
    [
        ("list@example.org", True),
        ("anybody@lists.test", True),
        ("postmaster@example.org", True),
        ("ann@example.org", False),
    ],
)
def test_who_gets_bounces_without_a_tag(name: str, exempt: bool) -> None:
    assert Batv((b"horse",), True, frozenset({"list@example.org", "lists.test"})).is_exempt(name) is exempt
