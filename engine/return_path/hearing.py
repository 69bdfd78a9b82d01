"""What has become known of recipients by what came back, for whoever wants to hear: the suppression list for one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.delivery_status import Status


@dataclass(frozen=True, slots=True)
class Bounce:
    """One recipient of a message of ours, of whom a report came to an address that we had signed.

    ``message`` are the first characters of the message's id, ``sent`` is its Unix time. ``recipient`` is as the address
    names it, in lower case perhaps; where that had no room, as the report does. ``message_id`` is the field, if told.
    """

    recipient: str
    message: str
    sent: float
    status: Status
    reporter: str = ""
    envelope_id: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Somebody has complained about a message of ours.

    ``kind`` is the word of RFC 5965 7.3. ``recipient`` is empty where it is not known. ``proven``: it is known by
    what we have signed, or from somebody whom we believe. ``message`` are the first characters of the message's id,
    or all of it; ``message_id`` is the field.
    """

    kind: str
    recipient: str
    proven: bool
    message: str = ""
    sent: float = 0.0
    agent: str = ""
    reporter: str = ""
    message_id: str = ""


Listener: TypeAlias = Callable[[Bounce], Awaitable[None]]
Complainer: TypeAlias = Callable[[Complaint], Awaitable[None]]


@dataclass
class Hearing:
    """Those who hear. An error of one of them defers the report, so that it is read, and told to all, again."""

    listeners: list[Listener] = field(default_factory=list)
    complainers: list[Complainer] = field(default_factory=list)

    async def tell(self, bounce: Bounce) -> None:
        for listener in self.listeners:
            await listener(bounce)

    async def complain(self, complaint: Complaint) -> None:
        for complainer in self.complainers:
            await complainer(complaint)
