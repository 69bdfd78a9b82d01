"""What a process has of the spam filter: what was learnt, opened when it is first wanted, and who the accounts are."""

import threading
from pathlib import Path

from engine.directory import Directory
from engine.spam.scanner import SpamFilter, SpamTerms
from engine.spam.store import FOLDER, Words


class Spam:
    """One object a process, for LMDB refuses to open a store twice. Without a data folder nothing can be learnt."""

    def __init__(self, data: Path | None = None, directory: Directory | None = None) -> None:
        self._data = data
        self._directory = directory
        self._words: Words | None = None
        self._opening = threading.Lock()

    def words(self) -> Words:
        """What was learnt. StorageError."""
        with self._opening:
            if self._words is None:
                assert self._data is not None
                self._words = Words.open(self._data / FOLDER)
            return self._words

    def scanner(self, terms: SpamTerms) -> SpamFilter:
        return SpamFilter(self.words, self._directory, terms)

    def close(self) -> None:
        if self._words is not None:
            self._words.close()
