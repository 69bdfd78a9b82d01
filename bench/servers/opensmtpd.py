"""OpenSMTPD, with its limits for a relay among strangers lifted.

Set for a private instance: the address it listens on, what it does with mail, and mail.maildir(8) as its agent for
mailboxes. Lifted, because the load is one trusted client and one next server: messages on a connection (100) and
recipients of a message (1,000), the connections to one host (10) and route (5), pauses between connections, messages on
a connection (100), and the messages and deliveries that are under way at once. All else is as it comes.

Before its 250 it has written the message and renamed its folder into the queue, and has synced nothing.
Each file in a mailbox is synced, by mail.maildir.
"""

import os
import pwd
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import maildirs
from bench.packages import Package
from bench.servers.base import HOST, NUMBERS, Running, Task, answering, free_port, reachable, written
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
            _PACKAGE.command, task.folder, files={"mailname": f"mx.{task.domain}\n", "aliases": ""}, places=places,
            environment=task.environment,
        )  # fmt: skip
        async with opened(self.key, task.environment) as group:
            with ExitStack() as stack:
                delivered = None
                if task.workload == "deliver":
                    boxes = maildirs.made(task.folder / "mail", task.users, "mail")
                    delivered = stack.enter_context(maildirs.counted(boxes))
                paused = ["-P", "mta"] if task.workload == "accept" else []
                with log.open("wb") as writing:
                    await group.open(
                        inside(_PACKAGE.program, "-d", *paused, "-f", str(config)), stdout=writing, stderr=writing
                    )
                await answering(port, self.name, log=log)
                yield Running(port, group, delivered, partial(_queued, spool / "queue"))


def _config(task: Task, port: int) -> Iterable[str]:
    yield _LIFTED
    yield f"listen on {HOST} port {port} hostname mx.{task.domain}\n"
    if task.workload == "deliver":
        mail, user = task.folder / "mail", pwd.getpwnam("mail")
        names = "".join(f"{number}u@{task.domain} u{number % task.users:02d}\n" for number in range(NUMBERS))
        base = "".join(f"u{number:02d} {user.pw_uid}:{user.pw_gid}:{mail}\n" for number in range(task.users))
        yield f"table names file:{written(task.folder / 'names', names)}\n"
        yield f"table base file:{written(task.folder / 'base', base)}\n"
        yield f'action "all" maildir "{mail}/%{{user.username}}" userbase <base> virtual <names>\n'
        yield f'match from any for domain "{task.domain}" action "all"\n'
    else:
        yield f'action "all" relay host smtp+notls://{HOST}:{task.next_hop or 9}\n'
        yield 'match from any for any action "all"\n'


def _queued(queue: Path) -> int:
    """A folder for each message, with a file "message" in it and one for each recipient."""
    return sum("message" in files for _, _, files in os.walk(queue))


SERVERS = (OpenSMTPD(),)
