"""Programs that are run for one message: what they are given, what is kept of what they say, and that none is left."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.scanning import Unreachable
from engine.scanning.program import ERRORS, Command, Limits, Result, run
from tests.support.server import alive
from tests.support.snippets import eventually, python

FOREVER = "while True: time.sleep(60)"


def command(code: str, folder: Path = Path("/"), **limits: float) -> Command:
    return Command(
        arguments=python(code),
        environment={"PATH": "/usr/bin:/bin", "WHO": "Bob"},
        folder=folder,
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


async def done(code: str, given: bytes = b"", most: int = 1000, **limits: float) -> Result:
    return await run(command(code, **limits), [given], most=most)


async def test_what_it_is_given_and_what_it_says() -> None:
    code = "data = sys.stdin.buffer.read(); print(len(data), end=''); print('ah', file=sys.stderr); sys.exit(7)"
    assert await done(code, b"x" * 1_000_000) == Result(7, b"1000000", True, b"ah\n")


async def test_its_environment_and_folder_are_what_it_was_given(tmp_path: Path) -> None:
    code = "print(json.dumps([dict(os.environ), os.getcwd(), os.listdir('/proc/self/fd')]))"
    environment, folder, descriptors = json.loads((await run(command(code, tmp_path), [], most=1000)).output)
    assert environment.items() - {"LC_CTYPE": "C.UTF-8"}.items() == {"PATH": "/usr/bin:/bin", "WHO": "Bob"}.items()
    assert folder == str(tmp_path)
    assert len(descriptors) == 4  # its three pipes, and the folder that it looks at


async def test_it_need_not_read_what_it_is_given() -> None:
    result = await done("os.close(0); print('no'); sys.exit(1)", b"x" * 10_000_000)
    assert (result.code, result.output) == (1, b"no\n")


async def test_of_what_it_says_the_beginning_is_kept() -> None:
    result = await done("print('x' * 1_000_000, end=''); print('y' * 1_000_000, file=sys.stderr)", most=10)
    assert result == Result(0, b"x" * 10, False, b"y" * ERRORS)


@pytest.mark.parametrize("where", ["stdout", "stderr"])
async def test_a_flood_ends_it(where: str) -> None:
    result = await done(f"while True: sys.{where}.write('x' * 100_000)")
    assert result.code == -signal.SIGKILL


async def test_what_it_has_started_ends_with_it() -> None:
    code = """
started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(started.pid)
"""
    result = await done(code)
    assert result.code == 0
    await eventually(lambda: not alive(int(result.output)))


async def test_who_left_its_group_and_holds_its_pipes_is_not_waited_for() -> None:
    code = """
started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)
print(started.pid, flush=True)
"""
    result = await done(code)
    assert (result.code, result.whole) == (0, False)
    os.kill(int(result.output), signal.SIGKILL)


async def test_cancelled_it_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
open({str(pids)!r} + '.new', 'w').write(f'{{os.getpid()}} {{started.pid}}')
os.rename({str(pids)!r} + '.new', {str(pids)!r})
{FOREVER}
"""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(done, code)
        await eventually(pids.exists)
        nursery.cancel_scope.cancel()
    for pid in map(int, pids.read_text().split()):
        await eventually(lambda pid=pid: not alive(pid))


async def test_one_that_is_not_there() -> None:
    with pytest.raises(Unreachable, match="No such file"):
        await run(Command(arguments=("/nowhere/x",), environment={}, folder=Path("/")), [], most=1)


async def test_a_message_that_cannot_be_read_is_told_as_what_it_is() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        await run(command(FOREVER), pieces(), most=1)


async def test_limits() -> None:
    result = await done("sys.stdin.read(); x = bytearray(2**31)", memory=2**30)
    assert result.code == 1
    assert b"MemoryError" in result.errors
    assert (await done("while True: pass", cpu=1)).code in (-signal.SIGKILL, -signal.SIGXCPU)
