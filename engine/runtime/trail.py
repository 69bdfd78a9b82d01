"""What commands have changed, on its way into the log: they leave it in a file, which the supervisor reads out.

A command changes the directory and the lists by itself, whether the server runs or not, but only the server has the
log. What was done while none ran is told when one starts.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import trio

from engine.observe.events import encoded, event
from engine.runtime.changes import Changes
from engine.storage.files import private

FILE = "trail.jsonl"
"""In the data folder."""

LOOK = 1.0
"""Seconds between two looks at it."""


class Trail:
    """The file. Each line is an event, as it is to stand in the log."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._changes = Changes(data)
        self._said = ""

    def leave(self, name: str, /, **values: Any) -> None:
        """Have this event told. OSError."""
        line = {"time": round(time.time(), 3), "event": name, "process": "command"}
        line |= {key: value for key, value in values.items() if value is not None}
        with self._locked(os.O_WRONLY | os.O_CREAT | os.O_APPEND, fcntl.LOCK_EX) as descriptor:
            os.write(descriptor, encoded(line) + b"\n")
            os.fsync(descriptor)
            if os.geteuid() == 0:  # what a command of root makes is the server's own user's
                owner = self._path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def read_out(self) -> int:
        """Have all of it in the log, and forget it; how many events. BlockingIOError while one is being left; OSError.

        Who dies in between tells them again.
        """
        if not self._path.exists() or not self._path.stat().st_size:
            return 0
        with self._locked(os.O_RDWR, fcntl.LOCK_EX | fcntl.LOCK_NB) as descriptor:
            with open(descriptor, "rb", closefd=False) as file:
                lines = [line for line in file.read().splitlines(keepends=True) if _is_event(line)]
            event.relay(lines)
            if lines:
                self._changes.keep(lines)
            os.ftruncate(descriptor, 0)
        return len(lines)

    async def run(self) -> None:
        """Read it out once a second."""
        while True:
            try:
                self.read_out()
                self._said = ""
            except BlockingIOError:
                pass
            except OSError as error:
                self._complain(error.strerror or str(error))
            await trio.sleep(LOOK)

    def _complain(self, error: str) -> None:
        if error != self._said:
            event("trail-unread", file=str(self._path), error=error)
        self._said = error

    @contextlib.contextmanager
    def _locked(self, flags: int, lock: int) -> Iterator[int]:
        descriptor = private(str(self._path), flags | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, lock)
            yield descriptor
        finally:
            os.close(descriptor)


def _is_event(line: bytes) -> bool:
    """Whether it was written whole: the disk may have been full."""
    try:
        return line.endswith(b"\n") and isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        return False
