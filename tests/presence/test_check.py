"""What is found of a domain, case by case, out of a told DNS."""

from dataclasses import replace

import pytest

from engine.net.dns import Answer
from engine.presence.check import Finding, Verdict, check
from engine.presence.records import Host
from engine.protocols.mta_sts import sts_policy
from tests.authentication.letters import ed25519, ed25519_signer, record, rsa
from tests.support.told_dns import TROUBLE, ToldDns

SIGNER = ed25519_signer("example.org")
PORTS = {"submissions": 465, "pop3": 0, "managesieve": 4190}
HOST = Host("example.org", "mx.example.org", ("192.0.2.25",), PORTS, key_info=b"key")
TLSA = "3 1 1 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
GOOD = {
    "example.org": {"MX": (10, "mx.example.org"), "TXT": "v=spf1 mx -all"},
    "mx.example.org": {"A": "192.0.2.25"},
    "25.2.0.192.in-addr.arpa": {"PTR": "mx.example.org"},
    "_dmarc.example.org": {"TXT": "v=DMARC1; p=reject"},
    "_submissions._tcp.example.org": {"SRV": "0 1 465 MX.example.org."},
    "_25._tcp.mx.example.org": {"TLSA": TLSA.upper()},
    "_mta-sts.example.org": {"TXT": "v=STSv1; id=1"},
    "_smtp._tls.example.org": {"TXT": "v=TLSRPTv1; rua=mailto:a@example.org"},
    "autoconfig.example.org": {"A": "192.0.2.26"},
}


async def found(changes, what: str, policy: str | None = None) -> Finding:
    async def fetch(url: str) -> str:
        assert url == "https://mta-sts.example.org/.well-known/mta-sts.txt"
        if policy is None:
            raise OSError("no route")
        return policy

    host = replace(HOST, signers=(SIGNER,) if what.startswith("DKIM ") else ())
    findings = await check(ToldDns({**GOOD, **changes}), fetch, host)
    return next(finding for finding in findings if finding.what == what)


@pytest.mark.parametrize(
    ("name", "records", "what", "verdict", "hurts"),
    [
        ("example.org", GOOD["example.org"], "MX", "good", False),
        ("example.org", {"MX": (10, "elsewhere.example")}, "MX", "wrong", True),
        ("example.org", {"MX": TROUBLE}, "MX", "unknown", True),
        ("example.org", {"MX": [(1, "mx.example.org"), (2, "gone.test")]}, "A, AAAA of gone.test", "missing", True),
        ("mx.example.org", {"A": "192.0.2.26"}, "A, AAAA of mx.example.org", "wrong", True),
        ("mx.example.org", {"A": ["192.0.2.25", "192.0.2.26"]}, "PTR of 192.0.2.26", "missing", True),
        ("25.2.0.192.in-addr.arpa", {"PTR": "other.example"}, "PTR of 192.0.2.25", "wrong", True),
        ("example.org", {**GOOD["example.org"], "TXT": "v=spf1 -all"}, "SPF for 192.0.2.25", "wrong", True),
        ("example.org", {**GOOD["example.org"], "TXT": "v=spf1 mx -all"}, "SPF for 192.0.2.25", "good", False),
        ("_dmarc.example.org", {"TXT": "v=spf1"}, "DMARC", "missing", True),
        ("_dmarc.example.org", GOOD["_dmarc.example.org"], "DMARC", "good", False),
        ("_submissions._tcp.example.org", {"SRV": "0 1 587 mx.example.org."}, "SRV submissions", "wrong", True),
        ("_submissions._tcp.example.org", {}, "SRV submissions", "missing", False),
        ("_submissions._tcp.example.org", GOOD["_submissions._tcp.example.org"], "SRV submissions", "good", False),
        ("_sieve._tcp.example.org", {"SRV": "0 1 4190 mx.example.org."}, "SRV managesieve", "good", False),
        ("_25._tcp.mx.example.org", GOOD["_25._tcp.mx.example.org"], "DANE", "good", False),
        ("_25._tcp.mx.example.org", {"TLSA": "3 1 1 00"}, "DANE", "wrong", True),
        ("_25._tcp.mx.example.org", {}, "DANE", "missing", False),
        ("_smtp._tls.example.org", {"TXT": "hello"}, "TLS-RPT", "missing", False),
        ("autoconfig.example.org", {"A": TROUBLE, "AAAA": TROUBLE}, "autoconfig", "unknown", False),
        ("example.org", {**GOOD["example.org"], "DNSKEY": "257 3 13 AAAA"}, "DNSSEC", "good", False),
        ("example.org", GOOD["example.org"], "DNSSEC", "missing", False),
        ("example.org", GOOD["example.org"], "DKIM", "missing", True),
        ("ed._domainkey.example.org", {"TXT": record(ed25519())}, "DKIM ed", "good", False),
        ("ed._domainkey.example.org", {"TXT": record(rsa())}, "DKIM ed", "wrong", True),
        ("ed._domainkey.example.org", {"TXT": TROUBLE}, "DKIM ed", "unknown", True),
        ("ed._domainkey.example.org", {}, "DKIM ed", "missing", True),
    ],
)  # fmt: skip
async def test_what_is_found(name: str, records, what: str, verdict: str, hurts: bool) -> None:
    finding = await found({name: records}, what)
    assert (finding.verdict, finding.hurts) == (verdict, hurts), finding


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (None, Verdict.UNKNOWN),
        (sts_policy(["mx.example.org"]), Verdict.GOOD),
        (sts_policy(["*.example.org"]), Verdict.GOOD),
        (sts_policy(["*.org"]), Verdict.WRONG),
        (sts_policy(["other.example"]), Verdict.WRONG),
        ("<html>", Verdict.WRONG),
    ],
)
async def test_the_policy_of_mta_sts(policy: str | None, verdict: Verdict) -> None:
    finding = await found({}, "MTA-STS", policy)
    assert (finding.verdict, finding.hurts) == (verdict, verdict is Verdict.WRONG)


async def test_a_resolver_that_vouches_is_enough() -> None:
    told = ToldDns(GOOD)

    async def ask(name: str, rdtype: str):
        outcome = await told(name, rdtype)
        return Answer(outcome.records, 0.0, secure=True) if isinstance(outcome, Answer) else outcome

    async def fetch(_: str) -> str:
        raise OSError("no route")

    findings = {finding.what: finding for finding in await check(ask, fetch, HOST)}
    assert findings["DNSSEC"].verdict is Verdict.GOOD
