"""What is common to all servers: that they are found, what they use, their Maildirs, and how Postroad is configured."""

import os
import pwd
import signal
import subprocess
import sys
import tomllib
from itertools import chain, repeat
from pathlib import Path

import pytest
import trio

from bench import Failed, maildirs, usage
from bench.disks import DISKS
from bench.measure import Cell
from bench.servers import all_servers
from bench.servers.base import answering, free_port, reachable
from bench.servers.postroad import FILES, pipeline
from bench.workloads import all_workloads
from bench.workloads.base import Choice, matrix
from tests.support.programs import needs

ROOT = Path(__file__).parents[2]


def test_servers_and_workloads_are_found() -> None:
    keys = [server.key for server in all_servers()]
    assert keys[0] == "postroad"
    assert {"postfix", "postfix-tuned"} <= set(keys)
    assert len(set(keys)) == len(keys)
    assert [workload.name for workload in all_workloads()][:5] == ["accept", "relay", "deliver", "inbound", "latency"]
    for server in all_servers():
        assert server.durability
        assert server.workloads
        assert server.missing() is None or len(server.missing() or "") > 10


def test_only_the_named_settings_differ_from_the_shipped_pipeline() -> None:
    before = tomllib.loads((ROOT / "pipeline.toml").read_text())
    assert tomllib.loads(pipeline({})) == before
    after = tomllib.loads(pipeline({"queue.in_flight": 1, "listen.smtp": "127.0.0.1:0", "a.b.c": [1, "x"]}))
    before["listen"]["smtp"] = "127.0.0.1:0"
    assert after == before | {"queue": {"in_flight": 1}, "a": {"b": {"c": [1, "x"]}}}


def test_a_checkout_uses_the_files_of_the_repository() -> None:
    assert FILES == ROOT


def test_the_wheel_has_what_the_benchmarks_need() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "bench" in wheel["packages"]
    assert wheel["force-include"] == {"pipeline.toml": "bench/files/pipeline.toml", "filters": "bench/files/filters"}


# -- cells


def test_the_matrix() -> None:
    assert matrix(Choice()) == [Cell(4096), Cell(65536)]
    assert len(set(matrix(Choice(full=True)))) == 8
    assert matrix(Choice((1, 2), (3,), (False,), full=True)) == [Cell(1, 3, False), Cell(2, 3, False)]


# -- what they use

SPEND = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"


@pytest.mark.parametrize("control", [True, False], ids=["as may be", "by /proc"])
async def test_what_ended_processes_used_is_counted(control: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not control:
        monkeypatch.setattr(usage, "_control_group", lambda name: None)
    async with usage.opened("test") as group:
        script = f"{sys.executable} -c '{SPEND}'; {sys.executable} -c '{SPEND}'; echo done; read x"
        process = await group.open(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.receive_some() == b"done\n"
        assert group.cpu() >= 0.4
        assert 0 < group.anonymous() < group.memory()
        assert group.processes() == [process.pid]


async def test_the_most_is_remembered() -> None:
    figures = chain([3, 9, 4], repeat(5))  # it may be asked as often as the machine is slow
    read = trio.Event()

    def memory() -> int:
        figure = next(figures)
        if figure == 4:
            read.set()
        return figure

    async with usage.most(memory, every=0.01) as most:
        with trio.fail_after(10):
            await read.wait()
        assert most() == 9


@pytest.mark.parametrize("control", [True, False], ids=["as may be", "by /proc"])
async def test_processes_and_their_children_are_ended(control: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not control:
        monkeypatch.setattr(usage, "_control_group", lambda name: None)
    async with usage.opened("test") as group:
        stubborn = "trap '' TERM; sleep 1000 & echo $!; wait; wait"
        process = await group.open(["sh", "-c", stubborn], stdout=subprocess.PIPE)
        assert process.stdout is not None
        child = int(await process.stdout.receive_some())
        assert set(group.processes()) == {process.pid, child}
        await group.end(patience=0.5)
        assert group.processes() == []
    assert process.returncode == -signal.SIGKILL


async def test_a_command_that_fails_is_shown() -> None:
    async with usage.opened("test", {"SAID": "no such thing"}) as group:
        assert await group.run(["sh", "-c", "echo $SAID"]) == "no such thing\n"
        with pytest.raises(Failed, match="ended with 3: no such thing"):
            await group.run(["sh", "-c", "echo $SAID >&2; exit 3"])


# -- helpers


def test_messages_in_maildirs_are_counted_as_they_come(tmp_path: Path) -> None:
    boxes = maildirs.made(tmp_path / "mail", 3, pwd.getpwuid(os.getuid()).pw_name)
    assert [box.name for box in boxes] == ["u00", "u01", "u02"]
    with maildirs.counted(boxes) as count:
        assert count() == 0
        (boxes[0] / "new" / "1").touch()
        (boxes[1] / "tmp" / "2").touch()
        assert count() == 1
        (boxes[1] / "tmp" / "2").rename(boxes[1] / "new" / "2")
        for number in range(500):
            (boxes[2] / "new" / f"a-rather-long-name-{number}").touch()
        assert count() == 502


def test_a_folder_that_others_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Failed, match=r"Exim runs as a user of its own.*choose another --folder"):
        reachable(closed, "Exim")


async def test_who_does_not_answer_is_shown_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("fatal: no such service")
    with pytest.raises(Failed, match=r"Exim does not answer on port.*: fatal: no such service"):
        await answering(free_port(), "Exim", log=log, seconds=0.1)


def test_a_free_port_is_given_to_nobody_else() -> None:
    few, ours = range(29_000, 29_020), list[int]()
    code = "from bench.servers.base import free_port; print(free_port(range(29_000, 29_020)), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        with pytest.raises(Failed, match="no port from 29000 to 29019 is free"):  # noqa: PT012 - once all are given
            while True:
                ours.append(free_port(few))
        other.communicate("\n")
    assert theirs not in ours
    assert len(ours) == len(set(ours))
    assert free_port([theirs]) == theirs


# -- disks


async def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="MiB free; choose another --folder"):
        async with DISKS["plain"](tmp_path, 10**9):
            raise AssertionError
    assert not any(tmp_path.iterdir())


@needs("gcc")
async def test_on_the_slow_disk_each_sync_takes_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # on the disk that is there
    script = """
import os, sys, time
flags = os.O_CREAT | os.O_WRONLY | (os.O_DSYNC if sys.argv[2] == "pwrite" else 0)
file = os.open(sys.argv[1], flags)
begun = time.monotonic()
for _ in range(10):
    {"fsync": os.fsync, "fdatasync": os.fdatasync, "pwrite": lambda file: os.pwrite(file, b"x", 0)}[sys.argv[2]](file)
assert time.monotonic() - begun >= 0.05
"""
    async with DISKS["slow"](tmp_path, 1) as disk:
        assert disk.file_system.startswith("each sync takes 5 ms longer")
        for call in ("fsync", "fdatasync", "pwrite"):
            with trio.fail_after(60):
                await trio.run_process(
                    [sys.executable, "-c", script, str(disk.folder / "file"), call],
                    env={**os.environ, **disk.environment},
                )
    assert not any(tmp_path.iterdir())
