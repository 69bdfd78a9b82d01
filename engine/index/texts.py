"""The full-text files of all accounts: a few are open at a time, and one that is damaged is thrown away."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.index.fulltext import TEXTS, FullText, file_of, remove
from engine.index.layout import Damaged
from engine.observe.events import event

T = TypeVar("T")

OPEN = 32
"""Files that are open at once: each has up to a megabyte of pages in memory."""


class Lost(Exception):
    """The file of this account was damaged, and has been thrown away."""

    def __init__(self, account: int) -> None:
        super().__init__(f"the full text of account {account} is lost")
        self.account = account


class Texts:
    """The files below ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: OrderedDict[int, FullText] = OrderedDict()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def accounts(self) -> list[int]:
        """Those that have a file."""
        stems = (file.stem for file in (self._path / TEXTS).glob("*.sqlite3"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def has(self, account: int) -> bool:
        return file_of(self._path, account).exists()

    def use(self, account: int, work: Callable[[FullText], T]) -> T:
        """What the work with the account's file gives. StorageError, Lost."""
        try:
            return work(self._file(account))
        except Damaged as error:
            event("index-damaged", account=account, error=str(error))
            self.remove(account)
            raise Lost(account) from error

    def remove(self, account: int) -> None:
        """OSError."""
        if account in self._open:
            self._open.pop(account).close()
        remove(file_of(self._path, account))

    def _file(self, account: int) -> FullText:
        if account not in self._open:
            self._open[account] = FullText(file_of(self._path, account))
            if len(self._open) > OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(account)
        return self._open[account]
