"""A post office of its own for each test: mailboxes, a directory of two people, and the stage that delivers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from office import Office

from engine.mailbox import MailboxOwner


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        yield Office(owner)
        assert owner.reader.verify() == []
