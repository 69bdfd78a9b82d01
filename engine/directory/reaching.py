"""Who gets mail for an address in the end: aliases followed to accounts."""

from engine.directory.entries import FEW, Account, Alias
from engine.directory.interface import Directory

DEPTH = 10
"""Aliases that may follow each other on the way to a person; what lies deeper is dropped."""


def reached(directory: Directory, address: str, *, most: int = FEW) -> list[Account]:
    """The accounts here that get mail for ``address``: nobody where it is for more than ``most``. Unavailable."""
    found: dict[int, Account] = {}
    seen: set[str] = set()
    names = [address]
    for _ in range(DEPTH + 1):
        met = [directory.find(name) for name in names]
        found |= {one.id: one for one in met if isinstance(one, Account)}
        seen |= set(names)
        names = [to for one in met if isinstance(one, Alias) for to in one.targets if to not in seen]
        if len(found) + len(names) > most:
            return []
    return list(found.values())
