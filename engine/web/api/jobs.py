"""Jobs: work that takes longer than a request should. It is asked for once, and looked at as often as one likes.

They are kept on disk, so every web process can tell of a job, and so can the next one after a restart. Whoever began
one may see and stop it, and nobody else.

======== ============================ ================================
database key                          value
======== ============================ ================================
jobs     id                           MessagePack table: a Kept
keys     token's id, digest of a key  digest of what was asked, job id
======== ============================ ================================
"""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

import lmdb
import msgspec
import trio
from msgspec.structs import replace

from engine.observe.events import event
from engine.storage.environment import StorageError, open_environment
from engine.storage.store import Store
from engine.web.api.problems import Problem, ProblemDetails, missing, translated

R = TypeVar("R")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
State: TypeAlias = Literal["running", "done", "failed", "stopped", "interrupted"]

FOLDER = "jobs"
"""In the data folder."""

MAP_SIZE = 2**28
"""Octets of address space."""

WAIT = 2.0
"""Seconds that the first answer waits for the end: most work is over by then."""

AT_ONCE = 8
"""Jobs of one process that run."""

MOST, KEPT = 2000, 86_400.0
"""Jobs that are kept, and the seconds for which: then a key counts no more."""

_LOOK = 0.5
"""Seconds between two writings of how far a job is; so long it takes at most until it hears that it is to stop."""


class Job(msgspec.Struct, Generic[R], frozen=True):
    """Long work. ``done`` of ``total``: how far it is; 0 in all: nobody knows.

    ``result`` is there when it has ended, also of what was stopped or failed on the way. What is "interrupted" was
    broken off by a restart of its process: what it had done until then is done.
    """

    id: str
    what: str
    state: State
    done: int
    total: int
    begun: datetime
    ended: datetime | None = None
    result: R | None = None
    problem: ProblemDetails | None = None


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as it is stored."""

    id: str
    token: str
    what: str
    process: str
    begun: float
    state: State = "running"
    done: int = 0
    total: int = 0
    ended: float = 0.0
    result: bytes = b""  # JSON
    problem: ProblemDetails | None = None
    stop: bool = False

    @property
    def told(self) -> Job[Any]:
        return Job(
            self.id, self.what, self.state, self.done, self.total, datetime.fromtimestamp(self.begun, UTC),
            datetime.fromtimestamp(self.ended, UTC) if self.ended else None,
            msgspec.Raw(self.result) if self.result else None, self.problem,
        )  # fmt: skip


class Stopped(Exception):
    """Whoever has begun it wants it to stop."""


@dataclass(slots=True)
class Progress:
    """What a job says of itself. ``result`` may be set on the way: it counts however the job ends."""

    done: int = 0
    total: int = 0
    result: Any = None
    stop: bool = False

    def told(self, done: int, total: int) -> None:
        """It is so far. Stopped."""
        self.done, self.total = done, total
        if self.stop:
            raise Stopped


Work: TypeAlias = Callable[[Progress], Awaitable[None]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Jobs(Store):
    """The open store, and the jobs of this process. Methods that are not async block, and may raise StorageError."""

    def __init__(
        self, environment: lmdb.Environment, process: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(environment)
        self._jobs = environment.open_db(b"jobs")
        self._keys = environment.open_db(b"keys")
        self._process = process
        self._clock = clock
        self._running = 0

    @classmethod
    def open(cls, data: Path, process: str = "", clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the jobs in the data folder; those that this process had begun before its
        restart are interrupted. StorageError."""
        found = cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=2), process, clock)
        found._do(found._interrupt)
        return found

    def get(self, token: str, identity: str) -> Job[Any]:
        """The job of that id. Problem, where it is none of this token's."""
        return self._get(token, identity).told

    def all(self, token: str) -> list[Job[Any]]:
        """Those of a token, the newest first."""
        found = self._do(lambda txn: [_decode(value) for _, value in txn.cursor(self._jobs)], write=False)
        return [kept.told for kept in reversed(found) if kept.token == token]

    def stop(self, token: str, identity: str) -> None:
        """Have it stop where it can. Problem."""
        kept = self._get(token, identity)
        if kept.state == "running":
            self._change(kept.id, stop=True)

    async def begun(self, token: str, what: str, work: Work, key: str = "", digest: bytes = b"") -> Job[Any]:
        """Begin it, and tell of it when it has ended, or after WAIT. The same ``key`` again begins nothing: it tells of
        the same job; with another ``digest`` of what is asked it is a Problem."""
        if self._running >= AT_ONCE:
            raise Problem(429, f"{AT_ONCE} jobs are running already", headers={"retry-after": "10"})
        new = Kept(
            f"{round(self._clock() * 1000):011x}{secrets.token_hex(5)}", token, what, self._process, self._clock()
        )
        kept = await trio.to_thread.run_sync(self._add, new, key, digest)
        if kept.id == new.id:
            ended = trio.Event()
            self._running += 1
            trio.lowlevel.spawn_system_task(self._run, kept, work, ended)
            with trio.move_on_after(WAIT):
                await ended.wait()
        return self.get(token, kept.id)

    async def _run(self, kept: Kept, work: Work, ended: trio.Event) -> None:
        """To its end. Nothing that goes wrong in it goes further."""
        progress = Progress()
        try:
            state, problem = await self._followed(kept.id, work, progress)
            changes = {
                "state": state, "done": progress.done, "total": progress.total, "ended": self._clock(),
                "result": msgspec.json.encode(progress.result) if progress.result is not None else b"",
                "problem": problem,
            }  # fmt: skip
            await trio.to_thread.run_sync(partial(self._change, kept.id, **changes))
        except Exception as error:
            event.bug("api", error)
        finally:
            self._running -= 1
            ended.set()

    async def _followed(self, identity: str, work: Work, progress: Progress) -> tuple[State, ProblemDetails | None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, identity, progress)
            found = await _outcome(work, progress)
            nursery.cancel_scope.cancel()
        return found

    async def _follow(self, identity: str, progress: Progress) -> None:
        """Write down how far it is, and hear whether it is to stop."""
        while True:
            await trio.sleep(_LOOK)
            with contextlib.suppress(StorageError):
                change = partial(self._change, identity, done=progress.done, total=progress.total)
                progress.stop = (await trio.to_thread.run_sync(change)).stop

    # Transactions

    def _get(self, token: str, identity: str) -> Kept:
        value = self._do(lambda txn: txn.get(identity.encode(), db=self._jobs), write=False)
        kept = _decode(value) if value else None
        if kept is None or kept.token != token:
            raise missing("job of that id")
        return kept

    def _change(self, identity: str, **changes: Any) -> Kept:
        def change(txn: Transaction) -> Kept:
            kept = replace(_decode(txn.get(identity.encode(), db=self._jobs) or b""), **changes)
            txn.put(identity.encode(), _encode(kept), db=self._jobs)
            return kept

        return self._do(change)

    def _add(self, new: Kept, key: str, digest: bytes) -> Kept:
        """It; or the one that was begun by the same key. Problem."""
        name = f"{new.token}\0".encode() + hashlib.sha256(key.encode()).digest()

        def change(txn: Transaction) -> Kept:
            self._let_go(txn)
            if key and (known := txn.get(name, db=self._keys)):
                value = txn.get(known[32:], db=self._jobs)
                if value and known[:32] != digest:
                    raise Problem(422, "this Idempotency-Key was used for another request")
                if value:
                    return _decode(value)
            txn.put(new.id.encode(), _encode(new), db=self._jobs)
            if key:
                txn.put(name, digest + new.id.encode(), db=self._keys)
            return new

        return self._do(change)

    def _let_go(self, txn: Transaction) -> None:
        """Of those that are too old or too many, with their keys."""
        spare, oldest = txn.stat(self._jobs)["entries"] - MOST, self._clock() - KEPT
        gone = set[bytes]()
        for number, (identity, value) in enumerate(txn.cursor(self._jobs)):
            kept = _decode(value)
            if number >= spare and kept.begun >= oldest:
                break
            if kept.state != "running":
                gone.add(bytes(identity))
        for name in [bytes(name) for name, value in txn.cursor(self._keys) if value[32:] in gone] if gone else ():
            txn.delete(name, db=self._keys)
        for identity in gone:
            txn.delete(identity, db=self._jobs)

    def _interrupt(self, txn: Transaction) -> None:
        for identity, value in list(txn.cursor(self._jobs)):
            kept = _decode(value)
            if kept.state == "running" and kept.process == self._process:
                changed = replace(kept, state="interrupted", ended=self._clock())
                txn.put(identity, _encode(changed), db=self._jobs)


async def _outcome(work: Work, progress: Progress) -> tuple[State, ProblemDetails | None]:
    try:
        await work(progress)
    except BaseException as error:
        if isinstance(error, Stopped):
            return "stopped", None
        if (problem := translated(error)) is not None:
            return "failed", problem.details
        if not isinstance(error, Exception):  # cancelled
            raise
        event.bug("api", error)
        return "failed", Problem(500).details
    return "done", None
