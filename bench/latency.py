"""How long a sender waits for its 250, at a rate that does not depend on the answers: an open-loop client.

Messages start at random moments (a Poisson process, as many independent senders make it), each on a session that is
free. The time of a message runs from the last octet of its DATA, written, to the end of the reply, read. It is one
process with one thread over epoll, which takes some 60 µs of CPU a message: little beside any server.
"""

import gc
import json
import math
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import click
import trio

from bench import Failed
from bench.measure import Cell
from bench.servers.base import DOMAIN, HOST

_WARM = 1.0
"""Seconds of sending before times count: servers that fork are still starting their processes."""

_PATIENCE = 30.0
"""Seconds for a reply."""

_SEED = 1
"""The moments are the same for every server."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times in seconds, by quantile."""

    messages: int
    p50: float
    p99: float
    p999: float
    most: float
    rate: float  # messages a second that were in fact sent
    late: float  # seconds that one message in a hundred waited for a free session, at least


async def open_loop(port: int, cell: Cell, rate: float, seconds: float) -> Latencies:
    """Send at ``rate`` messages a second for ``seconds``, from a process of its own. Failed when a server refuses."""
    command = [sys.executable, "-m", "bench.latency", str(port), str(cell.sessions), str(cell.size)]
    with trio.move_on_after(seconds + 3 * _PATIENCE):
        ended = await trio.run_process(
            [*command, str(rate), str(seconds)], capture_stdout=True, capture_stderr=True, check=False
        )
        if ended.returncode:
            raise Failed(f"the open-loop client failed: {ended.stderr.decode(errors='replace').strip()[-500:]}")
        return Latencies(**json.loads(ended.stdout))
    raise Failed(f"the open-loop client did not come to its end at {rate:,.0f} messages/s")


def moments(rate: float, seconds: float) -> Iterator[float]:
    """When messages start, in seconds from the beginning."""
    chance = random.Random(_SEED)
    now = chance.expovariate(rate)
    while now < seconds:
        yield now
        now += chance.expovariate(rate)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least of the values that ``share`` of all do not exceed (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


class _Session:
    """One SMTP connection. Its dialog is a generator that is sent each reply, and each moment at which mail is due."""

    def __init__(self, client: "Client", port: int, content: bytes) -> None:
        self.socket = socket.create_connection((HOST, port), _PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._client = client
        self._unread = b""
        self._unsent = memoryview(b"")
        self._written = 0.0
        self._pipelining = False
        self._dialog = self._talk(content)
        next(self._dialog)

    def start(self, number: int) -> None:
        """Send the message with this number."""
        self._dialog.send(number)

    def read(self) -> None:
        octets = self.socket.recv(65536)
        if not octets:
            raise ConnectionError("the server hung up")
        *lines, self._unread = (self._unread + octets).split(b"\n")
        for line in lines:
            self._pipelining |= b"PIPELINING" in line
            if line[3:4] != b"-":  # the last line of a reply, RFC 5321 4.2.1
                self._dialog.send(line)

    def write(self, octets: bytes = b"") -> None:
        """Send this, or go on with what is left. Not all at once where the server reads slowly."""
        self._unsent = memoryview(octets) if octets else self._unsent
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            self._client.watch(self, writing=True)
        else:
            self._written = time.monotonic()
            if not octets:
                self._client.watch(self, writing=False)

    def _talk(self, content: bytes) -> Generator[None, Any, None]:
        _expect((yield), b"220")
        self.write(b"EHLO source.test\r\n")
        _expect((yield), b"250")
        while True:
            self._client.free.append(self)
            number = yield
            recipient = f"RCPT TO:<{self._client.recipient(number)}>\r\n".encode()
            envelope = (b"MAIL FROM:<sender@source.test>\r\n", recipient, b"DATA\r\n")
            if self._pipelining:
                self.write(b"".join(envelope))
            for command, code in zip(envelope, (b"250", b"250", b"354"), strict=True):
                if not self._pipelining:
                    self.write(command)
                _expect((yield), code)
            self.write(content)
            _expect((yield), b"250")
            self._client.sent(number, self._written, time.monotonic())


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise ConnectionError(f"expected {code.decode()}, got {line.decode(errors='replace').strip()}")


class Sent(NamedTuple):
    """What became of a message. Moments are those of ``time.monotonic``, which all processes have in common."""

    late: float  # seconds that it waited for a free session
    written: float  # the last octet of its DATA
    answered: float  # its 250


class Client:
    """All sessions, and the messages that are due. ``recipient`` gives the address for each number, from 0."""

    def __init__(
        self, port: int, sessions: int, size: int, recipient: Callable[[int], str] = lambda _: f"u@{DOMAIN}"
    ) -> None:
        self.free: deque[_Session] = deque()
        self.recipient = recipient
        self._late: list[float] = []
        self._sent: dict[int, Sent] = {}
        self._poll = select.epoll()
        content = _content(size)
        self._sessions: dict[int, _Session] = {}
        for _ in range(sessions):
            session = _Session(self, port, content)
            self._sessions[session.socket.fileno()] = session
            self._poll.register(session.socket, select.EPOLLIN)
        self._until_free()

    def watch(self, session: _Session, *, writing: bool) -> None:
        self._poll.modify(session.socket, select.EPOLLIN | (select.EPOLLOUT if writing else 0))

    def sent(self, number: int, written: float, answered: float) -> None:
        """The message with this number has its 250."""
        self._sent[number] = Sent(self._late[number], written, answered)

    def run(self, due: Sequence[float]) -> list[Sent]:
        """Send a message at each of these moments, in seconds from now; what became of each."""
        begun = time.monotonic()
        while (number := len(self._late)) < len(due):
            late = time.monotonic() - begun - due[number]
            if self.free and late >= 0:
                self._late.append(late)
                self.free.popleft().start(number)
            else:
                self._turn(-late if self.free else _PATIENCE)
        self._until_free()
        return [self._sent[number] for number in range(len(due))]

    def _until_free(self) -> None:
        while len(self.free) < len(self._sessions):
            self._turn(_PATIENCE)

    def _turn(self, seconds: float) -> None:
        """Read and write what can be, after at most so many seconds (the kernel counts them in milliseconds)."""
        events = self._poll.poll(seconds)
        if not events and seconds >= _PATIENCE:
            raise ConnectionError(f"no reply came for {_PATIENCE:.0f} s")
        for descriptor, event in events:
            session = self._sessions[descriptor]
            if event & select.EPOLLOUT:
                session.write()
            if event & ~select.EPOLLOUT:
                session.read()


def _content(size: int) -> bytes:
    """A message with ``size`` octets of text, and the end of DATA."""
    heading = f"From: <sender@source.test>\r\nTo: <u@{DOMAIN}>\r\nSubject: A message\r\n\r\n".encode()
    line = b"X" * 76 + b"\r\n"
    return heading + (line * (size // len(line) + 1))[: max(size - 2, 0)] + b"\r\n.\r\n"


@click.command()
@click.argument("port", type=int)
@click.argument("sessions", type=int)
@click.argument("size", type=int)
@click.argument("rate", type=float)
@click.argument("seconds", type=float)
def main(port: int, sessions: int, size: int, rate: float, seconds: float) -> None:
    """Send at a rate, and print the latencies as JSON."""
    gc.disable()  # its pauses would be counted as the server's
    due = list(moments(rate, _WARM + seconds))
    try:
        client, begun = Client(port, sessions, size), time.monotonic()
        sent = client.run(due)
        click.echo(json.dumps(asdict(_latencies(due, sent, time.monotonic() - begun))))
    except (OSError, IndexError) as error:
        raise click.ClickException(str(error)) from error


def _latencies(due: Sequence[float], sent: Sequence[Sent], lasted: float) -> Latencies:
    counted = [one for moment, one in zip(due, sent, strict=True) if moment >= _WARM]
    times = sorted(one.answered - one.written for one in counted)
    return Latencies(
        messages=len(times),
        p50=quantile(times, 0.5),
        p99=quantile(times, 0.99),
        p999=quantile(times, 0.999),
        most=times[-1],
        rate=len(sent) / lasted,
        late=quantile(sorted(one.late for one in counted), 0.99),
    )


if __name__ == "__main__":
    main()
