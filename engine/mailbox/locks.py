"""Who has which mailbox open by POP3, among all processes that serve it (RFC 1939 section 4)."""

import enum
import fcntl
import math
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

RECORDS = 2**20
"""Accounts of which it is known when they were opened; numbers from other directories have 64 bits."""

_OPENED = struct.Struct("=Qd")  # whose it is, and when
_LARGEST = 2**62 - 1  # that can be locked


class Refused(enum.Enum):
    """Why a mailbox cannot be opened."""

    IN_USE = "another session has it"
    TOO_SOON = "it was opened a moment ago"


class MailboxLocks:
    """One open file. An account's lock is on the octet of its number; when it was last opened stands in a record.

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
        if account in self._held or not self._lock(account):
            return Refused.IN_USE
        now = self._clock()
        if delay and 0 <= now - self._opened(account) < delay:  # the clock begins anew with the machine
            self._unlock(account)
            return Refused.TOO_SOON
        if delay:
            os.pwrite(self._file, _OPENED.pack(account, now), _record(account))
        self._held.add(account)
        return None

    def release(self, account: int) -> None:
        """Let it go, if this process has it."""
        if account in self._held:
            self._held.discard(account)
            self._unlock(account)

    def _opened(self, account: int) -> float:
        """When it was; long ago for one that another account's record has taken the place of."""
        octets = os.pread(self._file, _OPENED.size, _record(account))
        whose, opened = _OPENED.unpack(octets) if len(octets) == _OPENED.size else (-1, 0.0)
        return opened if whose == account else -math.inf

    def _lock(self, account: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, account & _LARGEST)
        except BlockingIOError:
            return False
        return True

    def _unlock(self, account: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, account & _LARGEST)


def _record(account: int) -> int:
    return account % RECORDS * _OPENED.size
