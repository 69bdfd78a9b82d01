"""Dovecot, which mailboxes are read from by POP3 and IMAP: as it comes, and in its high-performance mode.

Set for a private instance: its ports and folders, no TLS and so passwords in the clear, one user to whom all mailboxes
belong, and passwords in a file, hashed as Postroad hashes them. As it comes, each connection gets a login process of
its own and then an imap or pop3 process of its own; in the mode for many users ("High-performance mode" in its manual,
LoginProcess) login processes serve many connections, and the others are used again.
"""

import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.packages import Package
from bench.servers.base import HOST, Running, Task, answering, free_port, reachable, written
from bench.usage import opened

_PACKAGE = Package("dovecot", "/usr/sbin/dovecot", ("dovecot", "dovenull"))

_CONFIG = """\
base_dir = /run/dovecot
state_dir = /run/dovecot
log_path = {folder}/log
protocols = imap pop3 {also}
listen = {host}
ssl = no
disable_plaintext_auth = no
mail_location = {format}:{folder}/mail/%n
first_valid_uid = {uid}
first_valid_gid = {gid}
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""

_TUNED = """\
service imap-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = 1000
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  client_limit = 1000
}}
service imap {{
  service_count = 1000
  process_min_avail = 20
}}
service pop3 {{
  service_count = 1000
  process_min_avail = 20
}}
service auth {{
  client_limit = 5000
}}
"""

# As safe as ours: nothing is answered before it is synced. Many sessions may come from one address; those that wait
# for news are handed to one process, which takes little memory for each ("Hibernation" in its manual).
_MAILBOX = """\
mail_fsync = always
mail_max_userip_connections = {sessions}
default_client_limit = {sessions}
default_vsz_limit = 1G
imap_hibernate_timeout = 1s
service imap {{
  process_limit = {sessions}
  extra_groups = dovecot
  unix_listener imap-master {{
    user = dovecot
  }}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0660
    group = dovecot
  }}
}}
service lmtp {{
  process_min_avail = 2
  inet_listener lmtp {{
    address = {host}
    port = {lmtp}
  }}
}}
"""


_WATCHES = Path("/proc/sys/fs/inotify/max_user_instances")
_SESSIONS = 5000


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A private instance of Dovecot, for the Maildirs in ``mail`` and the users in ``users`` of its folder."""

    name: str
    key: str
    tuned: bool
    format: str = "maildir"
    durability: str = "only reads"
    workloads: frozenset[str] = frozenset({"read"})

    def missing(self) -> str | None:
        return _PACKAGE.missing()

    def version(self) -> str:
        return f"Dovecot {_PACKAGE.version('--version').split()[0]}"

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        reachable(task.folder, self.name)
        pop3, imap, lmtp = free_port(), free_port(), free_port()
        user = pwd.getpwnam("mail")
        many = task.workload == "mailbox"
        config = "".join((_CONFIG, _TUNED if self.tuned else "", _MAILBOX if many else "")).format(
            folder=task.folder, host=HOST, uid=user.pw_uid, gid=user.pw_gid, format=self.format, pop3=pop3, imap=imap,
            lmtp=lmtp, sessions=_SESSIONS, also="lmtp" if many else "",
        )  # fmt: skip
        path = written(task.folder / "dovecot.conf", config)
        async with AsyncExitStack() as stack:
            if many:
                stack.enter_context(_many_watches())
            group = await stack.enter_async_context(opened(self.key, task.environment))
            # The names of its sockets would be too long in most folders (unix(7): 108 octets).
            command = _PACKAGE.command(
                task.folder, _PACKAGE.program, "-F", "-c", str(path), places={"/run": task.folder / "run"},
                environment=task.environment,
            )  # fmt: skip
            with (task.folder / "start.log").open("wb") as log:
                await group.open(command, stdout=log, stderr=log)
            for port in (pop3, imap, *([lmtp] if many else ())):
                await answering(port, self.name, log=task.folder / "log")
            yield Running(pop3, group, pop3=pop3, imap=imap, lmtp=lmtp if many else None)


@contextmanager
def _many_watches() -> Iterator[None]:
    """Let a user have more than 128 inotify(7) instances: each session of Dovecot waits for news by one of its own."""
    before = _WATCHES.read_text()
    if int(before) >= _SESSIONS:  # not ours to put back: also where two of these run at once
        yield
        return
    _WATCHES.write_text(str(_SESSIONS))
    try:
        yield
    finally:
        _WATCHES.write_text(before)


SERVERS = (
    Dovecot("Dovecot, default", "dovecot", tuned=False),
    Dovecot("Dovecot, tuned", "dovecot-tuned", tuned=True, workloads=frozenset({"read", "mailbox"})),
    Dovecot("Dovecot, mdbox", "dovecot-mdbox", tuned=True, format="mdbox", workloads=frozenset({"mailbox"})),
)
