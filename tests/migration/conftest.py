"""A store of its own for each test, checked at its end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.exchange.store import Store
from engine.mailbox import MailboxOwner
from engine.migration import pace


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with MailboxOwner(tmp_path / "mailbox", keep_expunged=1e6) as owner:
        yield Store(owner.reader, owner.path, owner.change)
        assert owner.reader.verify() == []


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST", 0.01)
    monkeypatch.setattr(pace, "LONGEST", 0.05)
