"""A terminal while a program has it: keys at once, all as it was afterwards."""

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Keys:
    """What is typed, and whatever else one may wait for at the same time."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def wake(self) -> None:
        """Let who waits look: from any thread."""
        try:
            os.write(self._write, b".")
        except BlockingIOError:
            return  # it will look anyway

    def wait(self, seconds: float) -> str:
        """What was typed, as soon as there is something, or after a wake-up, or after so many seconds."""
        ready, _, _ = select.select([self._terminal, self._read], [], [], seconds)
        if self._read in ready:
            os.read(self._read, 4096)
        if self._terminal not in ready:
            return ""
        typed = os.read(self._terminal, 1024)
        return typed.decode("utf-8", "replace") if typed else "q"  # the terminal is gone

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@contextmanager
def keys_of(terminal: int) -> Iterator[Keys]:
    """Take keys as they are pressed, without echo; a signal that ends us puts the terminal in order first."""
    before = termios.tcgetattr(terminal)
    keys = Keys(terminal)

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    resized = signal.signal(signal.SIGWINCH, lambda _number, _frame: keys.wake())
    try:
        tty.setcbreak(terminal)
        yield keys
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGWINCH, resized)
        keys.close()
