"""Returned mail: what comes back to the addresses of VERP is read, and told. A pure stage."""

import time
from collections.abc import Iterable, Iterator

import trio

from engine import Discard, Each, Message, Verdict
from engine.delivery_status import Notice, Status, read
from engine.delivery_status.reading import LIMIT
from engine.observe.events import event
from engine.protocols.address import normalised
from engine.protocols.dsn import ACTIONS
from engine.return_path import Returned, ReturnPaths
from engine.return_path.hearing import Bounce, Hearing

LARGE = 256 * 1024
"""Octets of a report from which on it is read in a thread."""


class ReturnedMail:
    """Reports on mail that went out from an address for its recipient alone are tied to that recipient and message.

    What was read ends here, if `[verp] keep` does not say that it goes on to the mailbox of `[verp] address`. What is
    no report that can be read does go there: answers of robots, and questions of people.
    """

    acts_on = ("verp",)

    def __init__(self, returns: ReturnPaths, hearing: Hearing) -> None:
        self._returns = returns
        self._hearing = hearing

    async def __call__(self, message: Message) -> Verdict:
        verp, opened = self._returns.verp, self._opened(message)
        if verp is None or not opened:
            return message
        notice = await _read(message)
        if notice is None:
            for address, found in opened.items():
                event("returned-unread", id=message.id, to=address, recipient=found.recipient, message=found.message)
            return message
        for found in opened.values():
            for bounce in _bounces(found, notice):
                _say(message, notice, bounce)
                await self._hearing.tell(bounce)
        return message if verp.keep else _read_up(opened)

    async def rehearse(self, message: Message) -> Verdict:
        """The same, and nobody is told of a bounce."""
        verp, opened = self._returns.verp, self._opened(message)
        if verp is None or verp.keep or not opened or await _read(message) is None:
            return message
        return _read_up(opened)

    def _opened(self, message: Message) -> dict[str, Returned]:
        """What the addresses stand for that are ours for bounces."""
        verp, now = self._returns.verp, time.time()
        if verp is None:
            return {}
        return {address: found for address in message.recipients if (found := verp.open(address, now))}


def _read_up(addresses: Iterable[str]) -> Each:
    return Each(dict.fromkeys(addresses, Discard("a report that was read")))


async def _read(message: Message) -> Notice | None:
    octets = b""
    for chunk in message.chunks():
        octets += chunk
        if len(octets) >= LIMIT:
            break
    return await trio.to_thread.run_sync(read, octets) if len(octets) > LARGE else read(octets)


def _bounces(found: Returned, notice: Notice) -> Iterator[Bounce]:
    """What the report says of whom the address names; of all of whom it speaks where the address names nobody."""
    said = [_about(found.recipient, notice)] if found.recipient else notice.recipients
    for status in said:
        yield Bounce(
            found.recipient or status.original or status.recipient,
            found.message,
            found.time,
            status,
            notice.reporter,
            notice.envelope_id,
            notice.message_id,
        )


def _about(recipient: str, notice: Notice) -> Status:
    """What is said of a recipient; the worst that is said of anybody, where it is known by another name there."""
    name = normalised(recipient).lower()
    named = [
        one
        for one in notice.recipients
        if name in (normalised(one.recipient).lower(), normalised(one.original).lower())
    ]
    return min(named or notice.recipients, key=lambda one: ACTIONS.index(one.action))


def _say(message: Message, notice: Notice, bounce: Bounce) -> None:
    status = bounce.status
    event(
        "returned",
        id=message.id,
        recipient=bounce.recipient,
        message=bounce.message,
        action=status.action,
        status=status.status,
        diagnostic=status.diagnostic or None,
        remote=status.remote or None,
        reporter=notice.reporter or None,
        form=notice.form,
        message_id=notice.message_id or None,
        envelope_id=notice.envelope_id or None,
    )
