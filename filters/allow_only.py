"""Let nobody write to an address but those on a list: addresses and domains. Others are refused before they send.

    [stage.allow_only]
    use = "filters/allow_only.py"
    recipient = "board@example.org"
    senders = ["ann@example.org", "partner.example.net"]

Stands before `queue`. The sender is what the client says; where it matters, refuse forgeries first (`authenticate`).
"""

from dataclasses import KW_ONLY, dataclass

from engine import Each, Message, Reject, Session, Verdict, domain_of

NOT_YOU = Reject("This address takes mail from its own people only", code="5.7.1")


@dataclass
class AllowOnly:
    _: KW_ONLY
    recipient: str
    senders: tuple[str, ...]

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | None:
        allowed = {sender.lower(), domain_of(sender)} & set(self.senders)
        return NOT_YOU if recipient.lower() == self.recipient.lower() and not allowed else None

    async def __call__(self, message: Message) -> Verdict:
        session, sender = message.session, message.sender
        refused = [address for address in message.recipients if self.at_recipient(session, sender, address)]
        return Each(dict.fromkeys(refused, NOT_YOU)) if refused else message
