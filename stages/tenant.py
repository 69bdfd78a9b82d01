"""Tenant: whose mail it is that leaves here, and which campaign it belongs to. A pure stage, before `queue`."""

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from engine import Message, Verdict
from engine.egress import Egress
from engine.message import CAMPAIGN, TENANT

_FIELD = re.compile(r"[!-9;-~]+")


@dataclass
class Tenant:
    """Leaves the facts ``tenant.name`` and ``tenant.campaign`` on mail of those whom `[tenant.NAME]` describes.

    It is put off at the door where the tenant has sent as much as it may, and wants to hear of that.
    """

    leaves: ClassVar = ("tenant.name", "tenant.campaign")
    acts_on: ClassVar[tuple[str, ...]] = ("tenant",)

    egress: Egress
    _: KW_ONLY
    tenant_header: str = "X-Tenant"
    campaign_header: str = "X-Campaign"
    remove_headers: bool = True
    """Before the mail goes on: they are nobody else's business."""

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        for key in ("tenant_header", "campaign_header"):
            name = settings.get(key, "")
            if name and not _FIELD.fullmatch(name):
                yield f"{key} = {name!r} is no name of a header field (RFC 5322 2.2)"

    async def __call__(self, message: Message) -> Verdict:
        tenant = self.egress.tenants.of(message, self._said(message, self.tenant_header))
        campaign = self.egress.tenants.campaign_of(tenant, message, self._said(message, self.campaign_header))
        if refusal := await self.egress.refusal(message, tenant, campaign):
            return refusal
        return self._marked(message, tenant, campaign)

    async def rehearse(self, message: Message) -> Verdict:
        """What it has sent by now counts for nothing, and it is not counted."""
        tenant = self.egress.tenants.of(message, self._said(message, self.tenant_header))
        campaign = self.egress.tenants.campaign_of(tenant, message, self._said(message, self.campaign_header))
        return self._marked(message, tenant, campaign)

    def _marked(self, message: Message, tenant: str, campaign: str) -> Message:
        facts = {TENANT: tenant, CAMPAIGN: campaign}
        marked = message.with_facts({name: value for name, value in facts.items() if value})
        return self._without_headers(marked) if self.remove_headers else marked

    def _said(self, message: Message, name: str) -> str:
        return (message.header(name) or "").strip() if name else ""

    def _without_headers(self, message: Message) -> Message:
        for name in filter(None, (self.tenant_header, self.campaign_header)):
            message = message.without_fields(name, lambda _: True)
        return message
