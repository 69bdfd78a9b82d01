"""What somebody has changed is kept, and found again: by kind, by whom, and page by page."""

import os
from pathlib import Path

from engine.runtime.changes import Changes
from engine.runtime.trail import Trail


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0  # in November 2023

    def __call__(self) -> float:
        return self.now


def kept(tmp_path: Path, clock: Clock | None = None) -> Changes:
    return Changes(tmp_path, clock or Clock())


def test_a_change_is_told_and_kept(tmp_path: Path) -> None:
    told = []
    changes = kept(tmp_path)
    note = changes.note(lambda name, **values: told.append((name, values)))
    before = changes.state
    note("account-added", by="ann@example.org", address="bob@example.org", admin=None)
    assert told == [("account-added", {"by": "ann@example.org", "address": "bob@example.org", "admin": None})]
    assert changes.state != before
    (found,) = changes.search(lambda _: True, 10).changes
    assert (found.kind, found.by, found.values) == ("account-added", "ann@example.org", {"address": "bob@example.org"})
    assert found.time == 1_700_000_000.0


def test_they_come_the_newest_first_over_months_and_in_pages(tmp_path: Path) -> None:
    clock = Clock()
    changes = kept(tmp_path, clock)
    note = changes.note(lambda *_, **__: None)
    for number in range(1000):
        clock.now += 86_400 / 10
        note("quota-set", by="ann@example.org", name=f"user{number}@example.org", text="x" * 300)
    assert len(list((tmp_path / "changes").iterdir())) == 4
    names, before = [], ""
    while True:
        found = changes.search(lambda _: True, 7, before)
        names += [one.values["name"] for one in found.changes]
        if not (before := found.rest):
            break
    assert names == [f"user{number}@example.org" for number in reversed(range(1000))]
    some = changes.search(lambda one: one.values["name"].startswith("user99"), 50).changes
    assert [one.values["name"] for one in some][:2] == ["user999@example.org", "user998@example.org"]
    assert len(some) == 11


def test_what_strangers_write_into_an_address_finds_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    changes = kept(tmp_path)
    changes.note(lambda *_, **__: None)("x", by="me")
    for before in ("x", "9999-99.jsonl:5", "../../etc/passwd:10", "2023-11.jsonl:", "2023-11.jsonl:x", ":"):
        assert len(changes.search(lambda _: True, 5, before).changes) <= 1


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    changes = kept(tmp_path)
    note = changes.note(lambda *_, **__: None)
    note("first", by="me")
    with next((tmp_path / "changes").iterdir()).open("a") as file:
        file.write('{"time": 1, "ev\n[]\n{"time": "x", "event": "y"}\n')
    note("second", by="me")
    assert [one.kind for one in changes.search(lambda _: True, 9).changes] == ["second", "first"]


def test_what_the_disk_does_not_take_undoes_nothing(tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "changes").write_text("no folder")
    done = []
    kept(tmp_path).note(lambda name, **_: done.append(name))("account-added", by="me")
    assert done == ["account-added"]
    assert '"event":"changes-not-kept"' in capfd.readouterr().err


def test_what_commands_leave_is_kept_too(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    trail.leave("domain-added", by="root", domain="example.net")
    assert trail.read_out() == 1
    (found,) = Changes(tmp_path).search(lambda _: True, 9).changes
    assert (found.kind, found.by, found.values) == ("domain-added", "root", {"domain": "example.net"})
    assert os.stat(next((tmp_path / "changes").iterdir())).st_mode & 0o777 == 0o600
