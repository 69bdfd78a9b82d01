"""Entries of allow and block lists: how they are written, and which one a message meets."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.directory import Invalid
from engine.lists.entries import ALLOW, BLOCK, Entry, Identity, Level, Sender, Word, entry_of

WRITTEN = [
    ("Ann@Example.NET", "ann@example.net"),
    ("@example.net", "example.net"),
    ("Bücher.example", "xn--bcher-kva.example"),
    ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ("192.0.2.7", "192.0.2.7/32"),
    ("192.0.2.7/24", "192.0.2.0/24"),
    ("2001:DB8::/32", "2001:db8::/32"),
]


@pytest.mark.parametrize(("text", "entry"), WRITTEN)
def test_an_entry_as_it_compares(text: str, entry: str) -> None:
    assert entry_of(text) == entry


@pytest.mark.parametrize("text", ["", "no such thing", "ann@", "*.example.net", "192.0.2.0/33", "ann@exa mple.net"])
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(Invalid):
        entry_of(text)


def met(entries: dict[str, Word], address: str = "", *, proved: bool = True, peer: str = "") -> Entry | None:
    identities = (Identity(address, proved),) if address else ()
    return Level(entries).meets(Sender(identities, peer))


MEETS: list[tuple[dict[str, Word], str, str, str | None]] = [
    ({"example.net": BLOCK}, "ann@example.net", "", "example.net"),
    ({"example.net": BLOCK}, "ann@SUB.example.net", "", "example.net"),
    ({"example.net": BLOCK}, "ann@notexample.net", "", None),
    ({"example.net": BLOCK, "ann@example.net": ALLOW}, "Ann@example.net", "", "ann@example.net"),
    ({"example.net": ALLOW, "sub.example.net": BLOCK}, "ann@x.sub.example.net", "", "sub.example.net"),
    ({"192.0.2.0/24": ALLOW, "net": BLOCK}, "ann@example.net", "192.0.2.7", "net"),
    ({"192.0.2.0/24": BLOCK, "192.0.2.7/32": ALLOW}, "", "192.0.2.7", "192.0.2.7/32"),
    ({"192.0.2.0/24": BLOCK}, "", "192.0.3.7", None),
    ({"192.0.2.0/24": BLOCK}, "", "::ffff:192.0.2.7", "192.0.2.0/24"),
    ({"2001:db8::/32": BLOCK}, "", "2001:db8:1::7", "2001:db8::/32"),
    ({"192.0.2.0/24": BLOCK}, "", "unix", None),
    ({"example.net": BLOCK}, "postmaster", "", None),
]


@pytest.mark.parametrize(("entries", "address", "peer", "text"), MEETS)
def test_the_most_exact_one_counts(entries: dict[str, Word], address: str, peer: str, text: str | None) -> None:
    found = met(entries, address, peer=peer)
    assert (found.text if found else None) == text


def test_who_is_allowed_must_be_proved() -> None:
    lists: dict[str, Word] = {"ann@example.net": ALLOW, "example.net": BLOCK}
    assert met(lists, "ann@example.net") == Entry(ALLOW, "ann@example.net")
    assert met(lists, "ann@example.net", proved=False) == Entry(BLOCK, "example.net")
    assert met({"example.net": ALLOW}, "ann@example.net", proved=False) is None


def test_of_two_as_exact_the_one_that_blocks() -> None:
    sender = Sender((Identity("ann@one.example", True), Identity("eve@two.example", True)))
    assert Level({"one.example": ALLOW, "two.example": BLOCK}).meets(sender) == Entry(BLOCK, "two.example")


LABEL = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
DOMAINS = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
ADDRESSES = st.builds("{}@{}".format, LABEL, DOMAINS)
NETWORKS = st.builds(
    lambda address, length: str(ipaddress.ip_network((address, length), strict=False)),
    st.integers(0xC0000200, 0xC00002FF).map(ipaddress.IPv4Address),
    st.integers(20, 32),
)
WORDS: "st.SearchStrategy[Word]" = st.sampled_from([ALLOW, BLOCK])


def naive(entries: dict[str, Word], address: str, proved: bool, peer: str) -> Word | None:
    """The same by looking at every entry."""
    found = []
    for text, word in entries.items():
        if "/" in text:
            if ipaddress.ip_address(peer) in ipaddress.ip_network(text):
                found.append((0, ipaddress.ip_network(text).prefixlen, word))
        elif word == BLOCK or proved:
            if text == address:
                found.append((2, 0, word))
            elif f".{address.rpartition('@')[2]}".endswith(f".{text}"):
                found.append((1, text.count("."), word))
    return max(found)[2] if found else None


@given(
    st.dictionaries(DOMAINS | ADDRESSES | NETWORKS, WORDS, max_size=8),
    ADDRESSES,
    st.booleans(),
    st.integers(0xC0000200, 0xC00002FF).map(lambda number: str(ipaddress.IPv4Address(number))),
)
def test_as_if_every_entry_were_looked_at(entries: dict[str, Word], address: str, proved: bool, peer: str) -> None:
    found = met(entries, address, proved=proved, peer=peer)
    assert (found.word if found else None) == naive(entries, address, proved, peer)


@given(st.text(), st.text())
def test_nothing_strange_breaks_it(address: str, peer: str) -> None:
    met({"example.net": BLOCK, "192.0.2.0/24": BLOCK}, address, peer=peer)
