"""The letter about parked mail: one that every program reads, whatever strangers have written."""

import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from engine.message import MessageId
from engine.quarantine.letter import About, Line, letter

GOLDEN = Path(__file__).parent / "golden"
ABOUT = About(
    MessageId.parse("01KD0000000000000000000000"),
    "postmaster@example.org",
    "bob@example.org",
    expire="30 days",
)
URL = "https://mail.example.org/quarantine?token="
LINES = [
    Line(
        "Ann <ann@example.net>",
        "Grüße aus Köln 🎉",
        "Mon, 22 Dec 2025 10:00:00 +0000",
        "spam",
        7.5,
        release=f"{URL}AAA",
        delete=f"{URL}BBB",
    ),
    Line(
        "<eve@evil.example>",
        "<script>alert(1)</script> & more",
        "Mon, 22 Dec 2025 11:00:00 +0000",
        "virus EICAR",
        delete=f"{URL}CCC",
    ),
]


def parsed(octets: bytes) -> EmailMessage:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def parts(octets: bytes) -> tuple[str, str]:
    text, html = (part.get_content().replace("\r\n", "\n") for part in parsed(octets).iter_parts())
    return text, html


@pytest.mark.parametrize(("name", "part"), [("digest.txt", 0), ("digest.html", 1)])
def test_the_parts(name: str, part: int) -> None:
    assert parts(letter(ABOUT, LINES))[part] == (GOLDEN / name).read_text()


def test_the_header() -> None:
    found = parsed(letter(ABOUT, LINES))
    assert found.get_content_type() == "multipart/alternative"
    assert {name: found[name] for name in ("From", "To", "Subject", "Auto-Submitted", "List-Id", "Message-ID")} == {
        "From": "Quarantine <postmaster@example.org>",
        "To": "bob@example.org",
        "Subject": "2 messages are in quarantine",
        "Auto-Submitted": "auto-generated",
        "List-Id": "Quarantine <quarantine.example.org>",
        "Message-ID": "<01KD0000000000000000000000.quarantine@example.org>",
    }
    assert found.defects == []


def test_octets_that_every_server_takes() -> None:
    octets = letter(ABOUT, LINES)
    assert octets.isascii()
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert b"\n" not in octets.replace(b"\r\n", b"")


def test_what_strangers_write_stays_text() -> None:
    hostile = "\x1b]0;mine\x07\r\nBcc: all@example.org\n<b>&\"'\u202e\udc80" + "x" * 3000
    text, html = parts(letter(ABOUT, [Line(hostile, hostile, "", hostile, None, "a&b\"<'", "")]))
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text + html) is None
    assert "\nBcc:" not in text
    assert "<b>" not in html
    assert 'href="a&amp;b&quot;&lt;&#x27;"' in html


def test_codes_where_there_is_no_page_and_what_else_there_is() -> None:
    about = About(ABOUT.identity, ABOUT.sender, ABOUT.to, more=1200, linked=False)
    text, html = parts(letter(about, [Line("a@example.net", "", "", "spam", None, "CODE1", "CODE2")]))
    for said in ("CODE1", "CODE2", "There are 1,200 more", "give its code to"):
        assert said in text
        assert said in html
    assert "href" not in html
    assert "deleted after" not in text
    assert "Subject: (none)" in text
    assert parsed(letter(about, []))["Subject"] == "1,200 messages are in quarantine"


def test_an_address_beyond_ascii() -> None:
    about = About(ABOUT.identity, "postmaster@example.org", "jürgen@example.org")
    assert parsed(letter(about, LINES[:1]))["To"] == "jürgen@example.org"
