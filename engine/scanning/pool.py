"""Programs that live on: each is asked about one message after the other, and another is started when one dies."""

import contextlib
import itertools
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import trio

from engine.scanning.guard import Unreachable
from engine.scanning.program import COMPLAINT, COMPLAINTS, FLOOD, Command, Program, complain

T = TypeVar("T")

ANSWER = 256 * 1024
"""Octets of an answer at most."""

FAREWELL = 2.0
"""Seconds for programs to end by themselves, once their standard input is closed."""


class _Gone(Exception):
    """It ended before it said anything."""


class _Asked:
    """One of the programs, with the message that it was asked about last."""

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self._name = name
        self._identity = ""
        self._complaints = 0
        self._noise = 0

    async def ask(self, question: Iterable[bytes], identity: str) -> bytes:
        """The line that it answers, without its end. _Gone, or Unreachable when what came is no answer."""
        self._identity, self._complaints, self._noise = identity, 0, 0
        with contextlib.suppress(trio.BrokenResourceError):  # then it says nothing more, which shows at once
            for piece in question:
                await self.program.stdin.send_all(piece)
        answer = bytearray()
        while b"\n" not in answer:
            more = await self.program.stdout.receive_some()
            if not more:
                if answer:
                    raise Unreachable("ended in the midst of an answer")
                raise _Gone
            answer += more
            if len(answer) > ANSWER:
                raise Unreachable(f"an answer of more than {ANSWER} octets")
        line, _, behind = bytes(answer).partition(b"\n")
        if behind:
            raise Unreachable("more than one line for an answer")
        return line

    async def listen(self) -> None:
        """Log what it complains about, of each message the first lines; when it ends, let nothing of it be left."""
        held = b""
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            async for piece in self.program.stderr:
                self._noise += len(piece)
                if self._noise > FLOOD:
                    self.program.kill()
                *lines, held = (held + piece).split(b"\n")
                held = held[-COMPLAINT:]
                for line in itertools.islice(lines, max(0, COMPLAINTS - self._complaints)):
                    self._complaints += 1
                    complain(self._name, self._identity, line)
        await self.program.wait()


class Pool:
    """At most as many programs at a time as ``ask`` is called at a time, which is the caller's affair.

    Open it as a context: what is left of the programs ends with it.
    """

    def __init__(self, name: str, command: Command) -> None:
        self._name = name
        self._command = command
        self._idle: list[_Asked] = []
        self._stack = AsyncExitStack()
        self._nursery: trio.Nursery

    async def __aenter__(self) -> Self:
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with trio.move_on_after(FAREWELL):
                for asked in self._idle:
                    await asked.program.stdin.aclose()
                for asked in self._idle:
                    await asked.program.wait()
        finally:
            while self._idle:
                await self._idle.pop().program.end()
            self._nursery.cancel_scope.cancel()
            await self._stack.__aexit__(kind, error, trace)

    async def ask(self, identity: str, question: Callable[[], Iterable[bytes]], read: Callable[[bytes], T]) -> T:
        """What ``read`` makes of the answer about that message. Unreachable when there is none, or ``read`` raises it:
        then the program is ended, since nobody knows what it will say next.
        """
        while self._idle and not self._idle[-1].program.running:
            await self._idle.pop().program.end()
        if self._idle:
            with contextlib.suppress(_Gone):  # it may have ended since it was asked last
                return await self._ask(self._idle.pop(), question(), read, identity)
        try:
            return await self._ask(await self._start(), question(), read, identity)
        except _Gone:
            raise Unreachable("it ended without an answer") from None

    async def _start(self) -> _Asked:
        asked = _Asked(await Program.start(self._command), self._name)
        self._nursery.start_soon(asked.listen)
        return asked

    async def _ask(self, asked: _Asked, question: Iterable[bytes], read: Callable[[bytes], T], identity: str) -> T:
        try:
            found = read(await asked.ask(question, identity))
        except BaseException:
            await asked.program.end()
            raise
        self._idle.append(asked)
        return found
