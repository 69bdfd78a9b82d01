"""Who has which mailbox open by POP3, among all processes that serve it (RFC 1939 section 4)."""

import enum
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

_OPENED = struct.Struct("=d")


class Refused(enum.Enum):
    """Why a mailbox cannot be opened."""

    IN_USE = "another session has it"
    TOO_SOON = "it was opened a moment ago"


class MailboxLocks:
    """One open file: each account has the octets in it that hold when it was last opened, and a lock on them.

    The kernel lets go of the locks of a process that dies. Open the file once in a process: to close it once more would
    let go of all. OSError.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._clock = clock  # one for all processes of the machine
        self._held: set[int] = set()

    def close(self) -> None:
        os.close(self._file)

    @property
    def held(self) -> frozenset[int]:
        """The accounts whose mailboxes sessions of this process have open."""
        return frozenset(self._held)

    def take(self, account: int, delay: float = 0.0) -> Refused | None:
        """Open the account's mailbox; not within ``delay`` seconds since it was last opened."""
        start = account * _OPENED.size
        if account in self._held or not self._lock(start):
            return Refused.IN_USE
        now = self._clock()
        if delay and 0 <= now - self._opened(start) < delay:  # the clock begins anew with the machine
            self._unlock(start)
            return Refused.TOO_SOON
        if delay:
            os.pwrite(self._file, _OPENED.pack(now), start)
        self._held.add(account)
        return None

    def release(self, account: int) -> None:
        """Let it go, if this process has it."""
        if account in self._held:
            self._held.discard(account)
            self._unlock(account * _OPENED.size)

    def _opened(self, start: int) -> float:
        octets = os.pread(self._file, _OPENED.size, start)
        opened: float = _OPENED.unpack(octets)[0] if len(octets) == _OPENED.size else 0.0
        return opened or float("-inf")

    def _lock(self, start: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _OPENED.size, start)
        except BlockingIOError:
            return False
        return True

    def _unlock(self, start: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, _OPENED.size, start)
