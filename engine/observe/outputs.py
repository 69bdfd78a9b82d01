"""Where the lines of the log go: standard error, a file that is turned over, the systemd journal, a syslog server."""

import contextlib
import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.observe.visible import visible

JOURNAL = "/run/systemd/journal/socket"

NAME = "postroad"
"""By which the journal and syslog know us."""

LOOK = 1.0
"""Seconds between two looks at whether the file is still the one of that name, and how large it is."""

ERROR, WARNING, INFORMATION = 3, 4, 6
"""Severities (RFC 5424 6.2.1)."""

_MAIL = 2 << 3  # the facility
_LEVELS = {"error": ERROR, "critical": ERROR, "warning": WARNING}
_GRAVE = ("-failed", "-died", "-lost", "-trouble", "-unwritten", "-full")
_STDERR = 2
_UNIX_FIRST = "/"

_encoder = msgspec.json.Encoder()


class Output(Protocol):
    """Takes lines: each one JSON object, with a line feed. OSError when it cannot take them now."""

    def write(self, lines: Sequence[bytes]) -> None: ...

    def close(self) -> None: ...


class StandardError:
    """JSON, or on a terminal lines that a person can read."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def write(self, lines: Sequence[bytes]) -> None:
        for piece in _pieces(map(readable, lines) if self._terminal else lines):
            os.write(_STDERR, piece)

    def close(self) -> None:
        """It stays open: libraries write there, too."""


class File:
    """A file to which all processes of the server append.

    From ``size`` octets on it becomes FILE.1, that becomes FILE.2, and so on, of which ``keep`` are kept. Whoever else
    renames it, such as logrotate, need tell nobody: within a second each process writes into a new one.
    """

    def __init__(self, path: Path, *, size: int, keep: int) -> None:
        """OSError when it cannot be opened."""
        self._path, self._size, self._keep = path, size, keep
        self._descriptor = self._opened()
        self._looked = time.monotonic()

    def write(self, lines: Sequence[bytes]) -> None:
        now = time.monotonic()
        if now - self._looked > LOOK:
            self._looked = now
            self._look()
        os.write(self._descriptor, b"".join(lines))  # appended whole, beside what others append (open(2), O_APPEND)

    def close(self) -> None:
        os.close(self._descriptor)

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _look(self) -> None:
        if self._is_another():
            self._again()
        elif os.fstat(self._descriptor).st_size > self._size:
            self._turn_over()
            self._again()

    def _is_another(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        mine = os.fstat(self._descriptor)
        return (there.st_ino, there.st_dev) != (mine.st_ino, mine.st_dev)

    def _again(self) -> None:
        new = self._opened()
        os.close(self._descriptor)
        self._descriptor = new

    def _turn_over(self) -> None:
        """Rename them all, unless another process does it now or has done it."""
        with contextlib.suppress(BlockingIOError), _locked(self._descriptor):
            if self._is_another():
                return
            names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._keep))]
            for older, newer in reversed(list(zip(names[1:], names, strict=False))):
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(older)
            if not self._keep:
                self._path.unlink()


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """BlockingIOError when another process has it locked."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class Journal:
    """The systemd journal, by its own protocol: each event has fields, by which journalctl finds it."""

    def __init__(self, path: str = JOURNAL) -> None:
        """OSError when there is none."""
        self._socket = _datagrams(path)

    def write(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._socket.send(_fields(line))

    def close(self) -> None:
        self._socket.close()


class Syslog:
    """A syslog server: the socket of this machine's (``/dev/log``), or another by UDP (RFC 5424, RFC 5426)."""

    def __init__(self, place: str, hostname: str) -> None:
        """``place``: a path, or ``udp:HOST:PORT``. OSError when it cannot be reached."""
        self._local = place.startswith(_UNIX_FIRST)
        self._hostname = hostname
        if self._local:
            self._socket = _datagrams(place)
        else:
            host, _, port = place.removeprefix("udp:").rpartition(":")
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            self._socket.connect(address)

    def write(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._socket.send(self._head(msgspec.json.decode(line)) + line.rstrip())

    def close(self) -> None:
        self._socket.close()

    def _head(self, event: Mapping[str, Any]) -> bytes:
        priority, moment = _MAIL | severity(event), float(event["time"])
        if self._local:  # as syslog(3) writes, whose servers add the name of the machine
            clock = time.strftime("%b %e %H:%M:%S", time.localtime(moment))
            return f"<{priority}>{clock} {NAME}[{os.getpid()}]: ".encode()
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
        fraction = f"{moment % 1:.3f}"[1:]
        kind = str(event["event"])[:32]
        return f"<{priority}>1 {clock}{fraction}Z {self._hostname} {NAME} {os.getpid()} {kind} - ".encode()


def _datagrams(path: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        found.connect(path)
    except OSError:
        found.close()
        raise
    return found


def severity(event: Mapping[str, Any]) -> int:
    """How grave an event is."""
    name = str(event.get("event"))
    if name == "bug":
        return ERROR
    if name.endswith(_GRAVE):
        return WARNING
    return _LEVELS.get(str(event.get("level")), INFORMATION)


def _fields(line: bytes) -> bytes:
    """A line as the journal takes it (systemd's "Native Journal Protocol")."""
    event = msgspec.json.decode(line)
    found = {
        "MESSAGE": readable(line, clock=False),
        "PRIORITY": str(severity(event)).encode(),
        "SYSLOG_IDENTIFIER": NAME.encode(),
        "SYSLOG_FACILITY": b"2",
        "POSTROAD_EVENT": str(event.get("event", "")).encode(),
        "POSTROAD_PROCESS": str(event.get("process", "")).encode(),
        "POSTROAD_ID": str(event.get("id", "")).encode(),
        "POSTROAD_JSON": line,
    }
    return b"".join(_field(name, value.rstrip(b"\n")) for name, value in found.items() if value)


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def readable(line: bytes, *, clock: bool = True) -> bytes:
    """A line for a person, with its line feed: the time, who says what of which message, and the rest."""
    event = msgspec.json.decode(line)
    rest = " ".join(f"{key}={_short(value)}" for key, value in event.items() if key not in ("time", *_SHOW))
    head = " ".join(str(event[key]) for key in _SHOW if event.get(key))
    moment = time.strftime("%H:%M:%S ", time.localtime(event["time"])) if clock else ""
    return f"{moment}{head}  {rest}\n".encode(errors="replace")


_SHOW = ("process", "event", "id")


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value if value and " " not in value and value.isprintable() else repr(value)
    return visible(_encoder.encode(value).decode())


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined as far as a pipe takes them in one piece: other processes write to it too (pipe(7), PIPE_BUF)."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece
