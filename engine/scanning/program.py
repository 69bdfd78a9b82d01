"""A program that runs beside us: started in a group of its own, with pipes, and ended with all that it has started."""

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import trio
from msgspec import Struct

from engine.observe.events import event
from engine.scanning.guard import Unreachable

FLOOD = 16 * 2**20
"""Octets beyond what is kept of an output after which a program is ended: what it says is of no use to anybody."""

LAST_WORDS = 1.0
"""Seconds in which the pipes of a program that has ended must be empty. Who holds them longer is no child of it that
could be ended with it."""

COMPLAINTS = 10
"""Lines of standard error that are logged, of one question."""

COMPLAINT = 500
"""Characters of such a line."""

ERRORS = 8192
"""Octets of standard error that are kept."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a program may use: octets of address space, seconds of processor time. 0: as much as we may."""

    memory: int = 0
    cpu: float = 0.0

    def of(self) -> Iterable[tuple[int, int]]:
        """As setrlimit(2) has them."""
        if self.memory:
            yield resource.RLIMIT_AS, self.memory
        if self.cpu:
            yield resource.RLIMIT_CPU, max(1, round(self.cpu))


class Command(Struct, frozen=True, kw_only=True):
    """How a program is started: its path and arguments, its whole environment, its working folder, its limits."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended: its exit code, negative for a signal, and the beginning of what it said.

    ``whole``: that was all of it.
    """

    code: int
    output: bytes
    whole: bool
    errors: bytes


class Program:
    """A running program. Whoever starts one must ``end`` it, whatever happens."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.stdin: trio.abc.SendStream = process.stdin
        self.stdout: trio.abc.ReceiveStream = process.stdout
        self.stderr: trio.abc.ReceiveStream = process.stderr

    @classmethod
    async def start(cls, command: Command) -> "Program":
        """Unreachable when it cannot be started."""
        try:
            process = await trio.lowlevel.open_process(
                list(command.arguments),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=dict(command.environment),
                cwd=command.folder,
                start_new_session=True,  # which makes it the first of a group, too
            )
        except OSError as error:
            raise Unreachable(f"{command.arguments[0]} cannot be started: {error.strerror}") from error
        program = cls(process)
        try:
            for limit, most in command.limits.of():
                resource.prlimit(process.pid, limit, (most, most))
        except ProcessLookupError:
            pass  # it has ended already
        except OSError as error:
            await program.end()
            raise Unreachable(f"{command.arguments[0]} cannot be limited: {error.strerror}") from error
        return program

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it and all processes of its group."""
        # No other group can have got its number: numbers come again after thousands of others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Until it has ended; what it has started ends with it. The exit code, negative for a signal."""
        code = await self._process.wait()
        self.kill()
        return code

    async def end(self) -> None:
        """End it now, if it has not ended by itself. Not to be cancelled: no zombie is left."""
        self.kill()
        with trio.CancelScope(shield=True):
            await self._process.wait()
            for stream in (self.stdin, self.stdout, self.stderr):
                await stream.aclose()


class _Output:
    """What a program says on one pipe. So much is kept, the rest is read and dropped, and a flood ends the program."""

    def __init__(self, stream: trio.abc.ReceiveStream, most: int, kill: Callable[[], None]) -> None:
        self.octets = bytearray()
        self.whole = False
        self._stream = stream
        self._most = most
        self._kill = kill

    async def read(self) -> None:
        dropped = 0
        async for piece in self._stream:
            room = self._most - len(self.octets)
            self.octets += piece[:room]
            dropped += max(0, len(piece) - room)
            if dropped > FLOOD:
                self._kill()
                return
        self.whole = not dropped


async def run(command: Command, given: Iterable[bytes], *, most: int) -> Result:
    """Run a program to its end, with ``given`` on its standard input; at most ``most`` octets of its output are kept.

    It need not read what it is given. Cancelled, it is ended. Unreachable when it cannot be started.
    """
    program = await Program.start(command)
    output = _Output(program.stdout, most, program.kill)
    errors = _Output(program.stderr, ERRORS, program.kill)
    trouble: list[Exception] = []  # out of a nursery it would come as a group, in which nobody looks for it
    try:
        async with trio.open_nursery() as feeding:
            feeding.start_soon(_feed, program, given, trouble)
            async with trio.open_nursery() as reading:
                reading.start_soon(output.read)
                reading.start_soon(errors.read)
                code = await program.wait()
                reading.cancel_scope.deadline = trio.current_time() + LAST_WORDS
            feeding.cancel_scope.cancel()
    finally:
        await program.end()
    if trouble:
        raise trouble[0]
    return Result(code, bytes(output.octets), output.whole, bytes(errors.octets))


async def _feed(program: Program, given: Iterable[bytes], trouble: list[Exception]) -> None:
    try:
        for piece in given:
            await program.stdin.send_all(piece)
    except trio.BrokenResourceError:  # it has read enough
        pass
    except Exception as error:  # the message cannot be read
        trouble.append(error)
        program.kill()
    await program.stdin.aclose()


def complain(name: str, identity: str, errors: bytes) -> None:
    """Log the first lines that a program wrote to its standard error while it was asked about that message."""
    for line in errors.decode("utf-8", "replace").splitlines()[:COMPLAINTS]:
        if line.strip():
            event("program-said", what=name, id=identity, text=line[:COMPLAINT])
