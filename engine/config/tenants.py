"""`[tenant.NAME]` and `[tenant.NAME.campaign.NAME]`: whose mail leaves here, and how much of it."""

import dataclasses
import fnmatch
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from engine.config.document import Document
from engine.config.egress import Egress, check_pool_name, named
from engine.config.errors import nearest
from engine.config.smart_hosts import SmartHost
from engine.units import Rate

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    logins: tuple[str, ...] = ()  # of the tenant, whose mail is part of it
    pool: str = ""  # of egress; empty: that of the tenant
    messages: tuple[Rate, ...] = ()  # that go out, beside those of the tenant
    recipients: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    logins: tuple[str, ...] = ()  # accounts, or domains of accounts, whose mail it is
    networks: tuple[Network, ...] = ()  # of trusted clients
    senders: tuple[str, ...] = ()  # domains in whose name trusted clients send
    header: bool = False  # whether trusted clients may name it in a header field
    weight: int = 1  # its share of what can be sent, beside other tenants
    pool: str = ""  # of egress
    smart_host: str = ""  # the table of one that takes its mail; empty: as for everybody
    messages: tuple[Rate, ...] = ()  # that go out
    recipients: tuple[Rate, ...] = ()
    when_full: Literal["wait", "refuse"] = "wait"  # what becomes of more than these
    campaigns: Mapping[str, Campaign] = field(default_factory=dict)


MOST_WEIGHT = 1000


def read_tenants(document: Document, egress: Egress, smart_hosts: Mapping[str, SmartHost]) -> dict[str, Tenant]:
    tables = document.table("tenant")
    own = {name: document.table(name, tables, f"tenant.{name}") for name in tables}
    kept = {name: {key: value for key, value in table.items() if key != "campaign"} for name, table in own.items()}
    found: dict[str, Tenant] = {}
    for name, tenant in named(document, "tenant", kept, Tenant):
        found[name] = dataclasses.replace(tenant, campaigns=_campaigns(document, f"tenant.{name}", own[name]))
        _check(document, f"tenant.{name}", found[name], egress, smart_hosts)
    _check_apart(document, "tenant", found, ("logins", "networks", "senders"))
    return found


def _campaigns(document: Document, place: str, table: Mapping[str, Any]) -> dict[str, Campaign]:
    if "campaigns" in table:
        document.problem(f"{place}.campaigns", f"unknown key; write [{place}.campaign.NAME]")
    below = document.table("campaign", table, f"{place}.campaign")
    return dict(named(document, f"{place}.campaign", below, Campaign))


def _check(
    document: Document, place: str, tenant: Tenant, egress: Egress, smart_hosts: Mapping[str, SmartHost]
) -> None:
    if not 1 <= tenant.weight <= MOST_WEIGHT:
        document.problem(f"{place}.weight", f"must be from 1 to {MOST_WEIGHT}")
    check_pool_name(document, f"{place}.pool", tenant.pool, egress)
    if tenant.smart_host and tenant.smart_host not in smart_hosts:
        text = f"there is no [smart_host.{tenant.smart_host}]{nearest(tenant.smart_host, smart_hosts)}"
        document.problem(f"{place}.smart_host", text)
    if not (tenant.logins or tenant.networks or tenant.senders or tenant.header):
        document.problem(place, "no mail is its own; write logins, networks, senders, or header = true")
    _check_logins(document, f"{place}.logins", tenant)
    for domain in tenant.senders:
        if not re.fullmatch(r"[^@\s\[\]]+", domain):
            document.problem(f"{place}.senders", f'{domain!r} is no domain; write "example.org" or "*.example.org"')
    _check_rates(document, place, tenant)
    for name, campaign in tenant.campaigns.items():
        check_pool_name(document, f"{place}.campaign.{name}.pool", campaign.pool, egress)
        _check_rates(document, f"{place}.campaign.{name}", campaign)
        _check_logins(document, f"{place}.campaign.{name}.logins", campaign)
        for login in campaign.logins:
            if not {login.lower(), f"@{login.lower().rpartition('@')[2]}"} & {one.lower() for one in tenant.logins}:
                document.problem(f"{place}.campaign.{name}.logins", f"{login} is none of the tenant's logins")
    _check_apart(document, f"{place}.campaign", tenant.campaigns, ("logins",))


def _check_logins(document: Document, place: str, whose: Tenant | Campaign) -> None:
    for login in whose.logins:
        if not re.fullmatch(r"[^@\s]*@[^@\s]+", login):
            document.problem(place, f'{login!r} is no account; write "ann@example.org" or "@example.org"')


def _check_rates(document: Document, place: str, limited: Tenant | Campaign) -> None:
    for key in ("messages", "recipients"):
        rates = getattr(limited, key)
        if len({rate.period for rate in rates}) < len(rates):
            document.problem(f"{place}.{key}", "has two rates over the same time")


def _check_apart(document: Document, place: str, tables: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Of two tenants, or campaigns, with the same login, network or domain, the second would never have mail by it."""
    for key in keys:
        owners: dict[object, str] = {}
        for name, whose in tables.items():
            for value in getattr(whose, key):
                if owners.setdefault(value, name) != name:
                    kind = place.rpartition(".")[2]
                    document.problem(f"{place}.{name}.{key}", f"{value} belongs to the {kind} {owners[value]} already")


def domain_fits(pattern: str, domain: str) -> bool:
    """Whether a domain is one of ``senders``: wildcards stand for whole names, so that none has a hole."""
    return domain == pattern.lower() or ("*" in pattern and fnmatch.fnmatchcase(domain, pattern.lower()))
