"""New workers for the supervisor, forked by a process that has loaded their code once: `engine.runtime.zygote`.

A worker is there after some milliseconds instead of a second of loading, and shares the memory of its code with the
others. The supervisor adopts it: the zygote forks twice, and whoever's parent has ended belongs to the nearest
ancestor that has said so (prctl(2), PR_SET_CHILD_SUBREAPER). So a zygote that dies takes no worker with it.
"""

import contextlib
import ctypes
import os
import pwd
import socket
import struct
import subprocess
import sys

import trio

from engine.observe.events import event

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36

_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4

_PATIENCE = 120.0
"""Seconds until a zygote that does not answer is killed: a machine that is overloaded may take long to load it."""

MOST = 512
"""Octets of a request or an answer at most."""

SUPERVISOR_S = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""What a service manager says in the environment to us alone (sd_notify(3), sd_listen_fds(3))."""

BECOME = b"become "
"""How a request begins that is none for a worker, but names the user that all of them are to be."""


class CannotFork(Exception):
    """There is no new process; the text says why."""


def become(user: str) -> None:
    """Have this process be that user for good. KeyError when there is none; OSError when we may not."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def own_again() -> None:
    """What is in /proc of a process that has become another user belongs to root until the next exec, or this."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


class Spawner:
    """Has a zygote, starts another when that one has died, and asks it for processes."""

    def __init__(self) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket
        self._lock = trio.Lock()

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None else None

    def start(self) -> None:
        """Let it load what it needs, which the first fork then waits for. It is the user that we are."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
        # A service manager may have given us CAP_NET_BIND_SERVICE, and we keep it for a reload. Whoever meets strangers
        # gets none of it: what is not ambient is gone at the next exec (capabilities(7)).
        libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "engine.runtime.zygote", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={name: value for name, value in os.environ.items() if name not in SUPERVISOR_S},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        self._socket = ours

    def close(self) -> None:
        if self._popen is not None:
            self._socket.close()
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    async def become(self, user: str) -> None:
        """Have a zygote that was started before we became that user become it as well, and so all workers."""
        with contextlib.suppress(OSError), trio.move_on_after(_PATIENCE):
            sock = trio.socket.from_stdlib_socket(self._socket)
            await sock.send(BECOME + user.encode())
            if await sock.recv(MOST) == BECOME:
                return
        self.close()  # the next one is started by who we are now

    async def fork(self, name: str, control: socket.socket) -> int:
        """The process id of a new worker, our child, which obeys what comes over ``control``. CannotFork if none."""
        async with self._lock:
            for _ in range(2):  # it may have died since the last time
                if self._popen is None:
                    self.start()
                    event("zygote-started", pid=self.pid)
                answer = ""
                try:
                    with contextlib.suppress(OSError), trio.move_on_after(_PATIENCE):
                        answer = await self._ask(name, control)
                finally:
                    if not answer:  # so that nobody takes a late answer for another's
                        self.close()
                pid, _, why = answer.partition(" ")
                if why:
                    raise CannotFork(f"no new process: {why}")
                if pid:
                    return int(pid)
        raise CannotFork("no new process: the process that makes them died twice")

    async def _ask(self, name: str, control: socket.socket) -> str:
        rights = struct.pack("i", control.fileno())
        sock = trio.socket.from_stdlib_socket(self._socket)
        await sock.sendmsg([name.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return (await sock.recv(MOST)).decode()
