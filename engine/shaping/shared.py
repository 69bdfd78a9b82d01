"""A table that all processes of the server share, and all nodes; or what stands for it where nobody shares it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from engine.abuse import Tables
from engine.abuse.table import Decide

T = TypeVar("T")


class Shared(Protocol):
    """Such a table."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys. StorageError."""
        ...

    async def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        """Apply what ``decide`` says about the values of the keys; its answer. StorageError."""
        ...


class Here:
    """One that is this process's own."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._values.get(key) for key in keys]

    async def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        answer, changes = decide([self._values.get(key) for key in keys])
        for key, kept in changes.items():
            if kept is None:
                self._values.pop(key, None)
            else:
                self._values[key] = kept.value
        return answer


def shared(tables: Tables | None, name: str) -> Shared:
    """The table of that name; without ``tables`` one of this process alone."""
    return tables[name] if tables is not None else Here()
