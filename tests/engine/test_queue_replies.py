"""Replies that are alike, although words in them are the message's own."""

import pytest

from engine.queue.replies import SHOWN, alike

ALIKE = [
    ("451 4.7.1 Try again later", "451 4.7.1 Try again later"),
    ("451 4.7.1 Greylisted for 300 seconds", "451 4.7.1 Greylisted for … seconds"),
    ("421-4.7.0 [192.0.2.1] Our system has seen a3f9b2", "421-4.7.0 … Our system has seen …"),
    ("550 No such user bob@example.net here", "550 No such user … here"),
    ("452 4.2.2 full", "452 4.2.2 full"),
    ("no answer from mx1.example.net", "no answer from …"),
    ("451  two\n lines ", "451 two lines"),
    ("", ""),
    ("451", "451"),
    ("4.7.1 no code", "… no code"),
]


@pytest.mark.parametrize(("reply", "known"), ALIKE)
def test_what_stands_for_a_reply(reply: str, known: str) -> None:
    assert alike(reply) == known
    assert alike(known) == known


def test_a_long_reply_takes_little_time_and_room() -> None:
    assert len(alike("451 " + "word " * 100_000)) == SHOWN
    assert alike("x" * 1_000_000) == "x" * SHOWN
    assert alike("451 " + "@" * 1_000_000) == "451 …"
