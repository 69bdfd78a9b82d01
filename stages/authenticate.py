"""Authenticate: who a message is from, as far as SPF, DKIM, DMARC, ARC and iprev can tell. A pure stage."""

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import ClassVar, Literal

from engine import Duration, Message, Reject, Verdict
from engine.authentication import evaluate, results
from engine.authentication.dmarc import Dmarc, Method, Policy
from engine.authentication.results import Finding
from engine.message import PARK, RELEASED
from engine.net.dns import Resolver, a_labels
from engine.net.names import Hostname
from engine.observe.measures import Counter
from engine.reports.observed import observed
from engine.reports.tally import Tally

_REPORT = re.compile(r"\s*Report\s+Domain:", re.IGNORECASE)
"""How the Subject of an aggregate report begins (RFC 9990 2.6.2)."""

_RESULTS = Counter(
    "postroad_authentication_total",
    "Results that were written into messages: of `spf`, `dkim`, `dmarc`, `arc`, `iprev`, and of logins (`auth`).",
    ("method", "result"),
)


@dataclass(slots=True)
class Authenticate:
    """Take away forged Authentication-Results, check the message, write down what was found, and leave it as facts.

    Clients that logged in, or that are trusted by their network, are not checked: their mail begins here.
    """

    acts_on: ClassVar = ("reports",)
    asks_others: ClassVar = True
    leaves: ClassVar = ("spf.", "dkim.", "dmarc.", "arc.", "iprev.", "auth.result")

    resolver: Resolver
    hostname: Hostname
    tally: Tally
    _: KW_ONLY
    # Who says so in Authentication-Results (RFC 8601 2.5). Empty: the hostname.
    authserv_id: str = ""
    # Whether the policy of a domain is only noted, or applied (RFC 9989 5.4).
    dmarc: Literal["note", "apply"] = "note"
    # How the organisation of a domain is found: as RFC 9989 does, or as RFC 7489 did.
    organisation: Literal["tree-walk", "public-suffix"] = "tree-walk"
    # Domains whose ARC seals are believed when they say that forwarded mail passed DMARC where they got it.
    trusted_sealers: tuple[str, ...] = ()
    # For all checks of a message; what is not done by then is temperror.
    time_limit: Duration = Duration(evaluate.TIME_LIMIT)
    _terms: evaluate.Terms = field(init=False, repr=False)
    _nothing: bytes = field(init=False, repr=False)  # the field that says that nothing was checked

    def __post_init__(self) -> None:
        """ValueError for settings that cannot work."""
        self.authserv_id = self.authserv_id or self.hostname
        self._nothing = results.field(self.authserv_id, [])
        sealers = frozenset(map(a_labels, self.trusted_sealers))
        self._terms = evaluate.Terms(self.hostname, sealers, Method(self.organisation), self.time_limit)

    @staticmethod
    def check(*, trusted_sealers: tuple[str, ...] = (), **_: object) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        for domain in trusted_sealers:
            try:
                a_labels(domain)
            except ValueError as error:
                yield f"trusted_sealers: {error}"

    def promptly(self, message: Message) -> Verdict | None:
        """The verdict on mail that begins here, which is not checked; None on all other."""
        session = message.session
        if session.login:
            login = Finding("auth", "pass", (("smtp.auth", session.login),))
            return self._told(self._cleared(message), [login]).with_fact("auth.result", "pass")
        if session.trusted or not session.peer:
            return self._cleared(message).with_field(self._nothing)
        return None

    async def __call__(self, message: Message) -> Verdict:
        if (verdict := self.promptly(message)) is not None:
            return verdict
        message, session = self._cleared(message), message.session
        client = evaluate.Client(session.peer, session.helo, message.sender)
        # As it was received: what we have put on top since was never signed.
        resolver = self.resolver
        found = await evaluate.authenticate(
            resolver.ask, client, message.content.chunks(), self._terms, known=resolver.known
        )
        message = self._told(message, found.findings()).with_facts(found.facts())
        if self.tally.on:
            self._count(message, found)
        return self._applied(message, found.dmarc) if self.dmarc == "apply" else message

    def _cleared(self, message: Message) -> Message:
        """Without what others say in our name."""
        return message.without_fields(results.NAME, partial(results.claims, authserv_id=self.authserv_id))

    def _told(self, message: Message, findings: list[Finding]) -> Message:
        for finding in findings:
            _RESULTS.of(finding.method, finding.result).value += 1
        return message.with_field(results.field(self.authserv_id, findings))

    def _count(self, message: Message, found: evaluate.Authentication) -> None:
        """Once for each message, and never one that is such a report: reports about reports would have no end."""
        if message.envelope.attempts or message.fact(RELEASED) or _REPORT.match(message.header("Subject") or ""):
            return
        applied = found.dmarc.disposition if self.dmarc == "apply" else Policy.NONE
        what = observed(found, self._terms.method, applied, "policies are only noted here")
        if what is not None:
            self.tally.count(what)

    @staticmethod
    def _applied(message: Message, dmarc: Dmarc) -> Verdict:
        if dmarc.disposition is Policy.NONE or message.fact(RELEASED):
            return message
        if dmarc.disposition is Policy.REJECT:
            text = f"Rejected by the DMARC policy of {dmarc.domain}"
            return Reject(text, code="5.7.26", log=f"{dmarc.author} is not proved")  # RFC 7372 3.2
        return message.with_fact(PARK, f"the DMARC policy of {dmarc.domain} for mail from {dmarc.author}")
