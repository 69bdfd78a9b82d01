"""Limit rates: how much mail one sender, and one domain, may bring, and one recipient may get. A pure stage."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import trio

from engine import Defer, Message, Rate, Session, Verdict, domain_of
from engine.directory import Unavailable
from engine.login import Rates
from engine.login import Sender as Counted
from engine.observe.events import event
from engine.protocols.address import normalised

_SETTINGS = ("sender_messages", "domain_messages", "recipient_messages")


@dataclass
class LimitRates:
    """Who has logged in, or is trusted by its network, is not counted: `[stage.accept]` does that."""

    rates: Rates
    _: KW_ONLY
    # Messages from one sender, all in the name of one domain, and to one recipient: a mail bomb.
    sender_messages: tuple[Rate, ...] = ()
    domain_messages: tuple[Rate, ...] = ()
    recipient_messages: tuple[Rate, ...] = ()

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        for name in _SETTINGS:
            rates = settings.get(name, ())
            if len({rate.period for rate in rates}) < len(rates):
                yield f"{name} has two rates over the same time"

    async def at_sender(self, session: Session, sender: str) -> Defer | None:
        return await self._objection(session, self._of_sender(session, sender))

    async def at_recipient(self, session: Session, _sender: str, recipient: str) -> Defer | None:
        return await self._objection(session, self._of_recipient(session, recipient))

    async def __call__(self, message: Message) -> Verdict:
        session = message.session
        counted = self._of_sender(session, message.sender)
        for recipient in message.recipients:
            counted += self._of_recipient(session, recipient)
        if not counted:
            return message
        counted = list({(one.kind, one.name): one for one in counted}.values())
        try:
            refusal = await trio.to_thread.run_sync(self._refusal, session, counted, True)
        except Unavailable as error:
            event("rate-unknown", peer=session.peer, error=str(error))
            return message
        return refusal or message

    async def rehearse(self, message: Message) -> Verdict:
        """What would be said if it came now; it is not counted."""
        session, counted = message.session, self._of_sender(message.session, message.sender)
        for recipient in message.recipients:
            counted += self._of_recipient(session, recipient)
        return await self._objection(session, counted) or message

    async def _objection(self, session: Session, counted: list[Counted]) -> Defer | None:
        try:
            if all(self.rates.is_within(one, 1) for one in counted):
                return None
            return await trio.to_thread.run_sync(self._refusal, session, counted, False)
        except Unavailable as error:
            event("rate-unknown", peer=session.peer, error=str(error))
            return None

    def _refusal(self, session: Session, counted: list[Counted], take: bool) -> Defer | None:
        if take:
            excess = self.rates.take_all(counted, 1)
        else:
            excess = next(filter(None, (self.rates.excess(one, 1) for one in counted)), None)
        if excess is None:
            return None
        if excess.is_news:
            who = {excess.kind: excess.name}
            event(
                "limited", peer=session.peer, sender=who.get("sender"), domain=who.get("domain"),
                recipient=who.get("recipient"), what=excess.what, rate=excess.rate, until=round(excess.until),
            )  # fmt: skip
        return Defer(f"For this {excess.kind} {excess}", "4.7.1")

    def _of_sender(self, session: Session, sender: str) -> list[Counted]:
        if session.trusted or session.login or not sender:  # the empty sender is nobody's
            return []
        found = [
            Counted("sender", _lower(sender), self.sender_messages),
            Counted("domain", domain_of(sender), self.domain_messages),
        ]
        return [one for one in found if one.messages and one.name]

    def _of_recipient(self, session: Session, recipient: str) -> list[Counted]:
        if session.trusted or session.login or not self.recipient_messages:
            return []
        return [Counted("recipient", _lower(recipient), self.recipient_messages)]


def _lower(address: str) -> str:
    """The address, without a tag and in lower case: who sends a bomb writes it in many ways."""
    local, at, domain = normalised(address).rpartition("@")
    return f"{(local.partition('+')[0] or local).lower()}{at}{domain}"
