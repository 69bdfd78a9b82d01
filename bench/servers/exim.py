"""Exim as Debian builds it, under a configuration of its own.

Set for a private instance: its port and folders, what it does with mail, and no TLS, for which it would have to be
given a certificate. Lifted, because the load is one trusted client: connections at once (20), messages on a connection
(1,000), the 10 messages on a connection after which the rest would wait for a queue runner, and the 20 connections that
may wait to be accepted. All else is as it comes: each message is handed on at once by a process of its own.

Before its 250 it has synced the content, the envelope, and the folder that they are in.
"""

import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import maildirs
from bench.packages import Package
from bench.servers.base import HOST, Running, Task, answering, free_port, numbered, reachable, written
from bench.usage import opened

_PACKAGE = Package("exim", "/usr/sbin/exim4", ("Debian-exim",))

_MAIN = """\
primary_hostname = mx.{domain}
local_interfaces = {host}
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/log/pid
tls_advertise_hosts =
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
queue_only = {hold}
smtp_accept_max = 0
smtp_accept_max_per_connection = 1000000
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 512
"""

_RELAY = """\
begin routers
relay:
  driver = manualroute
  transport = next
  route_list = * {host}
  self = send
begin transports
next:
  driver = smtp
  port = {next_hop}
  allow_localhost
"""

_MAILBOXES = """\
begin routers
mailbox:
  driver = accept
  domains = {domain}
  local_parts = dbm;{folder}/users.db
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  directory = {folder}/mail/$local_part_data
  maildir_format
  user = mail
  group = mail
"""

_RETRY = """\
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""


@dataclass(frozen=True, slots=True)
class Exim:
    """A private instance of Exim."""

    name: str = "Exim"
    key: str = "exim"
    durability: str = "synced before 250"
    workloads: frozenset[str] = frozenset({"accept", "relay", "deliver"})

    def missing(self) -> str | None:
        return _PACKAGE.missing()

    def version(self) -> str:
        found = re.search(r"^Exim version (\S+)", _PACKAGE.version("-bV", "exim4/exim4.conf"), re.MULTILINE)
        return f"Exim {found[1] if found else 'unknown'}"

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        reachable(task.folder, self.name)
        port = free_port()
        for name in ("spool", "log"):
            (task.folder / name).mkdir()
            os.chown(task.folder / name, _PACKAGE.owner(), _PACKAGE.owner())
        inside = partial(
            _PACKAGE.command, task.folder, files={"exim4/exim4.conf": "".join(_config(task, port))},
            environment=task.environment,
        )  # fmt: skip
        async with opened(self.key, task.environment) as group:
            with ExitStack() as stack:
                delivered = None
                if task.local:
                    delivered = stack.enter_context(maildirs.fresh(task.folder / "mail", task.users))
                    users = written(task.folder / "users", "".join(_users(task)))
                    await group.run(inside("exim_dbmbuild", str(users), f"{users}.db"))
                log = task.folder / "daemon.log"
                with log.open("wb") as writing:
                    await group.open(inside(_PACKAGE.program, "-bdf", "-q30m"), stdout=writing, stderr=writing)
                await answering(port, self.name, log=log)
                yield Running(port, group, delivered, partial(_queued, task.folder / "spool" / "input"))


def _config(task: Task, port: int) -> Iterable[str]:
    hold = "true" if task.workload == "accept" else "false"
    yield _MAIN.format(domain=task.domain, host=HOST, port=port, folder=task.folder, hold=hold)
    if task.local:
        yield _MAILBOXES.format(domain=task.domain, folder=task.folder)
    else:
        yield _RELAY.format(host=HOST, next_hop=task.next_hop or 9)
    yield _RETRY


def _users(task: Task) -> Iterable[str]:
    """A line for each address."""
    return (f"{local}: {mailbox}\n" for local, mailbox in numbered(task.users))


def _queued(spool: Path) -> int:
    """Messages, each of which has one file of data."""
    return sum(name.endswith("-D") for _, _, files in os.walk(spool) for name in files)


SERVERS = (Exim(),)
