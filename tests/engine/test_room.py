"""Room on a disk: a reserve that is kept, and a look that is not taken anew for every message."""

from pathlib import Path

import pytest

import engine.storage.room
from engine.storage.room import STALE, Room


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where was looked; there are always 100 octets fewer than the time before."""
    found: list[Path] = []

    def free_space(path: Path) -> int:
        found.append(path)
        return 1100 - 100 * len(found)

    monkeypatch.setattr(engine.storage.room, "free_space", free_space)
    return found


def test_the_reserve_is_kept(looks: list[Path], tmp_path: Path) -> None:
    assert Room().above(999, tmp_path)
    assert not Room().above(900, tmp_path)


def test_the_disk_is_looked_at_again_when_the_answer_is_old(
    looks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr(engine.storage.room.time, "monotonic", lambda: now)
    room = Room()
    assert all(room.above(950, tmp_path) for _ in range(100))
    assert len(looks) == 1
    now += STALE + 0.1
    assert not room.above(950, tmp_path)


def test_a_folder_that_is_not_there_yet_is_looked_for_in_its_parent(looks: list[Path], tmp_path: Path) -> None:
    Room().above(0, tmp_path / "later")
    assert looks == [tmp_path]
