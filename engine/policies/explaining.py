"""Which TLS holds for the mail of a domain, and why: what is found out where it is asked by hand."""

from dataclasses import dataclass
from functools import partial

from engine.net.dns import Answer, DnsTrouble, NoData, Resolver, side_by_side
from engine.policies.dane import Records
from engine.policies.finding import NOT_ASKED, Policies
from engine.policies.published import NOTHING, Published
from engine.policies.sts import Holding

NO_DOMAIN, NO_MAIL = "there is no such domain", "the domain takes no mail (RFC 7505)"
"""Troubles that no waiting mends."""


@dataclass(frozen=True, slots=True)
class Host:
    """One server of the domain."""

    preference: int
    name: str
    addresses: tuple[str, ...]
    secure: bool  # whether DNSSEC vouches for the addresses
    dane: Records | None  # None: nobody has looked
    unusable: str = ""  # why it cannot be used


@dataclass(frozen=True, slots=True)
class Explained:
    """All of it. ``trouble``: why there is nowhere to send mail to."""

    domain: str
    vouched: bool = False  # whether DNSSEC says that these are its servers
    hosts: tuple[Host, ...] = ()
    sts: Holding = NOT_ASKED
    published: Published = NOTHING
    trouble: str = ""


async def explain(resolver: Resolver, policies: Policies, domain: str, port: int, *, ipv6: bool = True) -> Explained:
    """What is found for ``domain``, in A-labels."""
    outcome = await resolver.mx(domain)
    match outcome:
        case Answer():
            named = sorted((record.preference, record.host) for record in outcome.records if record.host != ".")
        case NoData():
            named = [(0, domain)]
        case DnsTrouble():
            return Explained(domain, trouble=outcome.text)
        case _:
            return Explained(domain, trouble=NO_DOMAIN)
    if not named:
        return Explained(domain, trouble=NO_MAIL)
    asked = [partial(resolver.addresses, host, ipv6=ipv6) for _, host in named]
    answers = dict(zip([host for _, host in named], await side_by_side(asked), strict=True))
    usable = {host: answer for host, answer in answers.items() if isinstance(answer, Answer)}
    found = await policies.find(domain, usable, port, vouched=outcome.secure)
    hosts = []
    for preference, name in named:
        answer = answers[name]
        addresses = answer.records if isinstance(answer, Answer) else ()
        unusable = found.unusable.get(name, "") or ("" if addresses else "it has no address")
        secure = isinstance(answer, Answer) and answer.secure
        hosts.append(Host(preference, name, addresses, secure, found.dane.get(name), unusable))
    return Explained(domain, outcome.secure, tuple(hosts), found.sts, found.published)
