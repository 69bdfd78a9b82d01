"""The zygote: a process that has everything loaded that a worker needs, and is forked. It runs no event loop."""

import contextlib
import gc
import importlib
import mmap
import os
import pkgutil
import signal
import socket
import sys
from pathlib import Path

from engine.bounces.patterns import usual
from engine.runtime import worker
from engine.runtime.spawner import BECOME, MOST, become, own_again


def main() -> None:
    """Entry point of the zygote, and of each worker. The descriptor of the zygote's socket is the only argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal sends them to the whole group; the supervisor decides. Were they ignored, programs that a worker
        # runs would ignore them too; a function of ours is forgotten at exec.
        signal.signal(number, _heed_not)
        signal.siginterrupt(number, False)
    os.umask(0o077)
    _call("zygote")
    stages = importlib.import_module("stages")  # which stands above us
    for module in pkgutil.walk_packages(stages.__path__, "stages."):
        importlib.import_module(module.name)
    usual()  # patterns that each worker would compile for itself
    gc.collect()
    gc.freeze()  # a collection in a worker need not look through it, which would also copy every page of it
    worker.main(_serve(socket.socket(fileno=int(sys.argv[1]))))


def _heed_not(*_: object) -> None:
    """Do nothing about a signal."""


def _serve(sock: socket.socket) -> socket.socket:
    """Fork as often as asked. Returns in each worker, with its control socket; the zygote itself ends in here."""
    found = mmap.mmap(-1, 4)  # shared with the children: there the process between says the worker's id
    while True:
        name, fds, _, _ = socket.recv_fds(sock, MOST, 1)
        if not name:
            sys.exit()  # the supervisor is gone
        if name.startswith(BECOME):
            become(name.removeprefix(BECOME).decode())
            own_again()
            sock.send(BECOME)
            continue
        try:
            if not fds:
                raise OSError("it has no file descriptors left")
            between = os.fork()
            if not between:
                if not (worker := _fork_and_say(found)):
                    sock.close()
                    _call(name.decode())
                    return socket.socket(fileno=fds[0])
                os._exit(0 if worker > 0 else -worker)
            failed = os.waitstatus_to_exitcode(os.waitpid(between, 0)[1])
            if failed:
                raise OSError(os.strerror(failed))
            answer = str(int.from_bytes(found[:4], sys.byteorder))
        except OSError as error:
            answer = f"0 {error.strerror or error}"
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(OSError):  # the supervisor is gone, which the next look shows
            sock.send(answer.encode())


def _call(name: str) -> None:
    """Let `top` and `ps -o comm` show what this process is."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _fork_and_say(found: mmap.mmap) -> int:
    """Fork, and leave the child's process id for the grandparent. What fork gave, or the negative of its error."""
    try:
        pid = os.fork()
    except OSError as error:
        return -(error.errno or 1)
    if pid:
        found[:4] = pid.to_bytes(4, sys.byteorder)
    return pid


if __name__ == "__main__":
    main()
