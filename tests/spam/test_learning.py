"""What people do with their mail, and what the filter learns of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.observe.events import event
from engine.spam import SERVER, Kind, Words
from engine.spam.classify import Count
from engine.spam.controller import Controller
from engine.spam.learning import Learner, Whom, flagged, moved
from tests.support.http_server import Asked, HttpServer
from tests.support.server import PATIENCE, free_port

BOB = 7


@pytest.mark.parametrize(
    ("use", "to", "kind"),
    [
        ("", "\\Junk", "spam"),
        ("\\Archive", "\\Junk", "spam"),
        ("\\Junk", "", "ham"),
        ("\\Junk", "\\Archive", "ham"),
        ("\\Junk", "\\Trash", None),
        ("\\Junk", "\\Junk", None),
        ("", "\\Trash", None),
        ("", "", None),
    ],
)
def test_moves(use: str, to: str, kind: Kind | None) -> None:
    assert moved(use, to) == kind


@pytest.mark.parametrize(
    ("keywords", "kind"),
    [
        (("$Junk",), "spam"),
        (("$NotJunk", "other"), "ham"),
        (("NonJunk",), "ham"),
        (("Junk", "$Junk"), "spam"),
        (("$Junk", "$NotJunk"), None),
        (("other",), None),
        ((), None),
    ],
)
def test_keywords(keywords: Sequence[str], kind: Kind | None) -> None:
    assert flagged(keywords) == kind


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events of this process, in place of the log."""
    events: list[tuple[str, dict[str, Any]]] = []
    event.instead = lambda name, values: events.append((name, values))
    yield events
    event.instead = None


class Mailboxes:
    """One mailbox, in which messages with a number above 90 are gone."""

    def part(self, account_id: int, mailbox: int, uid: int, start: int, length: int) -> bytes:
        if uid > 90:
            raise LookupError
        return b"Message-ID: <%d@x.test>\r\n\r\ntext %d\r\n" % (uid, uid)


@pytest.mark.parametrize(
    ("whom", "own", "everybody"),
    [("nobody", Count(), Count()), ("account", Count(2), Count()), ("server", Count(2), Count(2))],
)
async def test_for_whom_it_is_learnt(
    tmp_path: Path, autojump_clock: object, whom: Whom, own: Count, everybody: Count
) -> None:
    with Words.open(tmp_path / "spam") as words:
        learner = Learner(lambda: words, Mailboxes(), whom)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(learner.run)
            learner.tell(BOB, 1, [1, 2, 99], "spam")
            learner.tell(BOB, 1, [3], None)
            with trio.move_on_after(60):
                while words.messages(BOB) != own:
                    await trio.sleep(0.1)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert (words.messages(BOB), words.messages(SERVER)) == (own, everybody)


async def learnt_beside(words: Words, controller: Controller, told: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What is told of five messages that are learnt for an account, and that this controller is to learn too."""
    learner = Learner(lambda: words, Mailboxes(), "account", controller)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(learner.run)
        learner.tell(BOB, 1, [1, 2, 3, 4, 5], "spam")
        with trio.fail_after(PATIENCE):
            while len(told) < 2:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert told.pop(0) == ("spam-learnt", {"new": 5, "changed": 0, "known": 0})
    [(name, values)] = told
    assert name == "spam-not-learnt"
    return values


async def test_a_message_that_rspamd_does_not_take_keeps_it_from_no_other(
    tmp_path: Path, told: list[tuple[str, dict[str, Any]]]
) -> None:
    def answer(asked: Asked) -> bytes:
        server.status = 400 if b"text 2" in asked.body else 200
        return b"no tokens"

    server = HttpServer(answer)
    with Words.open(tmp_path / "spam") as words, server.serving():
        said = await learnt_beside(words, Controller(f"http://127.0.0.1:{server.port}"), told)
        assert words.messages(BOB) == Count(5)
    assert said == {"messages": 1, "error": "the controller of rspamd answers with status 400: no tokens"}
    assert [asked.path for asked in server.asked] == ["/learnspam"] * 5


async def test_a_controller_that_is_away_is_asked_once_and_all_else_is_learnt(
    tmp_path: Path, told: list[tuple[str, dict[str, Any]]]
) -> None:
    with Words.open(tmp_path / "spam") as words:
        said = await learnt_beside(words, Controller(f"http://127.0.0.1:{free_port()}"), told)
        assert words.messages(BOB) == Count(5)
    assert (said["messages"], "refused" in said["error"]) == (5, True)
