"""A systemd that is process 1, in namespaces of its own, over a layer that takes all changes of our files."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from tests.support.layer import LAYER, apart
from tests.support.programs import path_of
from tests.support.server import PATIENCE, until

SYSTEMD = next(filter(os.path.exists, (f"{where}/systemd/systemd" for where in ("/usr/lib", "/lib"))), "")

_GROUP = """
set -e
mkdir -p {room}/groups
mount -t cgroup2 none {room}/groups
own={room}/groups$(sed -n 's/^0:://p' /proc/self/cgroup)/{name}
"""
"""A control group for its processes: systemd makes its own below. Where version 1 is mounted too, this one has no
controllers, and needs none."""

_BEGUN = """
mkdir "$own"
echo $$ >"$own/cgroup.procs"
exec unshare --cgroup --net --uts --ipc --pid --fork --kill-child --mount --propagation private sh -c {script}
"""

_BOOT = """
cd {room}/root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs none sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none dev
for name in null zero full random urandom tty; do
  touch dev/$name
  mount --bind /dev/$name dev/$name
done
mkdir dev/shm dev/pts
mount -t tmpfs none dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 none run
mount -t tmpfs none tmp
rm -rf usr/lib/systemd/system/*.wants usr/lib/systemd/system-generators/* etc/systemd/system
mkdir -p etc/systemd/system run/systemd/system
printf '[Unit]\\n%s\\n%s\\n' 'Wants=is-up.service systemd-journald.service' \\
  'After=is-up.service systemd-journald.service' >run/systemd/system/test.target
printf '[Service]\\nType=oneshot\\nExecStart=touch /run/is-up\\n' >run/systemd/system/is-up.service
printf '{id}\\n' >etc/machine-id
exec chroot . env -i container=test PATH={path} {systemd} --unit=test.target --show-status=no --log-target=journal
"""
"""/proc/sys and /sys cannot be written, for they are those of this machine; no unit of this machine is started."""

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd")


class Machine:
    """What systemd has made of it. ``pid``: systemd's, as it is outside."""

    def __init__(self, pid: int) -> None:
        self._inside = [path_of("nsenter"), f"--target={pid}", *_SPACES, "env", "-i", f"PATH={_PATH}", "HOME=/root"]

    def tried(self, command: str, stdin: bytes = b"") -> tuple[int, str]:
        """What a line of sh ends with, and what it says."""
        done = subprocess.run(
            [*self._inside, "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=", "sh", "-c", command], input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    def run(self, command: str, stdin: bytes = b"") -> str:
        """What it says, if it ends well. AssertionError."""
        code, said = self.tried(command, stdin)
        assert code == 0, f"{command} ended with {code}:\n{said}"
        return said

    def unit(self, name: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        return dict(line.split("=", 1) for line in self.run(f"systemctl show {name}").splitlines() if "=" in line)

    def journal(self, name: str) -> str:
        """What a unit has said so far, and what systemd says of it."""
        return self.run(f"journalctl --no-pager --quiet --all --output=cat --unit={name}")

    def until_said(self, name: str, pattern: str) -> None:
        """Wait until the journal of a unit has a line of that pattern."""
        until(lambda: re.search(pattern, self.journal(name)), f"{pattern!r} in the journal of {name}")

    def until_unit(self, name: str, holds: Callable[[dict[str, str]], bool], what: str) -> dict[str, str]:
        """What is known of it once that holds."""
        found: dict[str, str] = {}

        def is_so() -> bool:
            found.update(self.unit(name))
            return holds(found)

        until(is_so, what)
        return found


@contextlib.contextmanager
def machine(room: Path) -> Iterator[Machine]:
    """One that runs meanwhile. ``room``: a folder over which the layer is put. Nothing of it is left."""
    group = _GROUP.format(room=room, name=f"postroad-test-{os.getpid()}")
    boot = LAYER + _BOOT.format(id=os.urandom(16).hex(), room="{room}", path=_PATH, systemd=SYSTEMD)
    command = [path_of("unshare"), "--mount", "--propagation", "private", "sh", "-c"]
    with (room.parent / "console").open("w+") as console:
        begun = group + _BEGUN.format(script='"$0"')
        process = subprocess.Popen(
            [*command, begun, boot.format(room=room)], stdin=subprocess.DEVNULL, stdout=console, stderr=console
        )
        first = 0
        try:
            first = _first(process)
            # Whoever asks systemd before it listens may never be answered.
            is_up = Path(f"/proc/{first}/root/run/is-up")
            until(lambda: process.poll() is not None or is_up.exists(), "systemd to be up")
            assert process.poll() is None, Path(console.name).read_text(errors="replace")
            yield Machine(first)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first or process.pid, signal.SIGKILL)  # with process 1 all others end
            process.wait()
            swept = f'{group} test ! -d "$own" || find "$own" -depth -type d -exec rmdir {{}} +'
            until(lambda: not apart(swept).returncode, "its control groups to be empty")


def _first(process: "subprocess.Popen[bytes]") -> int:
    """Its process 1, as it is outside."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def found() -> list[str]:
        assert process.poll() is None, "the namespaces could not be made"
        return [pid for pid in children.read_text().split() if _is_first(pid)]  # and not one of its shell's, before

    return int(until(found, "process 1")[0])


def _is_first(pid: str) -> bool:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE) is not None
    return False


@cache
def why_not() -> str:
    """Why no systemd can be process 1 here; empty: it can."""
    if not SYSTEMD:
        return "systemd is not installed"
    if os.geteuid() != 0:
        return "only root makes namespaces"
    room = "/tmp/postroad-test-$$"
    script = _GROUP.format(room=room, name="postroad-tried-$$") + (
        f'mkdir "$own"; rmdir "$own"; umount {room}/groups; rmdir {room}/groups {room}; '
        "unshare --cgroup --net --uts --ipc --pid --fork --mount --propagation private mount -t sysfs -o ro sysfs /sys"
    )
    tried = apart(script)
    return f"no namespaces for a systemd can be made: {tried.stdout.strip()}" if tried.returncode else ""
