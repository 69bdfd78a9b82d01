"""The DMARC record as it is written (RFC 9989 4.7, RFC 7489 6.3)."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

RECORD_LIMIT = 4096
"""Octets of a record that are read: there are a dozen tags."""

_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_URI = re.compile(r"[ \t]*[A-Za-z][A-Za-z0-9+.-]*:[^\s,!]+(?:![0-9]+[kmgt]?)?[ \t]*", re.IGNORECASE)


class Policy(enum.StrEnum):
    """What to do with mail that fails, from the mildest to the strictest."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def milder(self) -> "Policy":
        """One step less (RFC 9989 4.7 t=, RFC 7489 6.6.4)."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE

    @property
    def strictness(self) -> int:
        return list(Policy).index(self)


@dataclass(frozen=True, slots=True)
class Record:
    """One record. ``policy`` is None where the record is so broken that no policy can be read out of it."""

    policy: Policy | None
    subdomains: Policy = Policy.NONE
    nonexistent: Policy = Policy.NONE
    strict_dkim: bool = False
    strict_spf: bool = False
    suffix: str = "u"  # psd=: "y" a public suffix, "n" an organisation, "u" nothing is said
    testing: bool = False  # t=y
    percent: int = 100  # pct=, which RFC 9989 has dropped
    reports: str = ""  # rua=, empty where no address in it can be read
    failures: str = "0"  # fo=


def select(texts: Sequence[bytes]) -> Record | None:
    """The record of a name out of its TXT records; several are none (RFC 9989 4.10)."""
    found = [text for text in (octets[:RECORD_LIMIT].decode("latin-1") for octets in texts) if _VERSION.match(text)]
    return _parsed(found[0]) if len(found) == 1 else None


def reporting(texts: Sequence[bytes]) -> str | None:
    """The rua= of the records by which a domain lets reports about others come to it, empty where none has one; None
    where there is no such record (RFC 9990 4)."""
    found = [text for text in (octets[:RECORD_LIMIT].decode("latin-1") for octets in texts) if _VERSION.match(text)]
    return next(filter(None, (_parsed(text).reports for text in found)), "") if found else None


@lru_cache(maxsize=512)
def _parsed(text: str) -> Record:
    """Tags that cannot be understood are as if they were not there; of a tag that is there twice the first counts."""
    tags: dict[str, str] = {}
    for spec in text.split(";"):
        name, equals, value = spec.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    lower = {name: value.lower() for name, value in tags.items()}
    policies = _policies(lower)
    reports = tags.get("rua", "")
    if not any(map(_URI.fullmatch, reports.split(","))):
        reports = ""
    if policies is None and reports:
        policies = (Policy.NONE,) * 3  # the owner wants reports (RFC 9989 4.10.1)
    policy, subdomains, nonexistent = policies or (None, Policy.NONE, Policy.NONE)
    percent = lower.get("pct", "")
    return Record(
        policy=policy,
        subdomains=subdomains,
        nonexistent=nonexistent,
        strict_dkim=lower.get("adkim") == "s",
        strict_spf=lower.get("aspf") == "s",
        suffix=lower["psd"] if lower.get("psd") in ("y", "n") else "u",
        testing=lower.get("t") == "y",
        percent=int(percent) if re.fullmatch(r"[0-9]{1,2}", percent) else 100,
        reports=reports,
        failures=lower.get("fo", "0"),
    )


def _policies(tags: dict[str, str]) -> tuple[Policy, Policy, Policy] | None:
    """p=, sp= and np=, each of which takes the place of the next; None if p= is missing or one of them is wrong."""
    policy = tags.get("p", "")
    subdomains = tags.get("sp", policy)
    nonexistent = tags.get("np", subdomains)
    try:
        return Policy(policy), Policy(subdomains), Policy(nonexistent)
    except ValueError:
        return None
