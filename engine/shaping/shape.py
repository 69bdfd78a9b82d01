"""A shape: how mail leaves for one destination, and which rule says so."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from engine.config.rules import TOGETHER, Place, Rule, Rules, covers
from engine.units import Rate

BY_MESSAGE = frozenset({"retry", "expire", "tls", "pool", "recipients_per_transaction"})
"""Values that count for a message alone. All others are about the connections that it shares with others."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value with the rule that gives it, and where that is written."""

    value: Any
    rule: Rule
    place: Place


@dataclass(frozen=True, slots=True)
class Together:
    """What a provider takes from one source on all its sites together."""

    provider: str
    connections: int | None = None
    messages: tuple[Rate, ...] = ()
    recipients: tuple[Rate, ...] = ()
    given: Mapping[str, Given] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Shape:
    """None, or nothing: no rule says it, and what is set for the stage holds. Times are in seconds.

    ``group``: the rules about its domain that say something about connections. Domains of one site with others have
    connections of their own.
    """

    connections: int | None = None
    messages: tuple[Rate, ...] = ()
    recipients: tuple[Rate, ...] = ()
    messages_per_connection: int | None = None
    recipients_per_transaction: int | None = None
    adaptive: bool = True  # whether connections and rate are found by what the site bears
    connect_timeout: float | None = None
    greeting_timeout: float | None = None
    command_timeout: float | None = None
    data_timeout: float | None = None
    block_timeout: float | None = None
    final_timeout: float | None = None
    idle: float | None = None
    retry: tuple[float, ...] = ()
    expire: float | None = None
    tls: Literal["never", "opportunistic", "require", "verify", "mta-sts", "dane"] | None = None
    pool: str = ""
    pause: float = 0.0  # Unix time until which nothing is sent
    together: tuple[Together, ...] = ()  # of each provider that it belongs to
    group: str = ""
    given: Mapping[str, Given] = field(default_factory=dict, compare=False)

    @property
    def timeouts(self) -> dict[str, float]:
        """Of each phase for which one is said."""
        phases = ("connect", "greeting", "command", "data", "block", "final")
        said = {phase: getattr(self, f"{phase}_timeout") for phase in phases}
        return {phase: seconds for phase, seconds in said.items() if seconds is not None}


UNSHAPED = Shape()


@lru_cache(maxsize=1024)
def slowed(shape: Shape, rate: float, connections: float, usual: int) -> Shape:
    """The shape with so much of its rates and connections left, of which there are ``usual`` where it says nothing."""
    if rate == connections == 1.0:
        return shape
    return replace(
        shape,
        connections=max(1, int((shape.connections or usual) * connections)),
        messages=tuple(_part(one, rate) for one in shape.messages),
        recipients=tuple(_part(one, rate) for one in shape.recipients),
    )


def _part(rate: Rate, part: float) -> Rate:
    return Rate(f"{max(1, int(rate.most * part))}/{rate.partition('/')[2]}")


def shaped(rules: Rules, domain: str, hosts: Sequence[str], source: str = "") -> Shape:
    """What the rules say of mail to ``domain``, which ``hosts`` serve, from ``source``."""
    domain = domain.rstrip(".").lower()
    plain = [host.strip("[].").lower().removeprefix("ipv6:") for host in hosts]
    found = [rule for rule in rules.rules if _is_about(rules, rule, domain, plain, source)]
    found.sort(key=lambda rule: rule.rank)  # which keeps the order of those with the same one
    given = _given(found)
    own = [str(rule) for rule in found if rule.kind == "domain" and not rule.values.keys() <= BY_MESSAGE]
    values = {name: each.value for name, each in given.items() if name not in TOGETHER}
    return Shape(**values, together=tuple(_together(found)), group=" ".join(own), given=given)


def _given(rules: Iterable[Rule]) -> dict[str, Given]:
    """Each value of rules, of which the last one holds."""
    return {name: Given(value, rule, rule.places[name]) for rule in rules for name, value in rule.values.items()}


def _together(rules: Sequence[Rule]) -> Iterator[Together]:
    """What rules say of all sites of a provider: each provider's own counts, for it counts by itself."""
    for provider in dict.fromkeys(rule.name for rule in rules if rule.kind == "provider"):
        given = _given(rule for rule in rules if rule.kind == "provider" and rule.name == provider)
        said = {name: each for name, each in given.items() if name in TOGETHER}
        if said:
            values = {name.removeprefix("provider_"): each.value for name, each in said.items()}
            yield Together(provider, **values, given=said)


def providers_of(rules: Rules, domain: str, hosts: Sequence[str]) -> list[str]:
    """Names of the providers that a destination belongs to."""
    return [name for name in rules.providers if _belongs(rules, name, domain.lower(), hosts)]


def _is_about(rules: Rules, rule: Rule, domain: str, hosts: Sequence[str], source: str) -> bool:
    if rule.source and rule.source != source:
        return False
    match rule.kind:
        case "provider":
            return _belongs(rules, rule.name, domain, hosts)
        case "site":
            return _all_covered((rule.name,), hosts)
        case "domain":
            return covers(rule.name, domain)
    return True


def _belongs(rules: Rules, name: str, domain: str, hosts: Sequence[str]) -> bool:
    provider = rules.providers[name]
    return any(covers(pattern, domain) for pattern in provider.domains) or _all_covered(provider.mx, hosts)


def _all_covered(patterns: Sequence[str], hosts: Sequence[str]) -> bool:
    """A site is a provider's if all of its hosts are: nobody else's is treated as such for a host that it names too."""
    return bool(hosts) and all(any(covers(pattern, host) for pattern in patterns) for host in hosts)
