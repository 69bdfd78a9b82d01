"""The names that a client goes by: of its address in the DNS, in HELO, and in the domain of a sender."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from engine.authentication.iprev import client_address, names_of
from engine.net.dns import Answer, Ask, DnsTrouble, Mx, NoSuchName, Outcome, side_by_side
from engine.net.targets import address_of
from engine.protocols.address import normalised_domain

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a name. ``status``: subject and detail of the enhanced code (RFC 3463)."""

    status: str
    text: str


Flaws = dict[str, Flaw]

OF_ADDRESS = ("client_without_name", "client_unconfirmed")
OF_HELO = ("helo_malformed", "helo_not_fqdn", "helo_wrong_literal", "helo_ours", "helo_unknown")
OF_SENDER = ("sender_not_fqdn", "sender_unknown", "sender_null_mx")
FLAWS = (*OF_ADDRESS, *OF_HELO, *OF_SENDER)
"""Names of all that may be wrong."""

_REVERSE = "7.25"  # RFC 7372 3.3: reverse DNS validation failed
_SENDER = "1.8"  # RFC 3463 3.2: bad sender's system address
_NULL_MX = "7.27"  # RFC 7505 4.2
_POLICY = "7.1"


async def of_address(ask: Ask, peer: str) -> tuple[Flaws, str]:
    """What is wrong with the names that the DNS has of an address, and the one that leads back to it, or ""."""
    names = await names_of(ask, client_address(peer))
    if names.valid:
        return {}, names.valid[0]
    if isinstance(names.reverse, DnsTrouble) or names.trouble:
        return {}, ""
    if isinstance(names.reverse, Answer):
        return {"client_unconfirmed": Flaw(_REVERSE, f"No name of {peer} in the DNS has this address")}, ""
    return {"client_without_name": Flaw(_REVERSE, f"{peer} has no name in the DNS")}, ""


async def of_helo(ask: Ask, helo: str, peer: str, ours: str, wanted: Collection[str]) -> Flaws:
    """What is wrong with the name in HELO or EHLO; the DNS is asked only where that is wanted."""
    if helo.startswith("["):
        return _of_literal(helo, peer)
    if not _HOST.fullmatch(helo):
        return {"helo_malformed": Flaw(_POLICY, f"{helo} is no host name, and your HELO should have one")}
    name = helo.rstrip(".").lower()
    if name == ours.lower():
        return {"helo_ours": Flaw(_POLICY, f"{helo} is the name of this server, and not yours")}
    if "." not in name or name.rpartition(".")[2].isdigit():
        return {"helo_not_fqdn": Flaw(_POLICY, f"{helo} is no complete host name, and your HELO should have one")}
    if "helo_unknown" in wanted and await _is_unknown(ask, name):
        return {"helo_unknown": Flaw(_POLICY, f"{helo} is not in the DNS, and the name in your HELO should be")}
    return {}


async def of_sender(ask: Ask, domain: str) -> Flaws:
    """What is wrong with the domain of a sender; nothing with none, nor with an address literal."""
    if not domain or domain.startswith("["):
        return {}
    if "." not in domain:
        return {"sender_not_fqdn": Flaw(_SENDER, f"{domain} is no complete domain")}
    mx = await ask(domain, "MX")
    if isinstance(mx, Answer):
        if _is_null(mx):
            return {"sender_null_mx": Flaw(_NULL_MX, f"{domain} takes no mail (null MX), so none can be from it")}
        return {}
    if isinstance(mx, DnsTrouble) or not await _is_unknown(ask, domain, ("A", "AAAA")):
        return {}
    return {"sender_unknown": Flaw(_SENDER, f"The domain {domain} has no MX, A or AAAA record")}


def _of_literal(helo: str, peer: str) -> Flaws:
    """RFC 5321 4.1.3: where the client has no name, its address in brackets."""
    literal = normalised_domain(helo).removeprefix("[ipv6:").removeprefix("[IPv6:").strip("[]")
    try:
        found = address_of(literal)
    except ValueError:
        return {"helo_malformed": Flaw(_POLICY, f"{helo} is no address literal (RFC 5321 4.1.3)")}
    if client_address(str(found)) == client_address(peer):
        return {}
    return {"helo_wrong_literal": Flaw(_POLICY, f"{helo} is not your address, which is {peer}")}


async def _is_unknown(ask: Ask, domain: str, rdtypes: tuple[str, ...] = ("A", "AAAA", "MX")) -> bool:
    """Whether the DNS is sure that the domain has none of these records."""
    outcomes: list[Outcome[object]] = await side_by_side([partial(ask, domain, rdtype) for rdtype in rdtypes])
    if any(isinstance(outcome, NoSuchName) for outcome in outcomes):
        return True
    return not any(isinstance(outcome, Answer | DnsTrouble) for outcome in outcomes)


def _is_null(mx: Answer[Mx]) -> bool:
    """RFC 7505 3: the root, as the only MX."""
    return [record.host for record in mx.records] == ["."]
