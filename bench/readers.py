"""Clients that read mail by POP3 and IMAP. Plain sockets in threads, so that they cost little beside the servers."""

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import trio

from bench import Failed
from bench.servers.base import HOST

_PIPELINED = 50
"""Commands sent before their replies are read, by a client that does that (RFC 2449 6.6)."""

_PATIENCE = 60.0
"""Seconds that a client waits for a reply."""

_MESSAGE_END = b"\r\n.\r\n"

Session = Callable[[int, str, str], None]
"""Port, user, password: log in, open the mailbox, log out."""


class Line:
    """A connection to a server of POP3 or IMAP."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.octets = 0  # received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, command: str) -> None:
        self._socket.sendall(f"{command}\r\n".encode())

    def line(self, expected: str) -> None:
        """Read one line. Failed unless it begins with what matches ``expected``."""
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._receive()
        if not re.match(expected.encode(), line):
            raise Failed(f"refused: {line[:200].decode(errors='replace').strip()}")

    def tagged(self, tag: str) -> None:
        """Read until the line with this tag, which is the last. Failed unless it says OK."""
        last, pattern = b"", re.compile(rf"(?:^|\n){tag} (\w+)[^\r\n]*\r\n\Z".encode())
        while not (found := pattern.search(last)):
            last = (last + self._receive())[-4096:]
        if found[1] != b"OK":
            raise Failed(f"refused: {found[0].decode(errors='replace').strip()}")

    def messages(self, commands: Sequence[str]) -> None:
        """Send commands together, each of which is answered with a message; read those."""
        self._socket.sendall("".join(f"{command}\r\n" for command in commands).encode())
        left, kept = len(commands), b""
        while left:
            octets = kept + self._receive()
            left -= octets.count(_MESSAGE_END)  # no line of a message is a lone dot: those are doubled (RFC 1939 3)
            kept = octets[-len(_MESSAGE_END) + 1 :]
            if octets.startswith(b"-ERR"):
                raise Failed(f"refused: {octets[:200].decode(errors='replace').strip()}")

    def _receive(self) -> bytes:
        try:
            octets = self._socket.recv(1 << 20)
        except OSError as error:
            raise Failed(f"no reply: {error}") from error
        if not octets:
            raise Failed("the server hung up")
        self.octets += len(octets)
        return octets


# -- POP3


def pop3_session(port: int, user: str, password: str) -> None:
    with Line(port) as line:
        _pop3_open(line, user, password)
        _pop3(line, "QUIT")


def pop3_fetch(port: int, user: str, password: str, messages: int, *, pipelined: bool) -> float:
    """Seconds to fetch all messages one after the other. Failed when there are others than these."""
    at_once = _PIPELINED if pipelined else 1
    with Line(port) as line:
        _pop3_open(line, user, password)
        _pop3(line, "STAT", rf"\+OK {messages} ")
        started = time.perf_counter()
        for batch in _batches(range(1, messages + 1), at_once):
            line.messages([f"RETR {number}" for number in batch])
        spent = time.perf_counter() - started
        _pop3(line, "QUIT")
        return spent


def _pop3_open(line: Line, user: str, password: str) -> None:
    line.line(r"\+OK")
    _pop3(line, f"USER {user}")
    _pop3(line, f"PASS {password}")


def _pop3(line: Line, command: str, expected: str = r"\+OK") -> None:
    line.send(command)
    line.line(expected)


# -- IMAP


def imap_session(port: int, user: str, password: str) -> None:
    with Line(port) as line:
        _imap_open(line, user, password)
        _imap(line, "LOGOUT")


def imap_fetch(port: int, user: str, password: str, messages: int) -> float:
    """Seconds to fetch all messages with one command. Failed when not all come."""
    with Line(port) as line:
        _imap_open(line, user, password)
        before, started = line.octets, time.perf_counter()
        _imap(line, f"FETCH 1:{messages} BODY.PEEK[]")
        spent = time.perf_counter() - started
        if line.octets - before < messages * 100:
            raise Failed(f"{line.octets - before} octets came by FETCH: that cannot be {messages} messages")
        _imap(line, "LOGOUT")
        return spent


def imap_openings(port: int, user: str, password: str, seconds: float) -> float:
    """How many times a second one client, logged in already, can open the mailbox: for about so many seconds."""
    with Line(port) as line:
        _imap_open(line, user, password)
        started = time.perf_counter()
        for number in itertools.count(1):
            _imap(line, "SELECT INBOX")
            spent = time.perf_counter() - started
            if spent > seconds:
                _imap(line, "LOGOUT")
                return number / spent
    return 0.0


def _imap_open(line: Line, user: str, password: str) -> None:
    line.line(r"\* OK")
    _imap(line, f'LOGIN {user} "{password}"')
    _imap(line, "SELECT INBOX")


def _imap(line: Line, command: str) -> None:
    line.send(f"a {command}")
    line.tagged("a")


# -- many at once


async def sessions(session: Session, port: int, users: Sequence[str], password: str, seconds: float) -> float:
    """Sessions a second when each user has one after the other, for about so many seconds."""
    until = time.perf_counter() + seconds

    def one(user: str) -> int:
        for number in itertools.count(1):
            session(port, user, password)
            if time.perf_counter() > until:
                return number
        return 0

    done: list[int] = []
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(_append, done, one, user)
    return sum(done) / (time.perf_counter() - started)


async def _append(done: list[int], one: Callable[[str], int], user: str) -> None:
    done.append(await trio.to_thread.run_sync(one, user, limiter=trio.CapacityLimiter(1)))


def _batches(numbers: Iterable[int], size: int) -> Iterable[Sequence[int]]:
    left = iter(numbers)
    while batch := list(itertools.islice(left, size)):
        yield batch
