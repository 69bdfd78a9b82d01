"""Whose mail a message is, and what its tenant and its campaign may send."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.config import Campaign, Tenant
from engine.config.tenants import domain_fits
from engine.message import Message, Session
from engine.net.targets import address_of
from engine.units import Rate

_CAMPAIGN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

NOTHING = Campaign()


@dataclass(frozen=True)
class Tenants:
    """All of them, by name."""

    by_name: Mapping[str, Tenant] = field(default_factory=dict)

    def of(self, message: Message, named: str) -> str:
        """The tenant of a message, in which a header field may have ``named`` one; empty: it is nobody's.

        A login or a network that belongs to a tenant has the last word, so that nobody sends at the cost of another.
        Strangers' mail is no tenant's, whatever it says.
        """
        session = message.session
        if bound := self._bound(session):
            return bound
        if not session.trusted:
            return ""
        if named in self.by_name and self.by_name[named].header:
            return named
        domain = message.sender.rpartition("@")[2].lower()
        return next((name for name, tenant in self.by_name.items() if _is_theirs(domain, tenant)), "")

    def _bound(self, session: Session) -> str:
        login, peer = session.login.lower(), session.peer
        domain = f"@{login.rpartition('@')[2]}"
        for wanted in (login, domain) if login else ():
            for name, tenant in self.by_name.items():
                if wanted in map(str.lower, tenant.logins):
                    return name
        if not (session.trusted and peer):
            return ""
        address = address_of(peer)
        return next(
            (name for name, tenant in self.by_name.items() if any(address in network for network in tenant.networks)),
            "",
        )

    def campaign_of(self, tenant: str, message: Message, named: str) -> str:
        """The campaign of a tenant's message, in which a header field may have ``named`` one; empty: it is of none.

        A login that belongs to one has the last word, as it has for tenants.
        """
        found = self.by_name.get(tenant)
        if found is None:
            return ""
        login = message.session.login.lower()
        for wanted in (login, f"@{login.rpartition('@')[2]}") if login else ():
            for name, campaign in found.campaigns.items():
                if wanted in map(str.lower, campaign.logins):
                    return name
        return campaign_named(named)

    def campaign(self, tenant: str, campaign: str) -> Campaign:
        """What holds for a campaign; nothing in particular for one that has no table."""
        found = self.by_name.get(tenant)
        return found.campaigns.get(campaign, NOTHING) if found else NOTHING

    def pool(self, tenant: str, campaign: str) -> str:
        """The pool that the mail leaves by; empty: as for everybody."""
        found = self.by_name.get(tenant)
        return self.campaign(tenant, campaign).pool or (found.pool if found else "")

    def costs(self, tenant: str, campaign: str, recipients: int) -> list[tuple[str, Rate, int]]:
        """What a message to so many takes from each rate: its name, the rate, how much."""
        found = self.by_name.get(tenant)
        if found is None:
            return []
        own = self.campaign(tenant, campaign)
        return [*_costs(f"tenant/{tenant}", found, recipients), *_costs(f"tenant/{tenant}/{campaign}", own, recipients)]

    def line(self, tenant: str, campaign: str) -> str:
        """The line in which mail waits for them: a campaign with rates of its own holds up no other."""
        own = self.campaign(tenant, campaign)
        return f"tenant/{tenant}/{campaign}" if own.messages or own.recipients else f"tenant/{tenant}"


def weights(tenants: Mapping[str, Tenant]) -> dict[str, int]:
    """The share of each tenant in what can be sent."""
    return {name: tenant.weight for name, tenant in tenants.items()}


def campaign_named(text: str) -> str:
    """The campaign that a header field names; empty for what is no name."""
    return text if _CAMPAIGN.fullmatch(text) else ""


def _is_theirs(domain: str, tenant: Tenant) -> bool:
    return bool(domain) and any(domain_fits(pattern, domain) for pattern in tenant.senders)


def _costs(name: str, limited: Tenant | Campaign, recipients: int) -> list[tuple[str, Rate, int]]:
    return [
        *((f"{name}/messages", rate, 1) for rate in limited.messages),
        *((f"{name}/recipients", rate, recipients) for rate in limited.recipients),
    ]
