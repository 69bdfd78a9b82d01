"""`postroad account role`: roles are given, listed and taken."""

import json

import pytest
from click.testing import CliRunner

from engine.cli import opening
from engine.cli.account import account
from engine.directory import Embedded

ANN = "ann@example.org"


@pytest.fixture
def run(tmp_path, monkeypatch):
    def opened(_):
        return Embedded.open(tmp_path / "directory", ["example.org"])

    monkeypatch.setattr(opening, "open_directory", opened)
    with opened(None) as directory:
        directory.add_account(ANN)

    def run(*arguments):
        return CliRunner().invoke(account, ["role", *arguments], obj=tmp_path / "pipeline.toml")

    return run


def test_roles_come_and_go(run):
    assert run("add", ANN, "owner").output == f"{ANN} has the roles owner.\n"
    run("add", ANN, "Administrator@Example.ORG", "owner")
    assert json.loads(run("list", "--json").output) == [
        {"address": ANN, "roles": ["owner", "administrator@example.org"]}
    ]
    assert run("remove", ANN, "owner").output == f"{ANN} has the roles administrator@example.org.\n"
    assert run("remove", ANN, "administrator@example.org").output == f"{ANN} has no role.\n"
    assert json.loads(run("list", "--json").output) == []


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("add", ANN, "root"), 2, "'root' is no role; there are owner, administrator, auditor, helpdesk"),
        (("add", ANN, "administrator"), 2, "say for which domain"),
        (("add", ANN, "owner@example.org"), 2, "write it without a domain"),
        (("remove", ANN, "owner"), 1, "does not have the role owner"),
        (("add", "bob@example.org", "owner"), 1, "no such account"),
    ],
)
def test_mistakes(run, arguments, code, why):
    result = run(*arguments)
    assert result.exit_code == code
    assert why in result.output
