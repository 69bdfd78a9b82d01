"""A worker: a process that the supervisor starts, tells what to run, and watches."""

import contextlib
import gc
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio
import zmq

from engine.config import Config, ConfigError, parse
from engine.directory import Unavailable
from engine.links.wire import Reference
from engine.message import Content, MessageId
from engine.net.listening import accept_connections
from engine.observe.events import capture_logging, event
from engine.observe.turns import WrittenOnceATurn
from engine.queue.content import FileContent
from engine.runtime import hanging
from engine.runtime.canary import InForce
from engine.runtime.control import LOST, Control
from engine.runtime.door import Door
from engine.runtime.log import log_to
from engine.runtime.measuring import Measuring
from engine.runtime.places import Process
from engine.runtime.revision import Here, Revision
from engine.runtime.roles import role_of
from engine.runtime.roles.role import Role
from engine.runtime.watched import Watched
from engine.stage import StageError
from engine.storage.environment import plain

HEARTBEAT = 1.0
"""Seconds between two signs of life."""

HURRY = 1.0
"""Seconds that a stage gets to close when work is still under way after the grace of a stop."""

_SWITCH_INTERVAL = 0.0005
"""Seconds after which the event loop yields the interpreter to the writer thread: with Python's own 0.005 the
writer committed 32,000 small messages a second beside a busy loop, with this 59,000 (py-lmdb 3.0, two cores)."""

_COLLECT_AFTER = 100_000
"""Objects that must have come to stay before garbage is looked for. A message that is being relayed has about 110, and
a thousand may be: below that, each wave of messages sets off a search through all that are under way. Python's own 700
took a fifth of the time of the mailboxes' process, 20,000 an eighth of a relay's. Little is left behind in circles."""


class Worker:
    """One process's life: started, given revisions, drained."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lives: dict[str, int] = {}
        self._revisions: dict[int, Revision] = {}
        self._in_force = InForce()
        self._counting = False  # a revision is on trial: what is counted is told with each sign of life
        self._listening: dict[str, trio.CancelScope] = {}
        self._deaf: set[str] = set()  # listeners whose sockets we had no descriptors for
        self._role: Role
        self._here: Here
        self._nursery: trio.Nursery
        self._base = Path()

    async def run(self) -> None:
        command = await self._control.receive()
        if command is None:
            return
        _, values = command
        process = Process(**values["process"])
        event.process = process.name
        capture_logging()
        hanging.tell_when_asked(Path(values["folder"]), process.name)
        self._base = Path(values["config"])
        self._here = Here(process, values["life"], values["folder"], self._context, self._find)
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._beat)
                self._nursery.start_soon(Measuring(self._here, self._known, self._number).run)
                self._nursery.start_soon(Watched(self._here).run)
                await self._command_loop()
                self._nursery.cancel_scope.cancel()
        finally:
            if hasattr(self, "_role"):
                self._role.close()
            self._context.destroy(linger=0)

    def _known(self) -> list[Revision]:
        return list(self._revisions.values())

    def _number(self) -> int:
        """Of the revision in force; 0 before there is one."""
        return self._in_force.current.number if self._in_force.current is not None else 0

    async def _beat(self) -> None:
        while True:
            counts = [(revision.turn, dict(revision.counts)) for revision in self._revisions.values()]
            await self._control.send("alive", counts=counts if self._counting else [])
            await trio.sleep(HEARTBEAT)

    async def _command_loop(self) -> None:
        commands: dict[str, Callable[..., Awaitable[None]]] = {
            "prepare": self._prepare,
            "switch": self._switch,
            "retire": self._retire,
            "try": self._try,
            "decide": self._decide,
            "up": self._up,
            "lost": self._lost,
            "listen": self._listen,
            "hush": self._hush,
        }
        while (command := await self._control.receive()) is not None:
            name, values = command
            if name == "drain":
                await self._drain(values["grace"])
                return
            await commands[name](**values)
        event("supervisor-gone")

    # -- revisions

    async def _prepare(self, turn: int, number: int, text: str, files: dict[str, str]) -> None:
        """Open a revision beside the one in force."""
        try:
            config = parse(text, self._base, files)
            if self._in_force.current is None:
                log_to(config)
                self._role = role_of(config, self._here, self._in_force)
                await self._nursery.start(self._role.run)
            revision = Revision(number, config, self._here, turn)
            services = self._role.services(config)
            await revision.open(self._nursery, services, self._door, self._in_force.current, self._role.admit)
        except (ConfigError, StageError, Unavailable) as error:
            await self._control.send("failed", turn=turn, error=str(error))
        except Exception as error:
            if not (why := plain(error)):
                event.bug(f"opening revision {number}", error)
                why = f"{type(error).__name__}: {error}"
            await self._control.send("failed", turn=turn, error=why)
        else:
            self._revisions[turn] = revision
            await self._nursery.start(revision.run)
            for name, life in self._lives.items():
                revision.connect(name, life)
            await self._control.send("prepared", turn=turn)

    async def _switch(self, turn: int) -> None:
        """From now on new messages travel under this revision; those under way finish under the old one."""
        old, now = self._in_force.current, self._revisions[turn]
        self._in_force.decide()
        self._in_force.current = now
        if old is not None and old.config.log != now.config.log:
            self._log_elsewhere(now.config)
        self._counting = False
        if old is not now:
            self._role.switched(now.config)
        if old is None:
            gc.collect()
            gc.freeze()  # what a process has at its start it keeps: it need not be looked through again and again
            self._role.start(self._nursery)
        await self._control.send("switched", turn=turn)
        if old is not None and old is not now:
            old.conclude()
            self._nursery.start_soon(self._watch, old)

    def _log_elsewhere(self, config: Config) -> None:
        try:
            log_to(config)
        except OSError as error:  # the supervisor could a moment ago
            event("log-unwritten", error=str(error))

    async def _try(self, turn: int, share: float) -> None:
        """Let a share of what comes in go by another revision. A process that only that one has needs no other."""
        for revision in self._revisions.values():
            revision.counts.clear()
        self._counting = True
        if self._revisions[turn] is not self._in_force.current:
            self._in_force.attempt(self._revisions[turn], share)

    async def _decide(self, turn: int) -> None:
        """The trial of that revision is over, and nothing came of it."""
        self._counting = False
        self._in_force.decide()
        if turn in self._revisions:
            self._revisions[turn].conclude()
            self._nursery.start_soon(self._watch, self._revisions[turn])

    async def _watch(self, old: Revision) -> None:
        while old.busy:
            await trio.sleep(0.05)
        await self._control.send("drained", turn=old.turn)

    async def _retire(self, turn: int) -> None:
        """Nobody sends anything under this revision any more."""
        revision = self._revisions.pop(turn, None)
        if revision is not None:
            await revision.close(self._revisions.values())

    def _door(self, lane: str) -> Door:
        return Door(lane, self._in_force.here)

    # -- peers

    async def _up(self, name: str, life: int) -> None:
        self._lives[name] = life
        for revision in self._revisions.values():
            revision.connect(name, life)
        if hasattr(self, "_role"):
            self._role.peer_up(name, life)

    async def _lost(self, name: str) -> None:
        self._lives.pop(name, None)
        for revision in self._revisions.values():
            revision.lost(name)
        if hasattr(self, "_role"):
            self._role.peer_lost(name)

    # -- listeners

    async def _listen(self, name: str, fd: int) -> None:
        if fd == LOST:
            if name not in self._deaf:
                self._deaf.add(name)
                event("out-of-descriptors", listener=name, error="its socket could not be taken")
            await self._control.send("deaf", name=name)
            return
        self._deaf.discard(name)
        sock = socket.socket(fileno=fd)
        if name in self._listening:  # it was handed again by a reload, and again as we could not take it before
            sock.close()
            return
        scope = self._listening[name] = trio.CancelScope()
        self._nursery.start_soon(self._accept, name, sock, scope)

    async def _accept(self, name: str, sock: socket.socket, scope: trio.CancelScope) -> None:
        with scope:
            await accept_connections(sock, partial(self._role.meet, name), name, self._nursery)
        sock.close()

    async def _hush(self, name: str) -> None:
        """A listener is no longer wanted. Connections that are open go on."""
        scope = self._listening.pop(name, None)
        if scope is not None:
            scope.cancel()

    # -- ending

    async def _drain(self, grace: float) -> None:
        """Take nothing new, finish what is under way for at most ``grace`` seconds; what is left is in the queue."""
        with trio.move_on_after(grace) as time_left:
            for name in list(self._listening):
                await self._hush(name)
            if self._in_force.current is not None:
                for revision in list(self._revisions.values()):
                    await self._role.drain(revision)
                while any(revision.busy for revision in self._revisions.values()):
                    await trio.sleep(0.02)
        patience = HURRY if time_left.cancelled_caught else grace
        for revision in list(self._revisions.values()):
            await revision.close((), patience)
        await self._control.send("ended")

    def _find(self, reference: Reference) -> Content:
        kind, *rest = reference
        if kind == "file":
            path, size = rest
            return FileContent(Path(path), size)
        shard, identity, size = rest
        return self._role.shard(shard).stored(MessageId(identity), size)


def main(control_socket: socket.socket) -> None:
    """Run a worker in this process, until the supervisor ends it or is gone."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.set_threshold(_COLLECT_AFTER)
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(_main, control_socket, strict_exception_groups=True, instruments=[WrittenOnceATurn()])


async def _main(control_socket: socket.socket) -> None:
    control = Control(control_socket)
    try:
        await Worker(control).run()
    except BaseException as error:
        if not isinstance(error, trio.Cancelled):
            event.bug("worker", error)
            await control.send("broken", error=_first_line(error))
            sys.exit(1)
        raise


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text: Any = str(error).splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"
