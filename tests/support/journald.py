"""A systemd journal of the test's own: the real journald, in a mount namespace whose /run/systemd is another one."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.programs import path_of
from tests.support.server import PATIENCE, until

JOURNALD = next(filter(os.path.exists, (f"{where}/systemd/systemd-journald" for where in ("/usr/lib", "/lib"))), "")

_ROOM = """
set -e
mkdir -p /run/systemd /run/log
mount -t tmpfs none /run/systemd
mount -t tmpfs none /run/log
mkdir -p /run/systemd/journald.conf.d /run/systemd/journal
printf '[Journal]\\nStorage=volatile\\nRateLimitIntervalSec=0\\nReadKMsg=no\\nForwardToWall=no\\n' \\
  >/run/systemd/journald.conf.d/test.conf
mount --bind {machine} /etc/machine-id
exec {journald}
"""


class Journald:
    """``inside`` are the words that run a command where its socket is."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.inside = (path_of("nsenter"), f"--mount=/proc/{pid}/ns/mnt", f"--wd={folder}")

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """What journalctl finds of us by such fields: ``POSTROAD_ID=…``."""
        command = ("journalctl", "--output=json", "--all", "--quiet", "--no-pager", "SYSLOG_IDENTIFIER=postroad")
        said = subprocess.run([*self.inside, *command, *matches], capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in said.splitlines()]


@contextlib.contextmanager
def journald(folder: Path) -> Iterator[Journald]:
    """One that runs meanwhile, and forgets all when it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine").write_text(f"{os.urandom(16).hex()}\n")
    script = _ROOM.format(machine=folder / "machine", journald=JOURNALD)
    noise = folder / "noise"
    with noise.open("wb") as file:
        process = subprocess.Popen([*_apart(), "sh", "-c", script], stderr=file)
    running = Journald(process.pid, folder)
    socket = [*running.inside, "test", "-S", "/run/systemd/journal/socket"]
    try:
        until(lambda: process.poll() is not None or not subprocess.run(socket, check=False).returncode, "the journal")
        assert process.poll() is None, noise.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _apart() -> tuple[str, ...]:
    return path_of("unshare"), "--mount", "--propagation", "private"


@cache
def rooms_apart() -> bool:
    """Whether this machine lets us mount where nobody else sees it: a container may not."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = (*_apart(), "sh", "-c", "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd")
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0
