"""OpenSMTPD, with its limits for a relay among strangers lifted.

Set for a private instance: the address it listens on, what it does with mail, mail.maildir(8) as its agent for
mailboxes, and no DNS, which it would ask for the name of each client. Lifted, because the load is one trusted client
and one next server: messages on a connection (100) and recipients of a message (1,000), the connections to one host
(10) and route (5), pauses between connections, messages on a connection (100), the messages and deliveries that are
under way at once, and the 5 connections that may wait to be accepted: with many sessions that begin together, all
others would try again a second later, which would be all that is measured. All else is as it comes.

What holds it up in a relay is its own: it ends each message with a packet that waits until the one before has been
acknowledged (it does not set TCP_NODELAY), which is 40 ms with a receiver that delays that, as Linux does; and to one
next server it opens one more connection every five seconds. So the longer a run, the more messages a second.

Before its 250 it has written the message and renamed its folder into the queue, and has synced nothing.
Each file in a mailbox is synced, by mail.maildir.
"""

import contextlib
import ctypes
import os
import pwd
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import Failed, maildirs
from bench.packages import Package
from bench.servers.base import HOST, Running, Task, answering, free_port, numbered, reachable, written
from bench.usage import opened

_PACKAGE = Package("opensmtpd", "/usr/sbin/smtpd", ("opensmtpd", "opensmtpq"))

# The limits on mta, mda and scheduler are in the grammar (parse.y), not in smtpd.conf(5).
_LIFTED = """\
smtp limit max-mails 1000000
smtp limit max-rcpt 10000
mta limit max-conn-per-host 50
mta limit max-conn-per-route 50
mta limit max-conn-per-source 200
mta limit max-conn-per-connector 50
mta limit max-conn-per-relay 200
mta limit max-conn-per-domain 200
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit session-mail-max 1000000
mta limit task-hiwat 1000
mta limit task-lowat 500
mta limit task-release 500
mda limit max-session 200
mda limit max-session-per-user 20
scheduler limit max-inflight 50000
"""

# As the group that the program would be installed with. A list of so many names as a plain file is slow to look up.
_MAP = ("setpriv", "--regid", "opensmtpq", "--clear-groups", "makemap", "-t", "aliases")

_WAITING = 512
"""Connections that may wait to be accepted: as many as for the other servers."""

_PIDFD_GETFD = 438
"""Its number, the same on every architecture."""

# Its resolver asks DNS for the name of each client first; a file would come second. The benchmarks have no DNS.
_RESOLVER = "lookup file\n"


@dataclass(frozen=True, slots=True)
class OpenSMTPD:
    """A private instance of OpenSMTPD."""

    name: str = "OpenSMTPD"
    key: str = "opensmtpd"
    durability: str = "not synced before 250"
    workloads: frozenset[str] = frozenset({"accept", "relay", "deliver"})

    def missing(self) -> str | None:
        return _PACKAGE.missing()

    def version(self) -> str:
        return _PACKAGE.version("-h").splitlines()[0].removeprefix("version: ")

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        reachable(task.folder, self.name)
        port = free_port()
        spool, log = task.folder / "spool", task.folder / "log"
        spool.mkdir(mode=0o711)
        config = written(task.folder / "smtpd.conf", "".join(_config(task, port)))
        places = {"/var/spool/smtpd": spool, "/var/lib/opensmtpd": task.folder / "state", "/run": task.folder / "run"}
        (task.folder / "state" / "empty").mkdir(parents=True)  # the processes without rights are shut up in it
        (task.folder / "state" / "empty").chmod(0o711)
        inside = partial(
            _PACKAGE.command, task.folder, places=places, environment=task.environment,
            files={"mailname": f"mx.{task.domain}\n", "aliases": "", "resolv.conf": _RESOLVER},
        )  # fmt: skip
        async with opened(self.key, task.environment) as group:
            with ExitStack() as stack:
                delivered = None
                if task.local:
                    names = written(task.folder / "names", "".join(_names(task)))
                    delivered = stack.enter_context(maildirs.fresh(task.folder / "mail", task.users))
                    await group.run(inside(*_MAP, "-o", f"{names}.db", str(names)))
                paused = ["-P", "mta"] if task.workload == "accept" else []
                with log.open("wb") as writing:
                    await group.open(
                        inside(_PACKAGE.program, "-d", *paused, "-f", str(config)), stdout=writing, stderr=writing
                    )
                await answering(port, self.name, log=log)
                _let_more_wait(port, group.processes())
                yield Running(port, group, delivered, partial(_queued, spool / "queue"))


def _let_more_wait(port: int, processes: Iterable[int]) -> None:
    """Call listen(2) anew on the server's socket: how many may wait is compiled in (SMTPD_BACKLOG). Failed."""
    inode = _listening(port)
    for process in processes:
        for path in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(path) == f"socket:[{inode}]":
                    with _borrowed(process, int(path.name)) as listener:
                        listener.listen(_WAITING)
                    return
    raise Failed(f"no process of OpenSMTPD listens on port {port}")


def _listening(port: int) -> str:
    """The inode of the socket that listens on the port of 127.0.0.1 (proc_net_tcp(5))."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise Failed(f"nothing listens on port {port}")


def _borrowed(process: int, descriptor: int) -> socket.socket:
    """The same socket as that of another process: pidfd_getfd(2), Linux 5.6. Failed."""
    library = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(process)
    try:
        ours = library.syscall(_PIDFD_GETFD, pidfd, descriptor, 0)
    finally:
        os.close(pidfd)
    if ours < 0:
        raise Failed(f"cannot reach OpenSMTPD's socket: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=ours)


def _config(task: Task, port: int) -> Iterable[str]:
    yield _LIFTED
    yield f"listen on {HOST} port {port} hostname mx.{task.domain}\n"
    if task.local:
        mail, user = task.folder / "mail", pwd.getpwnam("mail")
        base = "".join(f"u{number:02d} {user.pw_uid}:{user.pw_gid}:{mail}\n" for number in range(task.users))
        yield f"table names db:{task.folder}/names.db\n"
        yield f"table base file:{written(task.folder / 'base', base)}\n"
        yield f'action "all" maildir "{mail}/%{{user.username}}" userbase <base> virtual <names>\n'
        yield f'match from any for domain "{task.domain}" action "all"\n'
    else:
        yield f'action "all" relay host smtp+notls://{HOST}:{task.next_hop or 9}\n'
        yield 'match from any for any action "all"\n'


def _names(task: Task) -> Iterable[str]:
    """A line for each address."""
    return (f"{local}@{task.domain} {mailbox}\n" for local, mailbox in numbered(task.users))


def _queued(queue: Path) -> int:
    """A folder for each message, with a file "message" in it and one for each recipient."""
    return sum("message" in files for _, _, files in os.walk(queue))


SERVERS = (OpenSMTPD(),)
