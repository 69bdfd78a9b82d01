"""iprev: whether a client's address has a name that has this address (RFC 8601 3)."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from engine.authentication.outcome import Result
from engine.net.dns import Answer, Ask, DnsTrouble, Outcome, side_by_side
from engine.net.targets import Address, address_of

NAMES_LIMIT = 10
"""Names of one address that are looked at (RFC 7208 4.6.4)."""


@dataclass(frozen=True, slots=True)
class Iprev:
    """``name``: the first of the client's names that has its address; empty without one."""

    result: Result
    ip: str
    name: str = ""
    why: str = ""


class Names(NamedTuple):
    """What the DNS says of an address: ``valid`` are those of its names, in lower case, that have this address."""

    reverse: Outcome[str]
    valid: tuple[str, ...] = ()
    trouble: str = ""  # with one of its names at least


def client_address(ip: str) -> Address:
    """The address of a client; an IPv4-mapped one is IPv4 (RFC 7208 5). ValueError."""
    address = address_of(ip)
    return getattr(address, "ipv4_mapped", None) or address


async def check(ask: Ask, ip: str) -> Iprev:
    """ValueError when ``ip`` is no address; all else is in the result."""
    address = client_address(ip)
    said = partial(Iprev, ip=str(address))
    names = await names_of(ask, address)
    if isinstance(names.reverse, DnsTrouble):
        return said(Result.TEMPERROR, why=names.reverse.text)
    if not isinstance(names.reverse, Answer):
        return said(Result.PERMERROR, why="it has no name")
    if names.valid:
        return said(Result.PASS, name=names.valid[0])
    if names.trouble:
        return said(Result.TEMPERROR, why=names.trouble)
    return said(Result.FAIL, why="none of its names has this address")


async def names_of(ask: Ask, address: Address) -> Names:
    """The names of an address, each asked for its addresses, side by side."""
    reverse = await ask(address.reverse_pointer, "PTR")
    if not isinstance(reverse, Answer):
        return Names(reverse)
    names = [name.removesuffix(".").lower() for name in reverse.records[:NAMES_LIMIT]]
    rdtype = "A" if address.version == 4 else "AAAA"
    outcomes = await side_by_side([partial(ask, name, rdtype) for name in names], ask)
    valid = [name for name, outcome in zip(names, outcomes, strict=True) if _has(outcome, address)]
    troubles = [outcome.text for outcome in outcomes if isinstance(outcome, DnsTrouble)]
    return Names(reverse, tuple(valid), troubles[0] if troubles else "")


def _has(outcome: Outcome[str], address: Address) -> bool:
    return isinstance(outcome, Answer) and address in map(address_of, outcome.records)
