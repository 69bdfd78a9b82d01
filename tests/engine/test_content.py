"""Content in a file that somebody else has touched: said with its name, and never handed on in part."""

from pathlib import Path

import pytest

from engine.queue.content import FileContent
from engine.storage.environment import StorageError

LETTER = b"Subject: hello\r\n\r\nbody\r\n"


def test_a_file_that_is_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LETTER)
    assert b"".join(FileContent(tmp_path / "x", len(LETTER)).chunks()) == LETTER


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (None, "cannot read {}: No such file"),
        (LETTER[:9], "{} is damaged: it has 9 octets instead of 24"),
        (LETTER + b"x", "{} is damaged: it has 25 octets instead of 24"),
    ],
    ids=["gone", "cut off", "longer"],
)
def test_a_file_that_is_not(tmp_path: Path, octets: bytes | None, text: str) -> None:
    path = tmp_path / "x"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(StorageError) as raised:
        next(FileContent(path, len(LETTER)).chunks())
    assert text.format(path) in str(raised.value)
