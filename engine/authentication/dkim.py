"""DKIM: whether the signatures of a message hold, and new ones (RFC 6376, 8301, 8463)."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.authentication.canonical import BodyDigest, BodyForm, digest_body, digest_body_now
from engine.authentication.fields import Field, Fields
from engine.authentication.keys import KeyRecord
from engine.authentication.outcome import Failure, Result
from engine.authentication.signature import Signature, chosen_fields, required, untimely
from engine.authentication.signer import Signer, signed_field, signed_names
from engine.authentication.tags import parse_tags, unquoted, without_space
from engine.net.dns import Ask, a_labels, side_by_side

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
        self._read = [_read(field, fields.flaw, now) for field in signatures[:SIGNATURES_LIMIT]]
        self._ignored = len(signatures) - len(self._read)
        self.forms = {signature.body_form for _, signature in self._read if isinstance(signature, Signature)}

    async def results(self, digests: Mapping[BodyForm, BodyDigest], ask: Ask) -> tuple[DkimResult, ...]:
        """What came of each signature. Their keys are asked for side by side."""
        if not self._read:
            return ()
        results = await side_by_side([partial(self._result, *read, digests, ask) for read in self._read], ask)
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
        judged = _identity_failure(said, keys) or signature.judged(self._fields, digests, keys)
        if isinstance(judged, Failure):
            return _failed(said, judged)
        return _passed(said, judged, signature.unsigned_size(digests))


def _read(field: Field, flaw: str, now: float) -> tuple[DkimResult, Signature | None]:
    """What a field says of itself, and what it signs; that is None where the result is certain already."""
    said = DkimResult(Result.PERMERROR)
    try:
        tags = parse_tags(field.value)
        said = _said(tags)
        if required(tags, "v") != "1":
            raise ValueError("the version is not 1")
        signature = Signature.of(field, tags)
        said = replace(said, domain=signature.mark.domain)
        failure = _refusal(signature, said, flaw) or untimely(tags, now)
    except ValueError as error:
        return replace(said, text=f"the signature cannot be read: {error}"), None
    return (said, signature) if failure is None else (_failed(said, failure), None)


def _said(tags: Mapping[str, str]) -> DkimResult:
    return DkimResult(
        Result.PERMERROR,
        domain=tags.get("d", "").lower(),
        selector=tags.get("s", ""),
        identity=unquoted(tags["i"]) if "i" in tags else f"@{tags.get('d', '')}",
        algorithm=tags.get("a", ""),
        signature=without_space(tags.get("b", "")),
    )


def _refusal(signature: Signature, said: DkimResult, flaw: str) -> Failure | None:
    if flaw:
        return Failure(Result.PERMERROR, flaw)
    if "from" not in signature.header_names:
        return Failure(Result.PERMERROR, "From is not signed")
    if "@" not in said.identity or not f".{_identity_domain(said)}".endswith(f".{said.domain}"):
        return Failure(Result.PERMERROR, "the identity i= is not within the domain d=")
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


def sign(
    fields: Fields,
    body: Iterable[bytes],
    signers: Sequence[Signer],
    now: float,
    *,
    relaxed_body: bool = True,
    valid_for: float | None = None,
) -> bytes:
    """The header fields to prepend, one for each of ``signers``, in their order.

    ``body`` as for ``verify``. ``valid_for``: seconds until the signatures expire (x=); None: they do not.
    It takes as long as to hash the body and to sign once by each key: in a thread for a body of megabytes.
    """
    form = BodyForm(relaxed_body)
    body_hash = b64encode(digest_body_now(body, [form])[form].sha256).decode()
    names = signed_names(fields)
    header = chosen_fields(fields, names, relaxed=True)
    expiry = [("x", str(int(now + valid_for)))] if valid_for is not None else []
    return b"".join(
        signed_field(
            "DKIM-Signature",
            [
                ("v", "1"),
                ("a", signer.algorithm),
                ("c", "relaxed/relaxed" if relaxed_body else "relaxed/simple"),
                ("d", signer.domain),
                ("s", signer.selector),
                ("t", str(int(now))),
                *expiry,
                ("h", ":".join(names)),
                ("bh", body_hash),
            ],
            header,
            signer,
        ).octets
        for signer in signers
    )
