"""What a domain publishes about TLS to its servers, as the fact ``resolve.security`` has it."""

from dataclasses import dataclass
from typing import Any

from engine.message import Fact
from engine.protocols.mta_sts import StsPolicy
from engine.protocols.tlsa import TRUST_ANCHOR, Tlsa


@dataclass(frozen=True, slots=True)
class Dane:
    """The TLSA records of one host, which DNSSEC vouches for; ``base`` is the name that they are at (RFC 7671 7)."""

    host: str
    base: str
    records: tuple[Tlsa, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """Both kinds of policy. Two domains with equal ones may share connections.

    ``domain`` is for certificates that a DANE-TA record's authority has made: they may be for it (RFC 7672 3.2.2).
    """

    sts: StsPolicy | None = None
    dane: tuple[Dane, ...] = ()
    domain: str = ""

    @classmethod
    def of(cls, domain: str, sts: StsPolicy | None, dane: tuple[Dane, ...]) -> "Published":
        """``domain`` is kept where it matters."""
        matters = any(record.usage == TRUST_ANCHOR for found in dane for record in found.records)
        return cls(sts, dane, domain if matters else "")

    def dane_of(self, host: str) -> Dane | None:
        return next((found for found in self.dane if found.host == host), None)

    @property
    def fact(self) -> Fact:
        """None where nothing is published."""
        if self.sts is None and not self.dane:
            return None
        fact: dict[str, Fact] = {}
        if self.sts is not None:
            fact["sts"] = [self.sts.mode, self.sts.max_age, [*self.sts.mx]]
        if self.dane:
            fact["dane"] = [
                [each.host, each.base, [[r.usage, r.selector, r.matching, r.data.hex()] for r in each.records]]
                for each in self.dane
            ]
        if self.domain:
            fact["domain"] = self.domain
        return fact

    @classmethod
    def from_fact(cls, fact: Any) -> "Published":
        """What ``fact`` was made of. ValueError for what is no such fact."""
        if fact is None:
            return NOTHING
        try:
            dane = tuple(Dane(host, base, tuple(map(_tlsa, records))) for host, base, records in fact.get("dane", ()))
            return cls(_sts(*fact["sts"]) if "sts" in fact else None, dane, fact.get("domain", ""))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"no policy: {fact!r}") from error


def _sts(mode: Any, max_age: int, mx: list[str]) -> StsPolicy:
    return StsPolicy(mode, max_age, tuple(mx))


def _tlsa(record: Any) -> Tlsa:
    usage, selector, matching, data = record
    return Tlsa(usage, selector, matching, bytes.fromhex(data))


NOTHING = Published()
