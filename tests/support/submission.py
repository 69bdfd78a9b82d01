"""A private Postfix: a submission server whose logins Dovecot knows, and which sends all on to one server."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import Certificates, path_of
from tests.support.server import free_port, program

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {sbin}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
myhostname = smtp.provider.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
relayhost = [127.0.0.1]:{onward}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_authenticated_header = yes
smtpd_tls_security_level = {level}
smtpd_tls_auth_only = {only}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup     unix n - n 60 1 pickup
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
flush      unix n - n 1000? 0 flush
proxymap   unix - - n - - proxymap
smtp       unix - - n - - smtp
error      unix - - n - - error
retry      unix - - n - - error
anvil      unix - - n - 1 anvil
scache     unix - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Postfix:
    port: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log" / "maillog").read_text()


@contextlib.contextmanager
def postfix(sasl: str, certificates: Certificates, onward: int, *, tls: bool = True) -> Iterator[Postfix]:
    """Postfix that takes mail from whom the Dovecot at the socket ``sasl`` knows, and sends it to a port of ours."""
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    try:
        running = Postfix(free_port(), folder)
        _lay_out(folder)
        (folder / "etc" / "master.cf").write_text(_MASTER.format(port=running.port))
        main = _MAIN.format(
            folder=folder, sbin=Path(path_of("postconf")).parent, daemons=_default("daemon_directory"), sasl=sasl,
            onward=onward, certificate=certificates.certificate, key=certificates.key,
            level="may" if tls else "none", only="yes" if tls else "no",
        )  # fmt: skip
        (folder / "etc" / "main.cf").write_text(main)
        with program([path_of("postfix"), "-c", str(folder / "etc"), "start-fg"], running.port):
            try:
                yield running
            finally:  # the script that started it would not take it along
                os.kill(int((folder / "spool" / "pid" / "master.pid").read_text()), signal.SIGTERM)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runs_here() -> bool:
    """Its master runs as root only."""
    return os.geteuid() == 0


def _lay_out(folder: Path) -> None:
    for name in ("etc", "spool", "data", "log"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "log" / "maillog").touch()
    for name in ("dynamicmaps.cf", "postfix-files"):
        if Path("/etc/postfix", name).exists():  # Debian's lists of what is installed
            shutil.copy(Path("/etc/postfix", name), folder / "etc")


def _default(parameter: str) -> str:
    said = subprocess.run([path_of("postconf"), "-dh", parameter], capture_output=True, text=True, check=True)
    return said.stdout.strip()
