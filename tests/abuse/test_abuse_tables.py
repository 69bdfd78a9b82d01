"""Tables of what is remembered: how long, how much at most, by several processes, over a start of the machine."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.abuse import Tables
from engine.abuse import tables as module
from engine.abuse.table import Changes, Kept, Table, key_of
from engine.directory import Unavailable
from engine.storage.environment import Full
from tests.support.post import Clock
from tests.support.server import ROOT

ONE, OTHER = key_of("one"), key_of("other")

COUNT = """
import sys
from pathlib import Path
from engine.abuse import Tables
from engine.abuse.table import Kept
with Tables.open(Path(sys.argv[1])) as tables:
    for _ in range(500):
        more = lambda values: (None, {b"count": Kept(b"%d" % (int(values[0] or 0) + 1), 1e9)})
        tables["accounts"].local.change([b"count"], more)
"""


async def test_what_is_kept_ends_by_itself(tables: Tables, clock: Clock) -> None:
    table = tables["triplets"]
    table.local.apply({ONE: Kept(b"short", 10), OTHER: Kept(b"long", 20)})
    assert await table.read([ONE, OTHER, key_of("unknown")]) == [b"short", b"long", None]
    clock.now += 10
    assert await table.read([ONE, OTHER]) == [None, b"long"]
    assert table.local.entries() == [(OTHER, b"long")]
    table.local.sweep()
    clock.now -= 10
    assert await table.read([ONE]) == [None], "swept"


async def test_a_change_sees_what_is_there_and_answers(tables: Tables) -> None:
    table = tables["accounts"]

    def decide(values: Sequence[bytes | None]) -> tuple[int, Changes]:
        count = len(values[0] or b"") + 1
        return count, {ONE: Kept(b"x" * count, 10), OTHER: None}

    table.local.apply({OTHER: Kept(b"goes", 10)})
    assert [await table.change([ONE], decide) for _ in range(3)] == [1, 2, 3]
    assert await table.read([ONE, OTHER]) == [b"xxx", None]
    assert await tables["triplets"].read([ONE]) == [None], "a table of its own"


def test_strangers_fill_no_disk_and_what_would_end_last_stays(tables: Tables) -> None:
    table = Table(tables._environment, "triplets", most=100, clock=tables["triplets"].local._clock)
    table.apply({ONE: Kept(b"known", 1e6)})
    for number in range(1000):
        table.apply({key_of(str(number)): Kept(b"stranger", 100 + number)})
    assert len(table.entries()) <= 100
    assert table.read([ONE, key_of("999")]) == [b"known", b"stranger"]
    assert table.read([key_of("800")]) == [None]


def test_several_processes_count_to_the_last_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNT, str(tmp_path / "abuse")]
    several = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [one.wait() for one in several] == [0, 0, 0]
    with Tables.open(tmp_path / "abuse") as tables:
        assert tables["accounts"].local.read([b"count"]) == [b"1500"]


def test_a_start_of_the_machine_finds_the_last_copy(
    tmp_path: Path, tables: Tables, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tables["triplets"].local
    local.apply({ONE: Kept(b"copied", 1000)})
    tables.tidy()
    tables.tidy()
    local.apply({OTHER: Kept(b"not yet", 1000)})
    tables.close()
    for boot in (b"second", b"third"):
        monkeypatch.setattr(module, "this_boot", lambda boot=boot: boot)
        with Tables.open(tmp_path / "abuse", clock) as after:
            assert after["triplets"].local.read([ONE, OTHER]) == [b"copied", None]
        assert sorted(path.name for path in (tmp_path / "abuse").iterdir()) == sorted(["lock", "copy", boot.hex()])


def test_a_start_without_a_copy_begins_anew(tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables["triplets"].local.apply({ONE: Kept(b"lost", 1e9)})
    tables.close()
    monkeypatch.setattr(module, "this_boot", lambda: b"second")
    with Tables.open(tmp_path / "abuse") as after:
        assert after["triplets"].local.entries() == []


def test_a_table_that_is_full_or_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAP_SIZE", 2**18)
    with Tables.open(tmp_path / "small") as small, pytest.raises(Full):
        small["triplets"].local.apply({key_of(str(n)): Kept(b"x" * 200, 10) for n in range(5000)})
    (tmp_path / "file").write_text("a file")
    with pytest.raises(Unavailable, match="file"):
        Tables.open(tmp_path / "file")
