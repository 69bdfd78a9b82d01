"""The workload `relay-tap`: mail passes while nobody looks on and while somebody does, and the tap sees all of it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.disks import Disk
from bench.measure import Cell, Wanted
from bench.servers import all_servers
from bench.workloads.base import Choice
from bench.workloads.relay_tap import LINK, LOOKS, WORKLOAD
from engine.config import load
from engine.drawing.pipeline import drawn
from tests.support.programs import needs
from tests.support.server import ROOT


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        yield Disk("plain", Path(name), "for a test")


def test_messages_are_small_where_nothing_else_is_asked() -> None:
    assert WORKLOAD.cells(Choice()) == [Cell(4096)]
    assert WORKLOAD.cells(Choice(sizes=(65536,))) == [Cell(65536)]


def test_the_shipped_pipeline_has_the_link() -> None:
    assert LINK in drawn(load(ROOT / "pipeline.toml")).links


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
async def test_all_is_relayed_however_somebody_looks(disk: Disk) -> None:
    [cell] = WORKLOAD.cells(Choice(sessions=(5,)))
    trials = await WORKLOAD.trials(all_servers(), cell, disk, Wanted(1, 1.0, 300))
    assert len({trial.key for trial in trials}) == len(LOOKS)
    shown = {trial.name.partition(": ")[2]: (await trial.run(300)).figures["shown"] for trial in trials}
    assert shown[""] == 0
    assert shown["one of 100"] < shown["all"] <= 300
    assert shown["all, with headers"] > 0
