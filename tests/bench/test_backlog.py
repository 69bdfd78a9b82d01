"""The backlog: what is put into the store, and a small run beside it."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import dns.name
import pytest

from bench.backlog import Backlog
from bench.disks import Disk
from bench.measure import Cell, Wanted
from bench.servers import all_servers
from bench.workloads.backlog import WORKLOAD, Waiting
from bench.workloads.base import Choice
from engine.config import Queue
from engine.queue.store import Record, Shard, shard_numbers
from tests.support.programs import needs


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        yield Disk("plain", Path(name), "for a test")


def stored(data: Path) -> list[list[Record]]:
    """The records of each shard."""
    with ExitStack() as stack:
        opened = [closing(Shard(data, n, map_size=Queue().map_size, read_only=True)) for n in shard_numbers(data)]
        shards = [stack.enter_context(shard) for shard in opened]
        return [list(shard.all_records()) for shard in shards]


def domain(record: Record) -> str:
    return record.envelope.recipients[0].address.rpartition("@")[2]


async def test_each_shard_has_mail_for_each_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    backlog = Backlog(tmp_path / "var", 120, sites=10)
    await backlog.make()
    shards = stored(backlog.data)
    assert [Counter(map(domain, records)) for records in shards] == [dict.fromkeys(backlog.domains(), 6)] * 2
    await backlog.make()
    assert stored(backlog.data) == shards  # what is there is used again


async def test_turns_are_spread_about_the_start(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "var", 300, sites=8)
    await backlog.make()
    for _ in range(2):
        backlog.turn_anew()
        for number in shard_numbers(backlog.data):
            with closing(Shard(backlog.data, number, map_size=Queue().map_size, read_only=True)) as shard:
                turns = [(shard.turn(domain) or 0) - time.time() for domain in backlog.domains()]
            assert sorted(turns) == turns
            assert sum(turn < 0 for turn in turns) == 2
            assert 200 < max(turns) < 240


def test_each_site_has_an_address_of_its_own() -> None:
    zone = Backlog(Path("var"), 1, sites=300).zone()
    found = set()
    for number in range(300):
        answer = zone.rrset(dns.name.from_text(f"mx.d{number:04d}", zone.origin), "A")
        assert answer is not None
        found.add(str(answer[0]))
    assert len(found) == 300


def test_one_cell_says_how_much_waits() -> None:
    assert WORKLOAD.cells(Choice(full=True)) == [Cell(4096, backlog=10**6)]


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
async def test_mail_goes_on_beside_a_backlog_that_stays(disk: Disk) -> None:
    workload = Waiting(200)
    [cell] = workload.cells(Choice(sessions=(5,)))
    trials = await workload.trials(all_servers(), cell, disk, Wanted(1, 1.0, 30))
    assert [trial.key for trial in trials] == ["postroad", "postroad@backlog"]
    for trial in [*trials, trials[1]]:
        run = await trial.run(30)
        assert run.messages == 30
        assert run.figures["ready, s"] > 0
        assert run.figures["first delivery, s"] > 0
        assert 1 < run.figures["anonymous memory, MiB"] < run.memory / 2**20
    [kept] = disk.folder.iterdir()  # once for all rounds
    records = [record for shard in stored(kept / "var") for record in shard]
    assert len(records) == 200
    assert any(record.envelope.attempts > 3 for record in records)  # some had their turn meanwhile
