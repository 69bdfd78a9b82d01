"""What a service manager such as systemd hands over and is told: sockets that it has bound, and how we are.

sd_listen_fds(3) and sd_notify(3) say how: by the environment, and by datagrams to a socket.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping

import trio

from engine.protocols.endpoint import endpoint

FIRST = 3
"""The descriptor of the first socket (sd_listen_fds(3), SD_LISTEN_FDS_START)."""

_SENT_WITHIN = 1.0
"""Seconds that a notice may take: a manager that reads none must not stop us."""


class Unfit(Exception):
    """What was handed over cannot be used; the text says why."""


class Notices:
    """Tells the service manager how we are, if there is one. What fails here stops no mail."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes its variables out of the environment: our children have nothing to tell."""
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._period = _period(environment) if address else 0.0

    def ready(self, revision: int, trouble: str = "") -> None:
        """We serve, by that revision; ``trouble``: why the last one that was tried is not in force."""
        refused = f"; the last reload was refused: {trouble}" if trouble else ""
        self._tell("READY=1", f"STATUS=Revision {revision} is in force{refused}")

    def reloading(self) -> None:
        """From now on, until ``ready``."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=Reading pipeline.toml")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=Finishing what is under way")

    async def keep_alive(self) -> None:
        """Say again and again that our loop turns, as often as the manager wants to hear it."""
        while self._period:
            self._tell("WATCHDOG=1")
            await trio.sleep(self._period / 2)  # as sd_watchdog_enabled(3) advises

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_SENT_WITHIN)
            sock.connect(self._address)
            sock.send(text.encode("utf-8", "replace"))


def _period(environment: MutableMapping[str, str]) -> float:
    """Seconds within which a sign of life is wanted of this process; 0: none is (sd_watchdog_enabled(3))."""
    period, pid = environment.pop("WATCHDOG_USEC", "0"), environment.pop("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0
    return int(period) / 1e6 if period.isdecimal() else 0.0


class Handed:
    """Listening sockets that were bound for us, each with the name that its maker has given it."""

    def __init__(self, sockets: Iterable[tuple[str, socket.socket]] = ()) -> None:
        self._sockets = list(sockets)

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def fitting(self, listen: Mapping[str, tuple[str, int]]) -> dict[str, socket.socket]:
        """Listener → the socket that stands for it: by its name, or else by the address that it is bound to. Unfit."""
        found: dict[str, socket.socket] = {}
        for name, sock in self._sockets:
            listener = name if name in listen else _at(sock, listen)
            if listener in found:
                raise Unfit(f"two sockets were handed over for the listener {listener}; let it have one")
            if listener:
                found[listener] = sock
        return found

    def unused(self, listen: Mapping[str, tuple[str, int]]) -> list[str]:
        """The addresses of those that stand for no listener: nobody answers there."""
        used = self.fitting(listen).values()
        return [_shown(sock) for _, sock in self._sockets if sock not in used]


def handed(environment: MutableMapping[str, str]) -> Handed:
    """The sockets that the environment tells of, which then tells of none any more. Unfit."""
    pid, count, names = (environment.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return Handed()
    named = names.split(":") if names else []
    sockets = []
    for number in range(int(count)):
        os.set_inheritable(FIRST + number, False)
        sockets.append((named[number] if number < len(named) else "", _listening(FIRST + number)))
    return Handed(sockets)


def _listening(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise Unfit(f"descriptor {descriptor}, which was handed over, is no socket: {error.strerror}") from error
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if sock.family not in families or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise Unfit(f"descriptor {descriptor}, which was handed over, is no listening stream socket")
    return sock


def _at(sock: socket.socket, listen: Mapping[str, tuple[str, int]]) -> str:
    """The listener whose address the socket has; empty: none."""
    own = _address(sock)
    return next((name for name, (host, port) in listen.items() if (_everywhere(host), port) == own), "")


def _address(sock: socket.socket) -> tuple[str, int]:
    name = sock.getsockname()
    return (name, 0) if isinstance(name, str) else (_everywhere(name[0]), name[1])


def _everywhere(host: str) -> str:
    """``*`` is all addresses of this machine, whichever the family of a socket."""
    return "::" if host == "0.0.0.0" else host


def _shown(sock: socket.socket) -> str:
    host, port = _address(sock)
    return endpoint(host, port) if port else host
