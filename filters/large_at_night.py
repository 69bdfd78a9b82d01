"""Send large mail at night, when the line is free.

    [lane.remote]
    stages = ["large_at_night", "sign", "resolve", "relay"]

    [stage.large_at_night]
    use = "filters/large_at_night.py"
    limit = "10 MB"
    begin = 20:00:00
    end = 06:00:00

Stands behind `queue`, in the lane by which mail leaves.
"""

from datetime import datetime, time, timedelta

from engine import Defer, Message, Size, Verdict


async def large_at_night(
    message: Message, *, limit: Size = Size("10 MB"), begin: time = time(20), end: time = time(6)
) -> Verdict:
    pause = until_night(datetime.now().astimezone(), begin, end)
    if message.size > limit and pause:
        return Defer("Large mail leaves at night", retry_after=pause.total_seconds())
    return message


def until_night(now: datetime, begin: time, end: time) -> timedelta:
    """How long it is until the night begins; nothing in the night. By the machine's time zone."""
    clock = now.time()
    if (begin <= clock < end) if begin < end else (clock >= begin or clock < end):
        return timedelta(0)
    evening = now.date() + timedelta(days=clock >= begin)
    return datetime.combine(evening, begin).astimezone() - now
