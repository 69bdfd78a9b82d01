"""Put off mail from outside while too many messages have the same subject, whatever their numbers and prefixes.

    [stage.subject_flood]
    use = "filters/subject_flood.py"
    most = "20/10m"

Stands before `queue`. Each mail worker counts for itself, in memory.
"""

import re
import time
from collections import OrderedDict, deque
from dataclasses import KW_ONLY, dataclass, field

from engine import Defer, Message, Rate, Verdict
from engine.mime.subjects import base_subject

REMEMBERED = 10_000
"""Subjects that are counted at once; then the one that has not come for longest is forgotten."""


@dataclass
class SubjectFlood:
    _: KW_ONLY
    most: Rate = Rate("20/10m")
    _seen: OrderedDict[str, deque[float]] = field(init=False, repr=False, default_factory=OrderedDict)

    async def __call__(self, message: Message) -> Verdict:
        subject = re.sub(r"[\W\d_]+", " ", base_subject(message.header("Subject") or "").text.lower()).strip()
        if not subject or message.session.trusted:
            return message
        now = time.monotonic()
        times = self._seen.setdefault(subject, deque(maxlen=self.most.most))
        self._seen.move_to_end(subject)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if len(times) == self.most.most and now - times[0] < self.most.period:
            return Defer("Too many messages like this one, come again later", code="4.7.0")
        times.append(now)
        return message
