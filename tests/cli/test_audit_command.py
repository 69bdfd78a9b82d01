"""`postroad audit`: what it shows, verifies and exports, and exits with."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.oversight import Oversight


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(
        '[server]\nhostname = "mx.example.org"\n[domains]\nlocal = ["example.org"]\n'
        '[listen]\nsmtp = "127.0.0.1:0"\n[lane.inbound]\nstages = ["accept", "queue", "route"]\n'
        '[lane.local]\nstages = ["enqueue"]\n[[route]]\nto = "*"\nlane = "local"\n'
    )
    with Oversight.open(tmp_path / "var") as log:
        log.write("searched", "auditor@example.org", ["ann@example.org"], query="offer\x1b[31m")
        log.write("message-opened", "auditor@example.org", ["ann@example.org"], uid=7)
    return tmp_path


def audit(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), "audit", *arguments])


def test_the_last_entries_are_listed(folder: Path) -> None:
    lines = audit(folder, "list").output.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["2", "1"]
    assert lines[0].split("\t")[2:] == ["auditor@example.org", "message-opened", "ann@example.org", "uid=7"]
    assert "\x1b" not in lines[1]
    found = json.loads(audit(folder, "list", "--what", "searched", "--json").output)
    assert [(one["number"], one["details"]["query"]) for one in found] == [(1, "offer\x1b[31m")]
    assert audit(folder, "list", "--about", "bob@example.org").output == ""


def test_an_export_can_be_verified_by_itself(folder: Path, tmp_path: Path) -> None:
    done = audit(folder, "verify")
    assert done.exit_code == 0
    assert done.output.startswith("2 entries, each as it was written. The last: 2:")
    seen = done.output.split()[-1]
    assert audit(folder, "verify", "--seen", seen).exit_code == 0
    file = tmp_path / "audit.jsonl"
    file.write_text(audit(folder, "export").output)
    assert audit(folder, "verify", str(file), "--seen", seen).output == done.output
    file.write_text(file.read_text().replace("ann@", "eve@"))
    done = audit(folder, "verify", str(file), "--seen", seen)
    assert done.exit_code == 1
    assert "entry 2 does not follow" in done.output
    assert "the log is not as it was written" in done.output
    assert json.loads(audit(folder, "export", "--after", "1").output)["number"] == 2


def test_what_was_seen_is_written_as_it_was_shown(folder: Path) -> None:
    done = audit(folder, "verify", "--seen", "2:abc")
    assert done.exit_code == 2
    assert "NUMBER:HASH" in done.output
