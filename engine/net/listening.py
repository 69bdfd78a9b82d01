"""Listening sockets: bound once, by the supervisor, so that a restarted worker loses no connection that waits."""

import errno
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from engine.net.connection import EXHAUSTED, Connection
from engine.observe.events import event
from engine.observe.measures import Counter, Gauge
from engine.protocols.endpoint import endpoint

_CONNECTIONS = Counter("postroad_connections_total", "Connections that came to a listener.", ("listener",))
_OPEN = Gauge("postroad_connections_open", "Connections of a listener that are open now.", ("listener",))

BACKLOG = 1024
"""Connections that wait while a worker is busy or being restarted; the kernel's own limit may be lower."""


class CannotListen(Exception):
    """A port cannot be bound; the text says which, why, and what to do."""


def bind(name: str, host: str, port: int, count: int) -> list[socket.socket]:
    """``count`` sockets on one address, among which the kernel shares out connections. CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            # SO_REUSEPORT would let us share a port with another server of the same user without a word.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _dual(alone, family)
            alone.bind((host, port))
            if port:
                alone.listen(1)
        for _ in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _dual(sock, family)
            sock.bind((host, port))
            port = sock.getsockname()[1]
            sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise CannotListen(f"[listen] {name}: cannot bind {shown(host, port)}: {_reason(error, port)}") from error
    return sockets


def shown(host: str, port: int) -> str:
    """An IP address and a port as people write them; of a Unix socket, its path."""
    if host.startswith("/"):
        return host
    return endpoint(host, port)


def bind_unix(name: str, path: str, mode: int, group: str, count: int) -> list[socket.socket]:
    """``count`` handles of one socket in the file system. What a dead server has left there goes. CannotListen."""
    if _answers(path):
        raise CannotListen(f"[listen] {name}: another program listens on {path}; stop it or choose another path")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        sock.bind(path)
        os.chmod(path, mode)  # nobody can connect before it listens
        if group:
            shutil.chown(path, group=group)
        sock.listen(BACKLOG)
        return [sock, *(sock.dup() for _ in range(count - 1))]
    except (OSError, LookupError) as error:
        sock.close()
        why = "there is a file of that name" if getattr(error, "errno", 0) == errno.EADDRINUSE else error
        raise CannotListen(f"[listen] {name}: cannot bind {path}: {why}") from error


def _answers(path: str) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(path)
        return True
    return False


def _dual(sock: socket.socket, family: int) -> None:
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port is in use by another program (`ss -ltnp 'sport = :{port}'` names it); stop it or choose another"
        )
    if error.errno == errno.EACCES:
        return "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address"
    return error.strerror or str(error)


async def accept_connections(
    sock: socket.socket, serve: Callable[[Connection], Awaitable[None]], name: str, nursery: trio.Nursery
) -> None:
    """Serve each connection in a task of ``nursery``, until cancelled; those that are open then go on.

    What breaks inside one connection is logged and stops nothing else.
    """
    sock.setblocking(False)
    out = False
    while True:
        await trio.lowlevel.checkpoint()
        try:
            client, _ = sock.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        except OSError as error:
            if error.errno in EXHAUSTED:
                if not out:
                    event("out-of-descriptors", listener=name, error=os.strerror(error.errno or 0))
                out = True
                await trio.sleep(0.1)  # until some connection has ended; those that wait stay in the backlog
            elif error.errno != errno.ECONNABORTED:
                raise
            continue
        out = False
        _CONNECTIONS.of(name).value += 1
        nursery.start_soon(serve_open, Connection(client), serve, name)


async def serve_open(connection: Connection, serve: Callable[[Connection], Awaitable[None]], name: str) -> None:
    """Serve a connection that came to the listener of that name, and close it. Never raises, but for cancellation."""
    is_open = _OPEN.of(name)
    is_open.value += 1
    try:
        await serve(connection)
    except Exception as error:
        event.bug(f"connection to {name}", error)
    finally:
        is_open.value -= 1
        connection.close()
