"""The disks that servers are measured on."""

from pathlib import Path

import pytest
import trio

from bench import Failed
from bench.disks import DISKS

ROOM = 64  # MiB
REFUSED = ("--disk journaled mounts", "losetup ", "mount ", "mkfs.ext4 is not installed")
"""How it is said that this machine mounts no images."""


def test_an_image_with_a_journal_has_room_below_for_all_that_is_written(tmp_path: Path) -> None:
    async def held() -> int:
        async with DISKS["journaled"](tmp_path, ROOM) as disk:
            return (disk.folder.parent / "image").stat().st_blocks * 512

    try:
        octets = trio.run(held)
    except Failed as error:
        if not str(error).startswith(REFUSED):
            raise
        pytest.skip(str(error))
    assert octets >= ROOM * 2**20
