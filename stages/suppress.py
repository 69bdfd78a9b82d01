"""Suppress: refuse to write to recipients who are on the suppression list. A pure stage."""

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from engine import Defer, Each, Message, Reject, Session, Verdict
from engine.directory import Unavailable
from engine.message import TENANT
from engine.suppression import Row
from engine.suppression import Suppressions as Store

_CODES: Mapping[str, str] = {"invalid-recipient": "5.1.1", "invalid-domain": "5.1.2", "inactive-mailbox": "5.2.1"}
"""RFC 3463. Of all other classes it is 5.7.1: we do not deliver, whatever the recipient's server would say."""

_WHY: Mapping[str, str] = {
    "invalid-recipient": "its server has said that there is no such mailbox",
    "inactive-mailbox": "its server has said that the mailbox is not used any more",
    "complaint": "the recipient has called mail of ours spam",
    "unsubscribe": "the recipient has unsubscribed",
}


@dataclass(slots=True)
class Suppress:
    """At RCPT only the list for all is known, for nobody knows a tenant then; its own counts for the whole message.

    Reports, whose sender is the null one, pass: they answer mail that the recipient has sent.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("suppression",)

    suppressions: Store
    _: KW_ONLY
    # Classes whose entries do not count in this lane: who has unsubscribed from a list still wants invoices.
    ignore: tuple[str, ...] = ()

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        from engine.bounces import is_class

        yield from (f"ignore: there is no class {name}" for name in settings.get("ignore", ()) if not is_class(name))

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | None:  # noqa: ARG002
        if not sender:
            return None
        try:
            found = self._listed(recipient, "")
        except Unavailable:  # the message will meet the same, and wait
            return None
        return refusal(recipient, found) if found else None

    async def __call__(self, message: Message) -> Verdict:
        if not message.sender:
            return message
        tenant = message.fact(TENANT)
        try:
            listed = {to: self._listed(to, tenant if isinstance(tenant, str) else "") for to in message.recipients}
        except Unavailable as error:
            return Defer("The suppression list cannot be read now", code="4.3.0", log=str(error))
        refused = {to: refusal(to, found) for to, found in listed.items() if found}
        if not refused:
            return message
        return next(iter(refused.values())) if len(listed) == 1 else Each(refused)

    def _listed(self, recipient: str, tenant: str) -> Row | None:
        found = self.suppressions.says(recipient, tenant)
        return None if found is None or found.which in self.ignore else found


def refusal(recipient: str, found: Row) -> Reject:
    """What the sender is told."""
    why = _WHY.get(found.which, "mail to it could not be delivered")
    return Reject(
        f"{recipient} is on the suppression list: {why}",
        code=_CODES.get(found.which, "5.7.1"),
        log=f"suppressed: {found.which} {found.entry}{f' ({found.tenant})' if found.tenant else ''}",
    )
