"""Arrivals whose client hears of each recipient by itself, as LMTP wants it (RFC 2033 4.2)."""

from collections.abc import Callable, Sequence

from engine.lanes import Course
from engine.message import Message, Recipient
from engine.runtime.journey import Arrival, Roads
from engine.verdict import Defer, Delivered, Discard, Each, Verdict


class SeparateArrival(Arrival):
    """What can be taken is, whatever becomes of the other recipients; nobody needs a bounce to hear of them.

    ``answer`` gets one verdict for all, or an ``Each`` with Delivered, Discard, Reject or Defer for every recipient.
    Where an alias is opened before `queue`, its members share one reply, so that the message fares as one by SMTP.
    """

    __slots__ = ("_tied",)

    def __init__(
        self, roads: Roads, course: Course, message: Message, hostname: str, answer: Callable[[Verdict], None]
    ) -> None:
        self._tied = False
        super().__init__(roads, course, message, hostname, answer)

    def _became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:
        self._tied |= [other.address for other in others] != [recipient.address]
        super()._became(recipient, others)

    def _decide(self) -> None:
        if self._tied:
            super()._decide()
        elif self._ready:
            self._store()
        else:
            self._finish(self._refused[0][1] if self._refused else Discard())

    def _report(self) -> list[Message]:
        return super()._report() if self._tied else []

    def _not_taken(self, message: Message, trouble: Defer) -> None:
        self._refused += [(recipient, trouble) for recipient in message.envelope.recipients]
        if self._tied or len(self._refused) == len(self._message.recipients):
            super()._not_taken(message, trouble)

    def _told(self, verdict: Verdict) -> Verdict:
        if self._tied or not self._refused:
            return verdict
        refused = {recipient.address: refusal for recipient, refusal in self._refused}
        other = verdict if isinstance(verdict, Delivered | Defer) else Discard()
        return Each({address: refused.get(address, other) for address in self._message.recipients})
