"""Mailboxes with letters in them, and an index beside."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.mailbox import MailboxOwner

LETTERS = [
    path.read_bytes().replace(b"\n", b"\r\n")
    for path in sorted((Path(__file__).parents[1] / "mime" / "letters").glob("*.eml"))
]


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        yield owner


@pytest.fixture
def letters() -> list[bytes]:
    """Letters as mailers write them."""
    return LETTERS
