"""A service of its own for each test; no connection of it ends by a bug."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.imap.imap_serving import Post, serving


@pytest.fixture
async def post(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Post]:
    async with serving(tmp_path / "mailbox") as post:
        yield post
    assert "given up" not in caplog.text
