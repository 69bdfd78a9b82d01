"""Addresses: which are the same, and which are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.directory import Invalid, a_label, split, valid_address, valid_domain

SAME = [
    ("user@example.org", ("user", "example.org")),
    ("User@EXAMPLE.org", ("user", "example.org")),
    ("user@Bücher.example", ("user", "xn--bcher-kva.example")),
    ("user@XN--BCHER-KVA.example", ("user", "xn--bcher-kva.example")),
    ("user@faß.example", ("user", "xn--fa-hia.example")),
    ("user@bücher。example", ("user", "xn--bcher-kva.example")),  # IDNA: another full stop
    ("JÖRG@example.org", ("jörg", "example.org")),
    ("jo\u0308rg@example.org", ("jörg", "example.org")),
    ('"user"@example.org', ("user", "example.org")),
    (r'"us\er"@example.org', ("user", "example.org")),
    ('"at@sign"@example.org', ("at@sign", "example.org")),
    ("user+Tag@example.org", ("user+tag", "example.org")),
    ("user@[192.0.2.1]", ("user", "[192.0.2.1]")),
]


@pytest.mark.parametrize(("address", "name"), SAME)
def test_addresses_compare(address: str, name: tuple[str, str]) -> None:
    assert split(address) == name


@pytest.mark.parametrize("address", ["", "user", "@example.org", "user@", '""@example.org', "postmaster"])
def test_text_without_both_parts_is_no_address(address: str) -> None:
    assert split(address) is None


@given(st.text())
def test_what_compares_compares_the_same_again(text: str) -> None:
    local, domain = split(f"x{text}@example.org") or ("", "")
    if local and local[0] != '"':
        assert split(f"{local}@{domain}") == (local, domain)


@given(st.text())
def test_any_text_has_a_form_to_compare(text: str) -> None:
    assert a_label(a_label(text)) == a_label(text)
    split(text)


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("localhost", "localhost"),
        ("mail.local", "mail.local"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_domains_are_a_labels(domain: str, name: str) -> None:
    assert valid_domain(domain) == name


@pytest.mark.parametrize(
    "domain",
    [
        *("", ".", "a..b", "-a.example", "a_b.example", "a b", "x.example.", "*.example", "192.0.2.1", "@example.org"),
        *("a" * 64 + ".example", "a.b\0c", ".".join(["a" * 60] * 5), "xn--zz--.example"),
    ],
)
def test_what_is_no_domain(domain: str) -> None:
    with pytest.raises(Invalid, match="is no domain name"):
        valid_domain(domain)


@pytest.mark.parametrize(
    ("address", "whole"),
    [
        ("Bob@Example.org", "Bob@example.org"),
        ("user@anything.local", "user@anything.local"),
        ("user@localhost", "user@localhost"),
        ("a" * 64 + "@b.test", "a" * 64 + "@b.test"),
        ("ab@" + ".".join(["c" * 62] * 4), "ab@" + ".".join(["c" * 62] * 4)),
        ("jo\u0308rg@bücher.example", "jörg@xn--bcher-kva.example"),
    ],
)
def test_a_valid_address_keeps_its_local_part(address: str, whole: str) -> None:
    assert valid_address(address) == whole


@pytest.mark.parametrize(
    "address",
    [
        *("", "user", "@example.org", "user@", "a b@example.org", "a..b@example.org", '"a b"@example.org'),
        *("a\0@example.org", "user@[192.0.2.1]", "a\r\n@example.org", "a" * 65 + "@example.org"),
        "abc@" + ".".join(["c" * 62] * 4),
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(Invalid):
        valid_address(address)
