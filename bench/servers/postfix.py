"""Postfix: as it comes, and tuned as somebody who knows it well would tune a busy relay."""

import os
import pwd
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import trio

from bench import Failed, maildirs
from bench.servers.base import (
    HOST,
    SELECTOR,
    SOURCE,
    Running,
    Task,
    absent,
    answering,
    free_port,
    numbered,
    program,
    reachable,
    said,
    written,
)
from bench.usage import Group, opened

_PATIENCE = 20.0
"""Seconds until a milter must listen."""

# What a private instance on loopback needs, and nothing else: all other parameters keep their defaults.
_OWN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {sbin}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
myhostname = mx.{domain}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = {host}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
message_size_limit = 20480000
"""

# Process limits and concurrency: as many as there are sessions, and more than one connection to the one next server.
# Each client of the benchmark is the same address, so limits by client would measure the limits.
# postscreen, DNS and peer names are of no use to a relay for known clients; connections are kept and reused.
_TUNED = """\
default_process_limit = 200
in_flow_delay = 0
max_use = 2000
smtpd_timeout = 60s
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_client_event_limit_exceptions =
smtp_dns_support_level = disabled
smtp_connection_reuse_count_limit = 0
smtp_connection_reuse_time_limit = 600s
smtp_connection_cache_time_limit = 5s
initial_destination_concurrency = 20
default_destination_concurrency_limit = 50
smtp_destination_concurrency_limit = 50
virtual_destination_concurrency_limit = 50
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
hash_queue_names = deferred, defer, hold
"""

# master.cf as it is shipped, without chroot, and with one SMTP server on a port of its own.
_SERVICES = """\
{host}:{port} inet n - n - - smtpd
pickup     unix n - n 60 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
verify     unix - - n - 1 verify
flush      unix n - n 1000? 0 flush
proxymap   unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp       unix - - n - - smtp
relay      unix - - n - - smtp
showq      unix n - n - - showq
error      unix - - n - - error
retry      unix - - n - - error
discard    unix - - n - - discard
local      unix - n n - - local
virtual    unix - n n - - virtual
lmtp       unix - - n - - lmtp
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
tlsproxy   unix - - n - 0 tlsproxy
postlog    unix-dgram n - n - 1 postlogd
"""

# Mail under TLS in and out, as it must be on both sides here.
_TLS = """\
smtpd_tls_chain_files = {keys.key}, {keys.certificate}
smtpd_tls_security_level = may
smtp_tls_security_level = encrypt
"""

# Without this a connection under TLS is used for one message; tlsproxy holds it then. All mail is for one next server.
_TLS_TUNED = """\
smtp_tls_connection_reuse = yes
"""

_SIGNING = """\
Mode s
Domain {source}
Selector {selector}
KeyFile {key}
Canonicalization relaxed/relaxed
Socket local:{folder}/opendkim
UserID postfix
InternalHosts {hosts}
RequireSafeKeys no
"""

# The nearest that Postfix does to the inbound lane: what is usual for SPF, DKIM and DMARC, and by itself two filters.
# SPF is checked by OpenDMARC itself, which is cheaper than what is more usual, a program for policies in Python.
_OPENDKIM = """\
Mode v
AuthservID mx.{domain}
Socket local:{folder}/opendkim
UserID postfix
Nameservers {dns}
InternalHosts {others}
"""
_OPENDMARC = """\
AuthservID mx.{domain}
TrustedAuthservIDs mx.{domain}
Socket local:{folder}/opendmarc
UserID postfix
IgnoreHosts {others}
SPFSelfValidate true
SPFIgnoreResults true
RejectFailures true
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
"""

# OpenDKIM asks the DNS by libunbound, and OpenDMARC whom /etc/resolv.conf names: in a mount namespace that is another.
_ENTER = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'

_CHECKS = """\
/^Subject:[[:space:]]*$/ REJECT Please write a subject line
/^From:/ PREPEND X-External: yes
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A private instance of the installed Postfix."""

    name: str
    key: str
    tuned: bool
    durability: str = "synced before 250"
    workloads: frozenset[str] = frozenset(
        {"accept", "relay", "relay-tls", "relay-signed", "deliver", "inbound", "scanned", "backlog", "fairness"}
    )

    def missing(self) -> str | None:
        if os.geteuid():
            return "its master runs as root only: start the benchmarks as root"
        return absent(("postfix", "postmap"), "postfix")

    def version(self) -> str:
        return f"Postfix {_default('mail_version')}"

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        reachable(task.folder, self.name)
        port = free_port()
        etc = _laid_out(task.folder)
        written(etc / "main.cf", "".join(self._main(task, etc)))
        written(etc / "master.cf", _SERVICES.format(host=HOST, port=port))
        async with opened(self.key, task.environment) as group:
            with ExitStack() as stack:
                delivered = None
                if task.local:
                    delivered = stack.enter_context(maildirs.fresh(task.folder / "mail", task.users))
                    written(etc / "users", "".join(_users(task)))
                    await group.run([_program("postmap"), "-c", str(etc), f"hash:{etc}/users"])
                with (task.folder / "log" / "start").open("wb") as log:
                    await group.open([_program("postfix"), "-c", str(etc), "start-fg"], stdout=log, stderr=log)
                    if task.dns is not None:
                        await _milters(task, etc, group, log)
                    if task.signed:
                        await _signer(task, etc, group, log)
                await answering(port, self.name, log=task.folder / "log" / "maillog")
                yield Running(port, group, delivered, partial(_queued, task.folder / "spool"))

    def _main(self, task: Task, etc: Path) -> Iterable[str]:
        sbin = Path(_program("postconf")).parent
        yield _OWN.format(
            folder=task.folder, sbin=sbin, daemons=_default("daemon_directory"), domain=task.domain, host=HOST
        )
        if self.tuned:
            yield _TUNED
        if task.environment:  # master(8) hands on only what is named
            yield f"import_environment = {' '.join([_default('import_environment'), *task.environment])}\n"
        if task.workload == "accept":
            yield "smtpd_client_restrictions = check_client_access static:HOLD\n"
        if task.next_hop is not None:
            yield f"relayhost = [{HOST}]:{task.next_hop}\n"
            if self.tuned:
                yield f"smtp_connection_cache_destinations = [{HOST}]:{task.next_hop}\n"
        if task.keys is not None:
            yield _TLS.format(keys=task.keys) + (_TLS_TUNED if self.tuned else "")
        if task.signed:
            yield f"smtpd_milters = unix:{task.folder}/milters/opendkim\n"
        if task.local:
            user = pwd.getpwnam("mail")
            yield f"virtual_mailbox_domains = {task.domain}\nvirtual_mailbox_base = {task.folder}/mail\n"
            yield f"virtual_mailbox_maps = hash:{etc}/users\nvirtual_minimum_uid = 1\n"
            yield f"virtual_uid_maps = static:{user.pw_uid}\nvirtual_gid_maps = static:{user.pw_gid}\n"
        if task.dns is not None:
            others = task.scanners.as_milters() if task.scanners else ()
            milters = ", ".join(
                (*(f"unix:{task.folder}/milters/{name}" for name in ("opendkim", "opendmarc")), *others)
            )
            yield f"smtpd_milters = {milters}\nheader_checks = regexp:{written(etc / 'checks', _CHECKS)}\n"


async def _milters(task: Task, etc: Path, group: Group, log: BinaryIO) -> None:
    """Start OpenDKIM and OpenDMARC, which check mail from here as from anywhere. Failed."""
    if gone := absent(("opendkim",), "opendkim") or absent(("opendmarc",), "opendmarc"):
        raise Failed(gone)
    folder = task.folder / "milters"
    folder.mkdir()
    shutil.chown(folder, "postfix")
    resolv = written(etc / "resolv.conf", f"nameserver {task.dns}\n")
    parts = {
        "folder": folder,
        "domain": task.domain,
        "dns": task.dns,
        "others": written(etc / "others", "192.0.2.1\n"),  # whose mail would not be checked
    }
    for name, option, text in (("opendkim", "-x", _OPENDKIM), ("opendmarc", "-c", _OPENDMARC)):
        config = written(etc / f"{name}.conf", text.format(**parts))
        inside = ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(resolv)]
        await group.open([*inside, _program(name), "-f", option, str(config)], stdout=log, stderr=log)
        await _there(folder / name)


async def _signer(task: Task, etc: Path, group: Group, log: BinaryIO) -> None:
    """Start OpenDKIM, which signs all mail. Failed."""
    if gone := absent(("opendkim",), "opendkim"):
        raise Failed(gone)
    assert task.keys is not None
    folder = task.folder / "milters"
    folder.mkdir()
    key = shutil.copy(task.keys.dkim, folder / "key.pem")
    for path in (folder, key):
        shutil.chown(path, "postfix")
    hosts = written(etc / "hosts", f"{HOST}\n")
    text = _SIGNING.format(folder=folder, source=SOURCE, selector=SELECTOR, key=key, hosts=hosts)
    config = written(etc / "opendkim.conf", text)
    await group.open([_program("opendkim"), "-f", "-x", str(config)], stdout=log, stderr=log)
    await _there(folder / "opendkim")


async def _there(listening: Path) -> None:
    """Wait for a milter's socket. Failed."""
    with trio.move_on_after(_PATIENCE) as waiting:
        while not listening.exists():
            await trio.sleep(0.02)
    if waiting.cancelled_caught:
        raise Failed(f"{listening.name} does not start")


def _laid_out(folder: Path) -> Path:
    """Make the folders of an instance; that of its configuration."""
    for name in ("etc", "spool", "data", "log"):
        (folder / name).mkdir(exist_ok=True)
    shutil.chown(folder / "data", "postfix")
    (folder / "log" / "maillog").touch()
    for name in ("dynamicmaps.cf", "postfix-files"):
        if Path("/etc/postfix", name).exists():  # Debian's lists of what is installed
            shutil.copy(Path("/etc/postfix", name), folder / "etc")
    return folder / "etc"


def _users(task: Task) -> Iterable[str]:
    """A line for each address: virtual(8) takes no patterns that pick the mailbox by the number."""
    return (f"{local}@{task.domain} {mailbox}/\n" for local, mailbox in numbered(task.users))


def _queued(spool: Path) -> int:
    """Queue files. The folders may be hashed, and files move between them while they are counted."""
    queues = ("maildrop", "incoming", "active", "deferred", "hold")
    return sum(len(files) for queue in queues for _, _, files in os.walk(spool / queue))


def _program(name: str) -> str:
    return program(name) or name


def _default(parameter: str) -> str:
    return said(_program("postconf"), "-dh", parameter)


SERVERS = (
    Postfix("Postfix, default", "postfix", tuned=False),
    Postfix("Postfix, tuned", "postfix-tuned", tuned=True),
)
