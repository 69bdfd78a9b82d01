"""Actions in force on disk, and who is told of them."""

from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from engine.bounces.journal import Entry
from engine.message import Message
from engine.shaping.actions import Action, ActionStore
from engine.shaping.telling import Telling
from engine.verdict import Verdict


class Now:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store(tmp_path: Path, now: Now) -> Iterator[ActionStore]:
    with ActionStore.open(tmp_path, now) as opened:
        yield opened


def action(site: str = "mx.example.net", since: float = 1000.0, **rest: object) -> Action:
    return Action.new("gmail-blocked", "suspend", site, since, 60.0, **rest)


def test_those_in_force_the_oldest_first(store: ActionStore, now: Now) -> None:
    later, sooner = action(since=1010.0), action(since=1005.0)
    store.put(later)
    store.put(sooner)
    assert store.all() == [sooner, later]
    now.time = 1065.0
    assert store.all() == [later]


def test_one_is_lifted_once(store: ActionStore) -> None:
    one = action()
    store.put(one)
    changes = store.changes
    assert store.lift(one.id) == one
    assert store.changes > changes
    assert store.lift(one.id) is None
    assert store.lift("nonsense") is None
    assert store.all() == []


def test_news_are_told_once(store: ActionStore, now: Now) -> None:
    assert not store.has_news()
    one, two = action(), action("mx.example.org", since=1001.0, notify=True)
    store.put(one)
    store.put(two)
    assert store.has_news()
    begun, ended = store.news()
    assert ({found.id for found in begun}, ended) == ({one.id, two.id}, [])
    assert not store.has_news()
    assert [found.id for found in store.all()] == [one.id, two.id]
    store.lift(one.id)
    assert store.has_news()
    assert [found.id for found in store.news()[1]] == [one.id]
    now.time = 2000.0
    assert [found.id for found in store.news()[1]] == [two.id]
    assert not store.has_news()


async def test_webhooks_and_the_postmaster_are_told(store: ActionStore, capfd: pytest.CaptureFixture[str]) -> None:
    noted: list[Entry] = []
    letters: list[Message] = []

    async def submit(message: Message) -> Verdict:
        letters.append(message)
        return message

    telling = Telling(store, noted.append, submit, lambda: "postmaster@example.org")
    quiet, loud = action(), action("a." * 50 + "example.net", notify=True, reply="550 No\r\nBcc: all@example.net")
    store.put(quiet)
    store.put(loud)
    await telling.tell()
    assert {(entry.event, entry.site, entry.text, entry.by) for entry in noted} == {
        ("action", one.site, "suspend", "gmail-blocked") for one in (quiet, loud)
    }
    (letter,) = letters
    assert letter.sender == ""
    assert letter.recipients == ("postmaster@example.org",)
    assert isinstance(letter.content, bytes)
    read = message_from_bytes(letter.content, policy=default)
    assert len(read["Subject"]) < 100
    assert read["Bcc"] is None
    text = read.get_content()
    assert "550 No" in text
    assert f"postroad shaping lift {loud.id}" in text
    await telling.tell()
    assert len(noted) == 2
    store.lift(quiet.id)
    await telling.tell()
    assert (noted[-1].event, noted[-1].id) == ("lifted", quiet.id)
    assert '"shaping-action-over"' in capfd.readouterr().err
