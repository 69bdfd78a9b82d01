"""What a running server says about itself to the commands: its process id, its revision, how the last reload went."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.storage.files import private


class Trial(msgspec.Struct, frozen=True):
    """A revision that is tried on a share of the mail."""

    revision: int
    share: float  # per cent
    since: float  # Unix time
    counts: dict[str, int] = {}  # what came of its mail
    beside: dict[str, int] = {}  # and of that which went by the revision in force, since then


class Running(msgspec.Struct, frozen=True):
    """A running server."""

    pid: int
    revision: int
    error: str = ""  # why the last reload was refused
    change: int = 0  # grows with every reload, refused or not
    folder: str = ""  # of the sockets between its processes
    lives: dict[str, int] = {}  # of its workers; a restarted one has another address
    trial: Trial | None = None


class Order(msgspec.Struct, frozen=True):
    """What a command wants of the server that it sends SIGHUP. Without one the signal is a reload."""

    by: str = "a signal"  # the operator
    what: Literal["reload", "promote", "abort"] = "reload"
    share: float | None = None  # per cent of the mail that a new revision is tried on; None: as it says itself


class State:
    """The file ``running.json`` in the data folder, and the lock that says whether it is true."""

    def __init__(self, data: Path) -> None:
        self._path = data / "running.json"
        self._order = data / "order.json"
        self.folder = ""
        self._lock = -1
        self._change = 0
        self._said = (0, 0, "")
        self._lives: dict[str, int] = {}
        self._trial: Trial | None = None

    def take(self) -> None:
        """StorageError when a server runs on this data folder already."""
        self._lock = private(str(self._path.with_suffix(".lock")), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self._hand_over(self._lock)  # a command of root must not keep the server's own user away later
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            running = self.read()
            raise StorageError(
                f"a Postroad runs on {self._path.parent} already"
                f"{f', with process id {running.pid}' if running else ''}; stop it first"
            ) from error

    def write(self, pid: int, revision: int, error: str) -> None:
        """Say how a start or a reload has gone."""
        self._change += 1
        self._said = (pid, revision, error)
        self._write()

    def lives(self, lives: dict[str, int]) -> None:
        """Say which workers there are now."""
        self._lives = dict(lives)
        if self._change:
            self._write()

    def trial(self, trial: Trial | None) -> None:
        """Say how a trial goes, or that there is none."""
        if trial != self._trial:
            self._trial = trial
            if self._change:
                self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            with open(temporary, "wb", opener=private) as file:
                running = Running(*self._said, self._change, self.folder, self._lives, self._trial)
                file.write(msgspec.json.encode(running))
            temporary.replace(self._path)
        except OSError as error:  # only the commands miss it, and they only until the next time
            event("state-unwritten", file=str(self._path), error=error.strerror)

    def read(self) -> Running | None:
        """What the running server last wrote; None when there is none to be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def running(self) -> Running | None:
        """The server that runs on this folder now, or None."""
        try:
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self.read()
        finally:
            os.close(lock)
        return None

    # -- orders

    def give(self, order: Order) -> None:
        """Leave an order for the running server, which is to be sent SIGHUP next. OSError."""
        new = self._order.with_suffix(".new")
        with open(new, "wb", opener=private) as file:
            file.write(msgspec.json.encode(order))
            self._hand_over(file.fileno())
        new.replace(self._order)

    def taken(self) -> Order:
        """The order that came with a signal, which is gone then; a plain reload where there is none."""
        try:
            octets = self._order.read_bytes()
            self._order.unlink()
            return msgspec.json.decode(octets, type=Order)
        except FileNotFoundError:
            return Order()
        except (OSError, msgspec.DecodeError) as error:
            event("order-unreadable", file=str(self._order), error=str(error))
            return Order()

    def _hand_over(self, descriptor: int) -> None:
        """What a command of root makes is the server's own user's."""
        if os.geteuid() == 0:
            owner = self._path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def release(self) -> None:
        for path in (self._path, self._order):
            with contextlib.suppress(OSError):
                path.unlink()
        if self._lock >= 0:
            os.close(self._lock)
