"""Whether the data folder is where mail is safe: room, kind of file system, speed of syncing, whose it is."""

import os
import pwd
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.units import measured

_JOURNALED = {"ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs"}
"""Kinds that are whole again after a power failure (ext4 if it has its journal: it may be made without)."""

_VOLATILE = {"tmpfs", "ramfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "virtiofs"}
"""Where a memory map is not the same for all, or a lock not held for all: what LMDB stands on."""

_FEW_FILES, _NO_FILES = 10_000, 1_000
_SYNCS = 15
_SLOW = 0.030
"""Seconds for a commit: a disk that turns takes some 10 ms, an SSD less than 2."""

_LOOKED_AT = 10_000
"""Files whose owner is looked at: in a new server all, in an old one those at the top of the tree."""


def look(patient: Patient) -> Iterator[Finding]:
    data = patient.config.server.data
    if not data.exists():
        yield from _not_there(data)
        return
    yield from _room(data, patient.config.queue.reserve)
    yield from _file_system(data)
    yield from _owners(patient, data)
    yield from _syncing(data)


def _not_there(data: Path) -> Iterator[Finding]:
    above = next(folder for folder in data.parents if folder.exists())
    if os.access(above, os.W_OK | os.X_OK):
        yield good(f"the data folder {data} is not there yet: the first start makes it")
    else:
        yield problem(
            f"the data folder {data} is not there, and {_me()} may not make it",
            "the server does not start",
            f"install -d -m 0700 -o USER {data}, with the user that the server runs as",
        )


def _room(data: Path, reserve: int) -> Iterator[Finding]:
    about = os.statvfs(data)
    free, whole = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    text = f"{measured(free)} of {measured(whole)} are free for {data}"
    again = f"df -h {data}; remove what is not needed, or make the disk larger"
    if free < reserve:
        yield problem(text, f"[queue] reserve is {measured(reserve)}: clients hear 452, and no mail is taken in", again)
    elif free < 4 * reserve:
        yield warning(text, f"below {measured(reserve)}, [queue] reserve, no mail is taken in", again)
    else:
        yield good(text)
    if about.f_files and about.f_favail < _FEW_FILES:
        said = problem if about.f_favail < _NO_FILES else warning
        yield said(
            f"{about.f_favail:,} more files can be made in {data}",
            "a large message is a file: without inodes none is taken in",
            f"df -i {data}; a file system with more inodes is a new one (mkfs -i)",
        )


def _file_system(data: Path) -> Iterator[Finding]:
    kind, device, options = mounted_at(data.resolve(), Path("/proc/self/mountinfo").read_text())
    where = f"{data} is on {kind}"
    elsewhere = "stop the server, move the folder to a disk of this machine, and say so in [server] data"
    if "ro" in options:
        yield problem(f"{where}, mounted read-only", "nothing can be stored", "dmesg; mend it, and mount it again")
    elif kind in _VOLATILE:
        yield problem(where, "this is memory: all mail is gone when the machine stops", elsewhere)
    elif kind in _REMOTE or kind.startswith("fuse"):
        yield problem(where, "LMDB needs memory maps and locks that hold: on this the stores can break", elsewhere)
    elif kind == "overlay":
        yield warning(where, "this is the layer of a container: mail is gone with it", f"mount a volume at {data}")
    elif "nobarrier" in options or "barrier=0" in options:
        yield problem(
            f"{where} without barriers", "what was synced may be lost in a power failure", "mount it without nobarrier"
        )
    elif kind not in _JOURNALED or _without_journal(kind, device):
        yield warning(
            f"{where}, without a journal as far as is known", "after a power failure it may not be whole", elsewhere
        )
    else:
        yield good(where)


def mounted_at(path: Path, mounts: str) -> tuple[str, str, set[str]]:
    """Kind, device and options of the file system that a path is on: proc(5), mountinfo. The last mount counts."""
    found: tuple[int, str, str, set[str]] = (0, "unknown", "", set())
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        point, options = before.split()[4:6]
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        kind, device, more = behind.split(" ", 2)
        if path.is_relative_to(point) and len(point) >= found[0]:
            found = len(point), kind, device, {*options.split(","), *more.split(",")}
    return found[1:]


def _without_journal(kind: str, device: str) -> bool:
    try:
        told = (Path("/sys/fs/ext4") / Path(device).resolve().name / "journal_task").read_text()
    except OSError:
        return False
    return kind == "ext4" and told.strip() == "<none>"


def _owners(patient: Patient, data: Path) -> Iterator[Finding]:
    about = data.stat()
    if about.st_mode & 0o077:
        yield warning(f"{data} is open to others", "mail is for its readers alone", f"chmod 700 {data}")
    if not os.access(data, os.R_OK | os.X_OK):
        yield problem(
            f"{_me()} may not look into {data}",
            f"it is {_name(about.st_uid)}'s: what is in it was not looked at",
            f"run this as root, or as {_name(about.st_uid)}",
        )
        return
    user = owner(patient)
    wrong = [path for path in islice(data.rglob("*"), _LOOKED_AT) if _owned_by(path, user) is False]
    if about.st_uid != user or wrong:
        first = wrong[0] if wrong else data
        yield problem(
            f"{first} is not {_name(user)}'s",
            "the server, which runs as that user, cannot change it",
            f"chown -R {_name(user)} {data}",
        )
    else:
        yield good(f"all in {data} is {_name(user)}'s")


def owner(patient: Patient) -> int:
    """The user id that the server has or will have: who runs it now, whom it becomes, or whose its data is."""
    if patient.running is not None:
        # The folder in /proc is root's where the process was: proc(5), PR_SET_DUMPABLE.
        status = Path(f"/proc/{patient.running.pid}/status").read_text()
        return int(status.partition("\nUid:")[2].split(None, 2)[1])
    if patient.config.server.user:
        try:
            return pwd.getpwnam(patient.config.server.user).pw_uid
        except KeyError as error:
            raise OSError(0, f"[server] user: there is no user {patient.config.server.user}") from error
    return patient.config.server.data.stat().st_uid


def _owned_by(path: Path, user: int) -> bool | None:
    """None: it has gone meanwhile."""
    try:
        return path.lstat().st_uid == user
    except FileNotFoundError:
        return None


def _syncing(data: Path) -> Iterator[Finding]:
    if not os.access(data, os.W_OK):
        return
    times = []
    with tempfile.TemporaryFile(dir=data) as file:  # without a name, so that it is gone however this ends
        for _ in range(_SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    taken = statistics.median(times)
    text = f"the disk syncs a page in {taken * 1000:.2f} ms"
    if taken > _SLOW:
        yield warning(text, "each `250` waits for one: many messages at once share them", "docs/operating.md, workers")
    else:
        yield good(text)


def _me() -> str:
    return _name(os.geteuid())


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
