"""The supervisor: binds the ports, starts the workers, restarts the dead, applies new revisions. Touches no message."""

import contextlib
import os
import pwd
import resource
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import trio

from engine.config import Config, ConfigError, load
from engine.lanes import MAIL
from engine.net.listening import bind, bind_unix
from engine.observe.events import event
from engine.queue.store import content_folder
from engine.runtime import hanging
from engine.runtime.activation import Handed, Notices, Unfit, handed
from engine.runtime.certificates import client_ca, own_pair
from engine.runtime.child import Child
from engine.runtime.control import Control
from engine.runtime.leftovers import sweep
from engine.runtime.places import MAILBOXES, Process, listeners, mail_workers, processes
from engine.runtime.spawner import CannotFork, Spawner
from engine.runtime.state import State
from engine.storage.environment import StorageError

GRACE = 20.0
"""Seconds that work under way gets to finish when we stop."""

_FOLDER = "postroad-"

_LONGEST_FOLDER = 50
"""Octets of the folder that temporary ones are in: the sockets in ours have paths of 107 at most (unix(7))."""
"""How the names of our folders for sockets begin."""

_BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_HAND_AGAIN = 0.5
"""Seconds until a worker that was out of descriptors is offered a listener again."""

_STEADY = 60.0
"""Seconds that a worker must live before the next restart is quick again."""


_Key: TypeAlias = tuple[str, str]
"""A listener's name, and the name of the process that serves it."""


class CannotStart(Exception):
    """The server cannot come up; the text says why."""


class Supervisor:
    """Runs the whole server until it is told to stop. ``announce`` is called once with the bound addresses."""

    def __init__(
        self,
        config: Config,
        announce: Callable[[dict[str, tuple[str, int]]], None],
        notices: Notices,
        handed: Handed,
    ) -> None:
        """``handed``: sockets that are bound already; they stay open for as long as we live."""
        self._config = config
        self._announce = announce
        self._notices = notices
        self._handed = handed
        self._number = 1
        self._tried = 1  # the last revision that was tried: one that was refused leaves its number, and late answers
        self._children: dict[str, Child] = {}
        self._waited_for: set[int] = set()  # process ids of workers, also of those that are no longer wanted
        self._lives: dict[str, int] = {}
        self._restarts: dict[str, int] = {}
        self._sockets: dict[_Key, socket.socket] = {}
        self._spawner = Spawner()
        self._folder = ""
        self._changing = trio.Lock()
        self._stopping = False
        self._state = State(config.server.data)
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. CannotStart, CannotListen or StorageError when it cannot come up."""
        event.process = "supervisor"
        self._make_data_folder()
        self._bind(self._config)
        self._become_user()
        self._state.take()
        self._clean_up_after_crash()
        self._folder = self._state.folder = _make_folder()
        try:
            self._spawner.start()
            sweep(self._config)
            with trio.open_signal_receiver(signal.SIGHUP, signal.SIGTERM, signal.SIGINT) as signals:
                async with trio.open_nursery() as self._nursery:
                    try:
                        await self._start_all()
                        self._nursery.start_soon(self._watch_hangs)
                        self._state.write(os.getpid(), self._number, "")
                        self._announce({name: _address(sock) for (name, _), sock in self._sockets.items()})
                        self._notices.ready(self._number)
                        self._nursery.start_soon(self._notices.keep_alive)
                        await self._obey(signals)
                        self._notices.stopping()
                        await self._stop()
                    finally:
                        self._stopping = True
                        for child in self._children.values():
                            child.kill()
                        self._nursery.cancel_scope.cancel()
        finally:
            self._spawner.close()
            for child in self._children.values():
                child.kill()
                if not child.dead:
                    os.waitpid(child.pid, 0)
            for sock in self._sockets.values():
                sock.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._state.release()

    # -- before the workers

    def _make_data_folder(self) -> None:
        data = self._config.server.data
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            content_folder(data).mkdir(mode=0o700, exist_ok=True)
            os.listdir(data)
            if os.statvfs(data).f_flag & os.ST_RDONLY:
                raise StorageError(f"cannot use the data folder {data}: its file system is mounted read-only")
            if not os.access(data, os.W_OK | os.X_OK):
                raise PermissionError(13, "permission denied")
        except OSError as error:
            raise StorageError(
                f"cannot use the data folder {data}: {error.strerror}; [server] data must be a folder "
                f"that the user {_user_name()} may read and write"
            ) from error

    def _clean_up_after_crash(self) -> None:
        """Remove the folder of sockets that a server left behind which was killed: we hold its lock, so it is dead."""
        before = self._state.read()
        if before is not None and os.path.basename(before.folder).startswith(_FOLDER):
            shutil.rmtree(before.folder, ignore_errors=True)

    def _bind(self, config: Config) -> None:
        """A socket for each process that serves a listener; those that stay as they were are kept."""
        wanted: dict[str, list[str]] = {}
        for process in processes(config):
            for name in listeners(config, process.place):
                wanted.setdefault(name, []).append(process.name)
        bound: dict[_Key, socket.socket] = {}
        given = self._given(config)
        try:
            for name, names in wanted.items():
                kept = {n: self._sockets[name, n] for n in names if (name, n) in self._sockets}
                same = bool(kept) and config.listen[name] == self._config.listen.get(name)
                if name in given or (same and name in config.sockets):  # however many there are, they are all one
                    one = given[name] if name in given else next(iter(kept.values()))
                    bound |= {(name, n): (same and kept.get(n)) or one.dup() for n in names}
                elif same and len(kept) == len(names):
                    bound |= {(name, n): sock for n, sock in kept.items()}
                else:
                    bound |= {(name, n): s for n, s in zip(names, _bound(config, name, len(names)), strict=True)}
        except BaseException:
            for key, sock in bound.items():
                if self._sockets.get(key) is not sock:
                    sock.close()
            raise
        self._sockets = bound

    def _given(self, config: Config) -> dict[str, socket.socket]:
        """The listeners whose sockets were handed over, where there are any. CannotStart."""
        try:
            given, unused = self._handed.fitting(config.listen), self._handed.unused(config.listen)
        except Unfit as error:
            raise CannotStart(str(error)) from error
        if self._handed:
            event("sockets-handed", listeners=sorted(given), unused=unused or None)
        return given

    def _become_user(self) -> None:
        user = self._config.server.user
        if not user:
            if os.geteuid() == 0:
                event("running-as-root", hint="set [server] user, so that a fault in a filter is not a fault of root")
            return
        try:
            entry = pwd.getpwnam(user)
        except KeyError as error:
            raise CannotStart(f"[server] user: there is no user {user} on this machine") from error
        if os.geteuid() != 0:
            if entry.pw_uid != os.geteuid():
                raise CannotStart(f"[server] user: only root can become {user}; start as root or as {user}")
            return
        data = self._config.server.data
        os.chown(data, entry.pw_uid, entry.pw_gid)
        # What stands in it may be the work of that user: root must not give away what a link leads to.
        os.chown(content_folder(data), entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        own, authorities = own_pair(self._config), client_ca(self._config)
        for path in (*((own.certificate, own.key) if own else ()), *((authorities,) if authorities else ())):
            if not os.access(path, os.R_OK):
                raise CannotStart(f"[tls] the user {user} cannot read {path}; give it to a group that {user} is in")

    # -- workers

    async def _start_all(self) -> None:
        wanted = processes(self._config)
        for group in ([p for p in wanted if p.place == MAILBOXES], [p for p in wanted if p.place != MAILBOXES]):
            children = [await self._spawn(process) for process in group]
            await self._prepared(children, self._number, self._config)
        for child in list(self._children.values()):
            await self._introduce(child)
        await self._all(list(self._children.values()), "switch", "switched", number=self._number)
        for child in list(self._children.values()):
            await self._hand_listeners(child)

    async def _spawn(self, process: Process) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        life = self._lives[process.name] = self._lives.get(process.name, 0) + 1
        self._state.lives(self._lives)
        try:
            pid = await self._spawner.fork(process.name, theirs)
        except CannotFork as error:
            ours.close()
            raise CannotStart(f"{process.name}: {error}") from error
        finally:
            theirs.close()
        self._waited_for.add(pid)
        child = self._children[process.name] = Child(process, life, pid, Control(ours))
        event("worker-started", worker=process.name, life=life, pid=pid)
        self._nursery.start_soon(self._listen_to, child)
        values = {"name": process.name, "place": process.place, "index": process.index}
        await child.control.send("start", process=values, life=life, folder=self._folder, config=str(self._config.path))
        return child

    async def _prepared(self, children: list[Child], number: int, config: Config) -> None:
        """Have a revision opened by all of these, by the texts as they were read here, whatever was edited since."""
        texts = {"text": config.text, "files": dict(config.files)}
        await self._all(children, "prepare", "prepared", number=number, **texts)

    async def _all(self, children: list[Child], command: str, answer: str, **values: Any) -> None:
        """Tell all of them, and wait for all of them. CannotStart with what the first one that failed said."""
        failures = await self._tell_all(children, command, answer, **values)
        if failures:
            raise CannotStart(failures[0])

    async def _tell_all(self, children: list[Child], command: str, answer: str, **values: Any) -> list[str]:
        """Tell all of them, and wait for all of them; what those that failed said."""
        for child in children:
            await child.control.send(command, **values)
        whys = [(child.process.name, await child.expect(answer, values["number"])) for child in children]
        return [f"{name}: {why}" for name, why in whys if why]

    async def _introduce(self, child: Child) -> None:
        """Tell the child of everyone who is there, itself included."""
        for other in list(self._children.values()):
            if not other.dead:
                await child.control.send("up", name=other.process.name, life=other.life)

    async def _hand_listeners(self, child: Child) -> None:
        for (name, process), sock in self._sockets.items():
            if process == child.process.name:
                await child.control.send("listen", sock, name=name)

    async def _hand_again(self, child: Child, name: str) -> None:
        """A listener to a worker that had no descriptor left for it, and may have one soon."""
        await trio.sleep(_HAND_AGAIN)
        sock = self._sockets.get((name, child.process.name))
        if sock is not None and not child.dead:
            await child.control.send("listen", sock, name=name)

    async def _listen_to(self, child: Child) -> None:
        """Hear a worker until it is dead, then bring up another in its place."""
        while (said := await child.control.receive()) is not None:
            child.heard = trio.current_time()
            command, values = said
            if command in ("prepared", "switched", "drained"):
                child.answered(command, values["number"])
            elif command == "failed":
                child.answered("prepared", values["number"], values["error"])
            elif command == "broken":
                child.why = values["error"]
            elif command == "ended":
                child.ended.set()
            elif command == "deaf":
                self._nursery.start_soon(self._hand_again, child, values["name"])
        child.kill()
        code = await child.wait()
        self._waited_for.discard(child.pid)
        child.died(_how(code))
        if self._stopping or not child.wanted:
            return
        event("worker-died", worker=child.process.name, life=child.life, how=_how(code).strip() or "exit 0")
        await self._tell_lost(child)
        await self._restart(child)

    async def _tell_lost(self, child: Child) -> None:
        for other in list(self._children.values()):
            if not other.dead:
                await other.control.send("lost", name=child.process.name)

    async def _restart(self, child: Child) -> None:
        name = child.process.name
        if trio.current_time() - child.began > _STEADY:
            self._restarts[name] = 0
        tries = self._restarts[name] = self._restarts.get(name, 0) + 1
        await trio.sleep(_BACK_OFF[min(tries, len(_BACK_OFF)) - 1])
        async with self._changing:
            if self._stopping or self._children.get(name) is not child or not child.wanted:
                return
            try:
                new = await self._spawn(child.process)
            except CannotStart as error:
                event("worker-failed", worker=name, error=str(error))
                self._nursery.start_soon(self._restart, child)
                return
            try:
                await self._prepared([new], self._number, self._config)
                await self._introduce(new)
                await self._all([new], "switch", "switched", number=self._number)
            except CannotStart as error:
                event("worker-failed", worker=name, error=str(error))
                new.kill()  # and its own listener task tries again, more slowly
                return
            for other in list(self._children.values()):
                if other is not new and not other.dead:
                    await other.control.send("up", name=name, life=new.life)
            await self._hand_listeners(new)
            event("worker-restarted", worker=name, life=new.life)

    async def _watch_hangs(self) -> None:
        """Kill who gives no sign of life: a process that was only stopped must not go on with what others have then."""
        while True:
            before = trio.current_time()
            await trio.sleep(1)
            now = trio.current_time()
            if now - before > 2:  # we were stopped ourselves: what the workers have said is still to be heard
                continue
            hang = self._config.server.hang
            for child in list(self._children.values()):
                if not child.dead and now - child.heard > hang:
                    where = await self._where(child)
                    event("worker-hangs", worker=child.process.name, seconds=float(hang), where=where or None)
                    child.kill()
            self._bury_strays()

    async def _where(self, child: Child) -> str:
        child.send_signal(hanging.ASK)
        await trio.sleep(hanging.SECONDS)
        return hanging.where(Path(self._folder), child.process.name)

    def _bury_strays(self) -> None:
        """Programs that a filter had started are our children once their worker has died: take note of their end."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in {self._spawner.pid, *self._waited_for}:  # who waits for it is about to hear of it
                    return
                os.waitpid(ended.si_pid, 0)

    # -- orders

    async def _obey(self, signals: Any) -> None:
        async for number in signals:
            if number != signal.SIGHUP:
                event("stopping", signal=signal.Signals(number).name)
                self._nursery.start_soon(self._impatient, signals)
                return
            self._nursery.start_soon(self._reload)

    async def _impatient(self, signals: Any) -> None:
        async for number in signals:
            if number != signal.SIGHUP:
                for child in self._children.values():
                    child.kill()

    async def _stop(self) -> None:
        """Drain from the door inwards: what lets mail in first, what mail ends in last."""
        self._stopping = True
        for sock in self._sockets.values():
            sock.close()  # a client that comes now is refused at once, and goes to another server
        self._sockets.clear()
        _unlink(self._own_paths(self._config))
        everyone = list(self._children.values())
        sources = [c for c in everyone if listeners(self._config, c.process.place) and c.process.place != MAIL]
        mail = [c for c in everyone if c.process.place == MAIL]
        last = [c for c in everyone if c.process.place == MAILBOXES]
        rest = [c for c in everyone if c not in (*sources, *mail, *last)]
        for group in (sources, mail, rest, last):
            await self._drain(group)

    def _own_paths(self, config: Config) -> set[str]:
        """The Unix sockets that we have made, and not somebody else for us."""
        given = self._handed.fitting(config.listen)
        return {unix.socket for name, unix in config.sockets.items() if name not in given}

    async def _drain(self, children: list[Child]) -> None:
        for child in children:
            child.wanted = False
            await child.control.send("drain", grace=GRACE)
        with trio.move_on_after(2 * GRACE + 5):
            for child in children:
                await child.ended.wait()
        with trio.move_on_after(2):
            for child in children:
                await child.gone.wait()
        for child in children:
            child.kill()

    async def _reload(self) -> None:
        async with self._changing:
            if self._stopping:
                return
            self._notices.reloading()
            trouble = ""
            try:
                await self._apply(load(self._config.path))
            except (ConfigError, CannotStart, OSError, Exception) as error:  # whatever it is, the old one stays
                trouble = str(error)
                event("reload-refused", error=trouble)
            else:
                event("reloaded", revision=self._number)
            self._state.write(os.getpid(), self._number, trouble)
            self._notices.ready(self._number, trouble)

    async def _apply(self, config: Config) -> None:
        """Go over to another configuration, or raise and leave all as it was."""
        self._check_changes(config)
        old, retiring = self._config, self._number
        self._tried = number = self._tried + 1
        before = set(self._sockets)
        sockets = dict(self._sockets)
        wanted = {process.name: process for process in processes(config)}
        self._bind(config)
        fresh: list[Child] = []
        try:
            for name, process in wanted.items():
                if name not in self._children or self._children[name].dead:
                    fresh.append(await self._spawn(process))
            going = [self._children[name] for name in wanted]
            await self._prepared(going, number, config)
        except BaseException:
            await self._undo(number, fresh, sockets)
            raise
        self._config, self._number = config, number
        leaving = [child for name, child in self._children.items() if name not in wanted]
        for child in fresh:
            await self._introduce(child)
            for other in going:
                if other is not child:
                    await other.control.send("up", name=child.process.name, life=child.life)
        await self._tell_all(going, "switch", "switched", number=number)  # one that dies comes back under this revision
        await self._change_listeners(before, sockets, fresh)
        _unlink(self._own_paths(old) - self._own_paths(config))
        self._nursery.start_soon(self._retire, old, retiring, [c for c in going if c not in fresh], leaving)

    def _check_changes(self, config: Config) -> None:
        if config.server.data != self._config.server.data:
            raise CannotStart("[server] data cannot change while the server runs; stop it, move the folder, start it")
        if mail_workers(config) != mail_workers(self._config):
            raise CannotStart("[server] workers cannot change while the server runs; restart it")
        if config.server.user != self._config.server.user:
            raise CannotStart("[server] user cannot change while the server runs; restart it")
        if config.directory != self._config.directory:
            raise CannotStart("[directory] cannot change while the server runs; restart it")

    async def _undo(self, number: int, fresh: list[Child], sockets: dict[_Key, socket.socket]) -> None:
        for key, sock in self._sockets.items():
            if sockets.get(key) is not sock:
                sock.close()
        self._sockets = sockets
        needed = {process.name for process in processes(self._config)}
        for child in fresh:
            child.kill()
            if child.process.name not in needed:  # else it stood in for one that had died, and is restarted as that one
                child.wanted = False
                self._children.pop(child.process.name, None)
        for child in list(self._children.values()):
            await child.control.send("retire", number=number)

    async def _change_listeners(self, before: set[_Key], old: dict[_Key, socket.socket], fresh: list[Child]) -> None:
        """Take back what is no longer listened to, hand over what is new; a fresh process has nothing yet."""
        for key in before:
            if self._sockets.get(key) is not old[key]:
                name, process = key
                if process in self._children:
                    await self._children[process].control.send("hush", name=name)
                old[key].close()
        for child in fresh:
            await self._hand_listeners(child)
        started = {child.process.name for child in fresh}
        for (name, process), sock in self._sockets.items():
            if process not in started and old.get((name, process)) is not sock:
                await self._children[process].control.send("listen", sock, name=name)

    async def _retire(self, old: Config, number: int, staying: list[Child], leaving: list[Child]) -> None:
        """Once nobody has a message under the old revision any more, let go of it."""
        for child in staying:
            await child.expect("drained", number)
        for child in staying:
            await child.control.send("retire", number=number)
        await self._drain(leaving)
        for child in leaving:
            self._children.pop(child.process.name, None)
        event("revision-retired", revision=number, lanes=[lane.name for lane in old.lanes])


def _bound(config: Config, name: str, count: int) -> list[socket.socket]:
    """So many sockets for a listener. CannotListen."""
    unix = config.sockets.get(name)
    if unix is not None:
        return bind_unix(name, unix.socket, int(unix.mode, 8), unix.group, count)
    return bind(name, *config.listen[name], count)


def _unlink(paths: Iterable[str]) -> None:
    """Remove these sockets from the file system, where we may."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _how(code: int) -> str:
    if code == -signal.SIGBUS:  # a page of a mapped file is not there
        return ' (SIGBUS: a store has lost its end, or the disk fails; docs/operating.md, "Something is damaged")'
    if code < 0:
        return f" ({signal.Signals(-code).name})"
    return f" (exit {code})" if code else ""


def _address(sock: socket.socket) -> tuple[str, int]:
    """IP address and port, or a path and 0."""
    name = sock.getsockname()
    return (name, 0) if isinstance(name, str) else (name[0], name[1])


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _make_folder() -> str:
    """A new folder for the sockets between processes, which its maker alone may enter."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix=_FOLDER, dir=usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp")


def run(config: Config, announce: Callable[[dict[str, tuple[str, int]]], None]) -> None:
    """Run the server in this process until a signal ends it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection is one; workers inherit it
    notices = Notices(os.environ)
    try:
        sockets = handed(os.environ)
    except Unfit as error:
        raise CannotStart(str(error)) from error
    trio.run(Supervisor(config, announce, notices, sockets).run)
