"""What is told of messages: the policy that was found, and rows of results (RFC 9990 2.1.1)."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec

LONGEST = 255
"""Characters of a name that are kept: any domain name fits."""


class Named(Protocol):
    """What a domain says of the reports that it wants."""

    @property
    def domain(self) -> str: ...


P = TypeVar("P", bound=Named)
R = TypeVar("R", bound=Hashable)


class Published(msgspec.Struct, frozen=True, array_like=True):
    """The policy record of a domain, as its tags are named."""

    domain: str
    p: str
    sp: str
    np: str
    adkim: str
    aspf: str
    fo: str
    testing: str  # "y" or "n"
    method: str  # "treewalk" or "psl"
    rua: str


Signature: TypeAlias = tuple[str, str, str]
"""d=, s= and the result (RFC 8601 2.7.1)."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """Messages that are told together."""

    source: str  # IP address
    disposition: str  # "none", "pass", "quarantine", "reject"
    dkim: bool  # aligned, and passed
    spf: bool
    reason: str  # why the disposition is not what the owner asked for: a type of RFC 9990 2.1.7, or empty
    comment: str
    header_from: str
    envelope_from: str  # empty: the null sender
    signatures: tuple[Signature, ...]
    spf_domain: str
    spf_result: str


@dataclass(frozen=True, slots=True)
class Seen(Generic[P, R]):
    """One thing that counts, for whoever says ``published``."""

    published: P
    row: R


@dataclass(frozen=True, slots=True)
class Observed(Seen[Published, Row]):
    """A message."""
