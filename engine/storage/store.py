"""What the small stores have in common: an environment of LMDB that is closed with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

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
