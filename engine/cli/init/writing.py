"""Puts a new configuration in its place: all of it or nothing, and nothing over what is there."""

import contextlib
import dataclasses
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from engine.cli.errors import Refused
from engine.cli.init.answers import Answers, SelfSigned
from engine.cli.init.self_signed import self_signed
from engine.cli.init.template import CERTIFICATE, KEY, LOGIN, SHIPPED, filled
from engine.cli.publishing import host_of
from engine.config import Config, load
from engine.directory import Embedded
from engine.signing import KeyStore
from engine.storage.files import give_to, write
from engine.storage.ownership import workspace

CONFIG, RECORDS, FILTERS = "pipeline.toml", "dns-records.txt", "filters"

_DATA = "var"
"""The data folder beside the configuration."""

_PREFIX = ".init-"


def write_all(folder: Path, answers: Answers) -> str:
    """Write the configuration into ``folder``, and the data folder; the DNS records. Refused where something is there.

    Whatever ends it before its end, an error or Ctrl-C, leaves nothing behind.
    """
    data = answers.data or folder / _DATA
    _check_free(folder, data)
    with ExitStack() as undo:
        made = [*_missing(data.parent), *_missing(folder)]
        undo.callback(_remove_empty, made)
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        data.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Within an empty data folder that is there: its user need not be able to write beside it.
        there = data.is_dir()
        with workspace(folder, _PREFIX) as staged, workspace(data if there else data.parent, _PREFIX) as staged_data:
            records = _stage(staged, staged_data / _DATA, answers)
            _give(staged, staged_data / _DATA, answers.user)
            for path in sorted((staged_data / _DATA).iterdir()) if there else [staged_data / _DATA]:
                _place(undo, path, data / path.name if there else data)
            names = sorted(path.name for path in staged.iterdir() if path.name != "owner.lock")
            for name in sorted(names, key=CONFIG.__eq__):  # pipeline.toml last: it says that all is there
                _place(undo, staged / name, folder / name)
        if folder in made:
            _give_folder(folder, answers.user)
        undo.pop_all()
    return records


def _check_free(folder: Path, data: Path) -> None:
    for path in (folder, data):
        if path.exists() and not path.is_dir():
            raise Refused(f"{path} is a file; name a folder")
    for name in (CONFIG, RECORDS, FILTERS, LOGIN, Path(CERTIFICATE).parts[0]):
        if os.path.lexists(folder / name):
            raise Refused(f"{folder / name} is there already, and nothing is written over: name another folder")
    if data.is_dir() and not all(path.name.startswith(_PREFIX) for path in data.iterdir()):
        raise Refused(f"the data folder {data} holds files already: name another one by --data, or move it away")


def _missing(folder: Path) -> Iterator[Path]:
    """The folders that have to be made, the innermost first."""
    while not folder.exists():
        yield folder
        folder = folder.parent


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _stage(folder: Path, data: Path, answers: Answers) -> str:
    """Make all of it in another place, where a wrong answer shows. The DNS records."""
    if isinstance(answers.tls, SelfSigned):
        certificate, key = self_signed((answers.hostname, *answers.domains))
        write(folder / CERTIFICATE, certificate)
        write(folder / KEY, key)
    if answers.relay and answers.relay.login:
        write(folder / LOGIN, f"{answers.relay.login}\n{answers.relay.password}\n".encode())
    shutil.copytree(SHIPPED / FILTERS, folder / FILTERS, ignore=shutil.ignore_patterns("__pycache__"))
    write(folder / CONFIG, filled((SHIPPED / CONFIG).read_text(), answers).encode())
    config = load(folder / CONFIG)
    config = dataclasses.replace(config, server=dataclasses.replace(config.server, data=data))
    data.mkdir(mode=0o700)
    with Embedded.open(data / "directory", answers.domains) as directory:
        directory.add_account(answers.account, answers.password, admin=True)
    for name in answers.domains:
        KeyStore(data).make(name)
    records = "\n".join(_records(config, answers))
    write(folder / RECORDS, records.encode())
    return records


def _records(config: Config, answers: Answers) -> Iterator[str]:
    from engine.operations.presence import zone_lines  # slow to import

    for name in answers.domains:
        yield f"; for the zone of {name}"
        yield from zone_lines(host_of(config, name, answers.addresses))
        yield ""


def _give(folder: Path, data: Path, user: str) -> None:
    """Root keeps the configuration, which the user's group reads; the data is the user's. Else all is our own."""
    group = -1
    if user and os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        group = entry.pw_gid
        os.chown(data, entry.pw_uid, entry.pw_gid)
        give_to(data.stat(), data)
    for path in folder.rglob("*"):
        if path.name != "owner.lock":
            os.chown(path, -1, group)
            path.chmod(0o750 if path.is_dir() else 0o640)


def _give_folder(folder: Path, user: str) -> None:
    if user and os.geteuid() == 0:
        os.chown(folder, -1, pwd.getpwnam(user).pw_gid)


def _place(undo: ExitStack, staged: Path, path: Path) -> None:
    """Give a file or a folder its name. OSError where something has come meanwhile."""
    if staged.is_dir():
        staged.rename(path)
        undo.callback(shutil.rmtree, path)
    else:
        os.link(staged, path)  # unlike a rename, it replaces nothing
        undo.callback(path.unlink)
