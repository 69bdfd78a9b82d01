"""What commands have changed comes into the server's log: once, in order, with the time at which it was done."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.observe.events import event
from engine.runtime.trail import FILE, Trail


class Lines:
    """An output of the log that keeps what it takes."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, lines: list[bytes]) -> None:
        self.lines += lines

    def close(self) -> None:
        pass

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Iterator[Lines]:
    from engine.observe.outputs import StandardError

    lines = Lines()
    event.to([lines])
    yield lines
    event.to([StandardError()])


def test_events_come_once_and_in_order(tmp_path: Path, log: Lines) -> None:
    trail = Trail(tmp_path)
    assert trail.read_out() == 0
    trail.leave("account-added", address="ann@example.org", by="root", admin=None)
    trail.leave("account-removed", address="ann@example.org", by="root")
    assert (trail.read_out(), trail.read_out()) == (2, 0)
    first, second = log.events
    assert (first["event"], first["by"], first["process"], "admin" in first) == (
        "account-added",
        "root",
        "command",
        False,
    )
    assert second["event"] == "account-removed"
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_what_is_being_left_is_read_later(tmp_path: Path, log: Lines) -> None:
    trail = Trail(tmp_path)
    trail.leave("domain-added", domain="example.org", by="root")
    descriptor = os.open(tmp_path / FILE, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        trail.read_out()
    os.close(descriptor)
    assert trail.read_out() == 1


def test_a_line_that_was_cut_off_keeps_no_other_away(tmp_path: Path, log: Lines) -> None:
    trail = Trail(tmp_path)
    trail.leave("domain-added", domain="example.org", by="root")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"event":"dom\n[]\n')
    trail.leave("domain-removed", domain="example.org", by="root")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"event":"acc')
    assert trail.read_out() == 2
    assert [one["event"] for one in log.events] == ["domain-added", "domain-removed"]


def test_no_link_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Trail(tmp_path).leave("domain-added", domain="example.org", by="root")


def test_the_server_reads_each_second_and_says_once_that_it_cannot(
    tmp_path: Path, log: Lines, autojump_clock: trio.testing.MockClock
) -> None:
    trail = Trail(tmp_path)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trail.run)
            await trio.sleep(1.5)
            trail.leave("domain-added", domain="example.org", by="root")
            await trio.sleep(1)
            (tmp_path / FILE).unlink()
            (tmp_path / FILE).symlink_to(tmp_path / "directory")
            (tmp_path / "directory").mkdir()
            await trio.sleep(3)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=autojump_clock)
    assert [one["event"] for one in log.events] == ["domain-added", "trail-unread"]
