"""A disk, or a kernel, that refuses: clients hear 4xx, nothing that was answered is lost, and all goes on by itself."""

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests.crash.faults import refusing
from tests.crash.system import CLIENTS, EVERY, Load, reasons, settle_accounts, verify
from tests.support.programs import needs, run
from tests.support.remote import Remote
from tests.support.server import Postroad, until

_EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
"""Of Linux (fs/ext4/ext4.h)."""

Disk = TypeVar("Disk")

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
    with refusing(server.worker(worker), what):
        time.sleep(SECONDS)
    load.wait()
    verify(server)
    settle_accounts(server, remote, load.ledger, crashes=reasons(server))
    verify(server)


@contextlib.contextmanager
def moved(server: Postroad, data: Path, mount: Callable[[Path], Disk]) -> Iterator[Disk]:
    """Take the data of a server that does not run yet to a file system that is mounted in its place meanwhile."""
    if os.geteuid():
        pytest.skip("only root mounts")
    kept = data.with_name("kept")
    data.rename(kept)
    data.mkdir()
    disk = mount(data)
    run("cp", "-a", f"{kept}/.", str(data))
    run("sync", "-f", str(data))  # what was there before is on the disk
    yield disk
    if server.running:
        server.kill()
    run("umount", "-l", str(data))


class Ext4:
    """A file system in an image, as the data folder of a server."""

    def __init__(self, image: Path, data: Path) -> None:
        self._image = image
        self._data = data
        with image.open("wb") as file:
            file.truncate(256 * 2**20)
        run("mkfs.ext4", "-q", "-F", str(image))
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self._data))

    def unmount(self) -> None:
        run("umount", "-l", str(self._data))

    def shut_down(self) -> None:
        """Take nothing more from now on, not even what is in its journal and not yet on the disk."""
        folder = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def turn_read_only(self) -> None:
        """Find an error, and be mounted read-only for it."""
        device = Path(run("findmnt", "--noheadings", "--output", "SOURCE", str(self._data)).strip()).name
        Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("an error, for a test")


def nothing_is_taken(load: Load) -> None:
    """Whatever clients try. Each may be about to hear of one message that was taken before."""
    answered, tries = len(load.ledger.answered), load.ledger.tries
    until(lambda: load.ledger.tries > tries + 5 * CLIENTS, "clients to try")
    assert len(load.ledger.answered) <= answered + CLIENTS


@pytest.fixture
def ext4(prepared: Postroad, tmp_path: Path) -> Iterator[Ext4]:
    def mount(data: Path) -> Ext4:
        try:
            return Ext4(tmp_path / "image", data)
        except AssertionError as error:
            pytest.skip(f"no image can be mounted here: {error}")

    with moved(prepared, tmp_path / "var", mount) as disk:
        yield disk


@needs("mkfs.ext4")
@pytest.mark.parametrize(
    ("fail", "errors"),
    [
        (Ext4.shut_down, ("Input/output error",)),
        (
            Ext4.turn_read_only,
            ("Read-only file system", "Input/output error"),
        ),  # the latter where a write was under way
    ],
    ids=["shut down", "read-only"],
)
def test_a_file_system_that_fails_at_once_and_is_mounted_again(
    prepared: Postroad, remote: Remote, ext4: Ext4, fail: Callable[[Ext4], None], errors: Sequence[str]
) -> None:
    prepared.change({"queue": {"reserve": "8 MB"}})
    server = prepared.start()
    load = Load(server, messages=0)
    load.start()
    load.until_answered(20)
    fail(ext4)
    said = server.wait_for("queue-failed")["error"]
    assert any(error in said for error in errors), said
    nothing_is_taken(load)
    assert server.running  # though its workers cannot open their stores, if they had to be started anew
    server.kill()
    ext4.unmount()
    ext4.mount()
    server.start()
    load.until_answered(len(load.ledger.answered) + 20)
    load.stop()
    settle_accounts(server, remote, load.ledger, crashes=1 + reasons(server))
    verify(server)


@pytest.fixture
def small_disk(prepared: Postroad, tmp_path: Path) -> Iterator[Path]:
    """The data folder of the server on a file system of 48 MB."""

    def mount(data: Path) -> None:
        run("mount", "-t", "tmpfs", "-o", "size=48m", "none", str(data))

    with moved(prepared, tmp_path / "var", mount):
        yield tmp_path / "var"


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

    def is_refused() -> bool:
        with server.smtp() as client:
            client.ehlo()
            return client.mail("ann@example.net")[0] == 452

    # Each of the two workers looks at the room once a second.
    until(lambda: all(is_refused() for _ in range(10)), "new mail to be refused")
    nothing_is_taken(load)
    ballast.unlink()
    load.wait()
    verify(server)
    settle_accounts(server, remote, load.ledger, crashes=1 + reasons(server))
