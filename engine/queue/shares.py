"""Shares: how many of the places on the way a tenant, a domain, and all reports may have.

Whoever has less than what is free may have one more: one that is alone gets half of the places, two get a third each,
and there is always one left for who has none. So no choice needs to know who else waits.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b

from engine.message import TENANT, Envelope

REPORTS = "<>"
"""Whose mail reports are: they have no sender, and are nobody's."""

MOST = 15.0
"""Places that mail of one tenant with weight 1 may have for each one that is free: all of it 15 of 16 parts."""

Weights = Mapping[str, float]


class Shares:
    """Who has how many places. ``free``: how many are free, ``weights``: of tenants, 1 where nothing is said."""

    def __init__(self, free: Callable[[], int]) -> None:
        self._free = free
        self._weights: Weights = {}
        self._domains: Counter[str] = Counter()
        self._flows: Counter[str] = Counter()
        self.several = False  # whether there are tenants

    def weigh(self, weights: Weights) -> None:
        """Tenants have these weights from now on."""
        self._weights = weights
        self.several = self.several or bool(weights)

    def weight(self, flow: str) -> float:
        return self._weights.get(flow, 1.0)

    def domain_has_its_own(self, domain: str) -> bool:
        """Whether a domain has its share. Who has nothing never has."""
        return bool(domain) and (away := self._domains[domain]) > 0 and away >= self._free()

    def has_its_own(self, flow: str) -> bool:
        """The same of a tenant, or of reports."""
        return (away := self._flows[flow]) > 0 and away >= MOST * self.weight(flow) * self._free()

    def is_small(self, flow: str) -> bool:
        """Whether it has less than half of its share."""
        return 2 * self._flows[flow] < MOST * self.weight(flow) * self._free()

    def flow_must_wait(self, flow: str) -> bool:
        """Whether its mail has to stand in line for a place. Not that of nobody, where there are no tenants: it is as
        well off in the index of what is due."""
        return (self.several or bool(flow)) and self.has_its_own(flow)

    def of_domain(self, domain: str) -> int:
        """Places that a domain may still have."""
        return -(-(self._free() - self._domains[domain]) // 2)

    def of_flow(self, flow: str) -> int:
        """Places that a tenant, or reports, may still have."""
        most = MOST * self.weight(flow)
        return -int(-(most * self._free() - self._flows[flow]) // (1 + most))

    def left(self, domain: str, flow: str) -> None:
        """One more is on its way."""
        if domain:
            self._domains[domain] += 1
        self._flows[flow] += 1
        self.several = self.several or flow not in ("", REPORTS)

    def back(self, domain: str, flow: str) -> None:
        """One less is."""
        for counter, name in ((self._domains, domain), (self._flows, flow)):
            if name or counter is self._flows:
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]


def flow_of(envelope: Envelope) -> str:
    """Whose mail it is: a tenant's, nobody's (empty), or a report (``REPORTS``)."""
    if not envelope.sender:
        return REPORTS
    facts = envelope.facts
    return str(facts[TENANT]) if facts and TENANT in facts else ""


def tenant_line(flow: str) -> str:
    """The line of a tenant that has its share."""
    return f"tenant/{flow}"


@lru_cache(maxsize=1024)
def mark(flow: str) -> bytes:
    """Four octets that stand for it in the keys of a line."""
    return blake2b(flow.encode(), digest_size=4).digest() if flow else bytes(4)
