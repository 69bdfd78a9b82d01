"""How much the mailboxes of accounts may hold: what was said of an account, of its groups, and of its domain.

The nearest one counts: the account's own limit, else its groups', else its domain's, else what pipeline.toml says.
Octets and messages are looked for apart, so that one may be said of the account and the other of its domain. Of several
groups the most generous counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Limit(NamedTuple):
    """So many octets and messages; 0: as many as it likes, None: not said here."""

    octets: int | None = None
    messages: int | None = None


UNSAID = Limit()


class Said(NamedTuple):
    """A limit, and who says so: "account", "group staff@example.org", "domain example.org"."""

    by: str
    limit: Limit


Layers: TypeAlias = Sequence[Sequence[Said]]
"""What limits an account, the nearest first; what stands in one layer is equally near."""


class Allowed(NamedTuple):
    """What an account may hold in the end, and who says so; 0: as much as it likes."""

    octets: int = 0
    messages: int = 0
    octets_by: str = ""
    messages_by: str = ""


def allowed(layers: Layers) -> Allowed:
    """What counts of all that was said."""
    (octets, octets_by), (messages, messages_by) = (_nearest(layers, which) for which in (0, 1))
    return Allowed(octets, messages, octets_by, messages_by)


def _nearest(layers: Layers, which: int) -> tuple[int, str]:
    for layer in layers:
        found = [(most, said.by) for said in layer if (most := said.limit[which]) is not None]
        if found:
            return max(found, key=lambda one: one[0] or math.inf)
    return 0, ""


@dataclass(frozen=True, slots=True)
class DomainLimits:
    """What was said of a domain: how much each of its accounts may hold, and all of them together."""

    each: Limit = UNSAID
    total: Limit = UNSAID


@dataclass(frozen=True, slots=True)
class Limits:
    """All that was said of domains and groups, in one state of the directory."""

    domains: Mapping[str, DomainLimits] = field(default_factory=dict)
    groups: Mapping[tuple[str, str] | None, Sequence[Said]] = field(default_factory=dict)  # by name of a member

    def of(self, name: tuple[str, str], own: Limit) -> Layers:
        """What limits the account of that name (local part, domain)."""
        domain = self.domains.get(name[1])
        layers = [[Said("account", own)], self.groups.get(name, ())]
        return [*layers, [Said(f"domain {name[1]}", domain.each)]] if domain else layers


def gathered(
    domains: Mapping[str, DomainLimits],
    groups: Iterable[tuple[str, Limit, Iterable[tuple[str, str] | None]]],
) -> Limits:
    """``groups``: address, limit, and the names of the members of each."""
    said: dict[tuple[str, str] | None, list[Said]] = {}
    for address, limit, members in groups:
        for member in members:
            said.setdefault(member, []).append(Said(f"group {address}", limit))
    return Limits(domains, said)
