"""What a server stands on before it has workers: its data folder, its user, its log, a folder for its sockets."""

import os
import pwd
import tempfile
from pathlib import Path

from engine.config import Config
from engine.observe.events import event
from engine.queue.store import content_folder
from engine.runtime.certificates import client_ca, own_pair
from engine.runtime.log import log_to
from engine.runtime.spawner import Spawner, become
from engine.storage.environment import StorageError

FOLDER = "postroad-"
"""How the names of our folders for sockets begin."""

_LONGEST_FOLDER = 50
"""Octets of the folder that temporary ones are in: the sockets in ours have paths of 107 at most (unix(7))."""


class CannotStart(Exception):
    """The server cannot come up; the text says why."""


def make_data_folder(data: Path) -> None:
    """StorageError when it cannot be used."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        content_folder(data).mkdir(mode=0o700, exist_ok=True)
        os.listdir(data)
        if os.statvfs(data).f_flag & os.ST_RDONLY:
            raise StorageError(f"cannot use the data folder {data}: its file system is mounted read-only")
        if not os.access(data, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise StorageError(
            f"cannot use the data folder {data}: {error.strerror}; [server] data must be a folder "
            f"that the user {_user_name()} may read and write"
        ) from error


def open_log(config: Config) -> None:
    """From now on events go where it says. CannotStart when a log cannot be written."""
    try:
        log_to(config)
    except OSError as error:
        raise CannotStart(f"[log] cannot be written to: {error}") from error


async def become_user(config: Config, spawner: Spawner) -> None:
    """Be `[server] user` from now on, we and whoever is forked. CannotStart."""
    user = config.server.user
    if not user:
        if os.geteuid() == 0:
            event("running-as-root", hint="set [server] user, so that a fault in a filter is not a fault of root")
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise CannotStart(f"[server] user: there is no user {user} on this machine") from error
    if os.geteuid() != 0:
        if entry.pw_uid != os.geteuid():
            raise CannotStart(f"[server] user: only root can become {user}; start as root or as {user}")
        return
    data = config.server.data
    os.chown(data, entry.pw_uid, entry.pw_gid)
    # What stands in it may be the work of that user: root must not give away what a link leads to.
    os.chown(content_folder(data), entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    become(user)
    await spawner.become(user)
    own, authorities = own_pair(config), client_ca(config)
    for path in (*((own.certificate, own.key) if own else ()), *((authorities,) if authorities else ())):
        if not os.access(path, os.R_OK):
            raise CannotStart(f"[tls] the user {user} cannot read {path}; give it to a group that {user} is in")


def make_folder() -> str:
    """A new folder for the sockets between processes, which its maker alone may enter."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix=FOLDER, dir=usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
