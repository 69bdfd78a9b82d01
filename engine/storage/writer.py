"""The one writer of an LMDB environment: a thread that commits all changes that have gathered at once.

An LMDB write transaction belongs to its operating system thread, so there is one. It takes everything that has
arrived since its last commit (no timer, no delay when idle), writes it in one transaction with one synced commit,
and wakes all who wait in one call into the event loop.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, cast

import lmdb
import outcome
import trio

from engine.observe.events import event
from engine.observe.measures import SIZES, Counter, Gauge, Histogram
from engine.storage.environment import StorageError, translated
from engine.wakeup import Wakeup

T = TypeVar("T")
Database: TypeAlias = Any  # what py-lmdb's open_db() returns: an opaque handle
Done = Callable[[outcome.Outcome[T]], None]


_COMMITS = Counter("postroad_commits_total", "Commits of a store, each of them synced.", ("store",))
_SIZE = Histogram("postroad_commit_size", "Changes that one commit took together.", ("store",), bounds=SIZES)
_SECONDS = Histogram("postroad_commit_seconds", "Time of one commit: its changes, and the sync.", ("store",))
_FAILED = Counter("postroad_commit_failures_total", "Changes that a store could not take.", ("store",))
_LIMIT = Gauge("postroad_storage_limit_bytes", "How large a store may become: its map size.", ("store",))

MANY = 1000
"""Items that are a large call of their own."""


class Batch:
    """What a change may do inside the transaction. Puts and deletes are gathered and written in few, large calls.

    py-lmdb drops the interpreter lock on every single put: beside a busy event loop each costs a turn of waiting.
    """

    __slots__ = ("_deletes", "_puts", "_transaction")

    def __init__(self, transaction: lmdb.Transaction) -> None:
        self._transaction = transaction
        self._puts: dict[Database, dict[bytes, bytes]] = {}
        self._deletes: dict[tuple[Database, bytes], None] = {}

    @property
    def transaction(self) -> lmdb.Transaction:
        """The transaction itself, for reading: it sees every change made before in this batch."""
        self.flush()
        return self._transaction

    def get(self, database: Database, key: bytes) -> bytes | None:
        """The value as this batch has left it so far, or None. A look through ``transaction`` would flush first."""
        if self._deletes and (database, key) in self._deletes:
            return None
        puts = self._puts.get(database)
        if puts is not None and (pending := puts.get(key)) is not None:
            return pending
        return cast("bytes | None", self._transaction.get(key, db=database))

    def put(self, database: Database, key: bytes, value: bytes) -> None:
        if self._deletes and (database, key) in self._deletes:
            self.flush()
        puts = self._puts.get(database)
        if puts is None:
            puts = self._puts[database] = {}
        puts[key] = value

    def put_all(self, database: Database, items: Sequence[tuple[bytes, bytes]]) -> None:
        """The same for several. Very many are not gathered, but written at once behind what has gathered."""
        if len(items) > MANY:
            self.flush()
            self._transaction.cursor(database).putmulti(items)
        elif self._deletes:
            for key, value in items:
                self.put(database, key, value)
        else:
            self._puts.setdefault(database, {}).update(items)

    def delete(self, database: Database, key: bytes) -> None:
        self._deletes[database, key] = None

    def flush(self) -> None:
        """Write what has gathered. Puts go first: a put after a delete of the same key has flushed before."""
        for database, items in self._puts.items():
            self._transaction.cursor(database).putmulti(list(items.items()))
        self._puts.clear()
        for database, key in self._deletes:
            self._transaction.delete(key, db=database)
        self._deletes.clear()


@contextmanager
def committed(environment: lmdb.Environment) -> Iterator[Batch]:
    """A batch in a transaction of its own, committed and synced at the end of the block; if that fails nothing is."""
    with environment.begin(write=True) as transaction:
        batch = Batch(transaction)
        yield batch
        batch.flush()


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
            self._token.run_sync_soon(_wake, batch)
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
        self._seconds.observe(time.perf_counter() - began)


def _give_up(name: str, reason: str) -> NoReturn:
    """LMDB could not write its root page, and will not touch the store again before it is opened anew.

    So this process ends, and another one takes its place. Nobody was told that anything had been stored.
    """
    event("store-broken", writer=name, error=reason)
    raise StorageError(f"{name}: {reason}")


def _wake(batch: list[_Change[object]]) -> None:
    for change in batch:
        assert change.result is not None
        change.done(change.result)
