"""ARC: whether the chain of those who handed a message on holds (RFC 8617 5.2)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import NamedTuple, TypeVar

from engine.authentication.canonical import BodyDigest, BodyForm, digest_body, relaxed_field
from engine.authentication.fields import Field, Fields
from engine.authentication.outcome import Failure, Result
from engine.authentication.signature import Mark, Signature, required, unsigned, untimely
from engine.authentication.tags import parse_tags
from engine.net.dns import Ask, side_by_side

RESULTS, MESSAGE_SIGNATURE, SEAL = "arc-authentication-results", "arc-message-signature", "arc-seal"

FIELDS = (RESULTS, MESSAGE_SIGNATURE, SEAL)
"""The fields of a set, in the order in which a seal covers them (RFC 8617 5.1.1)."""

SETS_LIMIT = 50
"""RFC 8617 4.2.1."""

Found = TypeVar("Found")

_INSTANCE = re.compile(r"[0-9]{1,2}")
_CFWS = rb"(?:[ \t\r\n]|\([^()]*\))*"
_RESULTS = re.compile(_CFWS + rb"i" + _CFWS + rb"=" + _CFWS + rb"([0-9]{1,2})" + _CFWS + rb";(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ArcSet:
    """What one who handed the message on said of it."""

    domain: str  # d= of the seal, in A-labels
    selector: str  # s= of the seal
    signing_domain: str  # d= of the message signature; empty where that cannot be read
    results: str  # what follows "i=…;" in ARC-Authentication-Results: an authserv-id and results (RFC 8601 2.2)


@dataclass(frozen=True, slots=True)
class ArcResult:
    """Whether the chain holds: none, pass or fail. Trouble of the DNS fails it too (RFC 8617 5.2.1)."""

    result: Result
    text: str = ""  # the reason, for people
    oldest_pass: int | None = None  # RFC 8617 5.2, step 5, where it holds
    sets: tuple[ArcSet, ...] = ()  # where it holds: oldest first, that of i=1


async def validate_arc(fields: Fields, body: Iterable[bytes], ask: Ask, now: float) -> ArcResult:
    """Whether the chain of a message holds (RFC 8617 5.2).

    ``body`` is everything after the empty line, with CRLF, and is taken once. ``now``: Unix time in seconds.
    """
    check = Check(fields, now)
    return await check.result(await digest_body(body, check.forms), ask)


class Tagged(NamedTuple):
    """A field that holds a list of tags."""

    field: Field
    tags: Mapping[str, str]


class Link(NamedTuple):
    """A set that has the fields which it should have, once each."""

    results: Field
    message_signature: Field
    seal: Field
    mark: Mark  # of the seal
    signatures: list[Signature]  # two readings where c= is missing, none where the field makes no sense

    @property
    def sealed(self) -> bytes:
        """The set as seals cover it (RFC 8617 5.1.1)."""
        fields = (self.results, self.message_signature, self.seal)
        return b"".join([relaxed_field(field.octets) for field in fields])

    @property
    def sealed_by_itself(self) -> bytes:
        """The set as its own seal covers it."""
        return (
            relaxed_field(self.results.octets)
            + relaxed_field(self.message_signature.octets)
            + unsigned(self.seal, relaxed=True)
        )


class Check:
    """The chain of a message, read; it waits for the digests of the body in ``forms``."""

    def __init__(self, fields: Fields, now: float) -> None:
        self._fields = fields
        self._chain: list[Link] = []
        self._flaw = ""
        try:
            self._chain = read_chain(fields, now)
        except ValueError as error:
            self._flaw = str(error)
        self._sealed = [link.sealed for link in self._chain]
        self.forms = {signature.body_form for link in self._chain for signature in link.signatures}

    async def result(self, digests: Mapping[BodyForm, BodyDigest], ask: Ask) -> ArcResult:
        """The newest message signature is looked at first; then the keys of all others are asked for side by side."""
        if self._flaw:
            return ArcResult(Result.FAIL, self._flaw)
        if not self._chain:
            return ArcResult(Result.NONE)
        newest, *older = reversed(self._chain)
        failure = await self._signature_failure(newest, digests, ask)
        if failure:
            return ArcResult(Result.FAIL, f"the newest message signature: {failure.text}")
        failures = await side_by_side(
            [partial(self._seal_failure, number, ask) for number in range(len(self._chain))]
            + [partial(self._signature_failure, link, digests, ask) for link in older]
        )
        seals, signatures = failures[: len(self._chain)], failures[len(self._chain) :]
        for number, failure in enumerate(seals, 1):
            if failure:
                return ArcResult(Result.FAIL, f"seal {number}: {failure.text}")
        return ArcResult(Result.PASS, oldest_pass=_oldest_pass(signatures), sets=tuple(map(_said, self._chain)))

    async def _signature_failure(self, link: Link, digests: Mapping[BodyForm, BodyDigest], ask: Ask) -> Failure | None:
        if not link.signatures:
            return Failure(Result.FAIL, "it makes no sense")
        keys = await link.signatures[0].mark.keys(ask)
        if isinstance(keys, Failure):
            return keys
        judged = [signature.judged(self._fields, digests, keys) for signature in link.signatures]
        failures = [found for found in judged if isinstance(found, Failure)]
        return failures[0] if len(failures) == len(judged) else None

    async def _seal_failure(self, number: int, ask: Ask) -> Failure | None:
        link = self._chain[number]
        keys = await link.mark.keys(ask)
        if isinstance(keys, Failure):
            return keys
        if link.mark.key_of(b"".join(self._sealed[:number]) + link.sealed_by_itself, keys):
            return None
        return Failure(Result.FAIL, "a set was changed, or was sealed by another key")


def _oldest_pass(older: Sequence[Failure | None]) -> int:
    """RFC 8617 5.2, step 5, from the failures of all message signatures but the newest, newest first."""
    held = len(list(takewhile(lambda failure: failure is None, older)))
    return 0 if held == len(older) else len(older) + 1 - held


def _said(link: Link) -> ArcSet:
    signing_domain = link.signatures[0].mark.domain if link.signatures else ""
    return ArcSet(link.mark.domain, link.mark.selector, signing_domain, _payload(link.results))


def read_chain(fields: Fields, now: float) -> list[Link]:
    """The sets of a message, oldest first. ValueError where they make no chain (RFC 8617 5.2, steps 1 to 3)."""
    if any(len(fields.named(name)) > SETS_LIMIT for name in FIELDS):
        raise ValueError(f"there are more than {SETS_LIMIT} sets")
    results = _by_instance((instance_of_results(field), field) for field in fields.named(RESULTS))
    signatures = _by_instance((instance_of(found.tags), found) for found in _tagged(fields, MESSAGE_SIGNATURE))
    seals = _by_instance((instance_of(found.tags), found) for found in _tagged(fields, SEAL))
    if fields.flaw and seals:
        raise ValueError(fields.flaw)
    instances = list(range(1, len(seals) + 1))
    if not sorted(results) == sorted(signatures) == sorted(seals) == instances:
        raise ValueError("a set has not one field of each kind, or is missing")
    for instance in reversed(instances):
        status = required(seals[instance].tags, "cv").lower()
        if status != ("none" if instance == 1 else "pass"):
            raise ValueError(f"seal {instance} says cv={status}")
    return [_link(results[instance], signatures[instance], seals[instance], now) for instance in instances]


def _by_instance(found: Iterable[tuple[int, Found]]) -> dict[int, Found]:
    by_instance: dict[int, Found] = {}
    for instance, what in found:
        if instance in by_instance:
            raise ValueError(f"set {instance} has a field twice")
        by_instance[instance] = what
    return by_instance


def _tagged(fields: Fields, name: str) -> Iterator[Tagged]:
    for field in fields.named(name):
        yield Tagged(field, parse_tags(field.value))


def instance_of(tags: Mapping[str, str]) -> int:
    """The number of a set (RFC 8617 4.2.1). ValueError where it is none."""
    value = required(tags, "i")
    if not _INSTANCE.fullmatch(value):
        raise ValueError(f"i={value} is no number of a set")
    return int(value)


def instance_of_results(field: Field) -> int:
    """The number of the set of ARC-Authentication-Results. ValueError where it does not begin with one."""
    found = _RESULTS.fullmatch(field.value)
    if not found:
        raise ValueError("results do not begin with the number of their set")
    return int(found[1])


def _payload(results: Field) -> str:
    found = _RESULTS.fullmatch(results.value)
    return found[2].decode(errors="replace").strip() if found else ""


def _link(results: Field, message_signature: Tagged, seal: Tagged, now: float) -> Link:
    if "h" in seal.tags:  # RFC 8617 4.1.3
        raise ValueError("a seal has the tag h=")
    failure = untimely(seal.tags, now)
    if failure is not None:
        raise ValueError(failure.text)
    try:
        signatures = _signatures(message_signature, now)
    except ValueError:  # that matters for the newest alone: the seals hold the chain together
        signatures = []
    return Link(results, message_signature.field, seal.field, Mark.of(seal.tags), signatures)


def _signatures(found: Tagged, now: float) -> list[Signature]:
    # Without c=, RFC 6376 has it simple; the drafts of RFC 8617, and signers by them, have it relaxed.
    readings = [found.tags] if "c" in found.tags else [found.tags, {**found.tags, "c": "relaxed/relaxed"}]
    signatures = [Signature.of(found.field, reading) for reading in readings]
    if SEAL in signatures[0].header_names or untimely(found.tags, now) is not None:
        return []
    return signatures
