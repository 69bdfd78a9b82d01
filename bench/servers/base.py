"""What a server is asked to do, and what every module of a server gives; with the few things that they share."""

import contextlib
import functools
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio

from bench import Failed
from bench.usage import Group

if TYPE_CHECKING:
    from bench.encrypted import Keys
    from bench.scanners import Scanners

HOST = "127.0.0.1"  # never anything else

DOMAIN = "bench.test"
SOURCE = "source.example"
"""The domain that mail is from. libunbound, which OpenDKIM asks, knows by itself that .test has no names (RFC 6761)."""

SELECTOR = "s1"
"""Of DKIM keys."""

USERS = 100

NUMBERS = 60_000
"""Recipients are numbered below this: servers that need a list of addresses list so many. No run delivers more."""

_PORTS = range(20000, 30000)
"""Below the ports that the kernel gives to outgoing connections (ip_local_port_range), which would take a free one."""

_claims: list[socket.socket] = []
"""The names of ports that this process was given."""

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"))


@dataclass(frozen=True, slots=True)
class Task:
    """What a server is asked to do in a workload."""

    # "accept" "relay" "relay-tls" "relay-signed" "deliver" "inbound" "scanned" "backlog" "fairness" "read" "mailbox"
    workload: str
    folder: Path  # its own, empty, on the disk under test; nothing of it is written elsewhere
    domain: str = DOMAIN  # the domain that mail is for
    next_hop: int | None = None  # relay: the port on 127.0.0.1 of smtp-sink
    dns: str | None = None  # mail from outside: the address of the DNS server to ask about it, port 53
    scanners: "Scanners | None" = None  # who else is to be asked about it
    keys: "Keys | None" = None  # mail comes and goes under TLS, with this certificate
    signed: bool = False  # DKIM, by their key, as SOURCE with the selector SELECTOR
    users: int = USERS  # deliver: mailboxes; see `numbered`
    environment: Mapping[str, str] = field(default_factory=dict)  # for all its processes: what makes the disk slow

    @property
    def local(self) -> bool:
        """Whether mail ends in the server's own mailboxes."""
        return self.workload in ("deliver", "inbound", "scanned")


def numbered(users: int) -> Iterator[tuple[str, str]]:
    """The local part of each recipient of `deliver`, as smtp-source -N makes it, and its mailbox, one of ``users``."""
    return ((str(number), f"u{number % users:02d}") for number in range(NUMBERS))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    port: int  # SMTP on 127.0.0.1
    group: Group
    delivered: Callable[[], int] | None = None  # deliver: messages in mailboxes so far
    queued: Callable[[], int] | None = None  # messages in the queue now, where that can be told
    pop3: int | None = None  # its port, where the server has that
    imap: int | None = None
    lmtp: int | None = None
    ready: float = 0.0  # seconds from the start of its first process until it listened, where it says when
    web: int | None = None  # the port of its pages, where it has some


class Server(Protocol):
    """A mail server as the benchmarks drive it: always a private instance in a folder of its own."""

    @property
    def name(self) -> str:
        """As printed: "Postfix, tuned"."""

    @property
    def key(self) -> str:
        """As given to --peers: "postfix-tuned"."""

    @property
    def durability(self) -> str:
        """What a 250 promises, like "synced before 250"."""

    @property
    def workloads(self) -> frozenset[str]:
        """Those that it can be asked to do."""

    def missing(self) -> str | None:
        """Why it cannot run here, and what to do about it; None if it can."""

    def version(self) -> str:
        """Of the installed program. Called only when nothing is missing."""

    def start(self, task: Task) -> AbstractAsyncContextManager[Running]:
        """Started and answering; at the end of the block its processes, and no others, are ended. Failed."""


def program(name: str) -> str | None:
    """Where an installed program is, also one for administrators."""
    return shutil.which(name, path=_PATH)


@functools.cache
def said(*command: str) -> str:
    """What a command prints when asked for its version, on either stream; "unknown" when it cannot be asked."""
    with contextlib.suppress(OSError):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout.strip()
    return "unknown"


def free_port(ports: Sequence[int] = _PORTS) -> int:
    """A port on 127.0.0.1 that nobody listens on, that no outgoing connection will be given, and that no other call of
    this is given before the process ends: neither here nor in another process of this machine."""
    for port in random.sample(ports, len(ports)):
        if claim(port):
            return port
    raise Failed(f"no port from {ports[0]} to {ports[-1]} is free on {HOST}")


def claim(port: int) -> bool:
    """Take a port in the way of ``free_port``; whether it was to be had."""
    return _is_free(port) and _is_named(port)


def _is_free(port: int) -> bool:
    with socket.socket() as tried, contextlib.suppress(OSError):
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind((HOST, port))
        return True
    return False


def _is_named(port: int) -> bool:
    """Take the name of the port, which one process can have at a time (unix(7): abstract), and keep it."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0postroad-port-{port}")
    except OSError:
        name.close()
        return False
    _claims.append(name)
    return True


async def answering(port: int, name: str, *, log: Path | None = None, seconds: float = 30.0) -> None:
    """Wait until a greeting comes from the port. Failed, with the end of the log, when none comes."""
    with trio.move_on_after(seconds):
        while True:
            with contextlib.suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(HOST, port) as stream:
                    if await stream.receive_some():
                        await stream.send_all(b"QUIT\r\n")
                        await stream.receive_some()  # who hangs up on a server without a word is logged as an error
                        return
            await trio.sleep(0.02)
    text = log.read_text(errors="replace").strip()[-1000:] if log is not None and log.exists() else ""
    raise Failed(f"{name} does not answer on port {port}{': ' if text else ''}{text}")


def reachable(folder: Path, name: str) -> None:
    """Failed when other users may not enter the folder: most servers drop their rights after the start."""
    for place in (folder, *folder.parents):
        if not place.stat().st_mode & 0o001:
            raise Failed(f"{name} runs as a user of its own, who may not enter {place}; choose another --folder")


def written(path: Path, text: str) -> Path:
    """``path`` with this text, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def absent(programs: Sequence[str], package: str) -> str | None:
    """What ``Server.missing`` says of programs of one Debian package; None when all are there."""
    gone = [name for name in programs if program(name) is None]
    return f"{', '.join(gone)} not found: apt install {package}" if gone else None
