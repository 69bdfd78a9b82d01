"""The stage `lists`: who is refused at RCPT, what becomes of mail from who is blocked, and when an allowance counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Each, Envelope, Message, MessageId, Quarantine, Recipient, Session
from engine.directory import Directory, Embedded
from engine.lists import ALLOW, BLOCK, Entry
from engine.lists import Lists as Store
from engine.lists.entries import Word
from engine.lists.store import Row
from engine.message import RELEASED, Fact, Octets
from stages.lists import ALLOWED, BLOCKED, FLAG, REFUSED, Lists

BOB, CAT, ALIAS, POSTMASTER = "bob@example.org", "cat@example.org", "sales@example.org", "postmaster@example.org"
ANN = "ann@example.net"
STRANGER = Session(peer="192.0.2.7")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as opened:
        opened.add_account(BOB)
        opened.add_account(CAT)
        opened.add_alias(ALIAS, [BOB])
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def stage(directory: Directory, store: Store) -> Lists:
    return Lists(directory, store)


def put(store: Store, scope: str, word: Word, *texts: str) -> None:
    store.put(Row(scope, Entry(word, text)) for text in texts)


def letter(
    *to: str, sender: str = ANN, author: str = ANN, session: Session = STRANGER, facts: dict[str, Fact] | None = None
) -> Message:
    octets = f"From: {author}\r\nSubject: Hello\r\n\r\nHello.\r\n".encode()
    recipients = tuple(map(Recipient, to or (BOB,)))
    return Message(MessageId.new(), Envelope(sender, recipients, session, facts or {}), Octets(octets))


async def what(stage: Lists, message: Message) -> dict[str, str]:
    """What becomes of it, by recipient."""
    verdict = await stage(message)
    verdicts = verdict.verdicts if isinstance(verdict, Each) else dict.fromkeys(message.recipients, verdict)
    return {address: _said(verdicts.get(address, message)) for address in message.recipients}


def _said(found: object) -> str:
    if isinstance(found, Message):
        if found.fact(BLOCKED):
            assert found.header(FLAG) == "YES"
            return "mark"
        return "allow" if found.fact(ALLOWED) else "pass"
    return "quarantine" if isinstance(found, Quarantine) else "reject" if found == REFUSED else repr(found)


async def test_nobody_is_listed(stage: Lists) -> None:
    message = letter()
    assert await stage(message) is message
    assert await stage.at_recipient(STRANGER, ANN, BOB) is None


@pytest.mark.parametrize("entry", [ANN, "example.net", "net", "192.0.2.0/24"])
async def test_who_is_blocked_is_refused_at_rcpt(stage: Lists, store: Store, entry: str) -> None:
    put(store, "", BLOCK, entry)
    assert await stage.at_recipient(STRANGER, ANN, BOB) == REFUSED
    assert await stage.at_recipient(STRANGER, ANN, "unknown@example.org") == REFUSED
    assert await stage.at_recipient(STRANGER, ANN, POSTMASTER) is None
    assert await stage.at_recipient(STRANGER, ANN, "Postmaster") is None
    assert await stage.at_recipient(Session(peer="198.51.100.1"), "", BOB) is None
    assert await what(stage, letter()) == {BOB: "reject"}


async def test_who_may_be_allowed_is_not_refused_before_that_is_known(stage: Lists, store: Store) -> None:
    put(store, "", BLOCK, "example.net")
    put(store, BOB, ALLOW, ANN)
    assert await stage.at_recipient(STRANGER, ANN, BOB) is None
    assert await stage.at_recipient(STRANGER, ANN, CAT) == REFUSED
    assert await what(stage, letter()) == {BOB: "reject"}
    assert await what(stage, letter(facts={"spf.result": "pass"})) == {BOB: "allow"}


PROOFS: list[tuple[str, dict[str, Fact], bool]] = [
    (ANN, {}, False),
    (ANN, {"dmarc.result": "pass"}, True),
    (ANN, {"dmarc.result": "fail", "dkim.passed": ["example.net"]}, False),
    (ANN, {"dmarc.result": "none", "dkim.passed": ["example.net"]}, True),
    (ANN, {"dmarc.result": "none", "dkim.passed": ["net"]}, False),
    (ANN, {"dmarc.result": "none", "dkim.passed": ["evil.example", "notexample.net"]}, False),
    ("ann@sub.example.net", {"dmarc.result": "none", "dkim.passed": ["example.net"]}, True),
    (ANN, {"dmarc.result": "none", "spf.result": "pass"}, False),  # of the envelope's sender, who is somebody else
    (f"{ANN}, eve@evil.example", {"dmarc.result": "pass"}, False),
    ("no address", {"dmarc.result": "pass"}, False),
]


@pytest.mark.parametrize(("author", "facts", "proved"), PROOFS)
async def test_an_author_must_be_proved(
    stage: Lists, store: Store, author: str, facts: dict[str, Fact], proved: bool
) -> None:
    put(store, "", ALLOW, "example.net")
    message = letter(sender="bounces@evil.example", author=author, facts=facts)
    assert await what(stage, message) == {BOB: "allow" if proved else "pass"}


async def test_a_forged_author_is_blocked_all_the_same(stage: Lists, store: Store) -> None:
    put(store, "", BLOCK, "example.net")
    assert await what(stage, letter(sender="bounces@other.example")) == {BOB: "reject"}


async def test_our_own_people_are_known(stage: Lists, store: Store) -> None:
    put(store, BOB, ALLOW, CAT)
    ours = Session(peer="192.0.2.7", login=CAT, trusted=True)
    assert await what(stage, letter(sender=CAT, author=CAT, session=ours)) == {BOB: "allow"}
    assert await what(stage, letter(sender=CAT, author=CAT)) == {BOB: "pass"}


async def test_each_recipient_has_a_list(stage: Lists, store: Store) -> None:
    put(store, BOB, BLOCK, "example.net")
    assert await what(stage, letter(BOB, CAT)) == {BOB: "mark", CAT: "pass"}
    assert await what(stage, letter(ALIAS)) == {ALIAS: "mark"}
    assert await what(stage, letter("bob+tag@example.org")) == {"bob+tag@example.org": "mark"}
    put(store, CAT, ALLOW, "192.0.2.7/32")
    assert await what(stage, letter(BOB, CAT)) == {BOB: "mark", CAT: "allow"}


async def test_a_sender_is_not_told_by_a_bounce(stage: Lists, store: Store) -> None:
    put(store, "", BLOCK, "example.net")
    put(store, CAT, ALLOW, "192.0.2.7/32")
    assert await what(stage, letter(BOB, CAT)) == {BOB: "quarantine", CAT: "allow"}


async def test_the_settings(directory: Directory, store: Store) -> None:
    stage = Lists(directory, store, blocked="quarantine", blocked_by_user="reject")
    put(store, "", BLOCK, "example.net")
    put(store, CAT, BLOCK, "example.net")
    assert await what(stage, letter()) == {BOB: "quarantine"}
    assert await what(stage, letter(CAT)) == {CAT: "reject"}
    assert await stage.at_recipient(STRANGER, ANN, BOB) is None
    assert await stage.at_recipient(STRANGER, ANN, CAT) == REFUSED


async def test_what_an_operator_lets_go_is_not_refused(stage: Lists, store: Store) -> None:
    put(store, "", BLOCK, "example.net")
    assert await what(stage, letter(facts={RELEASED: ["spam"]})) == {BOB: "mark"}
