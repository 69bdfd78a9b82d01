"""`postroad lists`: what it does, says, and exits with."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.directory import Embedded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(
        '[server]\nhostname = "mx.example.org"\n[domains]\nlocal = ["example.org"]\n'
        '[listen]\nsmtp = "127.0.0.1:0"\n[lane.inbound]\nstages = ["accept", "lists", "queue", "route"]\n'
        '[lane.local]\nstages = ["enqueue"]\n[[route]]\nto = "*"\nlane = "local"\n'
    )
    return tmp_path


def lists(folder: Path, *arguments: str, stdin: str = "", command: str = "lists") -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), command, *arguments], input=stdin)


EXPORTED = """block 192.0.2.0/24
allow ann@example.net
block evil.example @example.org
allow friend.example bob@example.org
"""


def test_entries_come_and_go(folder: Path) -> None:
    done = lists(folder, "allow", "Ann@Example.net")
    assert (done.exit_code, done.output) == (0, "Allowed ann@example.net.\n")
    done = lists(folder, "block", "192.0.2.7/24")
    assert done.output == "Blocked 192.0.2.0/24.\n"
    assert lists(folder, "block", "evil.example", "--domain", "example.org").exit_code == 0
    done = lists(folder, "allow", "friend.example", "--for", "bob@example.org")
    assert done.output == "Allowed friend.example for bob@example.org.\n"
    assert lists(folder, "list").output == "block\t192.0.2.0/24\t\nallow\tann@example.net\t\n"
    assert json.loads(lists(folder, "list", "--json", "--for", "bob@example.org").output) == [
        {"for": "bob@example.org", "word": "allow", "entry": "friend.example"}
    ]
    assert lists(folder, "list", "--all").output.count("\n") == 4
    assert lists(folder, "export").output == EXPORTED
    done = lists(folder, "remove", "ann@example.net", "no.example")
    assert (done.exit_code, done.output) == (1, "Removed ann@example.net.\nno.example is not there.\n")


def test_lists_come_from_a_file_all_or_none(folder: Path) -> None:
    done = lists(folder, "import", "-", stdin=f"# from elsewhere\n\n{EXPORTED}")
    assert (done.exit_code, done.output) == (0, "Added 4 entries.\n")
    assert lists(folder, "export").output == EXPORTED
    for wrong in ("allow", "perhaps example.net", "block no_such", "allow a.example b.example c"):
        done = lists(folder, "import", "-", stdin=f"block new.example\n{wrong}\n")
        assert done.exit_code == 2
        assert "line 2: " in done.output
    assert lists(folder, "export").output == EXPORTED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["allow", "no such"], "'no such' is no domain name"),
        (["block", "example.net", "--for", "bob"], "'bob' is no address"),
        (["block", "example.net", "--for", "bob@example.org", "--domain", "example.org"], "two lists"),
    ],
)
def test_wrong_words(folder: Path, arguments: list[str], text: str) -> None:
    done = lists(folder, *arguments)
    assert done.exit_code == 2
    assert text in done.output


def test_an_account_takes_its_list_with_it(folder: Path) -> None:
    with Embedded.open(folder / "var" / "directory", ["example.org"]) as directory:
        directory.add_account("bob@example.org")
    assert lists(folder, "block", "evil.example", "--for", "bob@example.org").exit_code == 0
    done = lists(folder, "remove", "bob@example.org", "--keep-mail", command="account")
    assert done.exit_code == 0, done.output
    assert lists(folder, "list", "--all").output == ""
