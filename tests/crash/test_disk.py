"""A disk, or a kernel, that refuses: clients hear 4xx, nothing that was answered is lost, and all goes on by itself."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faults import refusing
from tests.crash.system import EVERY, Load, reasons, settle_accounts, verify
from tests.support.programs import needs
from tests.support.remote import Remote
from tests.support.server import Postroad

SECONDS = 2.0
"""For which the fault lasts: many commits."""


@needs("strace")
@pytest.mark.parametrize("worker", ["mail-0", "mailboxes"][: 2 if EVERY else 1])
@pytest.mark.parametrize(
    "what",
    [
        "fdatasync:error=EIO:when=2+3",
        "fdatasync:error=ENOSPC:when=2+3",
        "pwrite64:error=EIO:when=7+11",  # some of them are of the root page, after which LMDB gives up
        "pwrite64:error=ENOSPC:when=7+11",
        "pwritev:error=ENOSPC:when=2+3",
        "fsync:error=EIO:when=1+2",
    ][:: 1 if EVERY else 2],
)
def test_writes_and_syncs_that_fail_for_a_while(server: Postroad, remote: Remote, worker: str, what: str) -> None:
    load = Load(server)
    load.start()
    load.until_answered(10)
    with refusing(server.workers()[worker], what):
        time.sleep(SECONDS)
    load.wait()
    verify(server)
    settle_accounts(server, remote, load.ledger, crashes=reasons(server))
    verify(server)


@pytest.fixture
def small_disk(prepared: Postroad, tmp_path: Path) -> Iterator[Path]:
    """The data folder of the server on a file system of 48 MB."""
    if os.geteuid():
        pytest.skip("only root mounts")
    data, kept = tmp_path / "var", tmp_path / "kept"
    data.rename(kept)
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(data)], check=True)
    subprocess.run(["cp", "-a", f"{kept}/.", str(data)], check=True)
    yield data
    if prepared.running:
        prepared.kill()
    subprocess.run(["umount", "-l", str(data)], check=True)


def test_a_disk_that_fills_up_and_is_emptied(prepared: Postroad, remote: Remote, small_disk: Path) -> None:
    prepared.change({"queue": {"reserve": "8 MB"}})
    server = prepared.start()
    load = Load(server)
    load.start()
    load.until_answered(10)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    time.sleep(SECONDS)  # room is looked at once a second
    answered = len(load.ledger.answered)
    with server.smtp() as client:
        client.ehlo()
        code, text = client.mail("ann@example.net")
        assert code == 452, text
    time.sleep(1)
    assert len(load.ledger.answered) == answered
    ballast.unlink()
    load.wait()
    verify(server)
    settle_accounts(server, remote, load.ledger, crashes=1 + reasons(server))
