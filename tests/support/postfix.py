"""A private Postfix that takes mail by SMTP under TLS, and keeps what it took."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.authorities import Server
from tests.support.programs import path_of
from tests.support.server import program

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
myhostname = {name}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_client_restrictions = check_client_access static:HOLD
smtpd_tls_security_level = {level}
smtpd_tls_chain_files = {folder}/etc/chain.pem
smtpd_tls_received_header = yes
"""
_SERVICES = """\
{address}:{port} inet n - n - - smtpd
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 300 1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
proxymap   unix - - n - - proxymap
anvil      unix - - n - 1 anvil
error      unix - - n - - error
retry      unix - - n - - error
postlog    unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """An instance whose mail stays in its hold queue."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def held(self) -> list[str]:
        """The messages that it took, as Postfix prints them."""
        etc = self._folder / "etc"
        files = [name for _, _, names in os.walk(self._folder / "spool" / "hold") for name in names]
        return [
            subprocess.run(
                [path_of("postcat"), "-c", str(etc), "-q", name], capture_output=True, text=True, check=True
            ).stdout
            for name in sorted(files)
        ]


@contextlib.contextmanager
def postfix(server: Server | None, *, address: str, port: int, name: str) -> Iterator[Postfix]:
    """Run it meanwhile, with this certificate; without one it offers no TLS."""
    # Its own user must find the way, which pytest bars from its folders.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        _lay_out(Path(folder), server, address=address, port=port, name=name)
        with program([path_of("postfix"), "-c", f"{folder}/etc", "start-fg"], port, address=address):
            yield Postfix(Path(folder))


def _lay_out(folder: Path, server: Server | None, *, address: str, port: int, name: str) -> None:
    for each in ("etc", "spool", "data", "log"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    shutil.chown(folder / "data", "postfix")
    (folder / "log" / "maillog").touch()
    for file in ("dynamicmaps.cf", "postfix-files"):
        if Path("/etc/postfix", file).exists():
            shutil.copy(Path("/etc/postfix", file), folder / "etc")
    if server is not None:
        (folder / "etc" / "chain.pem").write_bytes(server.key + server.chain)
    daemons = subprocess.run(
        [path_of("postconf"), "-dh", "daemon_directory"], capture_output=True, text=True, check=True
    ).stdout.strip()
    sbin = Path(path_of("postconf")).parent
    level = "may" if server is not None else "none"
    main = _MAIN.format(folder=folder, sbin=sbin, daemons=daemons, name=name, address=address, level=level)
    (folder / "etc" / "main.cf").write_text(main)
    (folder / "etc" / "master.cf").write_text(_SERVICES.format(address=address, port=port))
