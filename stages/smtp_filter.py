"""Give messages to a filter that speaks SMTP, and forget them: it brings back what is to go on, to another listener."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from engine import Message, Reject, Verdict
from engine.outbound.one_server import OneServer
from engine.outbound.sending import Sending
from engine.outbound.way import TlsPolicy

HOPS = 100
"""Received fields of a message that goes round in a circle (RFC 5321 6.3: a limit of at least 100)."""


@dataclass
class SmtpFilter(OneServer):
    """An after-queue content filter, as Postfix has it. See docs/other-filters.md."""

    site: ClassVar[str] = "filter"

    _: KW_ONLY
    protocol: Literal["smtp", "lmtp"] = "smtp"
    """What the filter speaks."""
    tls: TlsPolicy = "never"
    """A filter that passes on what we offer ourselves, such as STARTTLS, seldom understands it."""
    xforward: bool = True
    """Tell the filter, if it wants to know, by what session a message came."""

    def _made(self) -> Sending:
        # For the same reason no CHUNKING: a proxy would take the content for commands.
        return self._by_one(lmtp=self.protocol == "lmtp", chunking=False, forward=self.xforward)

    async def __call__(self, message: Message) -> Verdict:
        if not message.session.peer:
            return message  # a report of our own, which the way back would not relay to its recipient
        if len(message.headers("Received")) > HOPS:
            return Reject("This message goes round in a circle", code="5.4.6")
        return await super().__call__(message)
