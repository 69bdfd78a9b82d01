"""Where a message waits that has to: in the line of its domain, in that of a busy site, or by itself."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from engine.message import Recipient
from engine.observe.events import event
from engine.queue.delivery import Delivery
from engine.queue.late import Late
from engine.queue.lines import Lines
from engine.queue.outcomes import Outcomes
from engine.queue.store import Record
from engine.verdict import Defer


class Wait(NamedTuple):
    """The line, when that has its turn, and whether this is news; without a line, by itself."""

    line: str = ""
    turn: float = 0.0
    is_news: bool = False
    is_busy: bool = False


ALONE = Wait()

SITES = 10
"""Sites of one message that are remembered."""


class Waits:
    """Finds it by the outcomes. ``expire``: the age in seconds at which mail expires of which nothing else is said."""

    def __init__(self, lines: Lines, late: Late, expire: Callable[[], float]) -> None:
        self._lines = lines
        self._late = late
        self._expire = expire

    def place(self, delivery: Delivery, outcomes: Outcomes, new: Record, now: float) -> tuple[Record, Wait]:
        """Where a message waits that has to: in a line, or by itself. The old record, if it stands where it stood."""
        old, turn, timing = delivery.record, new.due, new.envelope.timing
        new = replace(new, sites=_sites(delivery, outcomes) or old.sites)
        expires = self._late.expires(new.envelope, delivery.domain)
        if name := outcomes.held:
            first = outcomes.waiting[0][1]
            expires = first.expires or expires
            due = self._late.look(new.envelope, expires, warned=new.warned) if expires > now else turn
            new = replace(new, line=name, due=due)
            wait = self._hold(delivery, name, outcomes.waiting)
            if wait.line and replace(new, due=old.due, decided=old.decided, reason=old.reason) == old:
                return old, wait
            return (new, wait) if wait.line else (replace(new, line="", due=turn), wait)
        if domain := outcomes.unreached:
            is_news = self._unreached(delivery, domain, turn, outcomes.waiting[0][1], now)
            expires = self._late.expires(new.envelope, domain)
            due = self._late.look(new.envelope, expires, warned=new.warned) if expires > now else turn
            return replace(new, line=domain, due=due), Wait(domain, turn, is_news)
        if timing.by > now:  # then it is returned, or its sender told
            new = replace(new, due=min(turn, timing.by))
        return new, ALONE

    def _hold(self, delivery: Delivery, name: str, waiting: Sequence[tuple[Recipient, Defer]]) -> Wait:
        """There was no slot for a message: have the line of that name rest."""
        is_first = not self._lines.is_busy(name)
        rest = min(verdict.retry_after or 0.0 for _, verdict in waiting)
        line = self._lines.held(name, delivery, rest)
        if line is None:
            return ALONE
        if is_first:
            event("line-held", line=name, text=waiting[0][1].text, again=round(rest, 1))
        return Wait(name, line.until, is_news=is_first, is_busy=True)

    def _unreached(self, delivery: Delivery, domain: str, turn: float, verdict: Defer, now: float) -> bool:
        """No server of the domain can be spoken to until ``turn``. Whether that is news."""
        expires, begun = verdict.expires, delivery.record.envelope.begun
        age = self._expire() if expires is None else expires - begun
        if not self._lines.unreached(domain, delivery.line, turn, age, now):
            return False
        event("unreached", domain=domain, remote=verdict.remote or None, text=verdict.text, again=round(turn - now, 1))
        return True


def _sites(delivery: Delivery, outcomes: Outcomes) -> tuple[str, ...]:
    """Where it was to go, for those who wait, as far as the attempt got."""
    found = (delivery.sites.get(recipient.address, "") for recipient, _ in outcomes.waiting)
    return tuple(dict.fromkeys(filter(None, found)))[:SITES]
