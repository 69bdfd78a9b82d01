"""filters/hold_overnight.py: who is held, from when and until when."""

from datetime import datetime, time, timedelta

import pytest

from engine import Defer, Envelope, Message, MessageId, Recipient
from engine.message import Octets
from filters.hold_overnight import hold_overnight, pause

ALWAYS = {"after": time.min, "until": time.max}
NEVER = {"after": time.min, "until": time.min}


def letter(sender: str) -> Message:
    return Message(MessageId.new(), Envelope(sender, (Recipient("bob@example.org"),)), Octets(b"Subject: Hi\r\n\r\n"))


async def test_mail_of_the_domain_waits() -> None:
    verdict = await hold_overnight(letter("ann@Example.NET"), domain="example.net", **ALWAYS)
    assert isinstance(verdict, Defer)
    assert 0 < verdict.retry_after <= timedelta(days=1).total_seconds()


@pytest.mark.parametrize("sender", ["ann@example.com", "ann@sub.example.net", "ann@notexample.net", ""])
async def test_other_mail_goes_on(sender: str) -> None:
    message = letter(sender)
    assert await hold_overnight(message, domain="example.net", **ALWAYS) is message


async def test_by_day_mail_of_the_domain_goes_on() -> None:
    message = letter("ann@example.net")
    assert await hold_overnight(message, domain="example.net", **NEVER) is message


@pytest.mark.parametrize(
    ("clock", "after", "until", "wait"),
    [
        ("17:59:59", "18:00", "08:00", "0:00:00"),
        ("18:00:00", "18:00", "08:00", "14:00:00"),
        ("23:59:00", "18:00", "08:00", "8:01:00"),
        ("00:00:00", "18:00", "08:00", "8:00:00"),
        ("07:59:59", "18:00", "08:00", "0:00:01"),
        ("08:00:00", "18:00", "08:00", "0:00:00"),
        ("12:30:00", "12:00", "13:00", "0:30:00"),
        ("13:00:00", "12:00", "13:00", "0:00:00"),
        ("12:00:00", "12:00", "12:00", "0:00:00"),
    ],
)
def test_the_pause(clock: str, after: str, until: str, wait: str) -> None:
    now = datetime.combine(datetime(2026, 1, 15), time.fromisoformat(clock)).astimezone()
    assert str(pause(now, time.fromisoformat(after), time.fromisoformat(until))) == wait
