"""The workload `queue`: each question has an answer, and what waits stays."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.disks import Disk
from bench.measure import Cell, Wanted
from bench.servers import all_servers
from bench.workloads.base import Choice
from bench.workloads.queue import ASKED, LIMIT, WORKLOAD, Asked
from tests.support.programs import needs


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        yield Disk("plain", Path(name), "for a test")


def test_one_cell_says_how_much_waits() -> None:
    assert WORKLOAD.cells(Choice(full=True)) == [Cell(4096, 20, backlog=10**6)]


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
async def test_each_question_is_answered(disk: Disk) -> None:
    workload = Asked(200)
    [cell] = workload.cells(Choice(sessions=(5,)))
    trials = await workload.trials(all_servers(), cell, disk, Wanted(1, 1.0, 30))
    assert [trial.key for trial in trials] == ["postroad", "postroad@busy"]
    for trial in trials:
        run = await trial.run(30)
        assert tuple(run.parts) == ASKED
        assert all(part.value > 0 and part.most == LIMIT and not part.failure for part in run.parts.values())
