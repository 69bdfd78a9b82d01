"""Invitations in mail, shown and answered (iMIP, RFC 6047; iTIP, RFC 5546)."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from icalendar import Calendar, Event, vCalAddress

from engine.web.mail.opened import File
from engine.web.text import N_

LONGEST: Final = 128 * 1024
"""Octets of a calendar that is read."""

MEDIA: Final = "text/calendar"

TEXT: Final = 300
"""Characters of a text in it that are shown."""

How = Literal["ACCEPTED", "TENTATIVE", "DECLINED"]

_BROKEN = (ValueError, StopIteration, KeyError, IndexError, TypeError, AttributeError, OverflowError)
"""What the library raises of calendars that make no sense."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is shown of it."""

    method: str  # REQUEST, CANCEL, REPLY …
    summary: str
    place: str
    organizer: str  # an address
    begins: float  # Unix time
    ends: float  # 0: nothing is said of it; of whole days, the last of them
    whole_days: bool
    repeats: bool
    section: str  # of the part of the message

    @property
    def asks(self) -> bool:
        """Whether it wants an answer, and says from whom."""
        return self.method == "REQUEST" and "@" in self.organizer


def calendar_in(files: Iterable[File]) -> File | None:
    """The part of a message that is a calendar."""
    return next((file for file in files if file.media == MEDIA and file.size <= LONGEST), None)


def read(octets: bytes, section: str) -> Invitation | None:
    """None: it is no invitation, or makes no sense."""
    with suppress(*_BROKEN):
        calendar, event = _event(octets)
        begins, ends = event["DTSTART"].dt, _end(event)
        return Invitation(
            method=str(calendar.get("METHOD", "")).upper(),
            summary=_text(event.get("SUMMARY")),
            place=_text(event.get("LOCATION")),
            organizer=_address(event.get("ORGANIZER")),
            begins=_moment(begins),
            ends=_moment(ends) if ends is not None else 0.0,
            whole_days=not isinstance(begins, datetime),
            repeats="RRULE" in event,
            section=section,
        )
    return None


def answer(octets: bytes, me: str, how: How) -> tuple[str, str, str]:
    """The organizer's address, a subject and a calendar of METHOD REPLY. ValueError: there is nothing to answer."""
    try:
        _, event = _event(octets)
        organizer = _address(event.get("ORGANIZER"))
        if "@" not in organizer or "UID" not in event:
            raise ValueError(N_("it does not say who asks"))
        attendee = vCalAddress(f"mailto:{me}")
        attendee.params["PARTSTAT"] = how
        reply, said = Calendar(), Event()
        reply.add("PRODID", "-//Postroad//webmail//EN")
        reply.add("VERSION", "2.0")
        reply.add("METHOD", "REPLY")
        for name in ("UID", "SEQUENCE", "DTSTART", "DTEND", "DURATION", "SUMMARY", "ORGANIZER", "RECURRENCE-ID"):
            if name in event:
                said[name] = event[name]
        said.add("ATTENDEE", attendee, encode=False)
        said.add("DTSTAMP", datetime.now(UTC))
        reply.add_component(said)
        return organizer, _text(event.get("SUMMARY")), reply.to_ical().decode()
    except _BROKEN as error:
        raise ValueError(error.args[0] if isinstance(error, ValueError) and error.args else str(error)) from error


def _event(octets: bytes) -> tuple[Any, Any]:
    calendar: Any = Calendar.from_ical(octets[:LONGEST])
    return calendar, next(iter(calendar.walk("VEVENT")))


def _end(event: Any) -> date | datetime | None:
    """When it is over: as it says, or so long after it begins. Of whole days the last, not the one behind (RFC 5545
    3.6.1)."""
    begins = event["DTSTART"].dt
    if "DTEND" in event:
        ends = event["DTEND"].dt
    elif "DURATION" in event:
        ends = begins + event["DURATION"].dt
    else:
        return None
    return ends if isinstance(ends, datetime) else max(ends - timedelta(days=1), begins)


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())[:TEXT]


def _address(value: Any) -> str:
    text = str(value or "").strip()
    return text[7:].strip().lower() if text[:7].lower() == "mailto:" else ""


def _moment(value: date | datetime) -> float:
    """A day begins at midnight of the server's zone; so does a time that names none."""
    when = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return when.timestamp()
