"""The stage `enqueue` with scripts, for tests: what it puts where, and what it answers."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine import Envelope, Message, MessageId, Recipient, Verdict
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import ActivateScript, PutScript
from engine.mailbox.flags import SYSTEM
from engine.message import Octets
from engine.sorting import Sorter
from stages.enqueue import Enqueue

ANN, BEN, STRANGER = "ann@example.org", "ben@example.org", "sue@example.net"
IDS = {ANN: 1, BEN: 2}
OFFICE = {(ANN, ANN), (BEN, BEN), (ANN, "office@example.org")}
"""Who may send in whose name."""

LETTER = (
    b"From: Sue <sue@example.net>\r\nTo: ann@example.org\r\nSubject: hi\r\nMessage-ID: <1@example.net>\r\n\r\nHello\r\n"
)


@dataclass(frozen=True)
class Account:
    id: int
    address: str
    folder: int = 0


class Directory:
    limiter = None

    def account(self, address: str) -> Account | None:
        return Account(IDS[address], address) if address in IDS else None


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Office:
    def __init__(self, owner: MailboxOwner) -> None:
        self.owner = owner
        self.clock = owner._clock = Clock()
        self.sorter = Sorter(owner, "mx.example.org", lambda account, name: (account, name) in OFFICE, clock=self.clock)
        self.enqueue = Enqueue(owner, Directory(), self.sorter)  # type: ignore[arg-type]

    async def script(self, text: str, address: str = ANN, name: str = "main") -> None:
        """Let this be the active script; one of another name is only there."""
        put = PutScript(account=IDS[address], name=name, content=text.encode(), most=9, room=10**6)
        assert (await self.owner.change(put)).problem is None
        if name == "main":
            await self.owner.change(ActivateScript(account=IDS[address], name=name))

    async def deliver(self, message: Message | None = None) -> Verdict:
        return await self.enqueue(message or letter())

    def folders(self, address: str = ANN) -> dict[str, int]:
        """How many messages each folder has that has any."""
        found = self.owner.reader.folders(IDS[address])
        return {one.name: one.status.messages for one in found if one.status and one.status.messages}

    def read(self, folder: str = "INBOX", address: str = ANN) -> bytes:
        """The first message in a folder."""
        reader, account = self.owner.reader, IDS[address]
        found = reader.folder(account, folder)
        assert found is not None
        return b"".join(reader.chunks(account, 1, found.number))

    def flags(self, folder: str = "INBOX", address: str = ANN) -> set[str]:
        """Those of the first message in a folder."""
        reader, account = self.owner.reader, IDS[address]
        found = reader.folder(account, folder)
        view = reader.select(account, found.number) if found else None
        assert view is not None
        system = {name for name, bit in SYSTEM.items() if view.flags[0] & bit}
        return system | {name for bit, name in enumerate(view.keywords) if view.bits[0] >> bit & 1}


def letter(
    *recipients: str | Recipient, sender: str = STRANGER, content: bytes = LETTER, prepended: bytes = b"", **facts: Any
) -> Message:
    to = tuple(one if isinstance(one, Recipient) else Recipient(one) for one in recipients or (ANN,))
    envelope = Envelope(sender, to, prepended=prepended, facts=MappingProxyType(facts))
    return Message(MessageId.new(), envelope, Octets(content))
