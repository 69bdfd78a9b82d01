"""Which source a message leaves from: by its shares, and the same one at each attempt."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from engine.config import EgressSource, Family

Target: TypeAlias = tuple[str, str]
"""(host, address)."""


def order(identity: bytes, shares: Mapping[str, int]) -> list[str]:
    """The sources of a pool in the order in which this message tries them, by weighted rendezvous hashing.

    A message keeps its source for as long as that may be used, whatever becomes of others: a server that greylists
    knows a client by its address. Over many messages each source is first as often as its share says, without any
    memory.
    """
    return sorted(shares, key=lambda name: _distance(identity, name) / shares[name])


def _distance(identity: bytes, name: str) -> float:
    """Exponentially distributed: the smallest of several, each divided by a weight, falls to each by its weight."""
    digest = hashlib.blake2b(name.encode(), key=identity, digest_size=8).digest()
    return -math.log((int.from_bytes(digest, "big") + 0.5) / 2**64)


def reachable(targets: Sequence[Target], source: EgressSource, family: Family) -> list[Target]:
    """Those targets that can be reached from the source, in their order, in which the families alternate."""
    families = {kind for kind in ("ipv4", "ipv6") if family in ("any", kind) and source.serves(kind)}
    return [target for target in targets if _family(target[1]) in families]


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"
