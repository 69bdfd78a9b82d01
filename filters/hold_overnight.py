"""Hold mail from one domain in the evening; it goes on by itself in the morning. Stands behind `queue`."""

from datetime import datetime, time, timedelta

from engine import Defer, Message, Verdict, domain_of


async def hold_overnight(message: Message, *, domain: str, after: time = time(18), until: time = time(8)) -> Verdict:
    wait = pause(datetime.now().astimezone(), after, until)
    if wait and domain_of(message.sender) == domain.lower():
        return Defer(f"Held until {until:%H:%M}", retry_after=wait.total_seconds())
    return message


def pause(now: datetime, after: time, until: time) -> timedelta:
    """How long mail that came in ``now`` is to wait: nothing by day. The machine's time zone counts."""
    clock = now.time()
    held = after <= clock < until if after <= until else clock >= after or clock < until
    if not held:
        return timedelta(0)
    morning = now.date() + timedelta(days=clock >= until)
    return datetime.combine(morning, until).astimezone() - now
