"""A directory whose passwords cost nothing to check, and a guard over a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config import Login as Settings
from engine.directory import Embedded, passwords
from engine.login import Guard
from engine.protocols import scram
from tests.support.post import Clock

PASSWORD = "correct horse"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The hashes and passwords that were compared."""
    seen: list[tuple[str, str]] = []

    def matches(stored: str, password: str) -> bool:
        seen.append((stored, password))
        return stored == f"hash of {password}"

    monkeypatch.setattr(passwords, "hashed", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", matches)
    monkeypatch.setattr(passwords, "outdated", lambda _: False)
    monkeypatch.setattr(scram, "ITERATIONS", 2)
    return seen


@pytest.fixture
def directory(tmp_path: Path, checked: list[tuple[str, str]]) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_account("ann@example.org", PASSWORD)
        yield directory


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture
def guard(tmp_path: Path, clock: Clock) -> Iterator[Guard]:
    settings = Settings(network_guesses=3, account_guesses=5)
    with Guard.open(tmp_path / "logins", settings, clock) as guard:
        yield guard
