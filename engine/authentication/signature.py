"""A signature over header and body, as DKIM-Signature and ARC-Message-Signature carry it (RFC 6376 3.5, 3.7)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from engine.authentication.canonical import BodyDigest, BodyForm, canonical_field
from engine.authentication.fields import Field, Fields
from engine.authentication.keys import KeyRecord, find_keys
from engine.authentication.outcome import Failure, Result
from engine.authentication.tags import base64, listed, without_space
from engine.net.dns import Ask, a_labels

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
"""What we verify (RFC 8301 3.1, RFC 8463 3)."""

HISTORIC = "rsa-sha1"

CLOCK_SKEW = 24 * 3600
"""Seconds that the clock of a signer may be ahead of ours (RFC 6376 3.5 t=)."""

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_FIELD_NAMES = re.compile(r"[!-9<-~]*")  # of all together: some are empty, as in "to::date", and stand for no field
_NUMBER = re.compile(r"[0-9]{1,76}")  # RFC 6376 3.5 l=
_TIME = re.compile(r"[0-9]{1,12}")  # RFC 6376 3.5 t=
_OWN_SIGNATURE = re.compile(rb"(;[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_FORMS = {"simple": False, "relaxed": True}


@dataclass(frozen=True, slots=True)
class Mark:
    """Who signed, and what came out: the tags that every signature has."""

    algorithm: str
    octets: bytes
    domain: str  # in A-labels
    selector: str

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Self:
        """ValueError where a tag is missing or makes no sense."""
        octets = base64(required(tags, "b"))
        if not octets:
            raise ValueError("the tag b= is empty")
        return cls(required(tags, "a").lower(), octets, domain_name(tags, "d"), domain_name(tags, "s"))

    def refusal(self) -> Failure | None:
        """Why a signature by this algorithm is not looked at, or None."""
        if self.algorithm == HISTORIC:  # RFC 8301 3.1: "permanently failed evaluation"
            return Failure(Result.PERMERROR, "the algorithm is rsa-sha1, which is no longer valid")
        if self.algorithm not in ALGORITHMS:
            return Failure(Result.PERMERROR, f"the algorithm {self.algorithm} is unknown")
        return None

    async def keys(self, ask: Ask) -> tuple[KeyRecord, ...] | Failure:
        """The keys that may have made the signature, at least one."""
        return self.refusal() or await find_keys(ask, self.domain, self.selector, self.algorithm)

    def key_of(self, signed: bytes, keys: Iterable[KeyRecord]) -> KeyRecord | None:
        """The key that ``signed`` was signed by."""
        return next((key for key in keys if key.signed(signed, self.octets)), None)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a field says that signs header fields and the body."""

    field: Field
    mark: Mark
    body_hash: bytes
    header_names: tuple[str, ...]  # in lower case
    relaxed_header: bool
    body_form: BodyForm

    @classmethod
    def of(cls, field: Field, tags: Mapping[str, str]) -> Self:
        """ValueError where a tag is missing or makes no sense."""
        relaxed_header, relaxed_body = _canonical_forms(without_space(tags.get("c", "simple")).lower())
        names = tuple(name.lower() for name in listed(required(tags, "h")))
        if not _FIELD_NAMES.fullmatch("".join(names)):
            raise ValueError("the tag h= is no list of field names")
        if "dns/txt" not in listed(tags.get("q", "dns/txt").lower()):
            raise ValueError("no way to find the key is known (q=)")
        length = int(_matching(tags, "l", _NUMBER)) if "l" in tags else None
        body_hash = base64(required(tags, "bh"))
        return cls(field, Mark.of(tags), body_hash, names, relaxed_header, BodyForm(relaxed_body, length))

    def judged(
        self, fields: Fields, digests: Mapping[BodyForm, BodyDigest], keys: Iterable[KeyRecord]
    ) -> KeyRecord | Failure:
        """The key that signed the message as it is, or why none did."""
        failure = self._body_failure(digests)
        if failure is not None:
            return failure
        header = chosen_fields(fields, self.header_names, relaxed=self.relaxed_header, but=self.field)
        key = self.mark.key_of(header + unsigned(self.field, relaxed=self.relaxed_header), keys)
        return key or Failure(Result.FAIL, "the header was changed, or was signed by another key")

    def _body_failure(self, digests: Mapping[BodyForm, BodyDigest]) -> Failure | None:
        digest = digests[self.body_form]
        if self.body_form.length is not None and self.body_form.length > digest.size:
            return Failure(Result.FAIL, f"l={self.body_form.length}, but the body has {digest.size} octets")
        if digest.sha256 != self.body_hash:
            return Failure(Result.FAIL, "the body was changed")
        return None

    def unsigned_size(self, digests: Mapping[BodyForm, BodyDigest]) -> int:
        """Octets of the canonical body that were not signed."""
        length = self.body_form.length
        return 0 if length is None else digests[self.body_form].size - length


def chosen_fields(fields: Fields, names: Iterable[str], *, relaxed: bool, but: Field | None = None) -> bytes:
    """The fields that h= names, canonical: of each name the lowest first; a name too many stands for no field.

    ``but``: the field that signs, which does not sign itself.
    """
    left = {name: [field for field in fields.named(name) if field is not but] for name in set(names)}
    return b"".join([canonical_field(left[name].pop(), relaxed=relaxed) for name in names if left[name]])


def unsigned(field: Field, *, relaxed: bool) -> bytes:
    """A field that signs, canonical, as it is signed itself: with an empty b= and without the last CRLF."""
    name, _, value = field.octets[:-2].partition(b":")
    emptied = _OWN_SIGNATURE.sub(rb"\1", b";" + value)[1:]
    return canonical_field(Field(field.name, name + b":" + emptied + b"\r\n"), relaxed=relaxed)[:-2]


def required(tags: Mapping[str, str], name: str) -> str:
    """The value of a tag. ValueError where it is missing."""
    if name not in tags:
        raise ValueError(f"the tag {name}= is missing")
    return tags[name]


def domain_name(tags: Mapping[str, str], name: str) -> str:
    """The domain name that a tag holds, in A-labels. ValueError where there is none."""
    domain = a_labels(required(tags, name))
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f"the tag {name}= is no domain name")
    return domain


def untimely(tags: Mapping[str, str], now: float) -> Failure | None:
    """Why a signature is not of this time, or None (RFC 6376 3.5 t=, x=). ValueError where it says no time."""
    signed, expires = _timestamp(tags, "t"), _timestamp(tags, "x")
    if expires is not None and signed is not None and expires < signed:
        raise ValueError("it expired (x=) before it was made (t=)")
    if expires is not None and expires < now:
        return Failure(Result.PERMERROR, "the signature has expired")
    if signed is not None and signed > now + CLOCK_SKEW:
        return Failure(Result.PERMERROR, "the signature was made in the future")
    return None


def _timestamp(tags: Mapping[str, str], name: str) -> int | None:
    return int(_matching(tags, name, _TIME)) if name in tags else None


def _canonical_forms(value: str) -> tuple[bool, bool]:
    """Whether header and body are relaxed, by c=."""
    forms = value.split("/")
    if len(forms) > 2 or not _FORMS.keys() >= set(forms):
        raise ValueError(f"the canonical form c={value} is unknown")
    return _FORMS[forms[0]], len(forms) == 2 and _FORMS[forms[1]]


def _matching(tags: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(tags[name]):
        raise ValueError(f"the tag {name}= is no number")
    return tags[name]
