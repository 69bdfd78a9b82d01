"""docs/operating.md: what is to be done at three in the morning is done here, command by command, and loses nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks, sections

from tests.support.load import subjects
from tests.support.server import Postroad, letter

PAGE = ROOT / "docs" / "operating.md"
BOB = "bob@example.org"
LARGE = "line\r\n" * 50_000
SYSTEMCTL = {"systemctl stop postroad": Postroad.stop, "systemctl start postroad": Postroad.start}

ELSEWHERE = (
    "make compiled", "postroad arc seal", "postroad reports show", "postroad dkim", "postroad sieve",
    "postroad mailbox", "postroad folder", "postroad revision", "postroad log",
)  # fmt: skip
"""What other tests try: `make test-compiled`; in tests/cli, test_{arc,reports,dkim,sieve,sharing}_command.py, and
test_mailbox_ways.py; in tests/operations, test_revisions.py, test_trials.py and test_log.py."""


def commands(heading: str) -> list[str]:
    """The shell blocks below the heading."""
    return [block.text for block in blocks(PAGE, "sh") if block.text in sections(PAGE)[heading]]


class Machine:
    """A server, and folders that stand for those of the page."""

    def __init__(self, folder: Path, backup: Path) -> None:
        self.server = Postroad(folder, {"server": {"workers": 1}, "queue": {"in_flight": 0}})
        self._folders = {"/var/lib/postroad": folder / "var", "/srv/backup": backup, "/srv/larger": folder / "larger"}
        for path in self._folders.values():
            path.mkdir(exist_ok=True)
        program = folder / "bin" / "postroad"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m engine --config {folder}/pipeline.toml "$@"\n')
        program.chmod(0o755)
        path_ = f"{program.parent}:{os.environ['PATH']}"
        self._environment = os.environ | {"PATH": path_, "PYTHONPATH": str(ROOT)}

    def obey(self, block: str) -> str:
        """Do what the block says; what it prints."""
        for name, path in self._folders.items():
            block = block.replace(name, str(path))
        return "".join(self._line(line) for line in block.splitlines())

    def _line(self, line: str) -> str:
        if line in SYSTEMCTL:
            SYSTEMCTL[line](self.server)
            return ""
        done = subprocess.run(
            ["/bin/sh", "-ec", line], env=self._environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    def queue(self) -> int:
        return self.server.command("queue", "list").stdout.count("\n")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With an account that has a message, and two messages in the queue."""
    (tmp_path / "here").mkdir()
    machine = Machine(tmp_path / "here", tmp_path / "backup")
    server = machine.server.account(BOB)
    server.change({"queue": {"in_flight": None}})
    with server:
        server.send(letter("delivered", LARGE), BOB)
        server.mail_for(BOB)
        server.change({"queue": {"in_flight": 0}})
        assert server.reload().returncode == 0
        server.send(letter("small"), BOB)
        server.send(letter("large", LARGE), BOB)
        yield machine


def test_backup_restore_move_and_a_full_disk(machine: Machine, tmp_path: Path) -> None:
    snapshot, backup = commands("Backup")
    everything, queue = commands("Restore")
    away, there = commands("Move the queue to another machine")
    look, larger, shrink = commands("The disk is full")
    server, saved = machine.server, tmp_path / "backup"

    machine.obey(snapshot)
    (taken,) = saved.glob("queue-*.tar.gz")
    taken.rename(saved / "queue.tar.gz")
    machine.obey(backup)
    machine.obey(everything)
    assert (machine.queue(), subjects(server.mail_for(BOB))) == (2, ["delivered"])

    assert "example.org\t2\t" in machine.obey(look)
    machine.obey(larger)
    assert (tmp_path / "here" / "larger" / "var" / "queue").is_dir()
    machine.obey(shrink)
    assert machine.queue() == 2

    server.stop()
    for name in ("queue", "content"):
        (tmp_path / "here" / "var" / name).rename(tmp_path / name)
    machine.obey(queue.removeprefix("systemctl stop postroad\n"))
    assert machine.queue() == 2

    machine.obey(away)
    (tmp_path / "there").mkdir()
    other = Machine(tmp_path / "there", saved)
    other.server.account(BOB).change({"queue": {"in_flight": None}})
    try:
        other.obey(there)
        assert sorted(subjects(other.server.mail_for(BOB, 2))) == ["large", "small"]
    finally:
        other.server.kill()


def test_no_block_is_left_out() -> None:
    tried = ("Backup", "Restore", "Move the queue to another machine", "The disk is full")
    others = {block.text for block in blocks(PAGE, "sh")} - {text for heading in tried for text in commands(heading)}
    assert all(any(command in text for command in ELSEWHERE) for text in others)
