"""Processes from the zygote: quickly there, our own, and there again when the zygote has died."""

import contextlib
import os
import pwd
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.runtime.control import Control
from engine.runtime.spawner import CannotFork, Spawner
from tests.support.server import until


def run(check: Callable[[Spawner], Awaitable[None]]) -> None:
    async def main() -> None:
        with contextlib.closing(Spawner()) as spawner:
            await check(spawner)

    trio.run(main)


@contextlib.asynccontextmanager
async def worker(spawner: Spawner, name: str = "a-0") -> Any:
    """A worker's process id and our end of its control socket; it ends behind."""
    ours, theirs = socket.socketpair()
    with theirs:
        pid = await spawner.fork(name, theirs)
    control = Control(ours)
    try:
        yield pid, control
    finally:
        control.close()
        with trio.fail_after(30):
            assert os.waitstatus_to_exitcode((await trio.to_thread.run_sync(os.waitpid, pid, 0))[1]) == 0


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_is_our_child_and_has_its_name(tmp_path: Path) -> None:
    async def check(spawner: Spawner) -> None:
        async with worker(spawner, "mail-0") as (pid, control):
            assert parent(pid) == os.getpid()
            values = {"name": "mail-0", "place": "mail", "index": 0}
            await control.send(
                "start", process=values, life=1, folder=str(tmp_path), config=str(tmp_path / "pipeline.toml")
            )
            with trio.fail_after(30):
                assert await control.receive() == ("alive", {"counts": []})
            assert Path(f"/proc/{pid}/comm").read_text() == "mail-0\n"

    run(check)


def test_a_worker_has_no_descriptor_of_another(tmp_path: Path) -> None:
    async def check(spawner: Spawner) -> None:
        async with worker(spawner), worker(spawner) as (pid, control):
            await control.send("start", process={"name": "b-0", "place": "b"}, life=1, folder=str(tmp_path), config="")
            await control.receive()
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            stream = [name for name in links if name.startswith("socket:")]
            assert len(stream) == len({*stream})
            ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in range(200) if os.path.exists(f"/proc/self/fd/{fd}")}
            assert not ours & {*stream}

    run(check)


def test_another_zygote_comes_after_one_that_died() -> None:
    async def check(spawner: Spawner) -> None:
        async with worker(spawner) as (first, _):
            dead = spawner.pid
            assert dead
            os.kill(dead, signal.SIGKILL)
            async with worker(spawner) as (second, _):
                assert spawner.pid != dead
                assert parent(first) == parent(second) == os.getpid()

    run(check)


def test_without_a_process_to_be_had_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(spawner: Spawner) -> None:
        async with worker(spawner):
            pass
        monkeypatch.setattr(Spawner, "_ask", lambda *_: answer())
        with pytest.raises(CannotFork, match="Resource temporarily unavailable"):
            await spawner.fork("a-0", socket.socket())

    async def answer() -> str:
        return "0 Resource temporarily unavailable"

    run(check)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_zygote_that_root_has_started_becomes_the_user() -> None:
    async def check(spawner: Spawner) -> None:
        spawner.start()
        first = spawner.pid
        await spawner.become("nobody")
        assert spawner.pid == first
        async with worker(spawner) as (pid, _):
            status = Path(f"/proc/{pid}/status").read_text()
            uid = pwd.getpwnam("nobody").pw_uid
            assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
            assert "Groups:\t65534 \n" in status
            until(lambda: Path(f"/proc/{pid}/comm").read_text() == "a-0\n", "it to write into its own /proc")

    run(check)


def test_a_zygote_that_cannot_become_the_user_is_replaced() -> None:
    async def check(spawner: Spawner) -> None:
        spawner.start()
        first = spawner.pid
        await spawner.become("no-such-user")
        assert spawner.pid is None
        async with worker(spawner):
            assert spawner.pid not in (None, first)

    run(check)
