"""The TLSA records of a host, where DNSSEC vouches for all that leads to them (RFC 7672 2.2, RFC 7671)."""

from typing import Any, NamedTuple

from engine.net.dns import Answer, Ask, DnsTrouble
from engine.policies.published import Dane
from engine.protocols.tlsa import RECORDS_LIMIT, Tlsa


class Records(NamedTuple):
    """What there is for one host, until when, by the resolver's clock.

    ``trouble``: nobody could say, or what was said is forged: the host must not be used (RFC 7672 2.1.2).
    """

    dane: Dane | None
    expires: float
    why: str
    trouble: str = ""


async def look_up(ask: Ask, host: str, addresses: Answer[str], port: int) -> Records:
    """The records for a port of a host that has these addresses.

    Nothing is asked where the addresses are not vouched for: what keeps such zones often breaks at the question
    (RFC 7672 2.2.1).
    """
    bases, expires = [host], addresses.expires
    if addresses.secure:
        if addresses.name not in ("", host):
            bases = [addresses.name, host]  # the end of the aliases first (RFC 7672 2.2.3)
    elif addresses.name in ("", host):
        return Records(None, expires, f"DNSSEC does not vouch for the addresses of {host}")
    else:
        # An alias may be vouched for though what it leads to is not: then only its own name counts.
        alias = await ask(host, "CNAME")
        expires = min(expires, alias.expires)
        if isinstance(alias, DnsTrouble):
            return Records(None, expires, alias.text, alias.text)
        if not (isinstance(alias, Answer) and alias.secure):
            return Records(None, expires, f"DNSSEC does not vouch for the addresses of {host}")
    for base in bases:
        outcome = await ask(f"_{port}._tcp.{base}", "TLSA")
        expires = min(expires, outcome.expires)
        if isinstance(outcome, DnsTrouble):
            return Records(None, expires, outcome.text, outcome.text)
        if isinstance(outcome, Answer) and outcome.secure:
            return Records(Dane(host, base, _read(outcome.records)), expires, f"records at _{port}._tcp.{base}")
    return Records(None, expires, f"no TLSA records for {host}")


def _read(records: tuple[Any, ...]) -> tuple[Tlsa, ...]:
    found = (Tlsa(rdata.usage, rdata.selector, rdata.mtype, bytes(rdata.cert)) for rdata in records)
    # Sorted, so that the same records are the same policy in whatever order they come.
    return tuple(sorted(found)[: 2 * RECORDS_LIMIT])
