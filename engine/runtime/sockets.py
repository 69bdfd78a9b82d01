"""The listening sockets: one for each listener and process that serves it, bound by us or handed to us."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from engine.config import Config
from engine.net.listening import bind, bind_unix
from engine.observe.events import event
from engine.runtime.activation import Handed, Unfit
from engine.runtime.ground import CannotStart
from engine.runtime.places import listeners, processes

Key: TypeAlias = tuple[str, str]
"""A listener's name, and the name of the process that serves it."""

Bound: TypeAlias = dict[Key, socket.socket]


class Sockets:
    """All that are open. ``handed``: those that were bound already; they stay open for as long as we live."""

    def __init__(self, handed: Handed) -> None:
        self.now: Bound = {}
        self._handed = handed

    def bind(self, config: Config, before: Config) -> None:
        """One for each process that serves a listener; those that are as they were ``before`` are kept. CannotStart."""
        wanted: dict[str, list[str]] = {}
        for process in processes(config):
            for name in listeners(config, process.place):
                wanted.setdefault(name, []).append(process.name)
        bound: Bound = {}
        given = self._given(config)
        try:
            for name, names in wanted.items():
                kept = {n: self.now[name, n] for n in names if (name, n) in self.now}
                same = bool(kept) and config.listen[name] == before.listen.get(name)
                if name in given or (same and name in config.sockets):  # however many there are, they are all one
                    one = given[name] if name in given else next(iter(kept.values()))
                    bound |= {(name, n): (same and kept.get(n)) or one.dup() for n in names}
                elif same and len(kept) == len(names):
                    bound |= {(name, n): sock for n, sock in kept.items()}
                else:
                    bound |= {(name, n): s for n, s in zip(names, _bound(config, name, len(names)), strict=True)}
        except BaseException:
            for key, sock in bound.items():
                if self.now.get(key) is not sock:
                    sock.close()
            raise
        self.now = bound

    def undo(self, before: Bound) -> None:
        """Have those again that there were before a ``bind``, and close what it has opened."""
        for key, sock in self.now.items():
            if before.get(key) is not sock:
                sock.close()
        self.now = before

    def of(self, process: str) -> Iterator[tuple[str, socket.socket]]:
        """The listeners of a process, with their sockets."""
        return ((name, sock) for (name, served_by), sock in self.now.items() if served_by == process)

    def addresses(self) -> dict[str, tuple[str, int]]:
        """Of each listener."""
        return {name: _address(sock) for (name, _), sock in self.now.items()}

    def own_paths(self, config: Config) -> set[str]:
        """The Unix sockets that we have made, and not somebody else for us."""
        given = self._handed.fitting(config.listen)
        return {unix.socket for name, unix in config.sockets.items() if name not in given}

    def close(self) -> None:
        """Close ours. A client that comes now is refused at once, and goes to another server."""
        for sock in self.now.values():
            sock.close()
        self.now.clear()

    def _given(self, config: Config) -> dict[str, socket.socket]:
        """The listeners whose sockets were handed over, where there are any. CannotStart."""
        try:
            given, unused = self._handed.fitting(config.listen), self._handed.unused(config.listen)
        except Unfit as error:
            raise CannotStart(str(error)) from error
        if self._handed:
            event("sockets-handed", listeners=sorted(given), unused=unused or None)
        return given


def unlink(paths: Iterable[str]) -> None:
    """Remove these sockets from the file system, where we may."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _bound(config: Config, name: str, count: int) -> list[socket.socket]:
    """So many sockets for a listener. CannotListen."""
    unix = config.sockets.get(name)
    if unix is not None:
        return bind_unix(name, unix.socket, int(unix.mode, 8), unix.group, count)
    return bind(name, *config.listen[name], count)


def _address(sock: socket.socket) -> tuple[str, int]:
    """IP address and port, or a path and 0."""
    name = sock.getsockname()
    return (name, 0) if isinstance(name, str) else (name[0], name[1])
