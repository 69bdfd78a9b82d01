"""What was found in a directory, kept until anything in it changes."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

SIZE = 10_000
"""Entries at most: those that most mail of some hours is for."""


class Memory(Generic[K, V]):
    """Values by key, as they are in one state of the directory; in another state it knows none of them."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._kept: tuple[object, dict[K, V]] = (None, {})  # threads share it: replaced as a whole

    def __len__(self) -> int:
        return len(self._kept[1])

    def get(self, state: object, key: K) -> V | None:
        """What was found for ``key`` in this state."""
        of, values = self._kept
        return values.get(key) if of == state else None

    def put(self, state: object, key: K, value: V) -> None:
        """Keep what was found for ``key`` by one who looked when the state was this one, or later."""
        of, values = self._kept
        if of != state or len(values) >= self._size:
            self._kept = state, {key: value}
        else:
            values[key] = value
