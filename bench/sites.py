"""Many sites on loopback, each with a domain, a mail host and an address of its own, some of them bad; mail for them.

Site 0 is large: it gets half of all mail. The others share the rest, the bad ones as the healthy ones. Sender and sink
are processes of their own, over epoll, so that neither they nor the benchmark wait for one another.
"""

import enum
import functools
import gc
import heapq
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice

import click
import trio

from bench import Failed, usage
from bench.latency import Client, Sent, moments
from bench.measure import Cell
from bench.servers.base import free_port
from engine.net.zone import Zone

ORIGIN = "sites.test"
"""The domains of the sites are below it."""

LARGE = 0
"""The site that gets half of all mail."""

DELAY = 2.0
"""Seconds that a slow site takes for each answer."""

_CONNECTIONS = 8000
"""Descriptors that the sink has for connections, beside one to listen at each site."""

_SEED = 1
"""Mail goes to the same sites in every run."""

_PATIENCE = 120.0
"""Seconds that the sender may take longer than its rate says."""

_ARRIVAL = struct.Struct("<Id")
"""The number of a message, and when it arrived: ``time.monotonic``, which all processes have in common."""


class Kind(enum.Enum):
    """What a site does with mail."""

    HEALTHY = "takes it"
    DEAD = "refuses connections"
    SILENT = "accepts connections and never greets"
    SLOW = "answers each command after two seconds"


_BAD = (Kind.DEAD, Kind.SILENT, Kind.SLOW)


@dataclass(frozen=True, slots=True)
class Sites:
    """So many sites, two at least, the last ``bad`` of which are in turn dead, silent and slow."""

    count: int
    bad: int = 0

    def kind(self, site: int) -> Kind:
        return Kind.HEALTHY if site < self.count - self.bad else _BAD[site % len(_BAD)]

    def zone(self) -> Zone:
        """The DNS of them all."""
        return _zone(self.count)

    def destinations(self, messages: int) -> list[int]:
        """The site that each message goes to, by its number."""
        chance = random.Random(_SEED)
        return [LARGE if chance.random() < 0.5 else chance.randrange(1, self.count) for _ in range(messages)]


def recipient(message: int, site: int) -> str:
    """The address that a message goes to, in which the sink finds its number."""
    return f"{message}@s{site:05d}.{ORIGIN}"


def address(site: int) -> str:
    """Where the mail host of a site is."""
    return f"127.{1 + (site >> 16)}.{site >> 8 & 255}.{site & 255}"


@functools.cache
def _zone(count: int) -> Zone:
    zone = Zone(ORIGIN, ttl=24 * 3600)
    for site in range(count):
        zone.set(f"s{site:05d}", "MX", f"10 mx.s{site:05d}")
        zone.set(f"mx.s{site:05d}", "A", address(site))
    return zone


# -- as the benchmark has them


@asynccontextmanager
async def sink(sites: Sites) -> AsyncIterator[tuple[int, Mapping[int, float]]]:
    """The sites' mail hosts, all at one port: that, and when each message arrived, by its number, as they come."""
    port = free_port()
    arrived: dict[int, float] = {}
    async with usage.opened("sites") as group, trio.open_nursery() as nursery:
        command = [sys.executable, "-m", "bench.sites", "sink", str(sites.count), str(sites.bad), str(port)]
        process = await group.open(command, stdout=subprocess.PIPE)
        await nursery.start(_hear, process, arrived)
        yield port, arrived
        nursery.cancel_scope.cancel()


async def _hear(
    process: trio.Process, arrived: dict[int, float], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Note what arrives. One that comes again came when it did first."""
    assert process.stdout is not None
    if await process.stdout.receive_some(1) != _READY:
        raise Failed("the sites do not start")
    task_status.started()
    unread = b""
    while octets := await process.stdout.receive_some():
        unread += octets
        whole = len(unread) // _ARRIVAL.size * _ARRIVAL.size
        for number, moment in _ARRIVAL.iter_unpack(unread[:whole]):
            arrived.setdefault(number, moment)
        unread = unread[whole:]
    raise Failed("the sites have ended before their time")


async def send(sites: Sites, port: int, cell: Cell, rate: float, messages: int) -> list[Sent]:
    """Send at ``rate`` messages a second; what became of each, by its number. Failed when the server refuses one."""
    numbers = map(str, (sites.count, port, cell.sessions, cell.size, rate, messages))
    with trio.move_on_after(messages / rate + _PATIENCE):
        command = [sys.executable, "-m", "bench.sites", "send", *numbers]
        ended = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if ended.returncode:
            raise Failed(f"the sender failed: {ended.stderr.decode(errors='replace').strip()[-500:]}")
        return [Sent(*one) for one in json.loads(ended.stdout)]
    raise Failed(f"the sender did not come to its end at {rate:,.0f} messages/s")


# -- the mail hosts

_READY = b"\n"


class Dialog:
    """What a mail host answers to the octets that come. ``arrived`` gathers the numbers of messages it has taken."""

    __slots__ = ("_content", "_number", "_unread", "arrived")

    def __init__(self) -> None:
        self.arrived: list[int] = []
        self._unread = b""
        self._content = False
        self._number = 0

    def receive(self, octets: bytes) -> list[bytes]:
        """The replies, one for each command and content that has ended."""
        self._unread += octets
        replies: list[bytes] = []
        while True:
            unit, end, rest = self._unread.partition(b"\r\n.\r\n" if self._content else b"\r\n")
            if not end:
                return replies
            self._unread = rest
            replies.append(self._taken() if self._content else self._answer(unit))

    def _taken(self) -> bytes:
        self._content = False
        self.arrived.append(self._number)
        return b"250 2.0.0 Ok\r\n"

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"RCPT":  # RCPT TO:<number@domain>
            self._number = int(line.partition(b"<")[2].partition(b"@")[0])
        self._content = verb == b"DATA"
        return _REPLIES.get(verb, b"250 2.0.0 Ok\r\n")


_GREETING = b"220 sink ESMTP\r\n"

_REPLIES: Mapping[bytes, bytes] = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 End with a dot\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class _Sink:
    """All mail hosts that listen, and their connections."""

    def __init__(self, sites: Sites, port: int) -> None:
        self._poll = select.epoll()
        self._listening: dict[int, tuple[socket.socket, Kind]] = {}
        self._connections: dict[int, tuple[socket.socket, Kind, Dialog]] = {}
        self._later: list[tuple[float, int, Dialog, bytes]] = []  # answers of slow sites, by their moment
        self._last: dict[int, float] = {}  # connection → the moment of its last answer
        for site in range(sites.count):
            if (kind := sites.kind(site)) is not Kind.DEAD:
                listening = socket.create_server((address(site), port), backlog=128)
                listening.setblocking(False)
                self._listening[listening.fileno()] = listening, kind
                self._poll.register(listening, select.EPOLLIN)

    def run(self) -> None:
        """Take mail, and write on standard output what has arrived, until the process is ended."""
        while True:
            pause = max(self._later[0][0] - time.monotonic(), 0.0) if self._later else None
            taken: list[bytes] = []
            for descriptor, _ in self._poll.poll(pause):
                if descriptor in self._listening:
                    self._accept(*self._listening[descriptor])
                else:
                    taken += [_ARRIVAL.pack(number, time.monotonic()) for number in self._read(descriptor)]
            self._say_what_is_due()
            if taken:
                sys.stdout.buffer.write(b"".join(taken))
                sys.stdout.buffer.flush()

    def _accept(self, listening: socket.socket, kind: Kind) -> None:
        with suppress(OSError):  # who called has given up
            connection, _ = listening.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connection.fileno()] = connection, kind, Dialog()
            self._poll.register(connection, select.EPOLLIN)
            if kind is not Kind.SILENT:
                connection.send(_GREETING)

    def _read(self, descriptor: int) -> Sequence[int]:
        """The numbers of messages that have arrived with what can be read."""
        connection, kind, dialog = self._connections[descriptor]
        octets = b""
        with suppress(ConnectionError):
            octets = connection.recv(1 << 16)
        if not octets:
            del self._connections[descriptor]
            self._last.pop(descriptor, None)
            connection.close()
            return ()
        replies = dialog.receive(octets)
        if kind is Kind.HEALTHY and replies:
            self._say(descriptor, dialog, b"".join(replies))
        elif kind is Kind.SLOW:
            for reply in replies:
                moment = max(time.monotonic(), self._last.get(descriptor, 0.0)) + DELAY
                self._last[descriptor] = moment
                heapq.heappush(self._later, (moment, descriptor, dialog, reply))
        arrived, dialog.arrived = dialog.arrived, []
        return arrived

    def _say_what_is_due(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, descriptor, dialog, reply = heapq.heappop(self._later)
            self._say(descriptor, dialog, reply)

    def _say(self, descriptor: int, dialog: Dialog, octets: bytes) -> None:
        """Answer, unless the connection has ended. Replies are so short that the kernel takes them whole."""
        connection, _, current = self._connections.get(descriptor, (None, None, None))
        if connection is not None and current is dialog:
            with suppress(ConnectionError):  # the end of it is read next
                connection.send(octets)


# -- the processes


@click.group()
def main() -> None:
    """What the benchmark of many sites starts."""


@main.command("sink")
@click.argument("count", type=int)
@click.argument("bad", type=int)
@click.argument("port", type=int)
def _sink(count: int, bad: int, port: int) -> None:
    """Be the mail hosts of all sites: print an empty line when they listen, then what arrives, as octets."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _allow_descriptors(count + _CONNECTIONS)
    try:
        all_of_them = _Sink(Sites(count, bad), port)
    except OSError as error:
        raise click.ClickException(f"no site can listen: {error}") from error
    os.write(1, _READY)
    gc.freeze()
    all_of_them.run()


def _allow_descriptors(wanted: int) -> None:
    """Let this process have so many descriptors. ClickException when it may not."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, most), max(wanted, most)))
    except (ValueError, OSError):
        raise click.ClickException(f"the sites need {wanted} descriptors: raise ulimit -Hn, now {most}") from None


@main.command("send")
@click.argument("count", type=int)
@click.argument("port", type=int)
@click.argument("sessions", type=int)
@click.argument("size", type=int)
@click.argument("rate", type=float)
@click.argument("messages", type=int)
def _send(*, count: int, port: int, sessions: int, size: int, rate: float, messages: int) -> None:
    """Send at a rate, and print what became of each message as JSON."""
    gc.disable()  # its pauses would be counted as the server's
    destinations = Sites(count).destinations(messages)
    due = list(islice(moments(rate, float("inf")), messages))
    try:
        client = Client(port, sessions, size, lambda number: recipient(number, destinations[number]))
        click.echo(json.dumps(client.run(due)))
    except (OSError, IndexError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
