"""All checks of one message, side by side and within one time limit, and what they found as one value."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import trio

from engine.authentication import dmarc, iprev, results, spf
from engine.authentication.arc import ArcResult
from engine.authentication.author import author_domains
from engine.authentication.dkim import DkimResult
from engine.authentication.dmarc import Dmarc, Identifiers, Method, Policies, Policy
from engine.authentication.fields import split_message
from engine.authentication.iprev import Iprev
from engine.authentication.outcome import Result
from engine.authentication.results import Finding
from engine.authentication.signatures import LATE, Signatures
from engine.message import Fact
from engine.net.dns import Ask, Known, Unknown, side_by_side

TIME_LIMIT = 20.0
"""Seconds for all checks of a message (RFC 7208 4.6.4: at least 20)."""

_SHARE = 0.75
"""Of the time that the checks may take before DMARC is judged without them: who sends in another's name must not get
around that by name servers of his own that take their time."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who brought the message. ``mail_from`` without angle brackets; empty for the null sender."""

    ip: str
    helo: str
    mail_from: str


@dataclass(frozen=True, slots=True)
class Terms:
    """How we check. ``receiver``: our name, for SPF's %{r}. ``trusted_sealers``: domains whose ARC seals save mail that
    was forwarded from a DMARC policy. ``timeout``: seconds for everything."""

    receiver: str = "unknown"
    trusted_sealers: Collection[str] = ()
    method: Method = Method.TREE_WALK
    timeout: float = TIME_LIMIT


USUAL = Terms()

_Look: TypeAlias = Callable[[Ask], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Authentication:
    """What was found."""

    client: Client
    spf: spf.Both
    dkim: tuple[DkimResult, ...]
    arc: ArcResult
    dmarc: Dmarc
    iprev: Iprev

    def findings(self) -> list[Finding]:
        """The results as an Authentication-Results field has them (RFC 8601 2.7, RFC 8617 4.1.1, RFC 9989 9.1)."""
        signed = [*_of_spf(self.client, self.spf), *_of_dkim(self.dkim)]
        return [*signed, _of_dmarc(self.dmarc), _of_arc(self.arc, self.client), _of_iprev(self.iprev)]

    def facts(self) -> dict[str, Fact]:
        """The results as facts, by the names in docs/pipeline.md."""
        facts: dict[str, Fact] = {
            "spf.result": self.spf.mail_from.result.value,
            "spf.domain": self.spf.mail_from.domain,
            "spf.helo": self.spf.helo.result.value,
            "spf.explanation": self.spf.mail_from.explanation,
            "dkim.passed": [found.domain for found in self.dkim if found.result is Result.PASS],
            "dmarc.result": self.dmarc.result.value,
            "dmarc.from": self.dmarc.author,
            "dmarc.policy": self.dmarc.policy.value,
            "dmarc.disposition": self.dmarc.disposition.value,
            "dmarc.domain": self.dmarc.domain,
            "arc.result": self.arc.result.value,
            "arc.oldest_pass": self.arc.oldest_pass,
            "arc.sealers": [found.domain for found in self.arc.sets],
            "iprev.result": self.iprev.result.value,
            "iprev.name": self.iprev.name,
        }
        for number, found in enumerate(self.dkim):
            facts |= {
                f"dkim[{number}].result": found.result.value,
                f"dkim[{number}].domain": found.domain,
                f"dkim[{number}].selector": found.selector,
            }
        return facts


async def authenticate(
    ask: Ask, client: Client, chunks: Iterable[bytes], terms: Terms = USUAL, *, known: Known | None = None
) -> Authentication:
    """Check a message, whose lines end in CRLF. ValueError when ``client.ip`` is no address.

    What has not come to its end in time is ``temperror``, as with any trouble of the DNS. ``known``: what need not be
    asked for.
    """
    iprev.client_address(client.ip)
    checks = _Checks(ask, client, chunks, terms)
    with trio.move_on_after(terms.timeout):
        with trio.move_on_after(terms.timeout * _SHARE):
            waiting = await checks.check_at_once(known) if known is not None else checks.looks
            todo: list[Callable[[], Awaitable[None]]] = [partial(check, ask) for check in waiting]
            await side_by_side([*todo, checks.check_signatures])
        await checks.judge()
    return checks.found()


class _Checks:
    """The checks of one message: each puts its result in the place of "there was no time left"."""

    def __init__(self, ask: Ask, client: Client, chunks: Iterable[bytes], terms: Terms) -> None:
        self._ask = ask
        self._client = client
        self._terms = terms
        self._fields, self._body = split_message(chunks)
        self._policies: Policies | None = None
        late = spf.Check(Result.TEMPERROR, client.mail_from.rpartition("@")[2] or client.helo, LATE)
        self._spf = spf.Both(late, replace(late, domain=client.helo))
        self._iprev = Iprev(Result.TEMPERROR, client.ip, why=LATE)
        self._signatures = Signatures(self._fields)
        self._dmarc = Dmarc(Result.TEMPERROR, why=LATE)

    @property
    def looks(self) -> list[_Look]:
        """Checks that are quick once the DNS has answered, and may be made again."""
        return [self.check_spf, self.check_iprev, self.look_up_policies]

    async def check_at_once(self, known: Known) -> list[_Look]:
        """Make those that need nothing but what is known, as with most mail: they spare their tasks. The others."""
        waiting = []
        for check in self.looks:
            try:
                await check(known)
            except Unknown:
                waiting.append(check)
        return waiting

    async def check_spf(self, ask: Ask) -> None:
        client = self._client
        self._spf = await spf.check(ask, client.ip, client.helo, client.mail_from, receiver=self._terms.receiver)

    async def check_iprev(self, ask: Ask) -> None:
        self._iprev = await iprev.check(ask, self._client.ip)

    async def look_up_policies(self, ask: Ask) -> None:
        try:
            authors = author_domains(self._fields)
        except ValueError as error:
            self._dmarc = Dmarc(Result.PERMERROR, why=str(error))
        else:
            self._policies = await dmarc.discover(ask, authors, self._terms.method)

    async def check_signatures(self) -> None:
        await self._signatures.check(self._body, self._ask, time.time())

    async def judge(self) -> None:
        if self._policies is None:
            return
        proved = self._proved(Result.PASS), self._proved(Result.TEMPERROR)
        try:
            self._dmarc = await self._policies.judge(*proved)
        except Unknown:  # they were known, but what is above the author's domain is not
            await self.look_up_policies(self._ask)
            self._dmarc = await self._policies.judge(*proved)

    def _proved(self, result: Result) -> Identifiers:
        """The domains with that result."""
        sender = self._spf.mail_from
        return Identifiers(
            spf=[sender.domain] if sender.result is result else [],
            dkim=[found.domain for found in self._signatures.dkim if found.result is result],
        )

    def found(self) -> Authentication:
        judged = self._dmarc
        if judged.disposition is not Policy.NONE:
            sealer = _vouching(self._signatures.arc, judged.author, self._terms.trusted_sealers)
            if sealer:
                why = f"{sealer}, a trusted sealer, saw it pass"
                judged = replace(judged, disposition=Policy.NONE, why=why, sealer=sealer)
        return Authentication(self._client, self._spf, self._signatures.dkim, self._signatures.arc, judged, self._iprev)


def _vouching(chain: ArcResult, author: str, trusted: Collection[str]) -> str:
    """The sealer who saw DMARC pass, if he and all who came after him are trusted (RFC 8617 7.2.1); else empty."""
    for found in reversed(chain.sets):
        if found.domain not in trusted:
            return ""
        said = results.parse(found.results)
        if said and any(_says_pass(finding, author) for finding in said.findings):
            return found.domain
    return ""


def _says_pass(finding: Finding, author: str) -> bool:
    seen = dict(finding.properties).get("header.from", author).lower()
    return finding.method == "dmarc" and finding.result == "pass" and seen == author


# -- as Authentication-Results has it


def _of_spf(client: Client, found: spf.Both) -> Iterator[Finding]:
    def finding(check: spf.Check, name: str) -> Finding:
        return Finding("spf", check.result, ((name, check.domain),), comment=check.why)

    if client.mail_from:
        yield finding(found.mail_from, "smtp.mailfrom")
    if not client.mail_from or found.helo.result is not Result.NONE:
        yield finding(found.helo, "smtp.helo")


def _of_dkim(found: tuple[DkimResult, ...]) -> Iterator[Finding]:
    if not found:
        yield Finding("dkim", "none")
    for signature in found:
        properties = {
            "header.d": signature.domain,
            "header.i": signature.identity,
            "header.s": signature.selector,
            "header.a": signature.algorithm,
            "header.b": signature.signature[:8],  # RFC 6008 4: as much as tells them apart
        }
        yield Finding("dkim", signature.result, _given(properties), comment=signature.text)


def _of_dmarc(found: Dmarc) -> Finding:
    policy = found.disposition if found.domain else ""
    comment = f"p={found.policy}; {found.why}" if found.domain else found.why
    return Finding("dmarc", found.result, _given({"header.from": found.author, "policy.dmarc": policy}), comment)


def _of_arc(found: ArcResult, client: Client) -> Finding:
    properties = {}
    if found.result is Result.PASS:
        properties = {"header.oldest-pass": str(found.oldest_pass or 0), "smtp.remote-ip": client.ip}
    return Finding("arc", found.result, _given(properties), comment=found.text)


def _of_iprev(found: Iprev) -> Finding:
    return Finding("iprev", found.result, (("policy.iprev", found.ip),), comment=found.name or found.why)


def _given(properties: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in properties.items() if value)
