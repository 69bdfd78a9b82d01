"""Invitations in mail, shown and answered."""

import email
import email.policy
import re
from contextlib import AsyncExitStack

import pytest
from icalendar import Calendar
from mail_site import ANN, browser, letter, mail_of
from test_webmail_writing import SUBMISSION

from engine.runtime.services import SUBMIT_SERVICE
from engine.web.mail import invitations

CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
METHOD:REQUEST
BEGIN:VEVENT
UID:42@elsewhere.test
SEQUENCE:1
DTSTAMP:20261101T100000Z
DTSTART:20261203T090000Z
DTEND:20261203T100000Z
SUMMARY:Họp <b>tuần</b>
LOCATION:Phòng 3
ORGANIZER;CN=Carl:mailto:Carl@elsewhere.test
ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:ann@example.org
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n").encode()

MESSAGE = letter(
    "Invitation",
    "--b\nContent-Type: text/plain; charset=utf-8\n\nCome\n"
    f"--b\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\n\n{CALENDAR.decode()}\n--b--",
    more="MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n",
)


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path, SUBMISSION))


def test_what_is_read_of_one():
    found = invitations.read(CALENDAR, "2")
    assert found is not None
    assert (found.summary, found.place, found.organizer) == ("Họp <b>tuần</b>", "Phòng 3", "carl@elsewhere.test")
    assert (found.begins, found.ends, found.asks) == (1796288400.0, 1796292000.0, True)


DAYS = CALENDAR.replace(b"DTSTART:20261203T090000Z", b"DTSTART;VALUE=DATE:20261203")
END = b"DTEND:20261203T100000Z\r\n"


@pytest.mark.parametrize(
    ("octets", "seconds", "whole"),
    [
        (CALENDAR.replace(END, b"DURATION:PT90M\r\n"), 5400, False),
        (DAYS.replace(END, b"DTEND;VALUE=DATE:20261206\r\n"), 2 * 86_400, True),  # the first day on which it is over
        (DAYS.replace(END, b"DTEND;VALUE=DATE:20261204\r\n"), 0, True),
        (DAYS.replace(END, b"DURATION:P1D\r\n"), 0, True),
        (DAYS.replace(END, b"DTEND;VALUE=DATE:20261201\r\n"), 0, True),
    ],
)
def test_until_when_it_lasts(octets, seconds, whole):
    found = invitations.read(octets, "2")
    assert found is not None
    assert (found.ends - found.begins, found.whole_days) == (seconds, whole)


def test_nothing_is_said_of_its_end():
    for octets in (CALENDAR.replace(END, b""), DAYS.replace(END, b"")):
        found = invitations.read(octets, "2")
        assert found is not None
        assert (found.ends, found.repeats) == (0, False)
    assert invitations.read(CALENDAR.replace(END, b"RRULE:FREQ=WEEKLY\r\n"), "2").repeats


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Thursday, December 3, 2026"), ("vi", "Thứ Năm, 3 tháng 12, 2026")]
)
async def test_whole_days_are_told_without_an_hour(mail, language, text):
    octets = DAYS.replace(END, b"DTEND;VALUE=DATE:20261205\r\n")
    await mail.put(MESSAGE.replace(CALENDAR.decode(), octets.decode()))
    ann = await browser(mail, language=language)
    page = (await ann.get(f"/mail/message/{mail.box()}/1")).text
    first, last = re.findall(r"<time>([^<]+)</time>", page)
    assert first == text
    assert first != last
    assert "12:00" not in page


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"x", CALENDAR[:100], CALENDAR.replace(b"VEVENT", b"VTODO"), b"\xff\xfe", b"BEGIN:VCALENDAR\r\n" * 1000,
        CALENDAR.replace(b"DTSTART:20261203T090000Z", b"DTSTART:99999999"), CALENDAR.replace(b"DTSTART", b"X-START"),
    ],
)  # fmt: skip
def test_what_is_none(octets):
    assert invitations.read(octets, "1") is None


def test_who_does_not_say_who_asks_gets_no_answer():
    for changed in (CALENDAR.replace(b"mailto:Carl", b"http://Carl"), CALENDAR.replace(b"UID:", b"X-UID:"), b"x"):
        with pytest.raises(ValueError):
            invitations.answer(changed, ANN, "ACCEPTED")


async def test_one_is_shown_and_answered(mail):
    await mail.put(MESSAGE)
    sent = []

    def submit(_worker, _who, to, _at):
        sent.append(to)
        return [[250, "2.0.0", "queued"]]

    mail.site.answers.known[SUBMIT_SERVICE, "submit"] = submit
    ann = await browser(mail)
    html = (await ann.get(f"/mail/message/{mail.box()}/1")).text
    assert "Họp &lt;b&gt;tuần&lt;/b&gt;" in html
    assert 'data-answer="ACCEPTED"' in html
    said = {"message": f"{mail.box()}/1", "section": "2", "how": "ACCEPTED", "text": "Accept"}
    assert (await ann.post("/mail/answer", said)).json() == {"refused": []}
    assert sent == [[ANN, "carl@elsewhere.test"]]
    (uid,) = mail.uids("Sent")
    found = email.message_from_bytes(mail.content(uid, "Sent"), policy=email.policy.default)
    reply = next(part for part in found.walk() if part.get_content_type() == "text/calendar")
    assert reply["Content-Type"].params["method"] == "REPLY"
    event = Calendar.from_ical(reply.get_content()).walk("VEVENT")[0]
    assert (str(event["UID"]), event["ATTENDEE"].params["PARTSTAT"]) == ("42@elsewhere.test", "ACCEPTED")
    assert str(event["ATTENDEE"]) == f"mailto:{ANN}"
    assert (await ann.post("/mail/answer", said | {"section": "1"})).status_code == 400
    assert (await ann.post("/mail/answer", said | {"how": "NEVER"})).status_code == 400
