"""Mail that leaves, for tests of the ways out."""

from engine import Envelope, Message, MessageId, Recipient, Session
from engine.message import Octets


def letter(*to: str, facts: dict[str, str] | None = None) -> Message:
    recipients = tuple(map(Recipient, to or ("bob@example.net",)))
    envelope = Envelope("ann@example.org", recipients, Session(trusted=True), facts=dict(facts or {}))
    return Message(MessageId.new(), envelope, Octets(b"Subject: hello\r\n\r\nHello.\r\n"))
