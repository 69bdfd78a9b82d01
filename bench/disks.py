"""The disks that servers are measured on: the one that is there, an ext4 with a journal, memory, and a slow one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from bench import Failed
from bench.machine import file_system
from bench.servers.base import absent, program

_SOURCE = Path(__file__).parent / "slow_sync.c"


@dataclass(frozen=True, slots=True)
class Disk:
    """A place for the data of servers."""

    kind: str  # "plain" "journaled" "tmpfs" "slow"
    folder: Path
    file_system: str  # as printed
    environment: Mapping[str, str] = field(default_factory=dict)  # for every process of a server

    async def settled(self) -> None:
        """Wait until what was written or deleted there is done with, so that the next run does not pay for it."""
        await trio.run_process([program("sync") or "sync", "-f", str(self.folder)], check=False)


async def _run(*command: str) -> str:
    """What a command says. Failed when it ends badly. Ctrl-C does not reach it: it may be taking a disk down."""
    path = program(command[0])
    if path is None:
        raise Failed(f"{command[0]} is not installed")
    done = await trio.run_process(
        [path, *command[1:]], check=False, capture_stdout=True, stderr=subprocess.STDOUT, start_new_session=True
    )
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {said[-500:]}")
    return said


@asynccontextmanager
async def _folder(where: Path) -> AsyncIterator[Path]:
    """A folder that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-", dir=where) as name:
        Path(name).chmod(0o755)  # servers drop their rights
        yield Path(name)


@asynccontextmanager
async def _plain(where: Path, room: int) -> AsyncIterator[Disk]:
    if shutil.disk_usage(where).free < room * 2**20:
        raise Failed(f"{where} has less than {room} MiB free; choose another --folder")
    async with _folder(where) as folder:
        yield Disk("plain", folder, file_system(folder))


@asynccontextmanager
async def _journaled(where: Path, room: int) -> AsyncIterator[Disk]:
    if os.geteuid():
        raise Failed("--disk journaled mounts an image, for which it must be root; or give a --folder on such a disk")
    async with _plain(where, room) as disk:
        image, mounted = disk.folder / "image", disk.folder / "mounted"
        mounted.mkdir()
        # Written whole, so that no write has to find room in the file system below first.
        await _run("dd", "if=/dev/zero", f"of={image}", "bs=1M", f"count={room}", "conv=fsync", "status=none")
        # Room for many small files; nothing is given back below, nor left to be laid out while servers are measured.
        options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        await _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", "4096", "-E", options, str(image))
        device = await _run("losetup", "--direct-io=on", "--show", "-f", str(image))
        try:
            async with _mounted(mounted, "-o", "noatime", device):
                yield Disk("journaled", mounted, f"{file_system(mounted)}, in an image on {disk.file_system}")
        finally:
            with trio.CancelScope(shield=True):
                await _run("losetup", "-d", device)


@asynccontextmanager
async def _mounted(folder: Path, *command: str) -> AsyncIterator[None]:
    await _run("mount", *command, str(folder))
    folder.chmod(0o755)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await _unmounted(folder)


async def _unmounted(folder: Path) -> None:
    for _ in range(50):  # the last process of a server may be about to end
        try:
            await _run("umount", str(folder))
        except Failed:
            await trio.sleep(0.1)
        else:
            return
    await _run("umount", "--lazy", str(folder))


@asynccontextmanager
async def _tmpfs(where: Path, room: int) -> AsyncIterator[Disk]:
    if os.geteuid():
        async with _plain(Path("/dev/shm"), room) as disk:
            yield replace(disk, kind="tmpfs")
        return
    async with _folder(where) as folder, _mounted(folder, "-t", "tmpfs", "-o", f"size={room}m", "tmpfs"):
        yield Disk("tmpfs", folder, file_system(folder))


@asynccontextmanager
async def _slow(where: Path, room: int) -> AsyncIterator[Disk]:
    gone = absent(("gcc",), "gcc libc6-dev")
    if gone:
        raise Failed(f"--disk slow compiles a small library: {gone}")
    async with _folder(where) as folder, (_plain if os.geteuid() else _journaled)(where, room) as disk:
        library = folder / "slow_sync.so"
        await _run("gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE), "-ldl")
        named = f"each sync takes 5 ms longer; {disk.file_system}"
        yield replace(disk, kind="slow", file_system=named, environment={"LD_PRELOAD": str(library)})


DISKS: Mapping[str, Callable[[Path, int], AbstractAsyncContextManager[Disk]]] = {
    "plain": _plain,
    "journaled": _journaled,
    "tmpfs": _tmpfs,
    "slow": _slow,
}
"""By the name given to --disk: a folder to work in and the MiB needed → the disk, taken down at the end. Failed."""

USUAL = "plain"
