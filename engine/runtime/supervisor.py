"""The supervisor: binds the ports, starts the workers, restarts the dead, applies new revisions. Touches no message."""

import contextlib
import math
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from engine.config import Config, ConfigError, load
from engine.lanes import MAIL
from engine.observe.events import event
from engine.revisions import IN_FORCE, ON_TRIAL, REFUSED, WITHDRAWN
from engine.runtime import hanging
from engine.runtime.activation import Handed, Notices, Unfit, handed
from engine.runtime.canary import Canary
from engine.runtime.changes import Changes
from engine.runtime.child import Child
from engine.runtime.control import Control
from engine.runtime.ground import FOLDER, CannotStart, become_user, make_data_folder, make_folder, open_log
from engine.runtime.leftovers import sweep
from engine.runtime.places import MAILBOXES, Process, listeners, mail_workers, processes
from engine.runtime.putting import WATCHED, Change, Put, Puts
from engine.runtime.sockets import Bound, Key, Sockets, unlink
from engine.runtime.spawner import CannotFork, Spawner
from engine.runtime.state import Order, State
from engine.runtime.trail import Trail

GRACE = 20.0
"""Seconds that work under way gets to finish when we stop."""

_MARGIN = 10.0
"""Seconds that a worker gets to open a revision beside those that its stages may take."""

_BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_HAND_AGAIN = 0.5
"""Seconds until a worker that was out of descriptors is offered a listener again."""

_FORMER = 100
"""Revisions at most that are no longer in force and have messages under way: each costs every process descriptors."""

_GO_BACK, _GO_BACK_AGAIN = 10, 0.2
"""Tries to go back to a revision, and seconds between two: each time those who have died meanwhile are started anew."""

_STEADY = 60.0
"""Seconds that a worker must live before the next restart is quick again."""


class Supervisor:
    """Runs the whole server until it is told to stop. ``announce`` is called once with the bound addresses."""

    def __init__(
        self,
        config: Config,
        announce: Callable[[dict[str, tuple[str, int]]], None],
        spawner: Spawner,
        notices: Notices,
        handed: Handed,
    ) -> None:
        """``spawner``: one that has been started, so that it loads its code while we read ours. ``handed``: sockets
        that are bound already; they stay open for as long as we live."""
        self._config = config
        self._announce = announce
        self._notices = notices
        self._puts = Puts(config)
        self._put: Put  # what is in force
        self._change: Change | None = None  # the last one, if it is to be watched
        self._canary: Canary | None = None  # a revision on trial beside it
        self._drained: dict[int, trio.Event] = {}  # by turn: revisions under which some have messages still
        self._opening = False  # a revision is being opened: who dies now dies of that, and it is refused
        self._children: dict[str, Child] = {}
        self._waited_for: set[int] = set()  # process ids of workers, also of those that are no longer wanted
        self._lives: dict[str, int] = {}
        self._restarts: dict[str, int] = {}
        self._sockets = Sockets(handed)
        self._spawner = spawner
        self._folder = ""
        self._changing = trio.Lock()
        self._stopping = False
        self._state = State(config.server.data)
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. CannotStart, CannotListen or StorageError when it cannot come up."""
        event.process = "supervisor"
        make_data_folder(self._config.server.data)
        self._sockets.bind(self._config, self._config)
        await become_user(self._config, self._spawner)
        self._state.take()
        open_log(self._config)
        self._clean_up_after_crash()
        self._folder = self._state.folder = make_folder()
        event("zygote-started", pid=self._spawner.pid)
        try:
            sweep(self._config)
            with trio.open_signal_receiver(signal.SIGHUP, signal.SIGTERM, signal.SIGINT) as signals:
                async with trio.open_nursery() as self._nursery:
                    try:
                        await self._start_all()
                        self._nursery.start_soon(self._watch_hangs)
                        self._nursery.start_soon(self._tell_trial)
                        self._nursery.start_soon(Trail(self._config.server.data).run)
                        self._state.write(os.getpid(), self._put.number, "")
                        self._announce(self._sockets.addresses())
                        self._notices.ready(self._put.number)
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
            self._sockets.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._state.release()

    # -- before the workers

    def _clean_up_after_crash(self) -> None:
        """Remove the folder of sockets that a server left behind which was killed: we hold its lock, so it is dead."""
        before = self._state.read()
        if before is not None and os.path.basename(before.folder).startswith(FOLDER):
            shutil.rmtree(before.folder, ignore_errors=True)

    # -- workers

    async def _start_all(self) -> None:
        await self._puts.open()
        self._put = put = await self._puts.take(self._config, by="a start")
        wanted = processes(self._config)
        try:
            for group in ([p for p in wanted if p.place == MAILBOXES], [p for p in wanted if p.place != MAILBOXES]):
                children = [await self._spawn(process) for process in group]
                await self._prepared(children, put)
            for child in list(self._children.values()):
                await self._introduce(child)
            await self._all(list(self._children.values()), "switch", "switched", turn=put.turn)
        except CannotStart as error:
            await self._puts.settle(put, REFUSED, str(error))
            raise
        self._put = await self._puts.settle(put, IN_FORCE)
        for child in list(self._children.values()):
            await self._hand_listeners(child)

    async def _spawn(self, process: Process) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        life = self._lives[process.name] = self._lives.get(process.name, 0) + 1
        try:
            pid = await self._spawner.fork(process.name, theirs)
        except CannotFork as error:
            ours.close()
            raise CannotStart(f"{process.name}: {error}") from error
        finally:
            theirs.close()
        self._waited_for.add(pid)
        child = self._children[process.name] = Child(process, life, pid, Control(ours))
        self._say_who_is_there()
        event("worker-started", worker=process.name, life=life, pid=pid)
        self._nursery.start_soon(self._listen_to, child)
        values = {"name": process.name, "place": process.place, "index": process.index}
        await child.control.send("start", process=values, life=life, folder=self._folder, config=str(self._config.path))
        return child

    def _say_who_is_there(self) -> None:
        """To the commands. The lives of all others go on where they were, should they come again."""
        self._state.lives({name: life for name, life in self._lives.items() if name in self._children})

    async def _prepared(self, children: list[Child], put: Put) -> None:
        """Have a revision opened by all of these."""
        for child in children:
            child.turns.add(put.turn)
        await self._all(children, "prepare", "prepared", **put.texts)

    async def _prepared_in_time(self, children: list[Child], put: Put) -> None:
        """The same, while mail flows: a worker that opens for ever hears nothing else meanwhile, and is replaced."""
        limit = put.config.server.opening * (len(put.config.stages) + 1) + _MARGIN
        with trio.move_on_after(limit) as time_left:
            await self._prepared(children, put)
        if time_left.cancelled_caught:
            silent = [child for child in children if not child.dead and child.answered_last.get("prepared") != put.turn]
            for child in silent:
                child.kill()
            names = ", ".join(child.process.name for child in silent)
            raise CannotStart(f"{names}: not open after {limit:g} s ([server] opening)")

    async def _all(self, children: list[Child], command: str, answer: str, **values: Any) -> None:
        """Tell all of them, and wait for all of them. CannotStart with what the first one that failed said."""
        failures = await self._tell_all(children, command, answer, **values)
        if failures:
            raise CannotStart(failures[0])

    async def _tell_all(self, children: list[Child], command: str, answer: str, **values: Any) -> list[str]:
        """Tell all of them, and wait for all of them; what those that failed said."""
        for child in children:
            await child.control.send(command, **values)
        whys = [(child.process.name, await child.expect(answer, values["turn"])) for child in children]
        return [f"{name}: {why}" for name, why in whys if why]

    async def _introduce(self, child: Child) -> None:
        """Tell the child of everyone who is there, itself included."""
        for other in list(self._children.values()):
            if not other.dead:
                await child.control.send("up", name=other.process.name, life=other.life)

    async def _hand_listeners(self, child: Child) -> None:
        for name, sock in list(self._sockets.of(child.process.name)):
            await child.control.send("listen", sock, name=name)

    async def _hand_again(self, child: Child, name: str) -> None:
        """A listener to a worker that had no descriptor left for it, and may have one soon."""
        await trio.sleep(_HAND_AGAIN)
        sock = self._sockets.now.get((name, child.process.name))
        if sock is not None and not child.dead:
            await child.control.send("listen", sock, name=name)

    async def _listen_to(self, child: Child) -> None:
        """Hear a worker until it is dead, then bring up another in its place."""
        while (said := await child.control.receive()) is not None:
            child.heard = trio.current_time()
            command, values = said
            if command == "alive":
                self._hear(child, values["counts"])
            elif command in ("prepared", "switched", "drained"):
                child.answered(command, values["turn"])
            elif command == "failed":
                child.answered("prepared", values["turn"], values["error"])
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
        if code != -signal.SIGKILL or child.hung:  # else it was an order, or the kernel needed its memory
            self._look_for_a_loop(child)
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
            if child.leaving:
                del self._children[name]  # nobody waits for it any more
                return
            try:
                new = await self._spawn(child.process)
            except CannotStart as error:
                event("worker-failed", worker=name, error=str(error))
                self._nursery.start_soon(self._restart, child)
                return
            first, *rest = self._wanted_of(child.process)
            try:
                await self._prepared([new], first)
                await self._introduce(new)
                await self._all([new], "switch", "switched", turn=first.turn)
            except CannotStart as error:
                event("worker-failed", worker=name, error=str(error))
                new.kill()  # and its own listener task tries again, more slowly
                self._look_for_a_loop(new)
                return
            await self._let_try(new, rest)
            for other in list(self._children.values()):
                if other is not new and not other.dead:
                    await other.control.send("up", name=name, life=new.life)
            await self._hand_listeners(new)
            event("worker-restarted", worker=name, life=new.life)

    def _wanted_of(self, process: Process) -> list[Put]:
        """The revisions that a process opens: what is in force first, then what is on trial."""
        puts = [self._put, *([self._canary.put] if self._canary else [])]
        return [put for put in puts if process in processes(put.config)] or puts[:1]

    async def _let_try(self, child: Child, puts: Iterable[Put]) -> None:
        """Have one that was restarted take part in the trial, which ends if it cannot."""
        canary = self._canary
        if canary is None:
            return
        try:
            for put in puts:
                await self._prepared([child], put)
        except CannotStart as error:
            canary.trouble = str(error)
            self._nursery.start_soon(self._end_trial, canary, str(error))
        else:
            if canary.put.turn in child.turns:
                await child.control.send("try", turn=canary.put.turn, share=canary.share)

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
                    child.hung = True
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
            self._nursery.start_soon(self._reload, self._state.taken())

    async def _impatient(self, signals: Any) -> None:
        async for number in signals:
            if number != signal.SIGHUP:
                for child in self._children.values():
                    child.kill()

    async def _stop(self) -> None:
        """Drain from the door inwards: what lets mail in first, what mail ends in last."""
        self._stopping = True
        self._sockets.close()
        unlink(self._sockets.own_paths(self._config))
        everyone = list(self._children.values())
        sources = [c for c in everyone if listeners(self._config, c.process.place) and c.process.place != MAIL]
        mail = [c for c in everyone if c.process.place == MAIL]
        last = [c for c in everyone if c.process.place == MAILBOXES]
        rest = [c for c in everyone if c not in (*sources, *mail, *last)]
        for group in (sources, mail, rest, last):
            await self._drain(group)

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

    async def _reload(self, order: Order) -> None:
        async with self._changing:
            if self._stopping:
                return
            before = self._put
            self._notices.reloading()
            trouble = ""
            try:
                await self._carry_out(order)
            except (ConfigError, CannotStart, OSError, Exception) as error:  # whatever it is, the old one stays
                trouble = str(error)
                event("reload-refused", error=trouble)
            else:
                if before.turn != self._put.turn:
                    event("reloaded", revision=self._put.number, by=order.by)
                    if order.by:
                        put = Changes(self._config.server.data).put
                        done = partial(put, "reloaded", revision=self._put.number, by=order.by)
                        await trio.to_thread.run_sync(done)  # it waits for the disk
            self._state.write(os.getpid(), self._put.number, trouble)
            self._notices.ready(self._put.number, trouble)

    async def _carry_out(self, order: Order) -> None:
        """Do what was ordered, or raise and leave all as it was."""
        canary = self._canary
        if order.what == "promote":
            await self._promote()
        elif order.what == "abort":
            if canary is None:
                raise CannotStart("no revision is on trial")
            await self._stop_trial(canary, f"by {order.by}")
        elif len(self._drained) >= _FORMER:
            raise CannotStart(
                f"messages are under way by {_FORMER} former revisions still; wait until some are through"
            )
        elif canary is not None:
            raise CannotStart(
                f"revision {canary.put.number} is on trial: first `postroad reload --promote` to put it in force, "
                "or `postroad reload --abort`"
            )
        else:
            await self._put_in_force(await self._load(order), order)

    async def _load(self, order: Order) -> Config:
        """What pipeline.toml says now. ConfigError: then it is kept with the reason."""
        path = self._config.path
        try:
            return load(path)
        except ConfigError as error:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                await self._puts.refuse(path.read_text(), str(error), by=order.by, before=self._put)
            raise

    async def _put_in_force(self, config: Config, order: Order) -> None:
        """Keep another configuration and go over to it, or raise and leave all as it was."""
        put = await self._puts.take(config, order.by, before=self._put.number)
        before, watched = self._put, self._change
        share = config.server.canary if order.share is None else order.share
        try:
            self._check_changes(config)
            if share and put.number != before.number:
                await self._start_trial(put, share / 100)
                return
            if put.number != before.number:
                now = trio.current_time()
                earlier = watched.before if watched is not None and now < watched.until else None
                self._change = Change(before, now + WATCHED, earlier)
            await self._apply(put)
        except Exception as error:
            self._change = watched
            if put.number != before.number:
                await self._puts.settle(put, REFUSED, str(error))
            raise
        self._put = await self._puts.settle(put, IN_FORCE)

    async def _apply(self, put: Put, *, is_open: bool = False) -> None:
        """Go over to another configuration, or raise and leave all as it was. ``is_open``: it was on trial."""
        old, config = self._put, put.config
        before = set(self._sockets.now)
        sockets = dict(self._sockets.now)
        wanted = {process.name: process for process in processes(config)}
        self._sockets.bind(config, self._config)
        fresh: list[Child] = []
        if is_open:
            going = [self._children[name] for name in wanted]
        else:
            going = await self._open(put, fresh, sockets)
        if config.log != old.config.log:
            await self._log_elsewhere(put, fresh, sockets)
        self._config, self._put = config, put
        leaving = [child for name, child in self._children.items() if name not in wanted]
        self._keep(going, leaving, old)
        await self._make_known(fresh, going)
        await self._tell_all(going, "switch", "switched", turn=put.turn)  # one that dies comes back under this revision
        await self._change_listeners(before, sockets, fresh)
        unlink(self._sockets.own_paths(old.config) - self._sockets.own_paths(config))
        self._begin_to_retire(old, leaving)

    async def _log_elsewhere(self, put: Put, fresh: list[Child], sockets: Bound) -> None:
        try:
            open_log(put.config)
        except CannotStart:
            await self._undo(put.turn, fresh, sockets)
            raise

    async def _open(self, put: Put, fresh: list[Child], sockets: Bound) -> list[Child]:
        """Have a revision opened by all processes that it wants; these. ``fresh`` gets those that are new."""
        wanted = processes(put.config)
        self._opening = True
        try:
            await self._spawn_missing(wanted, fresh)
            going = [self._children[process.name] for process in wanted]
            await self._prepared_in_time(going, put)
        except BaseException:
            await self._undo(put.turn, fresh, sockets)
            raise
        finally:
            self._opening = False
        return going

    async def _spawn_missing(self, wanted: Iterable[Process], fresh: list[Child]) -> None:
        """Start those that are not there; they are put into ``fresh``, of which the last ones may not come up."""
        for process in wanted:
            child = self._children.get(process.name)
            if child is not None and not child.wanted:
                await child.gone.wait()  # it has been told to end
            if child is None or child.dead:
                fresh.append(await self._spawn(process))

    def _keep(self, going: Iterable[Child], leaving: Iterable[Child], old: Put) -> None:
        """Those who leave are let go once what they have in hand is done; one who is wanted again before that stays."""
        for child in leaving:
            child.leaving = child.leaving or old.turn
        for child in going:
            if child.leaving:
                self._nursery.start_soon(self._let_go, child, child.leaving)
                child.leaving = 0

    async def _make_known(self, fresh: Iterable[Child], going: Iterable[Child]) -> None:
        """Tell who is new of all, and all of who is new."""
        for child in fresh:
            await self._introduce(child)
            for other in going:
                if other is not child:
                    await other.control.send("up", name=child.process.name, life=child.life)

    # -- trials

    async def _start_trial(self, put: Put, share: float) -> None:
        """Open another revision beside the one in force, and let it have a share of what comes in."""
        fresh: list[Child] = []
        going = await self._open(put, fresh, dict(self._sockets.now))
        self._canary = canary = Canary(await self._puts.settle(put, ON_TRIAL), self._put, share, time.time())
        self._change = Change(self._put, until=math.inf)
        await self._make_known(fresh, going)
        await self._tell_all(fresh, "switch", "switched", turn=put.turn)
        for child in going:
            await child.control.send("try", turn=put.turn, share=share)
        event("trial-started", revision=put.number, share=share * 100)
        self._state.trial(canary.told())

    def _hear(self, child: Child, counts: list[tuple[int, dict[str, int]]]) -> None:
        """What a worker has counted. A trial that does worse than what is in force ends."""
        canary = self._canary
        if canary is None or not counts:
            return
        canary.heard(child.process.name, child.life, dict(counts))
        if not canary.trouble and (why := canary.verdict()):
            canary.trouble = why
            self._nursery.start_soon(self._end_trial, canary, why)

    async def _tell_trial(self) -> None:
        """Say once a second how it goes."""
        while True:
            await trio.sleep(1)
            self._state.trial(self._canary.told() if self._canary else None)

    async def _promote(self) -> None:
        """What was on trial is in force for all."""
        canary = self._canary
        if canary is None:
            raise CannotStart("no revision is on trial")
        if canary.trouble:
            raise CannotStart(f"the trial ends: {canary.trouble}")
        beside = self._put
        await self._apply(canary.put, is_open=True)
        self._change = Change(beside, trio.current_time() + WATCHED)
        self._canary = None
        self._put = await self._puts.settle(canary.put, IN_FORCE)
        self._tell_end(canary, "")

    async def _end_trial(self, canary: Canary, why: str) -> None:
        """It has shown that it is no good."""
        async with self._changing:
            if self._canary is canary and not self._stopping:
                await self._stop_trial(canary, why)

    async def _stop_trial(self, canary: Canary, why: str) -> None:
        """What came in by it goes on behind `queue` by the revision in force."""
        self._canary = self._change = None
        needed = {process.name for process in processes(self._config)}
        leaving = [child for name, child in self._children.items() if name not in needed]
        self._keep((), leaving, canary.put)
        for child in list(self._children.values()):
            await child.control.send("decide", turn=canary.put.turn)
        self._begin_to_retire(canary.put, leaving)
        await self._puts.settle(canary.put, WITHDRAWN, why)
        self._tell_end(canary, why)

    def _tell_end(self, canary: Canary, why: str) -> None:
        told = canary.told()
        event("trial-ended", revision=told.revision, why=why or None, counts=told.counts, beside=told.beside)
        self._state.trial(None)

    # -- going back

    def _look_for_a_loop(self, child: Child) -> None:
        """Workers that die again and again right after a change die of it: go back to what was before."""
        change, canary = self._change, self._canary
        if change is None or self._opening or not change.is_too_much(child.process.name, trio.current_time()):
            return
        self._change = None
        if canary is not None:
            canary.trouble = f"workers died: {change.told()}"
            self._nursery.start_soon(self._end_trial, canary, canary.trouble)
        else:
            self._nursery.start_soon(self._go_back, change)

    async def _go_back(self, change: Change) -> None:
        async with self._changing:
            bad, why = self._put, f"workers died: {change.told()}"
            if self._stopping or change.before.turn == bad.turn:
                return
            for tries in range(_GO_BACK, 0, -1):
                try:
                    await self._apply(self._puts.again(change.before))
                    break
                except Exception as error:  # one of those that are asked may have died of the other just now
                    if tries == 1:
                        event("reload-refused", error=f"cannot go back to revision {change.before.number}: {error}")
                        return
                    await trio.sleep(_GO_BACK_AGAIN)
            await self._puts.settle(bad, WITHDRAWN, why)
            self._put = await self._puts.settle(self._put, IN_FORCE)
            if change.earlier is not None:  # nobody had seen yet that the one before is any better
                self._change = Change(change.earlier, trio.current_time() + WATCHED)
            event("went-back", revision=self._put.number, withdrawn=bad.number, why=why)
            trouble = f"revision {bad.number} was taken back: {why}"
            self._state.write(os.getpid(), self._put.number, trouble)
            self._notices.ready(self._put.number, trouble)

    def _check_changes(self, config: Config) -> None:
        if config.server.data != self._config.server.data:
            raise CannotStart("[server] data cannot change while the server runs; stop it, move the folder, start it")
        if mail_workers(config) != mail_workers(self._config):
            raise CannotStart("[server] workers cannot change while the server runs; restart it")
        if config.server.user != self._config.server.user:
            raise CannotStart("[server] user cannot change while the server runs; restart it")
        if config.directory != self._config.directory:
            raise CannotStart("[directory] cannot change while the server runs; restart it")

    async def _undo(self, turn: int, fresh: list[Child], sockets: Bound) -> None:
        self._sockets.undo(sockets)
        needed = {process.name for process in processes(self._config)}
        for child in fresh:
            child.kill()
            if child.process.name not in needed:  # else it stood in for one that had died, and is restarted as that one
                child.wanted = False
                self._children.pop(child.process.name, None)
        self._say_who_is_there()
        for child in list(self._children.values()):
            child.turns.discard(turn)
            await child.control.send("retire", turn=turn)

    async def _let_go(self, child: Child, turn: int) -> None:
        """Have a worker that was to leave, and stays, close the revision after which it was to leave."""
        if (drained := self._drained.get(turn)) is not None:
            await drained.wait()
        await child.expect("drained", turn)
        await self._close(child, turn)

    async def _close(self, child: Child, turn: int) -> None:
        child.turns.discard(turn)
        await child.control.send("retire", turn=turn)

    async def _change_listeners(self, before: set[Key], old: Bound, fresh: list[Child]) -> None:
        """Take back what is no longer listened to, hand over what is new; a fresh process has nothing yet."""
        for key in before:
            if self._sockets.now.get(key) is not old[key]:
                name, process = key
                if process in self._children:
                    await self._children[process].control.send("hush", name=name)
                old[key].close()
        for child in fresh:
            await self._hand_listeners(child)
        started = {child.process.name for child in fresh}
        for (name, process), sock in self._sockets.now.items():
            if process not in started and old.get((name, process)) is not sock:
                await self._children[process].control.send("listen", sock, name=name)

    def _begin_to_retire(self, old: Put, leaving: list[Child]) -> None:
        self._drained[old.turn] = trio.Event()
        self._nursery.start_soon(self._retire, old, leaving)

    async def _retire(self, old: Put, leaving: list[Child]) -> None:
        """Once nobody has a message under the old revision any more, let go of it."""
        staying = [child for child in self._children.values() if old.turn in child.turns and child not in leaving]
        for child in staying:
            await child.expect("drained", old.turn)
        for child in staying:  # no sooner: what one has in hand may still have to come to another
            await self._close(child, old.turn)
        self._drained.pop(old.turn).set()
        ending = [child for child in leaving if child.leaving == old.turn]
        await self._drain(ending)
        for child in ending:
            if self._children.get(child.process.name) is child:
                del self._children[child.process.name]
        self._say_who_is_there()
        event("revision-retired", revision=old.number, lanes=[lane.name for lane in old.config.lanes])


def _how(code: int) -> str:
    if code == -signal.SIGBUS:  # a page of a mapped file is not there
        return ' (SIGBUS: a store has lost its end, or the disk fails; docs/operating.md, "Something is damaged")'
    if code < 0:
        return f" ({signal.Signals(-code).name})"
    return f" (exit {code})" if code else ""


def run(config: Config, announce: Callable[[dict[str, tuple[str, int]]], None], spawner: Spawner) -> None:
    """Run the server in this process until a signal ends it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection is one; workers inherit it
    notices = Notices(os.environ)
    try:
        sockets = handed(os.environ)
    except Unfit as error:
        raise CannotStart(str(error)) from error
    trio.run(Supervisor(config, announce, spawner, notices, sockets).run)
