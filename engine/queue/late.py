"""When mail is late: when its sender is told, when it expires, when what stands in line is looked at by itself."""

import math
from collections.abc import Callable

from engine.config import Queue
from engine.message import Envelope
from engine.queue.lines import Lines
from engine.queue.outcomes import LATE, SOONEST
from engine.queue.store import Record


class Late:
    """By the settings in force. All times are Unix times in seconds."""

    def __init__(self, settings: Callable[[], Queue], lines: Lines) -> None:
        self._settings = settings
        self._lines = lines

    def expires(self, envelope: Envelope, domain: str) -> float:
        """When a message goes out for the last time, if the line that it stands in has not moved by then."""
        return envelope.begun + self._lines.age(domain, self._settings().expire)

    def warns(self, envelope: Envelope) -> float:
        """When the sender is told that it is late; infinity: never."""
        if not envelope.sender:
            return math.inf
        delay, timing = self._settings().delay_warning, envelope.timing
        when = envelope.begun + delay if delay else math.inf
        return min(when, timing.by) if timing.by and not timing.returns else when

    def is_to_be_told(self, record: Record, now: float) -> bool:
        """Whether the sender is to hear of it now. Not when it is looked at late itself, after a long stop or a jump of
        the clock that may be an error: then at the next look."""
        when = self.warns(record.envelope)
        return not record.warned and when <= now and (now - record.due <= LATE or record.due > when + LATE)

    def look(self, envelope: Envelope, expires: float, *, warned: bool) -> float:
        """When a message that stands in line is looked at by itself: its sender is told, or it goes out whatever its
        line does."""
        when = expires + SOONEST
        if envelope.timing.returns:
            when = min(when, envelope.timing.by)
        return when if warned else min(when, self.warns(envelope))
