"""Letters to our own people in their language: each language has each text, with the same values; who gets which."""

import string
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from engine.abuse.habits import Suspect
from engine.abuse.letters import letter as suspect_letter
from engine.config import Web
from engine.mailbox.quota import Quota, TellRow
from engine.mailbox.warnings import to_owner, to_postmaster
from engine.message import MessageId
from engine.quarantine.letter import About, Line, letter
from engine.runtime.people import People
from engine.shaping.actions import Action
from engine.shaping.telling import letter as action_letter
from engine.web.sessions.store import Person, Sessions
from engine.wording import ENGLISH, Languages
from engine.wording.letters import LANGUAGES, letters

TABLES = ("digest", "quota", "script", "suspect", "action")
ANN = "ann@example.org"
IDENTITY = MessageId.parse("01KD0000000000000000000000")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def read(octets: bytes) -> EmailMessage:
    found = message_from_bytes(octets, policy=default)
    assert isinstance(found, EmailMessage)
    assert found.defects == []
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("table", TABLES)
def test_each_text_is_there_with_its_values(language: str, table: str) -> None:
    ours, english = getattr(letters(language), table), getattr(letters(ENGLISH), table)
    assert {name: placeholders(text) for name, text in ours.items()} == {
        name: placeholders(text) for name, text in english.items()
    }
    assert all(text.strip() for text in ours.values())


def test_a_language_without_letters_has_the_english_ones() -> None:
    assert letters("fr") == letters(ENGLISH)


def test_what_is_parked_in_vietnamese() -> None:
    about = About(IDENTITY, f"postmaster@{ANN[4:]}", ANN, more=1234, expire="30 days", language="vi")
    line = Line(
        "Bo <bo@example.net>", "", "22/12/2025 10:00", "This message is infected by EICAR", 7.5, release="https://x"
    )
    found = read(letter(about, [line]))
    assert found["Subject"] == "1.235 thư trong khu cách ly"
    assert found["From"].addresses[0].display_name == "Khu cách ly"
    assert found["List-Id"] == "Quarantine <quarantine.example.org>", "by which it is filed in whatever language"
    text, html = (part.get_content() for part in found.iter_parts())
    assert "Thư này bị nhiễm EICAR (điểm 7.5)" in text
    assert "Chủ đề:   (không có)" in text
    assert "Thư không ai hỏi đến sẽ bị xóa sau 30 ngày." in text
    assert '<html lang="vi">' in html
    assert "Thả ra</a>" in html
    assert all(word not in text + html for word in ("Release", "Reason", "quarantine", "days"))


def test_a_mailbox_that_fills_up_in_vietnamese() -> None:
    row = TellRow(bytes(16), 0, 100, 4_100_000, 1234, Quota(5_000_000, 2000, warn=(80,), address=ANN))
    found = read(to_owner(row, "defer", "vi"))
    assert found["Subject"] == "Hộp thư của bạn đã đầy 82 %"
    assert "đang chứa 4,1 MB trong 5 MB và 1.234 trong 2.000 thư." in found.get_content()
    full = row.__class__(bytes(16), 0, 100, 5_000_000, 3, row.quota)
    assert "bị trả về người gửi" in read(to_postmaster(full, "reject", "vi")).get_content()


def test_letters_to_the_postmaster_in_vietnamese() -> None:
    suspected = suspect_letter(Suspect(ANN, 1000.0, ["recipients: 50 in an hour, usually 2"], "192.0.2.1"), "vi")
    assert isinstance(suspected.content, bytes)
    assert "người nhận: 50 trong một giờ, thường là 2" in read(suspected.content).get_content()
    action = Action("a", "gmail", "suspend", "site.example", 1000.0, 8200.0, reply="550 No")
    told = action_letter(action, "postmaster@example.org", "vi").content
    assert isinstance(told, bytes)
    assert "Không gửi gì đến đó cho đến lúc ấy. Điều này kéo dài 2 giờ." in read(told).get_content()


def test_who_gets_which_language(tmp_path: Path) -> None:
    people = People(tmp_path, lambda: Languages({}, "en", {"example.org": "vi"}))
    assert people.language("example.org", 7) == "vi"
    assert people.language("example.net", 7) == "en", "there are no pages, so nobody has chosen"
    sessions = Sessions.open(tmp_path / "web", Web())
    try:
        sessions.change_person(7, lambda _: Person(language="en", theme="dark"))
        sessions.change_person(8, lambda _: Person(theme="dark"))
    finally:
        sessions.close()
    assert people.language("example.org", 7) == "en", "as they have chosen"
    assert people.language("example.org", 8) == "vi"
    assert people.language("example.org", 9) == "vi"
    assert people.language("example.org") == "vi", "the postmaster"


def test_a_store_that_cannot_be_read_keeps_no_letter_back(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "data.mdb").write_bytes(b"no store" * 2000)
    assert People(tmp_path, Languages).language("example.org", 7) == "en"
