"""Dovecot's own tool on mail in a folder, without a server: it writes and reads Maildir and mbox as Dovecot does."""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import path_of
from tests.support.server import PATIENCE

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = /dev/stderr
default_internal_user = {user}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
ssl = no
stats_writer_socket_path =
"""


@dataclass(frozen=True)
class Read:
    """One message as Dovecot tells it."""

    uid: int
    content: bytes
    flags: frozenset[str]  # without \\Recent
    received: int  # Unix seconds


@dataclass(frozen=True)
class Doveadm:
    """``folder`` is for mail; ``location`` is where in it and how, as Dovecot's ``mail_location`` says it."""

    folder: Path
    location: str

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run it; what it said. AssertionError unless it ends well."""
        config = self.folder.parent / "dovecot.conf"
        location = self.location.format(folder=self.folder)
        command = [path_of("doveadm"), "-c", str(config), "-o", f"mail_location={location}", *arguments]
        user = _user()
        # Root's Dovecot has no mail of root's.
        drop = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        environment = {"USER": user.pw_name, "HOME": str(self.folder), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            command, input=stdin, capture_output=True, env=environment, timeout=PATIENCE, check=False, **drop
        )  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr.decode()
        said: str = done.stdout.decode()
        return said

    def give(self) -> None:
        """All that lies in the folder is its user's."""
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, _user().pw_uid, _user().pw_gid)

    def mail(self) -> dict[str, list[Read]]:
        """All messages by mailbox, in the order of UIDs."""
        found: dict[str, list[Read]] = {}
        for one in json.loads(self("-f", "json", "fetch", "mailbox uid flags date.received.unixtime text", "all")):
            flags = frozenset(one["flags"].split()) - {"\\Recent"}
            content = one["text"].encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            read = Read(int(one["uid"]), content, flags, int(one["date.received.unixtime"]))
            found.setdefault(one["mailbox"], []).append(read)
        return {name: sorted(messages, key=lambda read: read.uid) for name, messages in found.items()}


@contextmanager
def doveadm(location: str) -> Iterator[Doveadm]:
    # Not in pytest's folder: that is its user's alone.
    above = Path(tempfile.mkdtemp(prefix="doveadm-"))
    try:
        above.chmod(0o755)
        user = _user()
        group = user.pw_name if os.geteuid() == 0 else str(user.pw_gid)
        (above / "dovecot.conf").write_text(_CONFIG.format(folder=above, user=user.pw_name, group=group))
        tool = Doveadm(above / "mail", location)
        tool.folder.mkdir()
        tool.give()
        yield tool
    finally:
        shutil.rmtree(above)


def _user() -> pwd.struct_passwd:
    return pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
