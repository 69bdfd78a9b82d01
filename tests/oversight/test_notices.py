"""Notices: people are told of a grant, once, when the settings say so."""

import email.policy

import pytest

from engine.config import Oversight as Settings
from engine.mailbox.commands import Begin
from engine.operations import oversight as operations
from engine.operations.operator import Operator
from engine.oversight import Whose
from engine.oversight.notices import Notices

ANN, BOB = Whose(1, "ann@example.org"), Whose(2, "bob@example.org")
ME = Operator("auditor@example.org")


def letters(owner, account):
    return [
        email.message_from_bytes(b"".join(owner.reader.chunks(account, one.uid)), policy=email.policy.default)
        for one in owner.reader.messages(account)
    ]


@pytest.mark.parametrize(
    ("notice", "at_beginning", "at_end"), [("never", 0, 0), ("begin", 1, 1), ("end", 0, 1)]
)  # fmt: skip
async def test_people_are_told_when_it_is_said(owner, opened, hands, notice, at_beginning, at_end) -> None:  # noqa: PLR0917
    settings = Settings(consent=False, notice=notice)
    notices = Notices(owner, lambda: opened, lambda: settings, hands)
    operations.ask(opened, settings, ME, [ANN, BOB], "a leak", seconds=3600)
    await notices.tell()
    await notices.tell()
    assert [len(letters(owner, account)) for account in (1, 2)] == [at_beginning] * 2
    hands.now += 3600
    await notices.tell()
    await notices.tell()
    assert [len(letters(owner, account)) for account in (1, 2)] == [at_end] * 2
    assert [one.what for one in opened.entries()].count("people-told") == at_end


async def test_the_letter_says_who_why_and_for_how_long(owner, opened, hands) -> None:
    settings = Settings(notice="begin")
    grant = operations.ask(opened, settings, ME, [ANN], "a leak\nof plans", seconds=3600)
    notices = Notices(owner, lambda: opened, lambda: settings, hands)
    await notices.tell()
    assert letters(owner, 1) == []  # nobody may look yet
    operations.consent(opened, Operator("second@example.org"), grant.number)
    await notices.tell()
    (letter,) = letters(owner, 1)
    text = letter.get_content().replace("\r\n", "\n")
    assert letter["From"] == "postmaster@example.org"
    assert letter["Auto-Submitted"] == "auto-generated"
    for word in ("auditor@example.org", "a leak\nof plans", "second@example.org", "Lý do", "grant 1 "):
        assert word in text


async def test_a_crash_before_the_entry_makes_no_second_letter(owner, opened, hands, monkeypatch) -> None:
    settings = Settings(consent=False, notice="begin")
    notices = Notices(owner, lambda: opened, lambda: settings, hands)
    operations.ask(opened, settings, ME, [ANN], "a leak", seconds=3600)
    with monkeypatch.context() as patch:
        patch.setattr(Notices, "_told", lambda *_: None)
        await notices.tell()
    await notices.tell()
    assert len(letters(owner, 1)) == 1


async def test_who_has_gone_is_told_nothing(owner, opened, hands) -> None:
    settings = Settings(consent=False, notice="begin")
    await owner.change(Begin(account=1))
    await owner.erase(1)
    operations.ask(opened, settings, ME, [ANN, BOB], "a leak", seconds=3600)
    await Notices(owner, lambda: opened, lambda: settings, hands).tell()
    assert len(letters(owner, 2)) == 1
