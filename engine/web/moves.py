"""Mail that is being taken from other servers, begun in the pages.

All of it is in the memory of the first web process, the passwords too, and those for no longer than they are needed:
they go when all has come, when the source does not let us in, or after a day. What has come is in records on disk, so
after a restart the same is begun again with its password, and goes on where it was.
"""

import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

import trio
from starlette.requests import HTTPConnection, Request

from engine.directory import Account
from engine.links.request import Unanswered
from engine.migration import Choice, Progress, Wishes
from engine.observe.events import event
from engine.operations import migrating
from engine.operations.migrating import Task, kept
from engine.operations.operator import Operator
from engine.storage.environment import StorageError
from engine.web.context import Context, context_of
from engine.web.forwarding import handed_on
from engine.web.languages import translator
from engine.web.sessions.session import LIVE

AT_ONCE = 8
"""That run; others wait for their turn."""

MOST, KEPT = 2000, 86_400.0
"""That are known, and the seconds for which one is that does not run."""

SHOWN = 200
"""Messages that could not be taken that are shown of one move."""

FORM = 64 * 1024
"""Characters of a field."""

SWEEP = 600.0
"""Seconds between two looks at those that have been known for long enough."""

PLACES = "/admin/moving", "/account/moving"
"""The pages about it: the first of the web processes has it, and the others hand on what they are asked."""

_OK = 200

State: TypeAlias = Literal["queued", "running", "waiting", "paused", "done", "full", "refused", "failed"]

_GOING = ("queued", "running", "waiting")
_PAUSABLE = _GOING
_RESUMABLE = ("paused", "full", "failed")


def states(request: HTTPConnection) -> dict[str, str]:
    """In words."""
    _ = translator(request)
    return {
        "queued": _("waits for its turn"),
        "running": _("is running"),
        "waiting": _("waits for the other server"),
        "paused": _("is paused"),
        "done": _("has ended"),
        "full": _("the account is full"),
        "refused": _("the other server refuses"),
        "failed": _("was broken off"),
    }


async def told_of(request: Request, path: str, here: Callable[[], str]) -> str:
    """The state of what is moved that whoever asks may see: ``here``, or at ``path`` of the process that has it."""
    hand_on = context_of(request).hand_on
    if hand_on is None:
        return here()
    try:
        status, _, state = await handed_on(hand_on, request, path, (LIVE.encode(), b"1"))
    except Unanswered:
        return "unanswered"
    return state.decode() if status == _OK else "refused"


async def wishes_in(request: Request) -> Wishes:
    """What a form says of folders and flags."""
    form = await request.form(max_files=0, max_fields=20, max_part_size=FORM)

    def names(name: str) -> tuple[str, ...]:
        found = form.get(name, "")
        return tuple(line.strip() for line in found.splitlines() if line.strip()) if isinstance(found, str) else ()

    return Wishes(Choice(names("folders"), names("without")), flags=bool(form.get("flags")))


@dataclass(eq=False)
class Move:
    """One account's. ``task`` has a secret only while ``may_resume`` or it is going."""

    account: Account
    task: Task
    wishes: Wishes
    by: Operator
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "queued"
    done: Progress = field(default_factory=Progress)
    begun: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    steps: int = 0  # that it has taken

    @property
    def is_going(self) -> bool:
        return self.state in _GOING

    @property
    def may_resume(self) -> bool:
        return self.state in _RESUMABLE

    @property
    def source(self) -> tuple[int, str, str]:
        """Whose mail from where it is."""
        return self.account.id, self.task.server.host, self.task.login.user

    def come_to(self, state: State) -> None:
        self.state, self.changed = state, time.time()
        self.steps += 1
        if not self.is_going and not self.may_resume:
            self.forget_secret()

    def forget_secret(self) -> None:
        self.task = replace(self.task, login=replace(self.task.login, secret=kept("")))


def state_of(moves: Sequence[Move]) -> str:
    """Another one when one of them has come further, has come, or has gone."""
    return f"{zlib.crc32(repr([(move.id, move.steps) for move in moves]).encode()):08x}"


class Moves:
    """Those of this process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.tasks.append(self.run)
        self._known: dict[str, Move] = {}
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._send, self._begun = trio.open_memory_channel[tuple[Move, trio.CancelScope]](MOST)

    async def run(self) -> None:
        """Do what is begun, for as long as the process lives."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            async for move, scope in self._begun:
                nursery.start_soon(self._do, move, scope)

    def all(self) -> list[Move]:
        """The newest first."""
        self._let_go()
        return sorted(self._known.values(), key=lambda move: move.begun, reverse=True)

    def changed(self, move: Move, what: str) -> bool:
        """Do with it what somebody wants; whether there is such a thing to want."""
        change = {"pause": self.pause, "resume": self.resume, "forget": self.forget}.get(what)
        if change is not None:
            change(move)
        return change is not None

    def get(self, identity: str) -> Move | None:
        return self._known.get(identity)

    def begin(self, move: Move) -> bool:
        """Whether it was begun: not, where the same mail is being taken already, or too many are known."""
        self._let_go()
        same = [one for one in self._known.values() if one.source == move.source]
        if len(self._known) >= MOST or any(one.is_going for one in same):
            return False
        for one in same:  # this one goes on where it was
            del self._known[one.id]
        self._known[move.id] = move
        self._send.send_nowait((move, move.scope))
        return True

    def pause(self, move: Move) -> None:
        if move.state in _PAUSABLE:
            move.come_to("paused")
            move.scope.cancel()

    def resume(self, move: Move) -> None:
        if move.may_resume:
            move.scope = trio.CancelScope()
            move.come_to("queued")
            self._send.send_nowait((move, move.scope))

    def forget(self, move: Move) -> None:
        """Its password goes too; what has come stays."""
        if not move.is_going:
            self._known.pop(move.id, None)

    async def _do(self, move: Move, scope: trio.CancelScope) -> None:
        """To its end. Nothing that goes wrong in it goes further."""
        with scope:
            async with self._limit:
                await self._taken(move)

    async def _taken(self, move: Move) -> None:
        context = self._context
        means = partial(migrating.of_process, path=context.data / "mailbox", change=context.change)
        try:
            move.come_to("running")
            found = await migrating.migrated(
                means(context.mailboxes(), quota=context.quotas.limit, wishes=move.wishes),
                move.by, move.account, move.task, partial(self._told, move),
            )  # fmt: skip
            move.done = found
            move.come_to("failed" if found.state in _GOING else found.state)
        except (StorageError, OSError) as error:
            move.done.why = str(error)
            move.come_to("failed")
        except Exception as error:
            event.bug("moves", error)
            move.done.why = type(error).__name__
            move.come_to("failed")

    @staticmethod
    def _told(move: Move, done: Progress) -> None:
        move.done = done
        move.steps += 1
        if move.state in _GOING and done.state in ("running", "waiting"):
            move.state = done.state

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP)
            self._let_go()

    def _let_go(self) -> None:
        """Of those that have ended, or were paused, long ago."""
        oldest = time.time() - KEPT
        for move in [one for one in self._known.values() if not one.is_going and one.changed < oldest]:
            del self._known[move.id]
