"""DMARC: whether the domain that a message claims to be from stands behind it, and what it wants done if not.

The organisation that a domain belongs to is found as RFC 9989 4.10 does, by asking the DNS for the names above it, or
as RFC 7489 3.2 did, by the public suffix list.
"""

import enum
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from engine.authentication import dmarc_record
from engine.authentication.dmarc_record import Policy, Record
from engine.authentication.outcome import Result
from engine.net.dns import Answer, Ask, DnsTrouble, NoSuchName, Outcome, a_labels, side_by_side

__all__ = ["Dmarc", "Identifiers", "Method", "Policies", "Policy", "discover"]

WALK_LIMIT = 8
"""Names that are asked about for one domain (RFC 9989 4.10)."""

IDENTIFIERS_LIMIT = 10
"""Domains of one message whose organisation is looked for: nobody needs more signatures that pass."""

AUTHORS_LIMIT = 10
"""Domains in From that are judged."""

_ORDER = (Result.PASS, Result.NONE, Result.PERMERROR, Result.TEMPERROR, Result.FAIL)


class Method(enum.StrEnum):
    """How to find the organisation that a domain belongs to."""

    TREE_WALK = "tree-walk"  # RFC 9989, which obsoletes 7489
    PUBLIC_SUFFIX = "public-suffix"  # RFC 7489


class Identifiers(NamedTuple):
    """Domains by the way in which they were proved."""

    spf: Sequence[str] = ()
    dkim: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The judgement. ``policy`` is what the owner of the domain asks for, ``disposition`` what that means for this
    message; ``domain`` is where the record was found, empty if nowhere. ``why`` is for the operator. ``spf`` and
    ``dkim``: whether these prove the author. ``sealer``: who is trusted that it passed where it came from."""

    result: Result
    author: str = ""
    policy: Policy = Policy.NONE
    disposition: Policy = Policy.NONE
    domain: str = ""
    why: str = ""
    record: Record | None = None
    spf: bool = False
    dkim: bool = False
    sealer: str = ""


class _Trouble(NamedTuple):
    """The DNS would not say."""

    text: str


class _Step(NamedTuple):
    """What a walk has found at one name."""

    domain: str
    found: Record | _Trouble | None


_Organisation: TypeAlias = "str | _Trouble"

_NOBODY = Identifiers()


async def discover(ask: Ask, authors: Iterable[str], method: Method = Method.TREE_WALK) -> "Policies":
    """Look up the policies of the domains in From, side by side."""
    names = [_name(author) for author in list(dict.fromkeys(authors))[:AUTHORS_LIMIT]]
    inquiries = [_Inquiry(ask, name, method) for name in dict.fromkeys(names)]
    await side_by_side([inquiry.begin for inquiry in inquiries], ask)
    return Policies(ask, inquiries)


async def same_organisation(ask: Ask, one: str, other: str, method: Method = Method.TREE_WALK) -> bool | None:
    """Whether two domains, in A-labels, belong to the same; None where the DNS would not say."""
    inquiries = [_Inquiry(ask, domain, method) for domain in (one, other)]
    found = await side_by_side([inquiry.organisation for inquiry in inquiries])
    if any(isinstance(organisation, _Trouble) for organisation in found):
        return None
    return found[0] == found[1]


class Policies:
    """What the domains in From ask for."""

    def __init__(self, ask: Ask, inquiries: Sequence["_Inquiry"]) -> None:
        self._ask = ask
        self._inquiries = inquiries

    async def judge(self, passed: Identifiers, unsure: Identifiers = _NOBODY) -> Dmarc:
        """The judgement, for several domains the worst of all (RFC 7489 6.6.1, RFC 9989 11.5).

        ``passed``: domains whose SPF or DKIM result is pass; ``unsure``: those whose result is temperror.
        """
        if not self._inquiries:
            return Dmarc(Result.NONE, why="From names no domain")
        found = await side_by_side([partial(inquiry.end, passed, unsure) for inquiry in self._inquiries], self._ask)
        return max(found, key=lambda dmarc: (_ORDER.index(dmarc.result), dmarc.disposition.strictness))


class _Inquiry:
    """One domain of From, and what has been found above it.

    Where the domain has a record of its own, the names above it are asked about only if they matter: often they do not.
    """

    def __init__(self, ask: Ask, author: str, method: Method) -> None:
        self._ask = ask
        self._author = author
        self._method = method
        self._steps: list[_Step] = []

    async def begin(self) -> None:
        if self._author and not self._author.startswith("["):
            own = _record(self._author, await self._ask(f"_dmarc.{self._author}", "TXT"))
            self._steps = [_Step(self._author, own)]
            if own is None:
                await self._go_up()

    async def _go_up(self) -> None:
        if len(self._steps) == 1:
            self._steps = await self._walk(self._author, self._steps)

    async def end(self, passed: Identifiers, unsure: Identifiers) -> Dmarc:
        said = Dmarc(Result.NONE, self._author)
        if not self._steps:
            return replace(said, why="what From names is no domain")
        step = _applicable(self._steps, self._organisation(self._steps))
        if isinstance(step, _Trouble):
            return replace(said, result=Result.TEMPERROR, why=step.text)
        if step is None:
            return replace(said, why="no policy is published")
        record, domain = step
        said = replace(said, domain=domain, record=record, why=f"the policy of {domain}")
        policy = await self._policy(record, domain)
        if policy is None:
            return replace(said, result=Result.PERMERROR, why=f"no policy can be read out of the record of {domain}")
        if isinstance(policy, _Trouble):
            return replace(said, result=Result.TEMPERROR, why=policy.text)
        said = replace(said, policy=policy)
        spf, dkim = await self._aligned(record, passed)
        if spf is True or dkim is True:
            return replace(said, result=Result.PASS, spf=spf is True, dkim=dkim is True)
        if spf or dkim or any(await self._aligned(record, unsure)):
            trouble = spf or dkim
            text = trouble.text if trouble else "a check that might have helped could not be made"
            return replace(said, result=Result.TEMPERROR, why=text)
        return replace(said, result=Result.FAIL, disposition=self._disposition(record, policy))

    async def _walk(self, domain: str, begun: Iterable[_Step] = ()) -> list[_Step]:
        """The records at a domain and above it, the longest name first, up to one that says where its owner ends."""
        steps = list(begun)
        names = [] if any(map(self._ends, steps)) else list(self._targets(domain))[len(steps) :]
        outcomes = await side_by_side([partial(self._ask, f"_dmarc.{name}", "TXT") for name in names], self._ask)
        for name, outcome in zip(names, outcomes, strict=True):
            steps.append(_Step(name, _record(name, outcome)))
            if self._ends(steps[-1]):
                break
        return steps

    def _ends(self, step: _Step) -> bool:
        return self._method is Method.TREE_WALK and isinstance(step.found, Record) and step.found.suffix != "u"

    def _targets(self, domain: str) -> Iterator[str]:
        yield domain
        if self._method is Method.TREE_WALK:
            labels = domain.split(".")
            for start in range(max(1, len(labels) - WALK_LIMIT + 1), len(labels)):
                yield ".".join(labels[start:])
        elif (registered := _registered(domain)) != domain:
            yield registered

    def _organisation(self, steps: Sequence[_Step]) -> _Organisation:
        """The domain of the organisation that the first of the names belongs to (RFC 9989 4.10.2)."""
        if self._method is Method.PUBLIC_SUFFIX:
            return steps[-1].domain
        start = steps[0].domain
        organisation = start
        for domain, found in steps:
            if isinstance(found, _Trouble):
                return found
            if found is None:
                continue
            organisation = domain
            if found.suffix == "y":
                return _one_label_more(domain, start)
        return organisation

    async def _policy(self, record: Record, domain: str) -> Policy | _Trouble | None:
        """The policy for this author: p=, or below the domain of the record sp= or np=."""
        if record.policy is None or domain == self._author:
            return record.policy
        if record.nonexistent == record.subdomains:
            return record.subdomains
        outcome = await self._ask(self._author, "A")
        if isinstance(outcome, DnsTrouble):
            return _Trouble(outcome.text)
        return record.nonexistent if isinstance(outcome, NoSuchName) else record.subdomains

    async def _aligned(self, record: Record, identifiers: Identifiers) -> tuple[bool | _Trouble, bool | _Trouble]:
        """Whether domains of SPF, and of DKIM, are aligned."""
        return (
            await self._are_aligned(identifiers.spf, strict=record.strict_spf),
            await self._are_aligned(identifiers.dkim, strict=record.strict_dkim),
        )

    async def _are_aligned(self, domains: Sequence[str], *, strict: bool) -> bool | _Trouble:
        """Whether one of the domains is the author's own, or of the same organisation where that is enough."""
        relaxed = {*_names(domains)}
        if self._author in relaxed:
            return True
        if strict or not relaxed:
            return False
        await self._go_up()
        organisation = self._organisation(self._steps)
        if isinstance(organisation, _Trouble):
            return organisation
        near = sorted(domain for domain in relaxed if f".{domain}".endswith(f".{organisation}"))[:IDENTIFIERS_LIMIT]
        found = await side_by_side([partial(self._organisation_of, domain) for domain in near], self._ask)
        if organisation in found:
            return True
        return next((trouble for trouble in found if isinstance(trouble, _Trouble)), False)

    async def organisation(self) -> _Organisation:
        """The domain of the organisation that the domain belongs to."""
        return await self._organisation_of(self._author)

    async def _organisation_of(self, domain: str) -> _Organisation:
        if self._method is Method.PUBLIC_SUFFIX:
            return _registered(domain)
        return self._organisation(await self._walk(domain))

    def _disposition(self, record: Record, policy: Policy) -> Policy:
        if self._method is Method.TREE_WALK:
            return policy.milder if record.testing else policy
        return policy if random.randrange(100) < record.percent else policy.milder


def _applicable(steps: Sequence[_Step], organisation: _Organisation) -> tuple[Record, str] | _Trouble | None:
    """The record that counts for the first of the names: its own, its organisation's, its public suffix's."""
    start, last = steps[0], steps[-1]
    if isinstance(start.found, _Trouble):
        return start.found
    if isinstance(start.found, Record):
        return start.found, start.domain
    if isinstance(organisation, _Trouble):
        return organisation
    of_organisation = [step for step in steps if step.domain == organisation]
    for domain, found in (*of_organisation, last):
        if isinstance(found, _Trouble):
            return found
        if found is not None:
            return found, domain
    return None


def _record(domain: str, outcome: Outcome[bytes]) -> Record | _Trouble | None:
    if isinstance(outcome, DnsTrouble):
        # A registry whose servers do not answer has no record: who asks for one must not fail all mail below it.
        return None if _is_public(domain) else _Trouble(outcome.text)
    return dmarc_record.select(outcome.records) if isinstance(outcome, Answer) else None


def _one_label_more(domain: str, longer: str) -> str:
    """The name one label below a domain, on the way to a longer name, or the domain itself if that is all of it."""
    count = domain.count(".") + 2
    return ".".join(longer.split(".")[-count:])


def _name(domain: str) -> str:
    """The domain as it is asked for; empty when it is none."""
    try:
        return a_labels(domain).removesuffix(".")
    except ValueError:
        return ""


def _names(domains: Iterable[str]) -> Iterator[str]:
    return filter(None, map(_name, domains))


def _registered(domain: str) -> str:
    from engine.authentication import suffixes

    return suffixes.registered(domain)


def _is_public(domain: str) -> bool:
    from engine.authentication import suffixes

    return suffixes.is_public(domain)
