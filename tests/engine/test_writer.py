"""The one writer of an environment: many changes in one commit, and one bad change alone."""

import threading
import time
from pathlib import Path

import lmdb
import outcome
import pytest
import trio
import trio.testing

from engine.storage import writer
from engine.storage.batch import Batch
from engine.storage.environment import Full, StorageError, free_space, open_environment, translated
from engine.storage.writer import Writer

MAP_SIZE = 2**20


class Store:
    """An environment with one database and its writer."""

    def __init__(self, path: Path) -> None:
        self.environment = open_environment(path, map_size=MAP_SIZE, databases=2)
        self.database = self.environment.open_db(b"things")
        self.writer = Writer(self.environment, name="test")

    def all(self) -> dict[bytes, bytes]:
        with self.environment.begin() as transaction:
            return dict(transaction.cursor(self.database))

    def put(self, key: bytes, value: bytes):
        return lambda batch: batch.put(self.database, key, value)


@pytest.fixture
async def store(tmp_path: Path):
    opened = Store(tmp_path / "store")
    yield opened
    opened.writer.close()
    opened.environment.close()


async def gathered(store: Store, *works):
    """The outcomes of changes that all arrive while the writer is busy with another one."""
    go, busy = threading.Event(), threading.Event()

    def hold(_: Batch) -> None:
        busy.set()
        go.wait(10)

    outcomes: dict[int, outcome.Outcome] = {}
    done = trio.Event()

    def keep(number: int):
        def kept(result: outcome.Outcome) -> None:
            outcomes[number] = result
            if len(outcomes) == len(works):
                done.set()

        return kept

    store.writer.submit(hold, lambda _: None)
    await trio.to_thread.run_sync(busy.wait)
    for number, work in enumerate(works):
        store.writer.submit(work, keep(number))
    go.set()
    await done.wait()
    return [outcomes[number] for number in range(len(works))]


async def test_a_change_gives_its_result_once_it_is_stored(store: Store) -> None:
    def work(batch: Batch) -> str:
        batch.put(store.database, b"a", b"1")
        return "done"

    assert await store.writer.apply(work) == "done"
    assert store.all() == {b"a": b"1"}


async def test_what_has_gathered_is_committed_at_once(store: Store) -> None:
    works = [store.put(b"%d" % number, b"x") for number in range(50)]
    assert all(isinstance(found, outcome.Value) for found in await gathered(store, *works))
    assert (store.writer.commits, store.writer.changes) == (2, 51)
    assert len(store.all()) == 50


async def test_one_bad_change_does_not_take_the_others_along(store: Store) -> None:
    def bad(batch: Batch) -> None:
        batch.put(store.database, b"bad", b"half done")
        raise ValueError("bad")

    one, two, three = await gathered(store, store.put(b"a", b"1"), bad, store.put(b"b", b"2"))
    assert isinstance(one, outcome.Value)
    assert isinstance(three, outcome.Value)
    with pytest.raises(ValueError, match="bad"):
        two.unwrap()
    assert store.all() == {b"a": b"1", b"b": b"2"}


ORDERS = [
    (["put 1", "delete"], None),
    (["delete", "put 1"], b"1"),
    (["put 1", "put 2"], b"2"),
    (["put 1", "delete", "put 2"], b"2"),
    (["put 1", "delete", "put 2", "delete"], None),
    (["delete", "put 1", "delete", "put 2"], b"2"),
    (["put 1", "look", "delete", "look", "put 2"], b"2"),
]


@pytest.mark.parametrize(("steps", "left"), ORDERS)
@pytest.mark.parametrize("before", [None, b"0"])
@pytest.mark.parametrize("together", [True, False])
async def test_puts_and_deletes_keep_their_order(
    store: Store, steps: list[str], left: bytes | None, before: bytes | None, *, together: bool
) -> None:
    if before:
        await store.writer.apply(store.put(b"k", before))

    def step(name: str):
        def work(batch: Batch) -> bytes | None:
            if name == "look":
                found = batch.transaction.get(b"k", db=store.database)
                assert batch.get(store.database, b"k") == found
                return found
            if name == "delete":
                batch.delete(store.database, b"k")
            else:
                batch.put(store.database, b"k", name[-1:].encode())
            return batch.get(store.database, b"k")

        return work

    def all_steps(batch: Batch) -> None:
        for name in steps:
            step(name)(batch)

    if together:
        await store.writer.apply(all_steps)
    else:
        await gathered(store, *map(step, steps))
    assert store.all().get(b"k") == left


async def test_a_change_sees_what_the_batch_has_done_before_it(store: Store) -> None:
    def count(batch: Batch) -> int:
        number = int(batch.get(store.database, b"n") or b"0") + 1
        batch.put(store.database, b"n", b"%d" % number)
        return number

    assert [found.unwrap() for found in await gathered(store, count, count, count)] == [1, 2, 3]
    assert store.all() == {b"n": b"3"}


async def test_a_waiter_that_is_cancelled_does_not_take_its_change_back(store: Store) -> None:
    go = threading.Event()
    async with trio.open_nursery() as nursery:
        store.writer.submit(lambda _: go.wait(10), lambda _: None)
        nursery.start_soon(store.writer.apply, store.put(b"a", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    go.set()
    await store.writer.apply(store.put(b"b", b"2"))
    assert store.all() == {b"a": b"1", b"b": b"2"}


async def test_a_wait_to_the_end_is_not_cancelled(store: Store) -> None:
    go, ended = threading.Event(), []

    async def wait() -> None:
        await store.writer.apply(store.put(b"a", b"1"), to_the_end=True)
        ended.append(store.all())

    async with trio.open_nursery() as nursery:
        store.writer.submit(lambda _: go.wait(10), lambda _: None)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        go.set()
    assert ended == [{b"a": b"1"}]


async def test_one_who_is_cancelled_already_changes_nothing(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.writer.apply(store.put(b"a", b"1"))
    await store.writer.apply(store.put(b"b", b"2"))
    assert store.all() == {b"b": b"2"}


async def test_closing_commits_what_has_arrived(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in range(10):
        store.writer.submit(store.put(b"%d" % number, b"x"), lambda _: None)
    store.writer.close()
    assert len(store.all()) == 10
    store.environment.close()


async def test_a_full_store_says_so_and_goes_on_with_what_fits(store: Store) -> None:
    one, two, three = await gathered(
        store, store.put(b"a", b"1"), store.put(b"large", bytes(2 * MAP_SIZE)), store.put(b"b", b"2")
    )
    with pytest.raises(Full):
        two.unwrap()
    assert isinstance(one, outcome.Value)
    assert isinstance(three, outcome.Value)
    with pytest.raises(Full):
        await store.writer.apply(store.put(b"larger", bytes(2 * MAP_SIZE)))
    await store.writer.apply(store.put(b"c", b"3"))
    assert store.all() == {b"a": b"1", b"b": b"2", b"c": b"3"}


async def test_a_lone_change_is_committed_without_the_thread(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWIFT", 60.0)
    threads: list[threading.Thread] = []

    def work(batch: Batch) -> str:
        threads.append(threading.current_thread())
        batch.put(store.database, b"a", b"1")
        return "done"

    assert store.writer.is_free
    assert store.writer.apply_here(work) == "done"
    assert store.all() == {b"a": b"1"}
    assert await store.writer.apply(store.put(b"b", b"2")) is None  # each thread has its turn
    with pytest.raises(Full):
        store.writer.apply_here(store.put(b"large", bytes(2 * MAP_SIZE)))
    assert store.writer.is_free
    store.writer.apply_here(work)
    assert store.all() == {b"a": b"1", b"b": b"2"}
    assert threads == [threading.current_thread()] * 2
    assert (store.writer.commits, store.writer.changes) == (3, 3)


async def test_a_writer_is_not_free_until_all_is_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWIFT", 60.0)
    free: list[bool] = []
    done = trio.Event()

    def noted(result: outcome.Outcome) -> None:
        result.unwrap()
        free.append(store.writer.is_free)
        done.set()

    go, busy = threading.Event(), threading.Event()

    def hold(_: Batch) -> None:
        busy.set()
        go.wait(10)

    store.writer.submit(hold, noted)
    assert not store.writer.is_free  # it waits to be handed over
    await trio.to_thread.run_sync(busy.wait)
    assert not store.writer.is_free
    go.set()
    await done.wait()
    assert free == [True]


async def test_where_changes_come_together_the_next_ones_share_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SWIFT", 60.0)
    await gathered(store, store.put(b"a", b"1"), store.put(b"b", b"2"))
    assert not store.writer.is_free
    await store.writer.apply(store.put(b"c", b"3"))
    assert store.writer.is_free


async def test_a_slow_disk_does_not_hold_up_the_loop(store: Store) -> None:
    assert store.writer.is_free
    await store.writer.apply(lambda _: time.sleep(writer.SWIFT))
    assert not store.writer.is_free


async def test_what_is_committed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "store")
    await first.writer.apply(first.put(b"a", b"1"))
    first.writer.close()
    first.environment.close()
    second = Store(tmp_path / "store")
    assert second.all() == {b"a": b"1"}
    second.writer.close()
    second.environment.close()


def test_no_room_is_told_from_other_errors() -> None:
    assert isinstance(translated(OSError(28, "No space left on device")), Full)
    assert isinstance(translated(lmdb.MapFullError("x")), Full)
    found = translated(lmdb.BadTxnError("x"))
    assert isinstance(found, StorageError)
    assert not isinstance(found, Full)
    other = ValueError("x")
    assert translated(other) is other


def test_a_store_that_cannot_be_opened_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot open the store in .*file"):
        open_environment(tmp_path / "file" / "store", map_size=MAP_SIZE, databases=1)
    assert free_space(tmp_path) > 0
