"""Mailboxes and what oversight keeps, each in a folder of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.mailbox import MailboxOwner
from engine.oversight import Oversight


class Hands:
    """A clock that is set by hand: Unix time in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def opened(tmp_path: Path, hands: Hands) -> Iterator[Oversight]:
    with Oversight.open(tmp_path, clock=hands) as found:
        yield found


@pytest.fixture
async def owner(tmp_path: Path, hands: Hands) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(tmp_path / "mailbox", clock=hands) as owner:
        yield owner
        assert owner.reader.verify() == []
