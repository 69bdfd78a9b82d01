"""`postroad account suspend`, `group rule` and `quota forecast`, and that roles leave a trail."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.directory import Embedded, Limit
from engine.growth import Growth
from engine.operations import filling
from tests.support.server import BASE, toml

ANN, TEAM = "ann@example.org", "team@example.org"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(toml(BASE))
    with directory(tmp_path) as opened:
        opened.add_account(ANN)
        opened.add_group(TEAM, [ANN])
    return tmp_path


def directory(folder: Path) -> Embedded:
    return Embedded.open(folder / "var" / "directory", ["example.org"])


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), *words])


def test_an_account_is_suspended_and_can_be_used_again(folder: Path) -> None:
    done = run(folder, "account", "suspend", ANN)
    assert (done.exit_code, done.output) == (0, f"{ANN} is suspended.\n")
    assert "suspended" in run(folder, "account", "list").output
    with directory(folder) as opened:
        account = opened.account(ANN)
        assert account is not None
        assert account.suspended
    assert run(folder, "account", "suspend", ANN, "--lift").output == f"{ANN} is no longer suspended.\n"
    with directory(folder) as opened:
        account = opened.account(ANN)
        assert account is not None
        assert not account.suspended
    assert run(folder, "account", "suspend", "nobody@example.org").exit_code == 1


def test_who_may_write_to_a_group_and_who_owns_it(folder: Path) -> None:
    done = run(folder, "group", "rule", TEAM, "--posting", "members", "--owner", ANN)
    assert (done.exit_code, done.output) == (0, f"{TEAM}: members may write to it, owned by {ANN}.\n")
    assert run(folder, "group", "rule", TEAM, "--posting", "accounts").output.endswith(f"owned by {ANN}.\n")
    run(folder, "group", "members", TEAM, "--add", "bob@example.org")
    (row,) = json.loads(run(folder, "group", "list", "--json").output)
    assert (row["posting"], row["owners"]) == ("accounts", [ANN])
    assert row["members"] == [ANN, "bob@example.org"]
    assert run(folder, "group", "rule", TEAM, "--no-owner").output == f"{TEAM}: accounts may write to it.\n"
    assert run(folder, "group", "rule", TEAM, "--no-owner", "--owner", ANN).exit_code == 2
    assert run(folder, "group", "rule", TEAM, "--owner", "nobody@example.org").exit_code == 1
    assert run(folder, "group", "rule", "nobody@example.org").exit_code == 1


def test_roles_leave_a_trail(folder: Path) -> None:
    assert run(folder, "account", "role", "add", ANN, "owner").exit_code == 0
    assert run(folder, "account", "role", "remove", ANN, "owner").exit_code == 0
    lines = (folder / "var" / "trail.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines] == ["roles owner", "roles none"]


def test_who_will_be_full(folder: Path) -> None:
    assert "Nothing is known yet" in run(folder, "quota", "forecast").output
    with directory(folder) as opened, Growth.open(folder / "var") as growth:
        account = opened.account(ANN)
        assert account is not None
        opened.limit(ANN, Limit(2_000, None))
        for day in range(10):
            growth.note(filling.today() - 10 + day, {account.id: (day * 100, 1)})
    assert json.loads(run(folder, "quota", "forecast", "--json").output) == [
        {"address": ANN, "days": 11.0, "rests_on": 10}
    ]
    assert ANN in run(folder, "quota", "forecast").output
    assert json.loads(run(folder, "quota", "forecast", "--within", "10", "--json").output) == []
