"""The room that stores take, and that is left for them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.observe.measures import Gauge, Labels

_SIZE = Gauge("postroad_storage_bytes", "Size of a store's file; pages that are free in it count.", ("store",))
_FREE = Gauge("postroad_disk_free_bytes", "Room on the disk of the data folder for who is not root.")
_ALL = Gauge("postroad_disk_size_bytes", "Size of that disk.")
_RESERVE = Gauge("postroad_disk_reserve_bytes", "Room below which no mail is taken: `[queue] reserve`.")


def measure(data: Path, reserve: Callable[[], int]) -> None:
    """Tell it from now on, of all stores in the data folder; one process does, for all."""
    _SIZE.reads(lambda: sizes(data))
    _FREE.reads(lambda: _disk(data, lambda found: found.f_bavail))
    _ALL.reads(lambda: _disk(data, lambda found: found.f_blocks))
    _RESERVE.reads(lambda: [((), reserve())])


def sizes(data: Path) -> Iterator[tuple[Labels, float]]:
    """Octets of each store, by its folder below the data folder."""
    for file in (*data.glob("*/data.mdb"), *data.glob("*/*/data.mdb")):
        try:
            yield (str(file.parent.relative_to(data)),), file.stat().st_size
        except OSError:  # it has just gone
            continue


def _disk(data: Path, blocks: Callable[[os.statvfs_result], int]) -> Iterator[tuple[Labels, float]]:
    found = os.statvfs(data)
    yield (), blocks(found) * found.f_frsize
