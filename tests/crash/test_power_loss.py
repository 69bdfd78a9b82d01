"""The power fails: what was answered 250 is on the disk, though all that was not synced is gone."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.system import MESSAGES, Load, moment, settle_accounts, verify
from tests.support.programs import needs
from tests.support.remote import Remote
from tests.support.server import Postroad

SOURCE = Path(__file__).with_name("power_loss.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See power_loss.c."""
    path = tmp_path_factory.mktemp("library") / "power_loss.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O2", "-o", str(path), str(SOURCE), "-ldl", "-lpthread"],
        check=True,
    )
    return path


class Disk:
    """The data folder of a server, and its shadow: what of it would be there if the power failed now."""

    def __init__(self, server: Postroad, library: Path) -> None:
        self.server = server
        self.data = server.folder / "var"
        self.shadow = server.folder / "shadow"
        self.inodes = server.folder / "shadow.inodes"
        server.environment = {
            "LD_PRELOAD": str(library),
            "POSTROAD_DATA": str(self.data.resolve()),
            "POSTROAD_SHADOW": str(self.shadow.resolve()),
        }

    def begin(self) -> None:
        """Start the server, on a disk that has all that is there now."""
        for folder in (self.shadow, self.inodes):
            shutil.rmtree(folder, ignore_errors=True)
        self.inodes.mkdir()
        shutil.copytree(self.data, self.shadow)
        for path in self.data.rglob("*"):
            if path.is_file():
                os.link(self.shadow / path.relative_to(self.data), self.inodes / str(path.stat().st_ino))
        self.server.start()

    def fail(self) -> None:
        """Everything dies at once, and what was not synced is gone."""
        self.server.kill()
        shutil.rmtree(self.data)
        shutil.copytree(self.shadow, self.data)


@pytest.fixture
def disk(prepared: Postroad, library: Path) -> Disk:
    disk = Disk(prepared, library)
    disk.begin()
    return disk


@needs("cc")
@pytest.mark.parametrize("failures", [1, 3])
def test_the_power_fails(remote: Remote, disk: Disk, failures: int) -> None:
    server = disk.server
    load = Load(server)
    load.start()
    for failure in range(failures):
        answers, pause = moment()
        load.until_answered((answers + failure * MESSAGES) // failures)
        time.sleep(pause)
        disk.fail()
        disk.begin()
        verify(server)
    load.wait()
    settle_accounts(server, remote, load.ledger, crashes=failures)


@needs("cc")
def test_the_shadow_lacks_what_was_not_synced(tmp_path: Path, library: Path) -> None:
    """The test of the test: without a sync nothing lasts, and each kind of sync makes last what it should."""
    data, shadow = tmp_path / "data", tmp_path / "shadow"
    for folder in (data, shadow, tmp_path / "shadow.inodes"):
        folder.mkdir()
    program = """
import os
def put(name, octets, flags=0):
    fd = os.open(name, os.O_RDWR | os.O_CREAT | flags, 0o600)
    os.write(fd, octets)
    return fd
os.close(put("lost", b"never synced"))
fd = put("synced", b"first")
os.fsync(fd)
os.write(fd, b", and lost")
put("direct", b"by the file", os.O_DSYNC)
os.pwrite(fd, b"FIRST", 0)
os.mkdir("folder")
fd = put("folder/named", b"content")
os.fdatasync(fd)
os.rename("folder/named", "folder/renamed")
os.rename("synced", "not yet")
os.link("folder/renamed", "folder/second")
fd = os.open("folder", os.O_RDONLY)
os.fsync(fd)
os.unlink("folder/second")
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True, cwd=data,
        env=os.environ | {"LD_PRELOAD": str(library), "POSTROAD_DATA": str(data), "POSTROAD_SHADOW": str(shadow)},
    )  # fmt: skip
    found = {str(path.relative_to(shadow)): path.read_bytes() for path in shadow.rglob("*") if path.is_file()}
    assert found == {
        "synced": b"first",
        "direct": b"by the file",
        "folder/renamed": b"content",
        "folder/second": b"content",
    }
