"""The scripts as they are run: compiled once, and kept for as long as their text stays the same."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from engine.config import NOWHERE, Sieve
from engine.mailbox import Mailboxes
from engine.mailbox.layout import digest
from engine.mailbox.scripts import Active
from engine.sieve import Limits, Script, ScriptError, compile_script

KEPT = 2 * 1024 * 1024
"""Octets of text of the scripts that are in memory, compiled: that takes some twenty times as much."""


class Library:
    """All scripts that one process runs. Its threads share it. Every method may block on the disk."""

    def __init__(self, mailboxes: Mailboxes, limits: Limits, include: Path) -> None:
        self._mailboxes = mailboxes
        self._limits = limits
        self._include = include
        self._kept: OrderedDict[object, tuple[int, Script | ScriptError]] = OrderedDict()  # with the size of the text
        self._size = 0
        self._lock = threading.Lock()

    def active(self, account: int, active: Active) -> Script | None:
        """The active script of an account; None when it has just become another. ScriptError, StorageError."""

        def text() -> bytes | None:
            return self._mailboxes.active_text(account, active)

        return self._script(active.text, text)

    def personal(self, account: int, name: str) -> Script | None:
        """A script of an account that another one includes. ScriptError, StorageError."""
        text = self._mailboxes.script(account, name)
        return None if text is None else self._script(digest(text), lambda: text)

    def shared(self, name: str) -> Script | None:
        """A script of the operator's that others may include. ScriptError; OSError when it cannot be read."""
        if self._include == NOWHERE:
            return None
        path = self._include / f"{name}.sieve"
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return self._script((path, status.st_mtime_ns, status.st_size), path.read_bytes)

    def _script(self, key: object, text: Callable[[], bytes | None]) -> Script | None:
        found = self._known(key)
        if found is None:
            octets = text()
            if octets is None:
                return None
            found = self._compiled(octets)
            self._keep(key, len(octets), found)
        if isinstance(found, ScriptError):
            raise ScriptError(found.mistakes)
        return found

    def _known(self, key: object) -> Script | ScriptError | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][1]

    def _keep(self, key: object, size: int, script: Script | ScriptError) -> None:
        with self._lock:
            if key not in self._kept:  # another thread may have been quicker
                self._kept[key] = size, script
                self._size += size
            while self._size > KEPT:
                self._size -= self._kept.popitem(last=False)[1][0]

    def _compiled(self, octets: bytes) -> Script | ScriptError:
        try:
            return compile_script(octets, self._limits)
        except ScriptError as error:  # it was right when it was put there: limits have changed since
            return error


def limits_of(sieve: Sieve) -> Limits:
    return Limits(script=int(sieve.script_size), redirects=sieve.redirects)
