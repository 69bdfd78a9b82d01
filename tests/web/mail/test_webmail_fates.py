"""Why a message was not delivered, in the reader's language where it is this server that says it."""

from pathlib import Path

import pytest

from engine.web.languages import texts
from engine.web.mail.fates import REASONS, Fate

ROOT = Path(__file__).parents[3]
SOURCES = [path.read_text() for top in ("engine", "stages") for path in (ROOT / top).rglob("*.py")
           if "web" not in path.relative_to(ROOT).parts]  # fmt: skip


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_of_ours_is_said_somewhere_and_translated(reason):
    assert any(f'"{reason}"' in source for source in SOURCES)
    assert texts("vi").gettext(reason.template) != reason


def test_what_others_say_is_quoted():
    assert Fate("a@x.test", "failed", "550 no such user here").reason is None
    assert Fate("a@x.test", "failed", "no such user here").reason == "no such user here"
    assert Fate("a@x.test", "delivered").reason is None
