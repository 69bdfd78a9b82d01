"""DKIM: whether the signatures of a message hold (RFC 6376, 8301, 8463)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.authentication.canonical import BodyDigest, BodyForm, digest_body
from engine.authentication.fields import Field, Fields
from engine.authentication.keys import Ask, KeyRecord
from engine.authentication.outcome import Failure, Result
from engine.authentication.signature import CLOCK_SKEW, Signature, required, timestamp
from engine.authentication.tags import listed, parse_tags, without_space
from engine.net.dns import a_labels, side_by_side

FIELD = "dkim-signature"

SIGNATURES_LIMIT = 16
"""Signatures of one message that are verified, from the top (RFC 6376 6.1 allows a limit)."""


@dataclass(frozen=True, slots=True)
class DkimResult:
    """What came of one signature. What it did not say, or could not be read, is empty."""

    result: Result
    text: str = ""  # the reason, for people
    domain: str = ""  # d=, in A-labels
    selector: str = ""  # s=
    identity: str = ""  # i=, or what stands for it
    algorithm: str = ""  # a=
    signature: str = ""  # b= without white space: its beginning tells signatures apart (RFC 6008)
    bits: int = 0  # of the key
    testing: bool = False  # t=y of the key: no reason to treat the message other than an unsigned one
    unsigned: int = 0  # octets of the canonical body beyond l=


async def verify(fields: Fields, body: Iterable[bytes], ask: Ask, now: float) -> tuple[DkimResult, ...]:
    """What came of each signature, from the top; nothing where there is none.

    ``body`` is everything after the empty line, with CRLF, and is taken once. ``now``: Unix time in seconds.
    """
    check = Check(fields, now)
    return await check.results(await digest_body(body, check.forms), ask)


class Check:
    """The signatures of a message, read; they wait for the digests of the body in ``forms``."""

    def __init__(self, fields: Fields, now: float) -> None:
        self._fields = fields
        signatures = fields.named(FIELD)
        self._read = [_read(field, now) for field in signatures[:SIGNATURES_LIMIT]]
        self._ignored = len(signatures) - len(self._read)
        self.forms = {signature.body_form for _, signature in self._read if isinstance(signature, Signature)}

    async def results(self, digests: Mapping[BodyForm, BodyDigest], ask: Ask) -> tuple[DkimResult, ...]:
        """What came of each signature. Their keys are asked for side by side."""
        if not self._read:
            return ()
        results = await side_by_side([partial(self._result, *read, digests, ask) for read in self._read])
        if self._ignored:
            text = f"{self._ignored} more signatures: only {SIGNATURES_LIMIT} are looked at"
            results.append(DkimResult(Result.POLICY, text))
        return tuple(results)

    async def _result(
        self, said: DkimResult, signature: Signature | None, digests: Mapping[BodyForm, BodyDigest], ask: Ask
    ) -> DkimResult:
        if signature is None:
            return said
        keys = await signature.mark.keys(ask)
        if isinstance(keys, Failure):
            return _failed(said, keys)
        said = replace(said, bits=keys[0].bits, testing=keys[0].testing)
        failure = _identity_failure(said, keys) or signature.body_failure(digests)
        if failure is not None:
            return _failed(said, failure)
        key = signature.mark.key_of(signature.signed_octets(self._fields), keys)
        if key is None:
            return _failed(said, Failure(Result.FAIL, "the header was changed, or was signed by another key"))
        return _passed(said, key, signature.unsigned_size(digests))


def _read(field: Field, now: float) -> tuple[DkimResult, Signature | None]:
    """What a field says of itself, and what it signs; that is None where the result is certain already."""
    said = DkimResult(Result.NEUTRAL)
    try:
        tags = parse_tags(field.value)
        said = _said(tags)
        if required(tags, "v") != "1":
            raise ValueError("the version is not 1")
        signature = Signature.of(field, tags)
        said = replace(said, domain=signature.mark.domain)
        failure = _unsupported(tags) or _contradiction(signature, said) or _untimely(tags, now)
    except ValueError as error:  # RFC 8601 2.7.1: "neutral" is for errors of syntax
        return replace(said, text=f"the signature cannot be read: {error}"), None
    return (said, signature) if failure is None else (_failed(said, failure), None)


def _said(tags: Mapping[str, str]) -> DkimResult:
    return DkimResult(
        Result.NEUTRAL,
        domain=tags.get("d", "").lower(),
        selector=tags.get("s", ""),
        identity=tags.get("i", f"@{tags.get('d', '')}"),
        algorithm=tags.get("a", ""),
        signature=without_space(tags.get("b", "")),
    )


def _unsupported(tags: Mapping[str, str]) -> Failure | None:
    methods = listed(tags.get("q", "dns/txt").lower())
    return None if "dns/txt" in methods else Failure(Result.NEUTRAL, "no way to find the key is known (q=)")


def _contradiction(signature: Signature, said: DkimResult) -> Failure | None:
    if "from" not in signature.header_names:
        return Failure(Result.PERMERROR, "From is not signed")
    if "@" not in said.identity or not f".{_identity_domain(said)}".endswith(f".{said.domain}"):
        return Failure(Result.PERMERROR, "the identity i= is not within the domain d=")
    return None


def _untimely(tags: Mapping[str, str], now: float) -> Failure | None:
    signed, expires = timestamp(tags, "t"), timestamp(tags, "x")
    if expires is not None and signed is not None and expires < signed:
        raise ValueError("it expired (x=) before it was made (t=)")
    if expires is not None and expires < now:
        return Failure(Result.PERMERROR, "the signature has expired")
    if signed is not None and signed > now + CLOCK_SKEW:
        return Failure(Result.PERMERROR, "the signature was made in the future")
    return None


def _identity_failure(said: DkimResult, keys: Sequence[KeyRecord]) -> Failure | None:
    """RFC 6376 3.6.1 t=s."""
    if keys[0].exact_domain and _identity_domain(said) != said.domain:
        return Failure(Result.PERMERROR, "the key is not for subdomains, as that of the identity i=")
    return None


def _identity_domain(said: DkimResult) -> str:
    return a_labels(said.identity.rpartition("@")[2])


def _failed(said: DkimResult, failure: Failure) -> DkimResult:
    """RFC 6376 3.6.1 t=y: what fails in a test is like a message without a signature."""
    if failure.result is Result.FAIL and said.testing:
        return replace(said, result=Result.NEUTRAL, text=f"{failure.text}; the domain tests DKIM")
    return replace(said, result=failure.result, text=failure.text)


def _passed(said: DkimResult, key: KeyRecord, unsigned: int) -> DkimResult:
    notes = ["the domain tests DKIM"] * key.testing + [f"{unsigned} octets of the body are not signed"] * (unsigned > 0)
    return replace(
        said, result=Result.PASS, text="; ".join(notes), bits=key.bits, testing=key.testing, unsigned=unsigned
    )
