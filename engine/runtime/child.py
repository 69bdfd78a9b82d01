"""One worker process as the supervisor sees it."""

import contextlib
import os
import signal
from typing import Any

import trio

from engine.runtime.control import Control
from engine.runtime.places import Process
from engine.wakeup import Answer


class Child:
    """A process, and what it was asked and has answered so far."""

    def __init__(self, process: Process, life: int, pid: int, control: Control) -> None:
        self.process = process
        self.life = life
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self.control = control
        self.heard = self.began = trio.current_time()
        self.why = ""  # its own last words
        self.ended = trio.Event()  # it has nothing left to do
        self.gone = trio.Event()
        self.wanted = True
        self.hung = False  # and is killed for it
        self.leaving = 0  # the turn of the revision after which it is wanted no more; 0: it stays
        self.turns: set[int] = set()  # of the revisions that it has open, or is about to open
        self.answered_last: dict[str, int] = {}  # of which turn it was, by answer
        self._answers: dict[tuple[str, int], Answer] = {}

    @property
    def dead(self) -> bool:
        return self.gone.is_set()

    async def expect(self, answer: str, turn: int) -> str:
        """Wait for an answer: "" when it came, else why it will not."""
        if self.dead:
            return self.why
        waiting = self._answers.setdefault((answer, turn), Answer())
        found: Any = await waiting.wait()
        self._answers.pop((answer, turn), None)
        return str(found)

    def answered(self, answer: str, turn: int, why: str = "") -> None:
        self.answered_last[answer] = turn
        self._answers.setdefault((answer, turn), Answer()).give(why)

    def died(self, how: str) -> None:
        os.close(self._fd)
        self.control.close()
        self.why = self.why or f"the worker died{how}"
        for answer in self._answers.values():
            answer.give(self.why)
        self.ended.set()
        self.gone.set()

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        if not self.dead:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    async def wait(self) -> int:
        """Until the process has ended: its exit code, negative for a signal."""
        await trio.lowlevel.wait_readable(self._fd)
        while (ended := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):  # a debugger is told first
            await trio.sleep(0.01)
        return os.waitstatus_to_exitcode(ended[1])
