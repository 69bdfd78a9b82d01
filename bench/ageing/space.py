"""How much of the disk a store takes, and how much of that it needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOUND = 1.3
"""How many times the most that was in use at once LMDB's file may take."""

_BLOCK = 512
"""Octets in one block of stat(2)."""

_ROOTS = 3
"""Pages of LMDB besides: its two roots, and the names of the databases."""


@dataclass(frozen=True, slots=True)
class Space:
    """Octets on the disk."""

    used: int  # pages of LMDB that hold something: records, indices, content
    free: int  # pages, not octets, on its free list, and those that the list takes
    stored: int  # LMDB's file: as long as it is, or as the file system has allocated it, whatever is more
    files: int  # content in files of its own, as the file system has allocated it


def space(transaction: Any, databases: Iterable[Any], folder: Path, large: Path) -> Space:
    """Of the store in ``folder`` with content in files in ``large``, as a transaction sees it."""
    stats = [transaction.stat(database) for database in databases]
    kinds = ("branch_pages", "leaf_pages", "overflow_pages")
    pages = _ROOTS + sum(stat[kind] for stat in stats for kind in kinds)
    octets = stats[0]["psize"]
    status = (folder / "data.mdb").stat()
    return Space(
        used=pages * octets,
        free=status.st_size // octets - pages,
        stored=max(status.st_size, status.st_blocks * _BLOCK),
        files=sum(path.stat().st_blocks * _BLOCK for path in large.iterdir()),
    )
