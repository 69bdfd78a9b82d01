"""Programs that want a terminal."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping

from tests.support.programs import path_of
from tests.support.server import PATIENCE


class Terminal:
    """What a program shows, all of it, and the keys that it is given."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._shown = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, lines: int, columns: int) -> None:
        """Make the window another size; the program hears of it by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def shown(self) -> str:
        return self._shown.decode("utf-8", "replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the program has ended
            while octets := os.read(self._master, 65_536):
                self._shown += octets


@contextlib.contextmanager
def in_terminal(*command: str, environment: Mapping[str, str], seconds: float = PATIENCE) -> Iterator[Terminal]:
    """Run the program; at the end of the context it must end by itself, and well."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    popen = subprocess.Popen(
        ["setsid", "--ctty", path_of(command[0]), *command[1:]], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
    )  # fmt: skip
    os.close(slave)
    terminal = Terminal(master)
    try:
        yield terminal
        try:
            code = popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{command[0]} does not end; it showed:\n{terminal.shown}") from None
        assert code == 0, f"{command[0]} ended with {code}:\n{terminal.shown}"
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()
        os.close(master)
