"""Accounts from a CSV file: every mistake is told, and a file that was broken off is given again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli.account import account
from engine.directory import Embedded, Limit
from engine.operations import importing
from engine.operations.importing import Imported, Sheet
from engine.operations.operator import Operator
from engine.operations.sheets import LineMistake
from tests.support.server import BASE, toml

ME = Operator("me")

FILE = (
    "address,password,admin,size,messages,send_as,aliases,groups\r\n"
    '"Ann@Example.org","correct horse, battery",yes,5GB,,@example.org,'
    '"info@example.org sales@example.org",staff@example.org\r\n'
    "\r\n"
    "bob@example.org,,,unlimited,1000,,,\r\n"
)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as opened:
        opened.add_group("staff@example.org")
        yield opened


def sheet(text: str) -> Sheet:
    return importing.parsed(text.splitlines(keepends=True))


def mistakes(directory: Embedded, text: str, by: Operator = ME) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in importing.checked(directory, by, sheet(text))]


def test_accounts_come_with_all_that_the_file_says(directory: Embedded) -> None:
    assert mistakes(directory, FILE) == []
    assert importing.planned(directory, sheet(FILE)) == Imported(added=2, there=0)
    assert directory.accounts() == []
    assert importing.take_in(directory, ME, sheet(FILE)) == Imported(added=2, there=0)
    ann, bob = directory.accounts()
    assert (ann.address, ann.admin, ann.limit, ann.send_as) == (
        "ann@example.org", True, Limit(5_000_000_000, None), ("@example.org",),
    )  # fmt: skip
    assert directory.verify("ann@example.org", "correct horse, battery") == ann
    assert (bob.has_password, bob.limit) == (False, Limit(0, 1000))
    assert [(one.address, one.targets) for one in directory.aliases()] == [
        ("info@example.org", ("ann@example.org",)),
        ("sales@example.org", ("ann@example.org",)),
    ]
    assert directory.groups()[0].targets == ("ann@example.org",)


def test_given_again_it_adds_only_what_is_missing(directory: Embedded) -> None:
    """As after an end of power: of the accounts in the file one is there, and not all that it is to have."""
    before = directory.add_account("ann@example.org", "another password")
    directory.limit("ann@example.org", Limit(1, 1))
    directory.add_alias("info@example.org", ["ann@example.org"])
    assert mistakes(directory, FILE) == []
    assert importing.take_in(directory, ME, sheet(FILE)) == Imported(added=1, there=1)
    ann = directory.account("ann@example.org")
    assert ann is not None
    assert (ann.id, ann.limit, ann.admin) == (before.id, Limit(1, 1), True)
    assert directory.verify("ann@example.org", "another password")
    assert len(directory.aliases()) == 2
    state = directory.state
    assert importing.take_in(directory, ME, sheet(FILE)) == Imported(added=0, there=2)
    assert directory.state == state, "a third time changes nothing"


def test_it_stops_when_its_time_is_over_and_says_what_is_left(directory: Embedded) -> None:
    assert importing.take_in(directory, ME, sheet(FILE), seconds=0) == Imported(added=0, there=0, left=2)


def test_all_mistakes_are_told_together_by_their_lines(directory: Embedded) -> None:
    directory.add_account("old@example.org")
    directory.add_alias("info@example.org", ["old@example.org"])
    found = mistakes(
        directory,
        "address,admin,size,aliases,groups\n"
        "bob,,,,\n"
        "ann@example.com,,,,\n"
        "ann@example.org,perhaps,,,\n"
        "ann@example.org,,much,,\n"
        "ann@example.org,,,old@example.org info@example.org,\n"
        "eve@example.org,,,ann@example.org,nobody@example.org\n"
        "staff@example.org,,,,\n"
        "dan@example.org,,,dan@example.org,\n"
        "too,many,fields,in,this,line\n",
    )
    assert [(line, text.split(";")[0]) for line, text in found] == [
        (2, "'bob' is no address"),
        (3, "example.com is no local domain"),
        (4, 'admin: \'perhaps\' is neither "yes" nor "no"'),
        (5, "size: 'much' is no size"),
        (6, "old@example.org is there already, and does not stand for ann@example.org alone"),
        (6, "info@example.org is there already, and does not stand for ann@example.org alone"),
        (7, "ann@example.org stands in line 6 already"),
        (7, "there is no group nobody@example.org"),
        (8, "there is an alias or a group staff@example.org already"),
        (9, "dan@example.org stands in line 9 already"),
        (10, "6 fields, where the first line names 5"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'must name the columns, "address"'),
        ("ann@example.org\n", "there is no column 'ann@example.org'"),
        ("address,address\n", "stands there twice"),
        ("password\nsecret\n", 'must name the columns, "address"'),
        ('address\n"ann@example.org\n', "unexpected end of data"),
        ('address\n"ann"@example.org\n', "expected after"),
    ],
)
def test_a_file_that_is_none(directory: Embedded, text: str, said: str) -> None:
    assert said in "".join(text for _, text in mistakes(directory, text))


def test_spreadsheets_begin_a_file_with_a_mark(directory: Embedded) -> None:
    assert mistakes(directory, "\ufeffAddress\nann@example.org\n") == []


def test_who_may_touch_some_domains_alone_brings_no_accounts_elsewhere(directory: Embedded) -> None:
    directory.add_domain("example.net")
    by = Operator("theirs", frozenset({"example.net"}))
    text = (
        "address,aliases,send_as\nann@example.org,,\neve@example.net,info@example.org,\ndan@example.net,,@example.org\n"
    )
    assert [line for line, _ in mistakes(directory, text, by)] == [2, 3, 4]
    assert mistakes(directory, "address\neve@example.net\n", by) == []


def test_to_look_for_mistakes_makes_no_postmaster(directory: Embedded) -> None:
    assert mistakes(directory, "address\npostmaster@example.org\n") == []
    assert directory.accounts() == []


@pytest.fixture
def run(tmp_path: Path):
    def run(text: str | bytes, *options: str) -> Result:
        (tmp_path / "pipeline.toml").write_text(toml(BASE))
        file = tmp_path / "people.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return CliRunner().invoke(account, ["import", str(file), *options], obj=tmp_path / "pipeline.toml")

    return run


def test_the_command_tries_does_and_goes_on(run, tmp_path: Path) -> None:
    text = "address,aliases\nann@example.org,info@example.org\nbob@example.org,\n"
    assert run(text, "--dry-run").stdout == "2 accounts would be added.\n"
    assert run(text).stdout == "2 accounts added.\n"
    assert run(text + "eve@example.org,\n", "--json").stdout == json.dumps(
        {"added": 1, "there": 2, "dry_run": False}, indent=2
    ) + "\n"  # fmt: skip
    assert run(text).stdout == "0 accounts added, 2 were there.\n"
    with Embedded.open(tmp_path / "var" / "directory", ["example.org"]) as directory:
        assert [one.address for one in directory.accounts()] == [
            "ann@example.org", "bob@example.org", "eve@example.org",
        ]  # fmt: skip


def test_the_command_does_nothing_while_there_are_mistakes(run, tmp_path: Path) -> None:
    done = run("address,admin\nann@example.org,\nbob,\neve@example.org,perhaps\n")
    assert done.exit_code == 1
    assert [line.partition("people.csv:")[2][:2] for line in done.stderr.splitlines()[:2]] == ["3:", "4:"]
    assert done.stderr.endswith("2 mistakes; nothing was changed\n")
    with Embedded.open(tmp_path / "var" / "directory", ["example.org"]) as directory:
        assert directory.accounts() == []
    assert run(b"address\n\xff\n").exit_code == 2


def test_mistakes_are_told_to_programs(run) -> None:
    done = run("address\nbob\n", "--json")
    assert [one["line"] for one in json.loads(done.stdout)["mistakes"]] == [2]


def test_a_line_break_in_a_field_is_no_line_of_the_file(directory: Embedded) -> None:
    text = 'address,password\nann@example.org,"two\nlines"\nbob,\n'
    assert [LineMistake(line, "") for line, _ in mistakes(directory, text)] == [LineMistake(4, "")]
