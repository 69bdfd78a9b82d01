"""ARC: our own link of the chain (RFC 8617 5.1)."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress

from engine.authentication.arc import FIELDS, RESULTS, SEAL, SETS_LIMIT, instance_of, instance_of_results, read_chain
from engine.authentication.canonical import BodyForm, digest_body_now, relaxed_field
from engine.authentication.fields import Field, Fields
from engine.authentication.outcome import Result
from engine.authentication.signature import chosen_fields
from engine.authentication.signer import Signer, signed_field, signed_names
from engine.authentication.tags import parse_tags

STATUSES = (Result.NONE, Result.PASS, Result.FAIL)

_NO_FOLD = re.compile(r"\r\n(?![ \t])|(?<!\r)\n|\r(?!\n)")


def seal(fields: Fields, body: Iterable[bytes], signer: Signer, results: str, *, chain: Result, now: float) -> bytes:
    """The set of header fields to prepend; nothing where the chain has ended: none may be added (RFC 8617 5.1).

    ``body`` as for ``validate_arc``. ``results``: our authserv-id and what we found of the message (RFC 8601 2.2),
    folds allowed. ``chain``: what ``validate_arc`` said of the message as it came. ValueError where that cannot be
    true, or ``results`` would break the field.
    """
    if _NO_FOLD.search(results):
        raise ValueError("the results hold a line break that is no fold")
    newest = newest_instance(fields)
    if chain not in STATUSES or (newest is None) != (chain is Result.NONE):
        raise ValueError(f"the message has {'a' if newest is not None else 'no'} chain, which cannot be {chain}")
    instance = (newest or 0) + 1
    if has_failed(fields) or instance > SETS_LIMIT:
        return b""
    results_field = Field(RESULTS, f"ARC-Authentication-Results: i={instance}; {results}\r\n".encode())
    message_signature = _message_signature(fields, body, signer, instance, now)
    sealed = [relaxed_field(results_field.octets), relaxed_field(message_signature.octets)]
    if chain is Result.PASS:  # RFC 8617 5.1.2: a chain that fails is not covered
        sealed = [link.sealed for link in read_chain(fields, now)] + sealed
    tags = [*_tags(signer, instance, now), ("cv", chain.value)]
    own = signed_field("ARC-Seal", tags, b"".join(sealed), signer)
    return own.octets + message_signature.octets + results_field.octets


def newest_instance(fields: Fields) -> int | None:
    """The highest number of a set, 0 where none can be read; None without any field of a set."""
    if not any(fields.named(name) for name in FIELDS):
        return None
    return max((instance for instance, _ in _numbered(fields)), default=0)


def has_failed(fields: Fields) -> bool:
    """Whether the newest seal says that the chain was broken before."""
    newest = newest_instance(fields)
    return any(instance == newest and status == "fail" for instance, status in _numbered(fields))


def _numbered(fields: Fields) -> Iterator[tuple[int, str]]:
    """The instance of each field of a set that has one, and what it says of the chain."""
    for name in FIELDS:
        for field in fields.named(name):
            with suppress(ValueError):
                if name == RESULTS:
                    yield instance_of_results(field), ""
                else:
                    tags = parse_tags(field.value)
                    yield instance_of(tags), tags.get("cv", "").lower() if name == SEAL else ""


def _message_signature(fields: Fields, body: Iterable[bytes], signer: Signer, instance: int, now: float) -> Field:
    form = BodyForm(relaxed=True)
    names = signed_names(fields) + ["dkim-signature"] * len(fields.named("dkim-signature"))
    tags = [
        *_tags(signer, instance, now),
        ("c", "relaxed/relaxed"),
        ("h", ":".join(names)),
        ("bh", b64encode(digest_body_now(body, [form])[form].sha256).decode()),
    ]
    return signed_field("ARC-Message-Signature", tags, chosen_fields(fields, names, relaxed=True), signer)


def _tags(signer: Signer, instance: int, now: float) -> list[tuple[str, str]]:
    return [
        ("i", str(instance)),
        ("a", signer.algorithm),
        ("d", signer.domain),
        ("s", signer.selector),
        ("t", str(int(now))),
    ]
