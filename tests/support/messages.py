"""Messages for tests."""

from engine import Envelope, Message, MessageId, Recipient
from engine.message import Content, Octets

LETTER = b"From: a@sender.test\r\nSubject: hello\r\n\r\nhello\r\n"


def message(
    *recipients: str,
    content: Content | bytes = LETTER,
    sender: str = "a@sender.test",
    identity: MessageId | None = None,
    arrived: float = 1000.0,
) -> Message:
    """A message to the recipients, or to one."""
    to = tuple(map(Recipient, recipients or ("b@rcpt.test",)))
    octets = Octets(content) if isinstance(content, bytes) else content
    return Message(identity or MessageId.new(arrived), Envelope(sender, to, arrived=arrived), octets)
