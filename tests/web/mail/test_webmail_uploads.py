"""Files that are attached: as many and as large as an account may have, however many come at once."""

import pytest
import trio

from engine.web.mail import uploads
from engine.web.mail.uploads import NoRoom, TooLarge, Uploads

PIECE = b"x" * 4096


@pytest.fixture
def small(monkeypatch):
    """Bounds that a test reaches soon."""
    monkeypatch.setattr(uploads, "EACH", 10 * len(PIECE))
    monkeypatch.setattr(uploads, "TOGETHER", 25 * len(PIECE))
    monkeypatch.setattr(uploads, "STEP", len(PIECE))
    monkeypatch.setattr(uploads, "FILES", 5)


async def pieces(count: int):
    for _ in range(count):
        await trio.lowlevel.checkpoint()
        yield PIECE


def kept(folder) -> list[int]:
    return sorted(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_one_file_is_so_large_and_no_larger(tmp_path, small):
    found = Uploads(tmp_path)
    identity, size = await found.take(7, pieces(10), 0)
    assert (size, found.read(7, identity)) == (len(PIECE) * 10, PIECE * 10)
    with pytest.raises(TooLarge):
        await found.take(7, pieces(11), 0)
    assert kept(tmp_path) == [len(PIECE) * 10]
    with pytest.raises(KeyError):
        found.read(8, identity)


async def test_what_comes_at_once_counts_together(tmp_path, small):
    found, refused = Uploads(tmp_path), 0

    async def one() -> None:
        nonlocal refused
        try:
            await found.take(7, pieces(10), 0)
        except TooLarge:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert refused >= 3
    assert sum(kept(tmp_path)) <= 25 * len(PIECE)
    await found.take(8, pieces(10), 0)


async def test_empty_files_count_too(tmp_path, small):
    found = Uploads(tmp_path)
    for _ in range(5):
        await found.take(7, pieces(0), 0)
    with pytest.raises(TooLarge):
        await found.take(7, pieces(0), 0)
    assert kept(tmp_path) == [0] * 5


async def test_the_disk_keeps_what_it_has_for_mail(tmp_path):
    with pytest.raises(NoRoom):
        await Uploads(tmp_path).take(7, pieces(1), 2**60)
    assert kept(tmp_path) == []
