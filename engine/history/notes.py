"""Notes of one process: gathered as things happen, and written by a thread, many at once."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.history.entries import Arrived, Entry, TurnedAway
from engine.history.shelf import Shelf, Terms
from engine.observe.events import event

WAITING = 20_000
"""Entries that wait for the thread at most. What comes then is not noted: mail goes on."""

PAUSE = 1.0
"""Seconds for which entries gather. Those are lost when the process dies; and it is one commit for all of them."""

TIDY = 600.0
"""Seconds after which an idle process looks for what is too old."""

_SILENCE = 60.0
"""Seconds between two complaints."""


class Notes:
    """``history(entry)`` notes an entry: that takes less than a microsecond, never waits and never raises.

    Whoever has to work for an entry asks first whether the history is ``on``; for one about what was refused, whether
    ``refusals`` are noted. It is on, too, where nothing is kept and somebody else wants to hear.
    """

    def __init__(self) -> None:
        self.on = False
        self.refusals = False
        self._kept = (False, False)  # whether mail is, and what was refused
        self._heard: Callable[[Entry], None] | None = None
        self._shelf: Shelf | None = None
        self._waiting: list[Entry] = []
        self._lost = 0
        self._silent_until = 0.0
        self._rouse = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, entry: Entry) -> None:
        if self._heard is not None:
            self._heard(entry)
            if not self._kept[_is_refusal(entry)]:
                return
        if len(self._waiting) >= WAITING:
            self._lost += 1
            return
        self._waiting.append(entry)
        if not self._rouse.is_set():
            self._rouse.set()
            if self._thread is None:
                self.begin()

    def use(self, folder: Path, worker: str, terms: Terms, *, on: bool = True, refusals: bool = True) -> None:
        """Note from now on, in ``folder``, or nothing more."""
        self._kept = (on, on and refusals)
        self._switch()
        if self._shelf is None:
            self._shelf = Shelf(folder, worker, terms)
        else:
            self._shelf.terms = terms

    def tell(self, heard: Callable[[Entry], None] | None) -> None:
        """From now on ``heard`` is called with each entry, kept or not: it must neither wait nor raise."""
        self._heard = heard
        self._switch()

    def _switch(self) -> None:
        self.on = self._kept[0] or self._heard is not None
        self.refusals = self._kept[1] or self._heard is not None

    def begin(self) -> None:
        """Start the thread: it also removes what is too old, though nothing is noted. Once in a process."""
        if self._shelf is not None and self._thread is None:
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, args=(self._shelf,), name="history", daemon=True)
            self._thread.start()

    def close(self, patience: float = 5.0) -> None:
        """Write what has gathered, for so many seconds at most, and note nothing more."""
        self._kept = (False, False)
        self.tell(None)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            self._rouse.set()
            thread.join(patience)
        self._shelf = None

    # By the thread

    def _run(self, shelf: Shelf) -> None:
        while not self._ending.is_set():
            if self._rouse.wait(TIDY):
                self._ending.wait(PAUSE)
            self._rouse.clear()
            self._write(shelf)
        self._write(shelf)
        shelf.close()

    def _write(self, shelf: Shelf) -> None:
        entries = self._waiting[:]
        del self._waiting[: len(entries)]  # others may have put more behind them meanwhile
        if self._lost:
            lost, self._lost = self._lost, 0
            self._complain(lost, "more came than could be noted")
        try:
            if entries:
                shelf.put(entries)
            else:
                shelf.tidy()
        except Exception as error:  # whatever it is, mail goes on, and the next ones may be noted
            self._complain(len(entries), str(error))

    def _complain(self, count: int, why: str) -> None:
        if (now := time.monotonic()) >= self._silent_until:
            self._silent_until = now + _SILENCE
            event("history-not-noted", entries=count, why=why)


history = Notes()
"""This process's notes: ``if history.on: history(entry)``."""


def _is_refusal(entry: Entry) -> bool:
    return isinstance(entry, TurnedAway) or (isinstance(entry, Arrived) and entry.what in ("refused", "put-off"))


def noted(entries: Sequence[Entry]) -> None:
    """Note several."""
    for entry in entries:
        history(entry)
