"""Where reports go: the URIs of rua=, and who elsewhere has agreed (RFC 9990 4)."""

import pytest

from engine.authentication.dmarc import Method
from engine.reports.destinations import Destination, addresses, confirmed
from tests.support.told_dns import TROUBLE, ToldDns


@pytest.mark.parametrize(
    ("uris", "wanted"),
    [
        ("mailto:a@example.com", [("a@example.com", None)]),
        ("mailto:a@example.com!10m", [("a@example.com", 10 * 2**20)]),
        ("mailto:a@example.com!500", [("a@example.com", 500)]),
        ("MAILTO:a@example.com!1K , mailto:b@example.com!2g", [("a@example.com", 1024), ("b@example.com", 2**31)]),
        ("mailto:a@example.com!1t", [("a@example.com", 2**40)]),
        ("mailto:a%21b@example.com", [("a!b@example.com", None)]),
        ("mailto:a@example.com?subject=x!5m", [("a@example.com", 5 * 2**20)]),
        ("mailto:a@example.com,mailto:a@example.com!1", [("a@example.com", None)]),
        ("https://example.com/,mailto:a@example.com", [("a@example.com", None)]),
        ("mailto:a@example.com!10x", []),
        ("mailto:a@[192.0.2.1]", []),
        ("mailto:a%0d%0aRCPT@example.com", []),
        ("mailto:postmaster", []),
        ("mailto:", []),
        ("a@example.com", []),
        ("", []),
    ],
)
def test_addresses(uris: str, wanted: list[tuple[str, int | None]]) -> None:
    assert addresses(uris) == [Destination(*one) for one in wanted]


def test_not_more_than_that() -> None:
    assert len(addresses(",".join(f"mailto:a{number}@example.com" for number in range(99)))) == 10


RECORD = {"TXT": "v=DMARC1; p=none"}
AGREED = "example.com._report._dmarc.example.net"


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(
    ("uris", "table", "wanted"),
    [
        ("mailto:a@example.com", {}, ["a@example.com"]),
        ("mailto:a@sub.example.com", {}, ["a@sub.example.com"]),
        ("mailto:a@example.net", {}, []),
        ("mailto:a@example.net", {AGREED: {"TXT": "v=DMARC1"}}, ["a@example.net"]),
        ("mailto:a@example.net", {AGREED: {"TXT": "v=DMARC1;"}}, ["a@example.net"]),
        ("mailto:a@example.net", {AGREED: {"TXT": ["v=spf1", "v=DMARC1; p=none"]}}, ["a@example.net"]),
        ("mailto:a@example.net", {AGREED: {"TXT": "p=none; v=DMARC1"}}, []),
        ("mailto:a@example.net", {AGREED: {"TXT": "yes"}}, []),
        ("mailto:a@example.net", {AGREED: {"TXT": "v=DMARC1; rua=mailto:b@example.net!1k"}}, ["b@example.net"]),
        ("mailto:a@example.net", {AGREED: {"TXT": "v=DMARC1; rua=mailto:b@victim.example"}}, []),
        (
            "mailto:a@example.net,mailto:c@example.com",
            {AGREED: {"TXT": "v=DMARC1; rua=mailto:b@example.net,mailto:c@example.net"}},
            ["b@example.net", "c@example.net", "c@example.com"],
        ),
    ],
)
async def test_who_may_be_sent_a_report(uris: str, table: dict, wanted: list[str], method: Method) -> None:
    told = ToldDns({"_dmarc.example.com": RECORD, "_dmarc.example.net": RECORD} | table)
    found, unsure = await confirmed(told, "example.com", uris, method)
    assert [one.address for one in found] == wanted
    assert not unsure


async def test_a_name_that_is_too_long_agrees_to_nothing() -> None:
    domain = ".".join(["x" * 60] * 4)
    assert await confirmed(ToldDns({}), domain, "mailto:a@example.net", Method.PUBLIC_SUFFIX) == ([], False)


@pytest.mark.parametrize("table", [{AGREED: {"TXT": TROUBLE}}, {"_dmarc.example.net": {"TXT": TROUBLE}}])
async def test_trouble_of_the_dns_says_nothing(table: dict) -> None:
    told = ToldDns({"_dmarc.example.com": RECORD} | table)
    found = await confirmed(told, "example.com", "mailto:a@example.com,mailto:a@example.net", Method.TREE_WALK)
    assert found == ([Destination("a@example.com")], True)
