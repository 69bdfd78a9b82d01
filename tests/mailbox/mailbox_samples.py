"""Messages for the tests of the mailboxes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine import Envelope, Message, MessageId, Recipient
from engine.mailbox import MailboxOwner, Quota
from engine.mailbox.commands import Answer, Append, Appended
from engine.mailbox.layout import INBOX
from engine.mailbox.quotas import NO_QUOTA
from engine.message import Content, Octets

ANN = 1

HEADING = b"Return-Path: <bob@example.net>\r\nDelivered-To: ann@example.org\r\n"


@dataclass(frozen=True)
class Endless:
    """Content of any size that is never in memory whole; ``path``, if given, is a file that holds the same octets."""

    size: int
    path: Path | None = None
    line: bytes = b"x" * 76 + b"\r\n"

    def chunks(self) -> Iterator[bytes]:
        piece = self.line * 800
        for start in range(0, self.size, len(piece)):
            yield piece[: self.size - start]


def written(content: bytes | Content, *, prepended: bytes = b"", now: float | None = None) -> Message:
    envelope = Envelope(
        "bob@example.net", (Recipient("ann@example.org"),), prepended=prepended, arrived=1_700_000_000.0
    )
    return Message(MessageId.new(now), envelope, Octets(content) if isinstance(content, bytes) else content)


async def append(owner: MailboxOwner, *contents: bytes, mailbox: int = INBOX, quota: Quota = NO_QUOTA) -> Answer:
    messages = tuple(map(Appended, contents))
    return await owner.change(Append(account=ANN, mailbox=mailbox, messages=messages, quota=quota))
