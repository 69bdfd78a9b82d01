"""Where reports go: what stands in rua=, and whether those elsewhere want them (RFC 9990 3, RFC 9989 4.7)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from engine.authentication import dmarc_record
from engine.authentication.dmarc import Method, same_organisation
from engine.net.dns import Answer, Ask, DnsTrouble, a_labels, side_by_side
from engine.protocols.address import Malformed, parse_path, split

MOST = 10
"""Addresses that one report goes to; RFC 7489 6.2 asks for two at least."""

PAGES = 3
"""Pages, each of which may let us wait."""

_MAILTO = re.compile(r"mailto:([^!?]+)(?:\?[^!]*)?(?:!([0-9]{1,15})([kmgt]?))?", re.IGNORECASE)
_PAGE = re.compile(r"https://[!-~]{1,1000}", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True)
class Destination:
    """One address. ``limit``: octets of the largest message that it takes, if it says so."""

    address: str
    limit: int | None = None

    @property
    def host(self) -> str:
        """The domain, in A-labels."""
        return a_labels(split(self.address)[1])


def addresses(uris: str) -> list[Destination]:
    """The mail addresses in rua=, in their order, each once; what is no such URI is left out."""
    found: dict[str, Destination] = {}
    for uri in uris.split(","):
        match = _MAILTO.fullmatch(uri.strip())
        address = parse_path(f"<{unquote(match[1])}>", null_ok=False, utf8=False) if match else None
        if not match or address is None or isinstance(address, Malformed) or "@[" in address or "@" not in address:
            continue
        limit = int(match[2]) * _UNITS[match[3].lower()] if match[2] else None
        found.setdefault(address, Destination(address, limit))
    return [*found.values()][:MOST]


def pages(uris: str) -> list[str]:
    """The places in the web in rua=, in their order, each once (RFC 8460 3)."""
    found = (uri.strip() for uri in uris.split(","))
    return [*dict.fromkeys(uri for uri in found if _PAGE.fullmatch(uri))][:PAGES]


async def confirmed(ask: Ask, domain: str, uris: str, method: Method) -> tuple[list[Destination], bool]:
    """Those in ``uris`` that may be sent reports about ``domain``, and whether the DNS would not say so of others."""
    found = await side_by_side([partial(_confirmed, ask, domain, one, method) for one in addresses(uris)])
    wanted = {one.address: one for some in found for one in some or ()}
    return [*wanted.values()][:MOST], None in found


async def _confirmed(ask: Ask, domain: str, wanted: Destination, method: Method) -> Sequence[Destination] | None:
    """The destination, or those that its own domain wants instead; None where the DNS would not say."""
    host = wanted.host
    own = host == domain or await same_organisation(ask, domain, host, method)
    if own is None:
        return None
    if own:
        return [wanted]
    name = f"{domain}._report._dmarc.{host}"
    outcome = await ask(name, "TXT") if len(name) <= 253 else None
    if isinstance(outcome, DnsTrouble):
        return None
    records = outcome.records if isinstance(outcome, Answer) else ()
    overriding = dmarc_record.reporting(records)
    if overriding is None:
        return []
    instead = addresses(overriding)
    return [one for one in instead if one.host == host] if instead else [wanted]
