"""Hold mail to a domain outside of business hours, so that nobody's telephone rings on Sunday.

    [stage.business_hours]
    use = "filters/business_hours.py"
    domain = "example.org"
    begin = 08:00:00
    end = 18:00:00
    days = [1, 2, 3, 4, 5]      # Monday is 1

With `begin` behind `end` they are open through the night, from the evenings of these days on. Stands behind `queue`. To
let some mail pass: `when = "not session.login"`, or a condition on a fact.
"""

from datetime import datetime, time, timedelta

from engine import Defer, Each, Message, Verdict, domain_of


async def business_hours(
    message: Message,
    *,
    domain: str,
    begin: time = time(8),
    end: time = time(18),
    days: tuple[int, ...] = (1, 2, 3, 4, 5),
) -> Verdict:
    pause = until_open(datetime.now().astimezone(), begin, end, days).total_seconds()
    theirs = [address for address in message.recipients if domain_of(address) == domain.lower()]
    if not pause or not theirs:
        return message
    held = Defer("Held until business hours", retry_after=pause)
    return Each(dict.fromkeys(theirs, held))


def until_open(now: datetime, begin: time, end: time, days: tuple[int, ...]) -> timedelta:
    """How long it is until the doors open; nothing while they are. By the machine's time zone."""
    clock, opened = now.time(), now.date()  # the day on which they have opened last
    is_open = begin <= clock < end if begin < end else not end <= clock < begin
    if begin >= end and clock < end:
        opened -= timedelta(days=1)
    if is_open and opened.isoweekday() in days:
        return timedelta(0)
    openings = (datetime.combine(now.date() + timedelta(ahead), begin).astimezone() for ahead in range(8))
    return min((when - now for when in openings if when > now and when.isoweekday() in days), default=timedelta(0))
