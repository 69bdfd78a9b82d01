"""A private instance of Dovecot: LMTP to deliver into it, IMAP to read it, in a folder of its own."""

import contextlib
import grp
import imaplib
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import path_of
from tests.support.server import PASSWORD, PATIENCE, free_port, program

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
mail_location = maildir:{folder}/mail/%n
mail_plugins = quota
first_valid_uid = {uid}
first_valid_gid = {gid}
plugin {{
  quota = maildir:User quota
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
  default_fields = uid={uid} gid={gid} home={folder}/mail/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener {folder}/sasl {{
    mode = 0666
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A running instance. ``socket`` is the path of its Unix socket for LMTP, ``sasl`` of that for Postfix."""

    lmtp: int
    imap: int
    socket: str
    sasl: str

    @property
    def folder(self) -> Path:
        return Path(self.socket).parent

    def mail(self, user: str) -> list[bytes]:
        """All messages of the INBOX, read by IMAP."""
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=PATIENCE) as client:
            client.login(user, PASSWORD)
            _, (count, *_) = client.select(readonly=True)
            if count == b"0":
                return []
            _, found = client.fetch("1:*", "(BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]


@contextlib.contextmanager
def dovecot(*users: str, full: Sequence[str] = (), mechanisms: str = "plain", more: str = "") -> Iterator[Dovecot]:
    """Dovecot with these users, all with PASSWORD. Those in ``full`` have no room for a message."""
    with laid_out(*users, full=full, mechanisms=mechanisms, more=more) as stopped, started(stopped):
        yield stopped


@contextlib.contextmanager
def laid_out(*users: str, full: Sequence[str] = (), mechanisms: str = "plain", more: str = "") -> Iterator[Dovecot]:
    """The same, not running. ``more``: settings besides, in which ``{folder}`` is its folder."""
    # Not in pytest's folder: that is its user's alone, and paths of Unix sockets are short (unix(7): 108 octets).
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    folder.chmod(0o755)
    try:
        stopped = Dovecot(free_port(), free_port(), str(folder / "lmtp"), str(folder / "sasl"))
        _write(folder, stopped, users, full, mechanisms)
        with (folder / "dovecot.conf").open("a") as file:
            file.write(more.replace("{folder}", str(folder)))
        yield stopped
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def started(stopped: Dovecot) -> Iterator[None]:
    """It runs for as long as the block."""
    with program([path_of("dovecot"), "-F", "-c", str(stopped.folder / "dovecot.conf")], stopped.imap):
        yield


def _write(folder: Path, running: Dovecot, users: Sequence[str], full: Sequence[str], mechanisms: str) -> None:
    # Root's Dovecot has users of its own, and no mail of root's; another user's has that one user alone.
    root = os.geteuid() == 0
    me = pwd.getpwuid(os.geteuid())
    owner = pwd.getpwnam("mail") if root else me
    mine = me.pw_name, grp.getgrgid(me.pw_gid).gr_name, me.pw_name
    internal, group, login = ("dovecot", "dovecot", "dovenull") if root else mine
    lines = [f"{user}:{{PLAIN}}{PASSWORD}::::::" for user in users]
    lines += [f"{user}:{{PLAIN}}{PASSWORD}::::::userdb_quota_rule=*:bytes=10" for user in full]
    (folder / "users").write_text("\n".join(lines) + "\n")
    (folder / "mail").mkdir()
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    config = _CONFIG.format(
        folder=folder, internal=internal, group=group, login=login, uid=owner.pw_uid, gid=owner.pw_gid,
        imap=running.imap, lmtp=running.lmtp, mechanisms=mechanisms,
    )  # fmt: skip
    (folder / "dovecot.conf").write_text(config)
