"""A server for the pages' commands: started as `make run` starts it, in a copy of this folder, on free ports."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from doc_pages import ROOT

PATIENCE = 300.0
"""Seconds after which a test gives up waiting; nothing takes nearly as long, not on a busy machine either."""


_LISTENERS = "smtp|pop3|imap|web|submission"


class Trial:
    """A folder as a newcomer has it after `make run`: pipeline.toml, filters/, .venv/bin/postroad, and the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = (ROOT / "pipeline.toml").read_text()
        self._listeners = dict(re.findall(rf'^({_LISTENERS}) = "([\d.:]+)"', text, re.MULTILINE))
        (folder / "pipeline.toml").write_text(
            re.sub(rf'^({_LISTENERS}) = "127.0.0.1:\d+"', r'\1 = "127.0.0.1:0"', text, flags=re.MULTILINE)
        )
        shutil.copytree(ROOT / "filters", folder / "filters")
        command = folder / ".venv" / "bin" / "postroad"
        command.parent.mkdir(parents=True)
        command.write_text(
            f'#!/bin/sh\nexec {sys.executable} -c \'from engine.cli import main; main(prog_name="postroad")\' "$@"\n'
        )
        command.chmod(0o755)
        self._command = command
        self._environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.ready = ""
        self.introduction = ""
        self.events = ""
        self._heard = threading.Condition()

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [self._command, "run", "--demo"], cwd=self.folder, env=self._environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read_events)
        self._reader.start()
        assert self._server.stdout is not None
        self.ready = self._server.stdout.readline()
        self._bound = dict(re.findall(r"(\w+)=(\S+)", self.ready))
        if self._bound.keys() != self._listeners.keys():
            self._server.kill()  # or the reader would keep pytest from its end
            raise AssertionError(f"{self.ready} {self.events}")
        while not re.search(r"^  curl .*pop3:", self.introduction, re.MULTILINE):
            line = self._server.stdout.readline()
            assert line, self.introduction
            self.introduction += line
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(PATIENCE)
        finally:
            self._server.kill()
            self._server.wait()
            self._reader.join()
            assert self._server.stdout is not None
            self._server.stdout.close()

    def address(self, listener: str) -> tuple[str, int]:
        host, _, port = self._bound[listener].rpartition(":")
        return host, int(port)

    def shell(self, text: str) -> "subprocess.CompletedProcess[str]":
        """Run a block's commands in the folder, with this server's ports for those of pipeline.toml."""
        for name, written in self._listeners.items():
            text = text.replace(written, self._bound[name])
        return subprocess.run(
            ["/bin/sh", "-ec", text], cwd=self.folder, env=self._environment,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def wait_for(self, name: str, count: int = 1) -> None:
        """Wait until the event has been written ``count`` times."""
        with self._heard:
            held = self._heard.wait_for(lambda: self.events.count(f'"event":"{name}"') >= count, PATIENCE)
        assert held, self.events

    def _read_events(self) -> None:
        assert self._server.stderr is not None
        for line in self._server.stderr:
            with self._heard:
                self.events += line
                self._heard.notify_all()
        self._server.stderr.close()
