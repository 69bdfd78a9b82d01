"""The one writer of an LMDB environment: a thread that commits all changes that have gathered at once.

An LMDB write transaction belongs to its operating system thread, so there is one. It takes everything that has
arrived since its last commit (no timer, no delay when idle), writes it in one transaction with one synced commit,
and wakes all who wait in one call into the event loop. While it has nothing to do, a short change that comes alone may
be committed without it: to wake a thread, and to be woken by it, takes a third of the time of such a commit.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

import lmdb
import outcome
import trio

from engine.observe.events import event
from engine.observe.measures import SIZES, Counter, Gauge, Histogram
from engine.storage.batch import Batch, committed
from engine.storage.environment import StorageError, translated
from engine.wakeup import Wakeup

T = TypeVar("T")
Done = Callable[[outcome.Outcome[T]], None]


_COMMITS = Counter("postroad_commits_total", "Commits of a store, each of them synced.", ("store",))
_SIZE = Histogram("postroad_commit_size", "Changes that one commit took together.", ("store",), bounds=SIZES)
_SECONDS = Histogram("postroad_commit_seconds", "Time of one commit: its changes, and the sync.", ("store",))
_FAILED = Counter("postroad_commit_failures_total", "Changes that a store could not take.", ("store",))
_LIMIT = Gauge("postroad_storage_limit_bytes", "How large a store may become: its map size.", ("store",))


SWIFT = 0.005
"""Seconds: where the last commit took no longer, the event loop may stand still for the next one."""


class _Change(Generic[T]):
    __slots__ = ("done", "result", "work")

    def __init__(self, work: Callable[[Batch], T], done: Done[T]) -> None:
        self.work = work
        self.done = done
        self.result: outcome.Outcome[T] | None = None


class Writer:
    """Applies changes to one environment. Use inside ``trio.run``; close it to end its thread.

    ``name`` is that of the store: its folder below the data folder.
    ``commits`` and ``changes`` count what was done; their ratio is the batch size.
    """

    def __init__(self, environment: lmdb.Environment, *, name: str) -> None:
        self._environment = environment
        self._committed, self._size, self._seconds = _COMMITS.of(name), _SIZE.of(name), _SECONDS.of(name)
        self._failed = _FAILED.of(name)
        _LIMIT.of(name).value = environment.info()["map_size"]
        self._token = trio.lowlevel.current_trio_token()
        self._gathered: list[_Change[object]] = []
        self._away = 0  # changes that were handed over, and are not done
        self._took = 0.0  # seconds of the last commit
        self._together = 0  # changes in it
        self._handed: queue.SimpleQueue[list[_Change[object]] | None] = queue.SimpleQueue()
        self._some = Wakeup()
        self.commits = 0
        self.changes = 0
        self._committer = threading.Thread(target=self._run, name=f"writer {name}", daemon=True)
        self._committer.start()
        trio.lowlevel.spawn_system_task(self._hand_over, name=f"hand-over to writer {name}")

    def submit(self, work: Callable[[Batch], T], done: Done[T]) -> None:
        """Apply ``work`` and call ``done`` with its outcome, in the event loop, once it is committed and synced."""
        self._gathered.append(_Change(work, done))  # type: ignore[arg-type]
        self._some.wake()

    async def apply(self, work: Callable[[Batch], T], *, to_the_end: bool = False) -> T:
        """Apply ``work``; its result once that is committed and synced.

        StorageError when it could not be stored. Cancelling the wait does not take the change back; ``to_the_end``: it
        cannot be cancelled once it has begun.
        """
        task = trio.lowlevel.current_task()
        waiting = True

        def done(result: "outcome.Outcome[T]") -> None:
            if waiting:
                trio.lowlevel.reschedule(task, result)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal waiting
            if to_the_end:
                return trio.lowlevel.Abort.FAILED
            waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.checkpoint_if_cancelled()
        self.submit(work, done)
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    @property
    def is_free(self) -> bool:
        """Whether nothing waits to be committed, changes come one by one, and commits are quick.

        Then ``apply_here`` may be called. Where several came together, others are on their way: they share a commit.
        """
        return not self._away and not self._gathered and self._together < 2 and self._took < SWIFT

    def apply_here(self, work: Callable[[Batch], T]) -> T:
        """The same as ``apply``, in the thread of the event loop, which stands still for that one commit."""
        change: _Change[object] = _Change(work, _nobody)
        try:
            self._commit([change])
        except lmdb.PanicError as error:
            self._token.run_sync_soon(_give_up, self._committer.name, str(error))
            raise translated(error) from error
        assert change.result is not None
        result: T = change.result.unwrap()  # type: ignore[assignment]
        return result

    def close(self) -> None:
        """Commit what has arrived, then end the thread. Blocks for that one commit."""
        self._hand()
        self._handed.put(None)
        self._committer.join()

    async def _hand_over(self) -> None:
        """Hand over once a turn of the event loop: to wake the thread for each change is slow, and cuts batches."""
        while True:
            await self._some.wait()
            self._hand()

    def _hand(self) -> None:
        if self._gathered:
            self._away += len(self._gathered)
            self._handed.put(self._gathered)
            self._gathered = []

    def _run(self) -> None:
        while (batch := self._handed.get()) is not None:
            ending = False
            while not ending:
                try:
                    more = self._handed.get_nowait()
                except queue.Empty:
                    break
                ending = more is None
                batch += more or ()
            try:
                self._commit(batch)
            except lmdb.PanicError as error:
                self._token.run_sync_soon(_give_up, self._committer.name, str(error))
                return
            self._token.run_sync_soon(self._wake, batch)
            if ending:
                return

    def _commit(self, batch: list[_Change[object]]) -> None:
        began = time.perf_counter()
        try:
            with committed(self._environment) as view:
                for change in batch:
                    change.result = outcome.Value(change.work(view))
        except lmdb.PanicError:
            raise
        except Exception as error:
            if len(batch) == 1:
                batch[0].result = outcome.Error(translated(error))
                self._failed.value += 1
                return
            # One bad change must not take the others with it: each again, alone.
            for change in batch:
                self._commit([change])
            return
        self.commits += 1
        self.changes += len(batch)
        self._committed.value += 1
        self._size.observe(len(batch))
        self._took, self._together = time.perf_counter() - began, len(batch)
        self._seconds.observe(self._took)

    def _wake(self, batch: list[_Change[object]]) -> None:
        self._away -= len(batch)
        for change in batch:
            assert change.result is not None
            change.done(change.result)


def _give_up(name: str, reason: str) -> NoReturn:
    """LMDB could not write its root page, and will not touch the store again before it is opened anew.

    So this process ends, and another one takes its place. Nobody was told that anything had been stored.
    """
    event("store-broken", writer=name, error=reason)
    raise StorageError(f"{name}: {reason}")


def _nobody(_: object) -> None:
    """Waits for the outcome."""
