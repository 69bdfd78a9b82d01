"""What the small stores have in common: an environment of LMDB that is closed with them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import lmdb

from engine.storage.environment import translated

T = TypeVar("T")


def done(environment: lmdb.Environment, what: Callable[["lmdb.Transaction[bytes]"], T], *, write: bool = True) -> T:
    """What comes of it in a transaction of its own. Blocks. StorageError."""
    try:
        with environment.begin(write=write) as txn:
            return what(txn)
    except lmdb.Error as error:
        raise translated(error) from error


class Store:
    """One object a process, for LMDB refuses a second one of the same folder."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment

    def close(self) -> None:
        self._environment.close()

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(self._environment.path())

    @property
    def changes(self) -> int:
        """A number that grows with every change by whatever process."""
        return int(self._environment.info()["last_txnid"])

    def _do(self, what: Callable[["lmdb.Transaction[bytes]"], T], *, write: bool = True) -> T:
        return done(self._environment, what, write=write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Closed(Protocol):
    """What is closed when it is no longer needed."""

    def close(self) -> object: ...


S = TypeVar("S", bound=Closed)


class OnDemand(Generic[S]):
    """A store of a process, opened when it is first wanted."""

    def __init__(self, opening: Callable[[], S]) -> None:
        self._opening = opening
        self._store: S | None = None
        self._turn = threading.Lock()  # by one thread: LMDB cannot be opened twice in one process

    def opened(self) -> S:
        """StorageError. Blocks."""
        with self._turn:
            if self._store is None:
                self._store = self._opening()
            return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
