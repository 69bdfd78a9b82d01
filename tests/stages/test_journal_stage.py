"""The stage `journal`: whose mail is copied, and to whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Defer, Envelope, Message, MessageId, Recipient, Session
from engine.config import Journal as Rule
from engine.directory import Embedded, Unavailable
from engine.message import JOURNAL, Octets
from engine.oversight.journaling import Journals
from stages.journal import Journal

ANN, BOB, FAR = "ann@example.org", "bob@example.org", "far@elsewhere.test"
STRANGER, TRUSTED = Session(peer="192.0.2.1"), Session(peer="192.0.2.2", trusted=True)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org", "second.test"]) as opened:
        for address in (ANN, BOB, "eve@second.test"):
            opened.add_account(address)
        opened.add_alias("sales@example.org", ["inner@example.org", FAR])
        opened.add_alias("inner@example.org", [ANN, "sales@example.org"])
        yield opened


def login(address: str) -> Session:
    return Session(peer="192.0.2.3", login=address, trusted=True)


async def copied(
    directory: Embedded, rules: dict[str, Rule], sender: str, *to: str, session: Session = STRANGER
) -> list[tuple[str, list[str]]]:
    """Where copies go, and by which rules."""
    message = Message(MessageId.new(), Envelope(sender, tuple(map(Recipient, to)), session), Octets(b"\r\n"))
    verdict = await Journal(directory, Journals(rules))(message)
    assert isinstance(verdict, Message)
    found = verdict.fact(JOURNAL)
    return [(one["to"], one["rules"]) for one in found] if isinstance(found, list) else []  # type: ignore[call-overload,index,misc]


ONE = {"one": Rule(who=(ANN,), to="journal@example.org")}
SENT = {"one": Rule(who=(ANN,), to="journal@example.org", direction="sent")}
RECEIVED = {"one": Rule(who=(ANN,), to="journal@example.org", direction="received")}
ALL = {"one": Rule(who=("*",), to="journal@example.org")}
DOMAIN = {"one": Rule(who=("example.org",), to="journal@example.org")}
GROUP = {"one": Rule(who=("sales@example.org",), to="journal@example.org")}
YES = [("journal@example.org", ["one"])]


@pytest.mark.parametrize(
    ("rules", "sender", "to", "session", "expected"),
    [
        ({}, FAR, ANN, STRANGER, []),
        (ONE, FAR, ANN, STRANGER, YES),
        (ONE, FAR, "Ann@Example.ORG", STRANGER, YES),
        (ONE, FAR, "ann+tag@example.org", STRANGER, YES),
        (ONE, FAR, BOB, STRANGER, []),
        (ONE, FAR, "sales@example.org", STRANGER, YES),
        (ONE, BOB, FAR, login(ANN), YES),
        (ONE, ANN, FAR, login(BOB), YES),
        (ONE, ANN, BOB, STRANGER, []),  # anybody can say so
        (ONE, ANN, FAR, TRUSTED, YES),
        (ONE, FAR, BOB, TRUSTED, []),
        (SENT, FAR, ANN, STRANGER, []),
        (SENT, ANN, FAR, login(ANN), YES),
        (RECEIVED, ANN, FAR, login(ANN), []),
        (RECEIVED, ANN, ANN, login(ANN), YES),
        (ALL, FAR, "eve@second.test", STRANGER, YES),
        (ALL, BOB, FAR, login(BOB), YES),
        (ALL, FAR, "other@elsewhere.test", TRUSTED, []),  # nobody of ours
        (DOMAIN, FAR, "eve@second.test", STRANGER, []),
        (DOMAIN, FAR, "nobody@example.org", STRANGER, YES),
        (GROUP, FAR, "sales@example.org", STRANGER, YES),
        (GROUP, FAR, ANN, STRANGER, []),
        (ONE, "", ANN, STRANGER, YES),
    ],
)
async def test_whose_mail_is_copied(directory, rules, sender, to, session, expected) -> None:  # noqa: PLR0917
    assert await copied(directory, rules, sender, to, session=session) == expected


async def test_one_copy_for_each_place_however_many_rules_want_it(directory) -> None:
    rules = {
        "ann": Rule(who=(ANN,), to="journal@example.org"),
        "all": Rule(who=("*",), to="journal@example.org"),
        "bob": Rule(who=(BOB,), to="archive@elsewhere.test", errors=BOB),
    }
    found = await copied(directory, rules, FAR, ANN, BOB)
    assert found == [("journal@example.org", ["ann", "all"]), ("archive@elsewhere.test", ["bob"])]


async def test_while_nobody_can_tell_whose_mail_it_is_it_waits(directory, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(Embedded, "find", away)
    message = Message(MessageId.new(), Envelope(FAR, (Recipient(ANN),), STRANGER), Octets(b"\r\n"))
    assert isinstance(await Journal(directory, Journals(ONE))(message), Defer)
    assert await Journal(directory, Journals({}))(message) is message
