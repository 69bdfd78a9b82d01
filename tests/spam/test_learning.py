"""What people do with their mail, and what the filter learns of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from engine.spam import SERVER, Kind, Words
from engine.spam.classify import Count
from engine.spam.learning import Learner, Whom, flagged, moved

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
