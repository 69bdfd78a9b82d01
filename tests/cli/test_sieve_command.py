"""`postroad sieve`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main

LETTER = "From: Ann <ann@example.net>\nTo: bob@example.org\nSubject: [club] Meeting\n\nTomorrow.\n"
SORTING = 'require ["fileinto", "variables"];\nif header :matches "subject" "[*] *" {\n\tfileinto "${1}";\n}\n'


@pytest.fixture
def sieve(tmp_path: Path):
    (tmp_path / "letter.eml").write_text(LETTER)

    def sieve(command: str, script: str, *options: str) -> Result:
        path = tmp_path / "script.sieve"
        path.write_text(script)
        message = [str(tmp_path / "letter.eml")] * (command == "test")
        return CliRunner().invoke(main, ["sieve", command, str(path), *message, *options])

    return sieve


def test_a_good_script(sieve) -> None:
    result = sieve("check", SORTING)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("script.sieve is good. It uses fileinto, variables.\n")
    assert json.loads(sieve("check", SORTING, "--json").stdout) == {
        "good": True,
        "extensions": ["fileinto", "variables"],
    }
    assert "no extensions" in sieve("check", "keep;").stdout


def test_mistakes_with_their_places(sieve, tmp_path: Path) -> None:
    script = 'keep;\nif true {\n\tfileinto "x";\n}\nfrob;\n'
    result = sieve("check", script)
    assert (result.exit_code, result.stdout) == (1, "")
    path = tmp_path / "script.sieve"
    assert result.stderr == (
        "Error: 2 mistakes in the script.\n"
        f'{path}:3:2: `fileinto` needs require "fileinto"\n    \tfileinto "x";\n    \t^\n'
        f"{path}:5:1: no command is named `frob`\n    frob;\n    ^\n"
    )
    told = sieve("check", script, "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["mistakes"][0] == {
        "line": 3, "column": 2, "text": '`fileinto` needs require "fileinto"',
    }  # fmt: skip


def test_a_mistake_at_the_end(sieve) -> None:
    assert "script.sieve:1:5: `;` or a block" in sieve("check", "keep").stderr
    assert "script.sieve:2:1: `;` or a block" in sieve("check", "keep\n").stderr


def test_trying(sieve) -> None:
    result = sieve("test", SORTING)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "put it into club\n", "")
    assert json.loads(sieve("test", SORTING, "--json").stdout) == {
        "actions": [{"action": "fileinto", "folder": "club"}], "error": "",
    }  # fmt: skip


EVERYTHING = [
    ("keep;", "keep it in the inbox\n"),
    ("discard;", "discard it\n"),
    ('redirect "a@b.test";', "send it on to a@b.test\n"),
    ('require "reject"; reject "go away";', "refuse it: go away\n"),
    ('require "imap4flags"; keep :flags "\\\\Seen x";', "keep it in the inbox with the flags \\Seen x\n"),
    ('require ["fileinto", "mailbox"]; fileinto :create "a";', "put it into a, made if it is not there\n"),
    ('require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Junk" "a";',
     "put it into a (or the folder for \\Junk)\n"),
    ('require "editheader"; addheader "X" "y";',
     "keep it in the inbox with this header:\n    X: y\n    From: Ann <ann@example.net>\n"),
    ('require "vacation"; vacation "gone";',
     "answer ann@example.net, once in 604800 seconds:\n    From: bob@example.org\n"),
    ('require "enotify"; notify "mailto:a@b.test";', "tell a@b.test:\n    From: bob@example.org\n"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "said"), EVERYTHING)
def test_what_is_said_of_each_action(sieve, script: str, said: str) -> None:
    result = sieve("test", script)
    assert result.exit_code == 0
    assert result.stdout.startswith(said)
    assert json.loads(sieve("test", script, "--json").stdout)["actions"]


def test_envelope_and_folders(sieve) -> None:
    script = """require ["envelope", "mailbox"];
        if allof (envelope "from" "x@y.test", envelope "to" "z@y.test", mailboxexists "There") { discard; }"""
    assert sieve("test", script).stdout == "keep it in the inbox\n"
    options = ("--from", "<x@y.test>", "--to", "z@y.test", "--folder", "There")
    assert sieve("test", script, *options).stdout == "discard it\n"


def test_an_error_at_run_time(sieve) -> None:
    result = sieve("test", 'require "ihave";\nerror "not today";')
    assert (result.exit_code, result.stdout) == (1, "keep it in the inbox\n")
    assert result.stderr.endswith("script.sieve: stopped: not today\n")
    assert json.loads(sieve("test", 'require "ihave"; error "no";', "--json").stdout)["error"] == "no"


def test_included_scripts(sieve, tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "spam.sieve").write_text("discard;")
    script = 'require "include"; include :global "spam";'
    assert sieve("test", script, "--include", str(folder)).stdout == "discard it\n"
    assert sieve("test", script).exit_code == 1
    (folder / "spam.sieve").write_text("discard")
    assert "spam.sieve:1:8" in sieve("test", script, "--include", str(folder)).stderr


def test_files_that_cannot_be_used(sieve) -> None:
    assert CliRunner().invoke(main, ["sieve", "check", "/nowhere.sieve"]).exit_code == 2
    assert sieve("test", "keep").exit_code == 1
