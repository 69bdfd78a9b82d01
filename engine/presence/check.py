"""What the DNS has of a domain, held against what it should have."""

import enum
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias

from engine.authentication import dmarc, iprev, spf
from engine.authentication.outcome import Result
from engine.net.dns import Answer, Ask, DnsTrouble, NoData, Outcome, side_by_side
from engine.presence import records
from engine.presence.records import Host
from engine.protocols.mta_sts import parse_policy
from engine.protocols.tls_reporting import record_name as tls_record_name
from engine.protocols.tls_reporting import report_uris
from engine.signing.publishing import record_name, unpublished

Fetch: TypeAlias = Callable[[str], Awaitable[str]]
"""The text at an HTTPS address; OSError where it cannot be had."""


class Verdict(enum.StrEnum):
    """What is to be said of one thing."""

    GOOD = "good"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # nobody would say


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``needed``: without it mail does not come, or is not believed."""

    what: str
    verdict: Verdict
    needed: bool
    found: str = ""
    expected: str = ""
    record: str = ""  # to publish

    @property
    def hurts(self) -> bool:
        """Whether mail suffers: what is optional may be missing, but not be wrong."""
        return self.verdict is Verdict.WRONG or (self.needed and self.verdict is not Verdict.GOOD)

    def told(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}


async def check(ask: Ask, fetch: Fetch, host: Host) -> list[Finding]:
    """Everything there is to look at, side by side, in a fixed order."""
    return await _Check(ask, fetch, host).run()


class _Check:
    def __init__(self, ask: Ask, fetch: Fetch, host: Host) -> None:
        self._ask = ask
        self._fetch = fetch
        self._host = host
        self._records = {(record.name, record.rdtype): str(record) for record in records.wanted(host)}

    async def run(self) -> list[Finding]:
        host = self._host
        mx: Outcome[Any] = await self._ask(host.domain, "MX")
        own = await self._addresses(host.hostname)
        hosts = [each.host for each in mx.records] if isinstance(mx, Answer) else []
        addresses = own.records if isinstance(own, Answer) else ()
        looks: list[Callable[[], Awaitable[Finding]]] = [
            partial(self._found_mx, mx),
            partial(self._found_addresses, own),
            *(partial(self._other_mx, name) for name in hosts if name != host.hostname),
            *(partial(self._ptr, address) for address in addresses),
            *(partial(self._spf, address) for address in addresses),
            *(partial(self._dkim, number) for number in range(len(host.signers))),
            self._dmarc,
            partial(self._sts, hosts),
            self._tls_reports,
            self._dane,
            partial(self._dnssec, mx),
            *(partial(self._service, service) for service in records.SERVICES if host.ports.get(service)),
            self._autoconfig,
        ]
        found = await side_by_side(looks)
        if not host.signers:
            found.append(Finding("DKIM", Verdict.MISSING, True, "no keys", f"postroad dkim new {host.domain}"))
        return found

    async def _addresses(self, name: str) -> Outcome[str]:
        """A and AAAA in one outcome."""
        both = await side_by_side([partial(self._ask, name, "A"), partial(self._ask, name, "AAAA")])
        there = [outcome for outcome in both if isinstance(outcome, Answer)]
        if there:
            return Answer(tuple(address for outcome in there for address in outcome.records), there[0].expires)
        return next((outcome for outcome in both if isinstance(outcome, DnsTrouble)), both[0])

    def _record(self, name: str, rdtype: str) -> str:
        return self._records.get((name, rdtype), "")

    async def _found_mx(self, mx: Outcome[Any]) -> Finding:
        host = self._host
        good = isinstance(mx, Answer) and any(each.host == host.hostname for each in mx.records)
        shown = _shown(mx, lambda each: f"{each.preference} {each.host}")
        return Finding("MX", _verdict(mx, good), True, shown, host.hostname, self._record(host.domain, "MX"))

    async def _found_addresses(self, own: Outcome[str]) -> Finding:
        host = self._host
        good = isinstance(own, Answer) and set(host.addresses) <= set(own.records)
        lines = "\n".join(map(str, records.addresses(host)))
        expected = ", ".join(host.addresses) or "the address of this server"
        return Finding(f"A, AAAA of {host.hostname}", _verdict(own, good), True, _shown(own), expected, lines)

    async def _other_mx(self, name: str) -> Finding:
        outcome = await self._addresses(name)
        what = f"A, AAAA of {name}"
        return Finding(what, _verdict(outcome, isinstance(outcome, Answer)), True, _shown(outcome), "an address")

    async def _ptr(self, address: str) -> Finding:
        hostname = self._host.hostname
        found = await iprev.check(self._ask, address)
        verdict = {Result.PASS: Verdict.GOOD, Result.TEMPERROR: Verdict.UNKNOWN, Result.PERMERROR: Verdict.MISSING}
        (record,) = records.reverse(Host("", hostname, (address,)))
        said = verdict.get(found.result, Verdict.WRONG)
        return Finding(f"PTR of {address}", said, True, found.name or found.why, hostname, str(record))

    async def _spf(self, address: str) -> Finding:
        domain = self._host.domain
        found = await spf.check_host(self._ask, address, domain, f"postmaster@{domain}", helo=self._host.hostname)
        verdict = {Result.PASS: Verdict.GOOD, Result.NONE: Verdict.MISSING, Result.TEMPERROR: Verdict.UNKNOWN}
        shown = f"{found.result}{f': {found.why}' if found.why else ''}"
        said = verdict.get(found.result, Verdict.WRONG)
        return Finding(f"SPF for {address}", said, True, shown, "pass", self._record(domain, "TXT"))

    async def _dkim(self, number: int) -> Finding:
        signer = self._host.signers[number]
        name = record_name(signer.domain, signer.selector)
        outcome = await self._ask(name, "TXT")
        trouble = await unpublished(self._ask, signer)
        what, record = f"DKIM {signer.selector}", self._record(name, "TXT")
        return Finding(what, _verdict(outcome, not trouble), True, trouble or "our key", "our key", record)

    async def _dmarc(self) -> Finding:
        domain = self._host.domain
        found = await (await dmarc.discover(self._ask, [domain])).judge(dmarc.Identifiers(dkim=[domain]))
        verdict = {Result.PASS: Verdict.GOOD, Result.NONE: Verdict.MISSING, Result.TEMPERROR: Verdict.UNKNOWN}
        shown = f"p={found.policy} at {found.domain}" if found.domain else found.why
        record = self._record(f"_dmarc.{domain}", "TXT")
        return Finding("DMARC", verdict.get(found.result, Verdict.WRONG), True, shown, "a policy", record)

    async def _sts(self, hosts: Iterable[str]) -> Finding:
        domain = self._host.domain
        outcome = await self._text(f"_mta-sts.{domain}", "v=STSv1")
        if not isinstance(outcome, Answer):
            both = (self._record(f"mta-sts.{domain}", "CNAME"), self._record(f"_mta-sts.{domain}", "TXT"))
            record = "\n".join(filter(None, both))
            return Finding("MTA-STS", _verdict(outcome, False), False, _shown(outcome), "a policy (RFC 8461)", record)
        try:
            policy = await self._fetch(f"https://mta-sts.{domain}/.well-known/mta-sts.txt")
        except OSError as error:
            return Finding("MTA-STS", Verdict.UNKNOWN, False, f"the policy could not be had: {error}", "a policy")
        try:
            found = parse_policy(policy.encode())
        except ValueError as error:
            return Finding("MTA-STS", Verdict.WRONG, False, f"the policy: {error}", "a policy that names every MX")
        lacking = [name for name in hosts if not found.covers(name)]
        verdict = Verdict.WRONG if lacking else Verdict.GOOD
        shown = f"the policy leaves out {', '.join(lacking)}" if lacking else "; ".join(found.lines)
        return Finding("MTA-STS", verdict, False, shown, "a policy that names every MX")

    async def _tls_reports(self) -> Finding:
        name = tls_record_name(self._host.domain)
        outcome = await self._text(name, "v=TLSRPTv1")
        good = isinstance(outcome, Answer) and bool(report_uris(outcome.records))
        return Finding(
            "TLS-RPT", _verdict(outcome, good), False, _shown(outcome), "v=TLSRPTv1; rua=…", self._record(name, "TXT")
        )

    async def _dane(self) -> Finding:
        ours = records.tlsa(self._host)
        outcome = await self._ask(f"_25._tcp.{self._host.hostname}", "TLSA")
        shown = _shown(outcome)
        if ours is None:
            verdict = Verdict.UNKNOWN if isinstance(outcome, Answer) else _verdict(outcome, False)
            return Finding("DANE", verdict, False, shown, "no certificate here to compare with")
        good = isinstance(outcome, Answer) and any(_same(ours.text, str(each)) for each in outcome.records)
        return Finding("DANE", _verdict(outcome, good), False, shown, ours.text, str(ours))

    async def _dnssec(self, mx: Outcome[Any]) -> Finding:
        if not isinstance(mx, DnsTrouble) and mx.secure:
            return Finding("DNSSEC", Verdict.GOOD, False, "the resolver vouches for it (AD)", "a signed zone")
        outcome = await self._ask(self._host.domain, "DNSKEY")
        signed = isinstance(outcome, Answer)
        shown = "signed; this resolver does not vouch for it" if signed else _shown(outcome)
        return Finding("DNSSEC", _verdict(outcome, signed), False, shown, "a signed zone")

    async def _service(self, service: str) -> Finding:
        name = records.service_name(service, self._host.domain)
        outcome = await self._ask(name, "SRV")
        wanted = f"{self._host.ports[service]} {self._host.hostname}."
        good = isinstance(outcome, Answer) and any(str(each).lower().endswith(f" {wanted}") for each in outcome.records)
        return Finding(
            f"SRV {service}", _verdict(outcome, good), False, _shown(outcome), wanted, self._record(name, "SRV")
        )

    async def _autoconfig(self) -> Finding:
        outcome = await self._addresses(f"autoconfig.{self._host.domain}")
        there = isinstance(outcome, Answer)
        return Finding(
            "autoconfig", _verdict(outcome, there), False, _shown(outcome), "a web server, for some programs"
        )

    async def _text(self, name: str, beginning: str) -> Outcome[Any]:
        """The TXT records that begin so."""
        outcome = await self._ask(name, "TXT")
        if not isinstance(outcome, Answer):
            return outcome
        texts = tuple(text for text in outcome.records if text.startswith(beginning.encode()))
        return Answer(texts, outcome.expires) if texts else NoData(outcome.expires)


def _verdict(outcome: Outcome[Any], good: bool) -> Verdict:
    if isinstance(outcome, DnsTrouble):
        return Verdict.UNKNOWN
    if not isinstance(outcome, Answer):
        return Verdict.MISSING
    return Verdict.GOOD if good else Verdict.WRONG


def _shown(outcome: Outcome[Any], show: Callable[[Any], str] = str) -> str:
    if isinstance(outcome, DnsTrouble):
        return outcome.text
    if not isinstance(outcome, Answer):
        return "nothing"
    return ", ".join(
        each.decode("utf-8", "replace") if isinstance(each, bytes) else show(each) for each in outcome.records
    )


def _same(one: str, other: str) -> bool:
    """TLSA records may be written with spaces and in either case."""
    first, second = (text.lower().split() for text in (one, other))
    return first[:3] == second[:3] and "".join(first[3:]) == "".join(second[3:])
