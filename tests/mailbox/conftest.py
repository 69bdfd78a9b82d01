"""A store of its own for each test, checked at its end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.mailbox import MailboxOwner


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        yield owner
        assert owner.reader.verify() == []
