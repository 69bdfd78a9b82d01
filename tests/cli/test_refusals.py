"""What a command says when the machine refuses: one line with the file and a remedy, exit code 1, no traceback."""

import errno
import os
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.cli.errors import Refused, readable
from engine.queue.store import Shard
from engine.storage.environment import StorageError, open_environment
from tests.support.server import BASE, toml

COMMANDS = {
    "queue/0": ("queue", "list"),
    "mailbox": ("mailbox", "verify"),
    "directory": ("account", "list"),
    "logins": ("ban", "list"),
}
"""Store → a command that reads it."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a pipeline.toml, and stores that hold something."""
    (tmp_path / "pipeline.toml").write_text(toml(BASE))
    add = ("account", "add", "ann@example.org", "--password-stdin")
    assert postroad(tmp_path, *add, stdin="correct horse battery").exit_code == 0
    assert postroad(tmp_path, "mailbox", "restored").exit_code == 0
    assert postroad(tmp_path, "ban", "list").exit_code == 0
    Shard(tmp_path / "var", 0, map_size=2**20).close()
    return tmp_path


def postroad(site: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["--config", str(site / "pipeline.toml"), *arguments], input=stdin)


def refused(result: Result, *texts: str) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    for text in texts:
        assert text in result.stderr


@pytest.mark.parametrize("store", COMMANDS)
@pytest.mark.parametrize(("kept", "filling"), [(0, b"no"), (8192, bytes(2))], ids=["rubbish", "zeros behind its roots"])
def test_a_store_that_is_overwritten(site: Path, store: str, kept: int, filling: bytes) -> None:
    assert postroad(site, *COMMANDS[store]).exit_code == 0
    file = site / "var" / store / "data.mdb"
    file.write_bytes(file.read_bytes()[:kept] + filling * 2**15)
    refused(postroad(site, *COMMANDS[store]), f"{site}/var/{store}", "is damaged", "docs/operating.md")


def test_a_store_that_was_cut_off(site: Path) -> None:
    """To read behind the end of a mapped file would kill the process."""
    path = site / "var" / "queue" / "0"
    with (
        closing(open_environment(path, map_size=2**22, databases=0)) as environment,
        environment.begin(write=True) as txn,
    ):
        txn.put(b"large", bytes(2**21))
    os.truncate(path / "data.mdb", 2**14)
    refused(postroad(site, "queue", "list"), f"{site}/var/queue/0", "its end is missing", "is damaged")


def test_a_queue_of_a_newer_release(site: Path) -> None:
    shard = Shard(site / "var", 0, map_size=2**20)
    with shard.environment.begin(write=True) as transaction:
        transaction.put(b"format", b"99")
    shard.close()
    refused(postroad(site, "queue", "list"), f"{site}/var/queue/0 has format 99", "the one that made it")


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_queue_that_cannot_be_looked_into_is_not_taken_for_an_empty_one(tmp_path: Path, command: str) -> None:
    (tmp_path / "pipeline.toml").write_text(toml(BASE))
    (tmp_path / "var").write_text("no folder")
    refused(postroad(tmp_path, "queue", command), f"{tmp_path}/var/queue: Not a directory")


SYSTEM = [
    (PermissionError(errno.EACCES, "Permission denied", "var"), "var: permission denied; "),
    (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    (OSError(errno.EROFS, "Read-only file system", "var"), "var: Read-only file system; `dmesg`"),
    (OSError(errno.EMFILE, "Too many open files"), "raise `ulimit -n`"),
    (StorageError("cannot open it"), "cannot open it"),
]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("error", "text"), SYSTEM, ids=[text for _, text in SYSTEM])
def test_what_the_system_refuses(error: Exception, text: str, grouped: bool) -> None:
    found = readable(ExceptionGroup("of a nursery", [error]) if grouped else error)
    assert isinstance(found, Refused)
    assert text in found.message
    assert "Errno" not in found.message


def test_ctrl_c_in_a_nursery_and_a_reader_that_has_seen_enough() -> None:
    interrupted = BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [KeyboardInterrupt()]), ValueError()])
    assert isinstance(readable(interrupted), click.Abort)
    assert isinstance(readable(ExceptionGroup("", [BrokenPipeError(errno.EPIPE, "")])), BrokenPipeError)


def test_a_bug_stays_one() -> None:
    bug = ExceptionGroup("of a nursery", [OSError(errno.ENOSPC, ""), ValueError("a bug")])
    assert readable(bug) is bug
