"""What the stage authenticate costs a letter of 4 KiB, check by check; all answers of the DNS are known."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench.micro.loop import Loop
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter
from engine.authentication import iprev, results, spf
from engine.authentication.dmarc import Identifiers, discover
from engine.authentication.evaluate import Authentication, Client, authenticate
from engine.net.dns import Answer, NoSuchName, Outcome

pytestmark = pytest.mark.benchmark(group="Authentication of a letter of 4 KiB")

MESSAGES = 64  # in a round
LETTER = letter(4 * KIB)
CLIENT = Client("192.0.2.1", "mail.sender.test", "ann@sender.test")
RECORDS: dict[tuple[str, str], Any] = {
    ("sender.test", "TXT"): b"v=spf1 ip4:198.51.100.0/24 a mx include:_spf.provider.test -all",
    ("sender.test", "A"): "198.51.100.1",
    ("_spf.provider.test", "TXT"): b"v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 ip4:192.0.2.0/24 ~all",
    ("1.2.0.192.in-addr.arpa", "PTR"): "mail.sender.test",
    ("mail.sender.test", "A"): "192.0.2.1",
    ("_dmarc.sender.test", "TXT"): b"v=DMARC1; p=quarantine; rua=mailto:dmarc@sender.test",
}
OTHERS = "mx.provider.test; dkim=pass header.d=sender.test header.s=s1; spf=pass (ok) smtp.mailfrom=sender.test"


async def ask(name: str, rdtype: str) -> Outcome[Any]:
    record = RECORDS.get((name, rdtype))
    return NoSuchName(0.0) if record is None else Answer((record,), 0.0)


async def many(check: Callable[[], Awaitable[Any]]) -> Any:
    for _ in range(MESSAGES):
        found = await check()
    return found


async def check_spf() -> spf.Both:
    return await spf.check(ask, CLIENT.ip, CLIENT.helo, CLIENT.mail_from)


async def check_dmarc() -> Any:
    return await (await discover(ask, ["news.sender.test"])).judge(Identifiers(dkim=["sender.test"]))


async def check_iprev() -> iprev.Iprev:
    return await iprev.check(ask, CLIENT.ip)


async def check_all() -> Authentication:
    return await authenticate(ask, CLIENT, [LETTER])


def test_spf(measure: Measure, loop: Loop[None]) -> None:
    both = measure("SPF, an include", loop.run, many, check_spf, operations=MESSAGES)
    assert both.mail_from.result == "pass"


def test_dmarc(measure: Measure, loop: Loop[None]) -> None:
    assert measure("DMARC, a subdomain", loop.run, many, check_dmarc, operations=MESSAGES).result == "pass"


def test_iprev(measure: Measure, loop: Loop[None]) -> None:
    assert measure("iprev", loop.run, many, check_iprev, operations=MESSAGES).result == "pass"


def test_all(measure: Measure, loop: Loop[None]) -> None:
    found = measure("all checks, no key for its signature", loop.run, many, check_all, operations=MESSAGES)
    assert found.dmarc.result == "pass"


def test_the_field(measure: Measure, loop: Loop[None]) -> None:
    findings = loop.run(check_all).findings()
    assert measure("write Authentication-Results", results.field, "mx.example.org", findings).endswith(b"\r\n")


def test_a_field_of_others(measure: Measure) -> None:
    assert not measure("tell that a field is not ours", results.claims, OTHERS, "mx.example.org")
