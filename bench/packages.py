"""Servers from Debian packages that are not installed: unpacked in a folder, and run where they appear to be installed.

OpenSMTPD and Exim cannot be installed beside Postfix, and have the paths of their configuration and queue built in.
So each runs in a mount namespace of its own, in which the folders that it looks for are ours. With the last process
in it the namespace is gone, and all mounts in it; outside nothing is ever mounted.
"""

import functools
import grp
import os
import pwd
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import Failed
from bench.servers.base import program, said, written

INSTALL = Path(__file__).with_name("install_peers.sh")

PEERS = Path(os.environ.get("POSTROAD_PEERS") or Path(__file__).with_name(".peers"))
"""Where install_peers.sh puts what it gets."""

HOW = f"run `make bench-peers`, which is {INSTALL}"

_IDENTITIES = range(900, 1000)
"""Numbers for the users that a package's installation would make: the end of those that Debian gives to such users."""

# /etc and /usr become read-only unions of ours and the machine's. A place that is not on this machine is made in an
# empty file system over the folder that it would be in. Arguments: /etc and /usr of ours, pairs of a folder and the
# place where it is to appear, "--", the command.
_ENTER = """\
set -e
mount -t overlay -o "ro,lowerdir=$1:/etc" overlay /etc
[ -z "$2" ] || mount -t overlay -o "ro,lowerdir=$2:/usr" overlay /usr
shift 2
while [ "$1" != -- ]; do
  if ! [ -d "$2" ]; then mount -t tmpfs -o mode=755 tmpfs "${2%/*}"; mkdir "$2"; fi
  mount --bind "$1" "$2"
  shift 2
done
shift
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A server as one or more packages bring it."""

    folder: str  # in PEERS
    program: str  # its absolute path once installed
    users: tuple[str, ...]  # that its installation would make

    def missing(self) -> str | None:
        """As ``Server.missing``."""
        if not self._installed() and not self._unpacked(self.program).exists():
            return f"{Path(self.program).name} not found: {HOW}"
        if os.geteuid():
            return "it runs in a mount namespace, which takes root: start the benchmarks as root"
        return _no_namespace()

    def owner(self) -> int:
        """The number of the first of its users, who need not be on this machine."""
        return _identities(self.users)[self.users[0]]

    def version(self, option: str, *files: str) -> str:
        """What the program says when it is given this option; it finds these files in /etc, with nothing in them."""
        return _version(self, option, files)

    def command(
        self,
        folder: Path,
        *command: str,
        files: Mapping[str, str] = {},
        places: Mapping[str, Path] = {},
        environment: Mapping[str, str] = {},
    ) -> list[str]:
        """A command that runs as if the package were installed, with these files in /etc, and folders in these places.

        What it needs is written to ``folder``. Whatever is in ``environment`` as LD_PRELOAD is loaded into all
        programs, also those that run with the rights of another user or with an environment of their own.
        """
        etc = folder / "namespace" / "etc"
        for name, text in {**_accounts(self.users), **_preload(environment), **files}.items():
            written(etc / name, text)
        pairs = []
        for place, shown in places.items():
            shown.mkdir(parents=True, exist_ok=True)
            hidden = Path(place) if Path(place).is_dir() else Path(place).parent
            if folder.resolve().is_relative_to(hidden):
                raise Failed(f"{Path(self.program).name} hides {hidden}; choose another --folder")
            pairs += [str(shown), place]
        usr = "" if self._installed() else str(self._unpacked("/usr"))
        return ["unshare", "--mount", "sh", "-c", _ENTER, "namespace", str(etc), usr, *pairs, "--", *command]

    def _installed(self) -> bool:
        return Path(self.program).exists()

    def _unpacked(self, path: str) -> Path:
        return (PEERS / self.folder / path.lstrip("/")).resolve()


@functools.cache
def _identities(users: tuple[str, ...]) -> Mapping[str, int]:
    """The number of each user, and of its group: that on this machine, or else a free one."""
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    taken = {*known.values(), *(entry.gr_gid for entry in grp.getgrall())}
    free = iter(number for number in _IDENTITIES if number not in taken)
    return {user: known[user] if user in known else next(free) for user in users}


def _accounts(users: tuple[str, ...]) -> Mapping[str, str]:
    """passwd and group of this machine with these users, each with a group of its own name."""
    passwd, group = (Path("/etc", name).read_text() for name in ("passwd", "group"))
    for user, number in _identities(users).items():
        if f"\n{user}:" not in passwd:
            passwd += f"{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n"
        if f"\n{user}:" not in group:
            group += f"{user}:x:{number}:\n"
    return {"passwd": passwd, "group": group}


def _preload(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The dynamic linker's own list (ld.so(8)): unlike the variable it holds for programs that change the user."""
    if "LD_PRELOAD" not in environment:
        return {}
    own = Path("/etc/ld.so.preload")
    return {"ld.so.preload": f"{own.read_text() if own.exists() else ''}{environment['LD_PRELOAD']}\n"}


@functools.cache
def _version(package: Package, option: str, files: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as name:
        return said(*package.command(Path(name), package.program, option, files=dict.fromkeys(files, "")))


@functools.cache
def _no_namespace() -> str | None:
    """Why this machine gives us no namespace with unions in it, if so."""
    if program("unshare") is None:
        return "unshare not found: apt install util-linux"
    with tempfile.TemporaryDirectory() as name:
        command = ["unshare", "--mount", "sh", "-c", _ENTER, "namespace", name, "", "--", "true"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"no mount namespace here: {done.stdout.strip()}" if done.returncode else None
