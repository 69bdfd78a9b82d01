"""The peers from packages: each does what it says it can, syncs as it says, and leaves nothing behind."""

import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from bench import Failed, packages, readers
from bench.boxes import PASSWORD, Boxes
from bench.disks import Disk
from bench.load import send
from bench.measure import Cell
from bench.packages import Package
from bench.servers import all_servers
from bench.servers.base import Running, Server, Task
from bench.workloads import accept, deliver, read, relay
from bench.workloads.base import Work
from tests.support.programs import needs

SERVERS = {server.key: server for server in all_servers()}
KEYS = ["opensmtpd", "exim", "haraka", "haraka-cluster", "dovecot", "dovecot-tuned"]
MEASURES = {"accept": accept.measure, "relay": relay.measure, "deliver": deliver.measure}
COUNT = 30
CELL = Cell(4096, 5)

pytestmark = pytest.mark.peer


def present(key: str) -> Server:
    """The server, if it can run here. Whether it can is found when the test runs: to ask takes a namespace."""
    missing = SERVERS[key].missing()
    if missing is not None and os.environ.get("POSTROAD_NO_SKIPS"):
        pytest.fail(f"{missing}; and here no test may be skipped")
    if missing is not None:
        pytest.skip(missing)
    return SERVERS[key]


def mounted() -> str:
    """All mounts that can be seen from outside."""
    return Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A folder that every user may enter. pytest's own are closed, and closed again by each pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        Path(name).chmod(0o755)
        yield Disk("plain", Path(name), "for a test")


@asynccontextmanager
async def started(server: Server, workload: str, folder: Path) -> AsyncIterator[Running]:
    with trio.fail_after(60):
        async with server.start(Task(workload, folder)) as running:
            yield running


@pytest.mark.parametrize("key", KEYS)
def test_the_version_is_told(key: str) -> None:
    assert re.match(r"(OpenSMTPD|Exim|Haraka|Dovecot) \d+\.\d+", present(key).version())


# -- what each can do

ABILITIES = [(key, workload) for key in KEYS for workload in MEASURES if workload in SERVERS[key].workloads]


@needs("smtp-source", "smtp-sink")
@pytest.mark.parametrize(("key", "workload"), ABILITIES)
async def test_every_message_comes_where_it_should(key: str, workload: str, disk: Disk) -> None:
    server = present(key)
    before = mounted()
    run = await MEASURES[workload](Work(server, CELL, disk, 300), COUNT)  # counts them, and looks into the queue
    assert run.messages == COUNT
    assert run.cpu > 0
    assert run.memory > 2**20
    assert mounted() == before
    assert not any(disk.folder.iterdir())


# -- what each has synced before its 250

SYNCS = {"opensmtpd": 0, "haraka": 1, "exim": 3}
"""A message: Haraka the file, Exim the two files and the folder."""


@needs("strace", "smtp-source")
@pytest.mark.parametrize("key", SYNCS)
async def test_durability_is_as_stated(key: str, disk: Disk) -> None:
    server = present(key)
    log = disk.folder / "strace.log"
    async with started(server, "accept", disk.folder) as running:
        attached = [f"--attach={process}" for process in running.group.processes()]
        traced = await trio.lowlevel.open_process(
            ["strace", "-f", "-e", "trace=fsync,fdatasync,syncfs,sync", "-o", str(log), *attached],
            stderr=subprocess.PIPE,
        )
        assert traced.stderr is not None
        said = b""
        while said.count(b"\n") < len(attached):  # a line each, also for one that has ended by now
            said += await traced.stderr.receive_some()
        await send(CELL, COUNT, running.port, limit=60)
        traced.terminate()
        await traced.wait()
    calls = [line for line in log.read_text().splitlines() if "sync" in line and "resumed" not in line]
    assert len(calls) == SYNCS[key] * COUNT
    assert server.durability.startswith("not synced") is (SYNCS[key] == 0)


# -- reading

BOXES = Boxes(boxes=2, messages=60, size=3000)


@pytest.mark.parametrize("key", ["postroad", "dovecot", "dovecot-tuned"])
async def test_mailboxes_are_read_to_the_end(key: str, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    server = present(key)
    monkeypatch.setattr(read, "_SECONDS", 0.1)
    run = await read.measure(Work(server, Cell(BOXES.size, BOXES.boxes), disk, 120), BOXES.messages)
    assert (run.messages, run.cpu >= 0, run.memory > 2**20) == (BOXES.messages, True, True)
    assert all(rate > 0 for rate in run.figures.values())
    expected = {"POP3 one by one, messages/s", "POP3 sessions/s"}
    assert expected <= run.figures.keys()
    assert (key == "postroad") or {"IMAP, messages/s", "IMAP openings/s", "IMAP sessions/s"} <= run.figures.keys()
    assert not any(disk.folder.iterdir())


async def test_a_reader_notices_what_is_wrong(disk: Disk) -> None:
    server = present("dovecot")
    await read._PREPARED["dovecot"](disk.folder, BOXES)
    [user, _] = BOXES.users()
    async with started(server, "read", disk.folder) as running:
        assert running.pop3 is not None
        assert running.imap is not None
        fetch = partial(readers.pop3_fetch, running.pop3, user, PASSWORD, BOXES.messages + 1, pipelined=True)
        with pytest.raises(Failed, match=rf"refused: \+OK {BOXES.messages} "):
            await trio.to_thread.run_sync(fetch)
        with pytest.raises(Failed, match="refused: a BAD"):
            await trio.to_thread.run_sync(readers.imap_fetch, running.imap, user, PASSWORD, BOXES.messages + 1)
        with pytest.raises(Failed, match="refused: -ERR"):
            await trio.to_thread.run_sync(readers.pop3_session, running.pop3, user, "wrong")


def test_messages_are_of_the_size_asked_for_and_always_the_same() -> None:
    contents = list(BOXES.contents())
    assert contents == list(BOXES.contents())
    assert len(contents) == BOXES.messages
    assert all(1500 <= len(content) < 4600 for content in contents)
    assert not any(b"\r\n.\r\n" in content or b"\n" in content.replace(b"\r\n", b"") for content in contents)


# -- the namespace

NONE = Package("none", "/bin/sh", ("nobody-here", "root"))  # the program is here, and so nothing lies over /usr


def inside(folder: Path, script: str) -> str:
    command = NONE.command(
        folder, "sh", "-c", script, files={"sub/greeting": "hello\n"}, environment={"LD_PRELOAD": "/nowhere.so"},
        places={"/var/lib/not-here": folder / "kept", "/run": folder / "run"},
    )  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout


def test_in_the_namespace_files_places_and_users_are_there(tmp_path: Path) -> None:
    if (missing := NONE.missing()) is not None:
        pytest.skip(missing) if not os.environ.get("POSTROAD_NO_SKIPS") else pytest.fail(missing)
    before = mounted()
    said = inside(tmp_path, "cat /etc/sub/greeting /etc/ld.so.preload; id -u nobody-here root; echo x > /run/made")
    greeting, preload, number, root = said.split()
    assert (greeting, preload, root) == ("hello", "/nowhere.so", "0")
    assert int(number) == NONE.owner() in range(900, 1000)
    assert (tmp_path / "run" / "made").read_text() == "x\n"
    assert (
        inside(tmp_path, "echo y > /var/lib/not-here/made; echo z 2>&- > /etc/made || echo read-only") == "read-only\n"
    )
    assert (tmp_path / "kept" / "made").read_text() == "y\n"
    assert mounted() == before
    assert not any(Path(path).exists() for path in ("/etc/sub/greeting", "/etc/made", "/run/made", "/var/lib/not-here"))
    with pytest.raises(Failed, match="hides /var/lib; choose another --folder"):
        NONE.command(Path("/var/lib/here"), "true", places={"/var/lib/not-here": tmp_path})


def test_what_is_not_there_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PEERS", tmp_path)
    gone = Package("gone", "/usr/sbin/gone", ("gone",))
    assert (gone.missing() or "").startswith("gone not found: run `make bench-peers`")
    assert packages.INSTALL.is_file()
    (tmp_path / "gone" / "usr" / "sbin").mkdir(parents=True)
    (tmp_path / "gone" / "usr" / "sbin" / "gone").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (gone.missing() or "")
