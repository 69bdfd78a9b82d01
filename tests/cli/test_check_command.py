"""`postroad check` as a person and as a program read it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.support.server import BASE, merged, toml


def check(folder: Path, changes: dict[str, Any], *options: str) -> Result:
    (folder / "pipeline.toml").write_text(toml(merged(BASE, changes)))
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), "check", *options])


SPARE = {"lane": {"spare": {"stages": ["resolve", "relay"]}}}


@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [({}, (), 0), ({}, ("--strict",), 0), (SPARE, (), 0), (SPARE, ("--strict",), 1)],
)
def test_warnings_count_when_they_are_to(
    tmp_path: Path, changes: dict[str, Any], options: tuple[str, ...], code: int
) -> None:
    done = check(tmp_path, changes, *options)
    assert done.exit_code == code
    assert "is good: lanes inbound, local, remote" in done.stdout
    warned = [line for line in done.stderr.splitlines() if ": warning: [lane.spare]: nothing leads here" in line]
    assert len(warned) == bool(changes)
    lines = (tmp_path / "pipeline.toml").read_text().splitlines()
    assert all(lines[int(one.split(":")[1]) - 1] == "[lane.spare]" for one in warned)


def test_for_programs(tmp_path: Path) -> None:
    done = check(tmp_path, SPARE, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["good"], found["problems"], found["care"]) == (0, True, [], [])
    assert [(one["place"], one["line"] > 0) for one in found["warnings"]] == [("[lane.spare]", True)]
    assert found["lanes"]["local"] == ["enqueue"]
    done = check(tmp_path, {"route": [{"to": "*", "lane": "nowhere"}]}, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["good"]) == (2, False)
    assert "there is no lane nowhere" in found["problems"][0]["text"]
