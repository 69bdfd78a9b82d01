"""Tables over a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.abuse import Tables
from tests.support.post import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture
def tables(tmp_path: Path, clock: Clock) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse", clock) as tables:
        yield tables
