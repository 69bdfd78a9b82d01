"""A Redis for tests: the real server, with a password, on a port of its own."""

import signal
from contextlib import ExitStack
from pathlib import Path

from engine.config import Shared
from tests.support.server import free_port, program

PASSWORD = "a secret"


class Redis:
    """A server on a port of its own, that can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._stack = ExitStack()
        (folder / "password").write_text(f"{PASSWORD}\n")
        self.settings = Shared(url=f"redis://127.0.0.1:{self.port}/3", password_file=folder / "password")

    def start(self) -> None:
        command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(self._folder), "--requirepass", PASSWORD,
        ]  # fmt: skip
        self.popen = self._stack.enter_context(program(command, self.port, end=signal.SIGKILL))

    def kill(self) -> None:
        self._stack.close()
