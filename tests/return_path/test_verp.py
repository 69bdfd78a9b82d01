"""VERP: addresses for one recipient, and what they stand for when they come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import MessageId
from engine.protocols.address import Malformed, parse_path
from engine.return_path.verp import Verp

NOW = 1_796_000_000.0
DAY = 86_400.0
IDENTITY = MessageId.new(NOW)
VERP = Verp("bounces@example.org", (b"horse", b"battery"), 21 * DAY)
NAMED = str(IDENTITY)[:16]


@pytest.mark.parametrize("recipient", ["ann@example.net", "Ann+tag@example.net", "a=b@example.net", "é@example.net"])
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_it_comes_back_in_whatever_case(recipient: str, change) -> None:
    signed = VERP.sign(IDENTITY, recipient)
    assert VERP.is_tagged(signed)
    found = VERP.open(change(signed), NOW + 5)
    assert found is not None
    assert found.recipient.lower() == recipient.lower()
    assert (found.message, found.time) == (NAMED, IDENTITY.time)


def test_the_form() -> None:
    signed = VERP.sign(IDENTITY, "ann@example.net")
    assert signed.startswith(f"bounces+{NAMED.lower()}")
    assert signed.endswith("=ann=example.net@example.org")
    assert len(signed.rpartition("@")[0]) == len("bounces+") + 24 + len("=ann=example.net")


@pytest.mark.parametrize(
    "recipient",
    [f"{'l' * 40}@example.net", '"a b"@example.net', "ann@[192.0.2.1]", "postmaster", "a@" + "x." * 40 + "y"],
)
def test_where_there_is_no_room_the_message_alone_is_named(recipient: str) -> None:
    signed = VERP.sign(IDENTITY, recipient)
    assert len(signed.rpartition("@")[0]) <= 64
    found = VERP.open(signed, NOW)
    assert found is not None
    assert (found.message, found.recipient) == (NAMED, "")


def test_an_international_domain_needs_no_smtputf8() -> None:
    signed = VERP.sign(IDENTITY, "ann@bücher.example")
    assert signed.isascii()
    found = VERP.open(signed, NOW)
    assert found is not None
    assert found.recipient == "ann@xn--bcher-kva.example"


GOOD = VERP.sign(IDENTITY, "ann@example.net")
OTHERS = {
    "the base": "bounces@example.org",
    "another tag": "bounces+shop@example.org",
    "no tag": "ann@example.net",
    "nothing": "",
    "another recipient": GOOD.replace("=ann=", "=bob="),
    "without its recipient": GOOD.replace("=ann=example.net", ""),
    "another domain": GOOD.replace("@example.org", "@example.com"),
    "too long a key": GOOD.replace("bounces+", "bounces+z"),
    "more than 128 bits": f"bounces+zz{GOOD[10:]}",
    "no domain": GOOD.replace("=ann=example.net", "=ann"),
    "an empty domain": GOOD.replace("=ann=example.net", "=ann="),
    "an empty user": GOOD.replace("=ann=example.net", "=="),
    "another digit": GOOD.replace("bounces+0", "bounces+٠"),
}


@pytest.mark.parametrize("address", OTHERS.values(), ids=OTHERS)
def test_what_is_not_ours_stands_for_nobody(address: str) -> None:
    assert VERP.open(address, NOW) is None


def test_it_is_good_for_its_days_and_by_any_secret() -> None:
    assert VERP.open(GOOD, NOW + 20.9 * DAY) is not None
    assert VERP.open(GOOD, NOW + 21.1 * DAY) is None
    assert VERP.open(GOOD, NOW - DAY) is None, "of tomorrow"
    assert Verp("bounces@example.org", (b"new", b"horse"), 21 * DAY).open(GOOD, NOW) is not None
    assert Verp("bounces@example.org", (b"new",), 21 * DAY).open(GOOD, NOW) is None


def test_what_the_secret_signs_elsewhere_is_no_good_here() -> None:
    other = Verp("other@example.org", (b"horse",), 21 * DAY).sign(IDENTITY, "ann@example.net")
    assert VERP.open(other, NOW) is None


@given(st.text(max_size=80))
def test_any_address_can_be_looked_at(text: str) -> None:
    VERP.open(f"bounces+{text}@example.org", NOW)
    VERP.open(text, NOW)
    signed = VERP.sign(IDENTITY, text)
    assert VERP.open(signed, NOW) is not None
    assert not isinstance(parse_path(f"<{signed}>", null_ok=False, utf8=True), Malformed)
