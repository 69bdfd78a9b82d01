"""What lists are asked, and what their answers mean."""

import ipaddress

import pytest

from engine.admission.dnsbl import Answers, meaning, of_address, of_domain


@pytest.mark.parametrize(
    ("pattern", "within", "without"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2"]),
        ("127.0.0.2-11", ["127.0.0.2", "127.0.0.11"], ["127.0.0.1", "127.0.0.12"]),
        ("127.0.*.1-3", ["127.0.255.1", "127.0.0.3"], ["127.0.5.0", "127.1.5.1"]),
    ],
)
def test_patterns_of_answers(pattern: str, within: list[str], without: list[str]) -> None:
    answers = Answers([pattern])
    assert all(answer in answers for answer in within)
    assert not any(answer in answers for answer in without)


@pytest.mark.parametrize(
    "pattern", ["127.0.0", "128.0.0.1", "127.0.0.256", "127.0.0.9-2", "127.0.0.x", "127.0.0.-1", "", "127.0.0.2-11-12"]
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        Answers([pattern])


@pytest.mark.parametrize(
    ("answers", "listing", "means"),
    [
        (["127.0.0.2"], None, True),
        (["127.0.0.2"], ["127.0.0.4-7"], False),
        (["127.0.0.2", "127.0.0.4"], ["127.0.0.4-7"], True),
        (["203.0.113.9"], None, False),  # a domain that was given up
        (["203.0.113.9", "127.0.0.2"], None, True),
        (["127.0.0.1"], ["127.0.0.1"], True),
    ],
)
def test_listings(answers: list[str], listing: list[str] | None, means: bool) -> None:
    assert meaning(answers, Answers(listing) if listing else None) is means


@pytest.mark.parametrize(
    "answer", ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1", "127.0.0.255"]
)
@pytest.mark.parametrize("listing", [None, ["127.0.0.2-11"], ["127.255.255.*", "127.0.0.2"]])
def test_errors_are_no_listings(answer: str, listing: list[str] | None) -> None:
    said = meaning([answer, "127.0.0.2"], Answers(listing) if listing else None)
    assert isinstance(said, str)
    assert answer in said


def test_the_names_by_which_lists_are_asked() -> None:
    assert of_address(ipaddress.ip_address("192.0.2.99"), "bad.example") == "99.2.0.192.bad.example"
    six = of_address(ipaddress.ip_address("2001:db8:1:2:3:4:567:89ab"), "bad.example")
    assert six == "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bad.example"  # RFC 5782 2.4
    assert of_domain("Spam.Example.", "dbl.example") == "spam.example.dbl.example"


@pytest.mark.parametrize(
    "domain", ["", "localhost", "[192.0.2.1]", "192.0.2.1", ".example", "a..b", f"{'x.' * 120}example"]
)
def test_what_no_list_is_asked_for(domain: str) -> None:
    assert of_domain(domain, "dbl.example") is None
