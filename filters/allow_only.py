"""Let nobody write to an address but those on a list: addresses and domains. Others are refused before they send.

    [stage.allow_only]
    use = "filters/allow_only.py"
    recipient = "board@example.org"
    senders = ["ann@example.org", "partner.example.net"]

Stands before `queue`. The sender is what the client says; where it matters, refuse forgeries first (`authenticate`).
Tagged addresses, `board+x@example.org`, are guarded too; an alias that leads there needs a stage of its own. Bounces
have no sender, and do not come by.
"""

from dataclasses import KW_ONLY, dataclass

from engine import Each, Message, Reject, Session, Verdict, domain_of
from engine.protocols.address import normalised, normalised_domain

NOT_YOU = Reject("This address takes mail from its own people only", code="5.7.1")


@dataclass
class AllowOnly:
    _: KW_ONLY
    recipient: str
    senders: tuple[str, ...]

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | None:
        if same(recipient) != same(self.recipient):
            return None
        theirs = {normalised(one).lower() if "@" in one else normalised_domain(one) for one in self.senders}
        return None if theirs & {normalised(sender).lower(), domain_of(sender)} else NOT_YOU

    async def __call__(self, message: Message) -> Verdict:
        session, sender = message.session, message.sender
        refused = [address for address in message.recipients if self.at_recipient(session, sender, address)]
        return Each(dict.fromkeys(refused, NOT_YOU)) if refused else message


def same(address: str) -> str:
    """An address as the mailbox is found by it: without needless quotes, in lower case, without a tag."""
    local, at, domain = normalised(address).lower().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"
