"""The commands `account`, `domain` and `alias`: what they do, say, and exit with."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from engine.cli import opening
from engine.cli.account import account
from engine.cli.alias import alias
from engine.cli.domain import domain
from engine.cli.group import group
from engine.config import Login
from engine.directory import Embedded, passwords
from engine.lists import Lists
from engine.login import Guard
from engine.protocols import scram

PASSWORD = "correct horse"

PROGRAM = """
import sys
from pathlib import Path
import click
from engine.cli import opening
from engine.cli.account import account
from engine.cli.domain import domain
from engine.directory import Embedded, passwords

@click.group()
@click.option("--config", type=click.Path(path_type=Path))
@click.pass_context
def main(ctx, config):
    ctx.obj = config

main.add_command(account)
main.add_command(domain)
opening.open_directory = lambda ctx: Embedded.open(ctx.obj.parent / "directory", ["example.org"])
main()
"""


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "open_directory", lambda ctx: reopened(ctx.obj))
    monkeypatch.setattr("engine.cli.account.erasing.erase", lambda _, account: f"Erased all of {account}.")
    monkeypatch.setattr(opening, "lists", lambda ctx: Lists.open(ctx.obj.parent))
    monkeypatch.setattr(opening, "open_guard", lambda ctx: Guard.open(ctx.obj.parent / "logins", Login()))


def reopened(config: Path) -> Embedded:
    return Embedded.open(config.parent / "directory", ["example.org"])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.toml"


@pytest.fixture
def run(config: Path):
    def run(group: click.Group, *arguments: str, stdin: str | bytes = "") -> Result:
        result = CliRunner().invoke(group, arguments, input=stdin, obj=config)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def added(run: Any, address: str, *options: str, password: str = PASSWORD + "\n") -> Result:
    return run(account, "add", address, "--password-stdin", *options, stdin=password)


# account


def test_an_account_is_added_and_can_log_in(run: Any, config: Path) -> None:
    result = added(run, "Bob@Example.org")
    assert (result.exit_code, result.output) == (0, "Added the account bob@example.org.\n")
    with reopened(config) as directory:
        assert directory.verify("bob@example.org", PASSWORD)


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_a_password_keeps_its_spaces(run: Any, config: Path, line_end: str) -> None:
    assert added(run, "bob@example.org", password=f"  spaced out {line_end}").exit_code == 0
    with reopened(config) as directory:
        assert directory.verify("bob@example.org", "  spaced out ")


def test_a_short_password_is_warned_about(run: Any) -> None:
    result = added(run, "bob@example.org", password="sesame\n")
    assert result.exit_code == 0
    assert result.stderr == "Warning: the password has fewer than 8 characters.\n"
    assert "sesame" not in result.output


REFUSED = [
    ("bob@example.org", PASSWORD, 1, "Error: there is an account bob@example.org already"),
    ("new@elsewhere.test", PASSWORD, 1, "postroad domain add elsewhere.test"),
    ("new", PASSWORD, 2, "'new' is no address"),
    ("a b@example.org", PASSWORD, 2, "invalid characters"),
    ("new@example.org", "", 2, "the password is empty"),
    ("new@example.org", "\n", 2, "the password is empty"),
    ("new@example.org", "two\nlines of it\n", 2, "control character"),
    ("new@example.org", b"\xff\xfe-bytes", 2, "no UTF-8"),
]


@pytest.mark.parametrize(("address", "password", "code", "text"), REFUSED)
def test_accounts_that_are_not_added(
    run: Any, config: Path, *, address: str, password: str | bytes, code: int, text: str
) -> None:
    added(run, "bob@example.org")
    result = run(account, "add", address, "--password-stdin", stdin=password)
    assert result.exit_code == code
    assert text in result.stderr
    assert PASSWORD not in result.output
    assert "lines of it" not in result.output
    with reopened(config) as directory:
        assert [found.address for found in directory.accounts()] == ["bob@example.org"]


def test_without_a_terminal_the_password_must_come_from_stdin(run: Any) -> None:
    result = run(account, "add", "bob@example.org", stdin=PASSWORD)
    assert result.exit_code == 2
    assert "--password-stdin" in result.stderr


def test_the_list(run: Any, config: Path) -> None:
    added(run, "zoe@example.org", "--admin")
    with reopened(config) as directory:
        directory.add_account("ann@example.org")
        directory.add_domain("gone.test")
        directory.add_account("joe@gone.test", PASSWORD)
        directory.remove_domain("gone.test", force=True)
        created = {found.address: found.created for found in directory.accounts()}
    plain = run(account, "list")
    assert plain.exit_code == 0
    assert [line.split("\t")[::3] for line in plain.output.splitlines()] == [
        ["ann@example.org", "no password"],
        ["zoe@example.org", "admin"],
        ["joe@gone.test", "domain not local"],
    ]
    rows = json.loads(run(account, "list", "--json").output)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created["zoe@example.org"]))
    assert rows[1] == {
        "address": "zoe@example.org",
        "id": 1,
        "created": stamp,
        "admin": True,
        "has_password": True,
        "has_totp": False,
        "send_as": [],
        "on_behalf": [],
        "domain_is_local": True,
        "state": ["admin"],
    }
    assert "argon2" not in plain.output + json.dumps(rows)


def test_an_empty_list(run: Any) -> None:
    assert (run(account, "list").exit_code, run(account, "list").output) == (0, "")
    assert json.loads(run(account, "list", "--json").output) == []


def test_removing(run: Any) -> None:
    added(run, "bob@example.org")
    result = run(account, "remove", "bob@example.org")
    assert result.exit_code == 0
    assert "number 1" in result.output
    assert "Erased all of 1." in result.output
    result = run(account, "remove", "bob@example.org")
    assert result.exit_code == 1
    assert "no such account: bob@example.org" in result.stderr


def test_passwd(run: Any, config: Path) -> None:
    added(run, "bob@example.org")
    result = run(account, "passwd", "bob@example.org", "--password-stdin", stdin="another one\n")
    assert (result.exit_code, result.output) == (0, "Set the password of bob@example.org.\n")
    with reopened(config) as directory:
        assert directory.verify("bob@example.org", PASSWORD) is None
        assert directory.verify("bob@example.org", "another one")
    assert run(account, "passwd", "no@example.org", "--password-stdin", stdin=PASSWORD).exit_code == 1
    assert run(account, "passwd", "bob@example.org", "--password-stdin", stdin="").exit_code == 2


def test_admin(run: Any, config: Path) -> None:
    added(run, "bob@example.org")
    for options, is_admin in (((), True), (("--revoke",), False)):
        assert run(account, "admin", "bob@example.org", *options).exit_code == 0
        with reopened(config) as directory:
            found = directory.account("bob@example.org")
            assert found
            assert found.admin is is_admin
    assert run(account, "admin", "no@example.org").exit_code == 1


# domain


def test_domains(run: Any) -> None:
    assert run(domain, "add", "Bücher.example").output == "Added the domain xn--bcher-kva.example.\n"
    assert run(domain, "list").output == "example.org\tpipeline.toml\nxn--bcher-kva.example\tadded\n"
    assert json.loads(run(domain, "list", "--json").output)[1] == {"domain": "xn--bcher-kva.example", "source": "added"}
    assert run(domain, "remove", "BÜCHER.example").output == "Removed the domain xn--bcher-kva.example.\n"
    assert run(domain, "list").output == "example.org\tpipeline.toml\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("add", "example.org"), 1, "local already, by [domains] local"),
        (("add", "added.test"), 1, "added.test is local already"),
        (("add", "not a domain"), 2, "is no domain name"),
        (("remove", "example.org"), 1, "remove it there"),
        (("remove", "other.test"), 1, "no such domain"),
        (("remove", "added.test"), 1, "--force"),
        (("add",), 2, "Missing argument 'DOMAIN'"),
    ],
)
def test_domains_that_are_not_changed(run: Any, arguments: tuple[str, ...], code: int, text: str) -> None:
    run(domain, "add", "added.test")
    added(run, "bob@added.test")
    before = run(domain, "list").output
    result = run(domain, *arguments)
    assert result.exit_code == code
    assert text in result.stderr
    assert run(domain, "list").output == before


def test_force_closes_a_domain(run: Any) -> None:
    run(domain, "add", "added.test")
    added(run, "bob@added.test")
    assert run(domain, "remove", "added.test", "--force").exit_code == 0
    assert run(account, "list").output.rstrip().endswith("domain not local")


def test_a_domain_that_stays_local_is_said_to_be(run: Any, config: Path) -> None:
    with Embedded.open(config.parent / "directory") as directory:  # before it came into pipeline.toml
        directory.add_domain("example.org")
    added(run, "bob@example.org")
    assert "stays local" in run(domain, "remove", "example.org").output


# alias


def test_aliases(run: Any, config: Path) -> None:
    added(run, "bob@example.org")
    result = run(alias, "add", "sales@example.org", "bob@example.org", "Ann@elsewhere.test")
    assert result.exit_code == 0
    assert result.output == "Added the alias sales@example.org for bob@example.org, Ann@elsewhere.test.\n"
    assert run(alias, "add", "@example.org", "bob@example.org").exit_code == 0
    assert run(alias, "list").output == (
        "@example.org\tbob@example.org\nsales@example.org\tbob@example.org, Ann@elsewhere.test\n"
    )
    assert json.loads(run(alias, "list", "--json").output) == [
        {"alias": "@example.org", "targets": ["bob@example.org"]},
        {"alias": "sales@example.org", "targets": ["bob@example.org", "Ann@elsewhere.test"]},
    ]
    assert run(alias, "remove", "Sales@example.org").output == "Removed the alias sales@example.org.\n"
    assert run(alias, "remove", "@example.org").exit_code == 0
    assert run(alias, "list").output == ""


def test_a_target_that_does_not_exist_yet_is_warned_about(run: Any) -> None:
    result = run(alias, "add", "sales@example.org", "nobody@example.org", "x@elsewhere.test")
    assert result.exit_code == 0
    assert result.stderr == "Warning: there is no nobody@example.org here yet.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("add", "sales@example.org", "x@y.test"), 1, "an alias sales@example.org already"),
        (("add", "sales@elsewhere.test", "x@y.test"), 1, "postroad domain add elsewhere.test"),
        (("add", "new@example.org", "nobody"), 2, "'nobody' is no address"),
        (("add", "new@example.org", "new@example.org"), 2, "stands for itself"),
        (("add", "new@example.org"), 2, "Missing argument 'TARGET...'"),
        (("remove", "new@example.org"), 1, "no such alias"),
    ],
)
def test_aliases_that_are_not_changed(run: Any, arguments: tuple[str, ...], code: int, text: str) -> None:
    run(alias, "add", "sales@example.org", "x@y.test")
    result = run(alias, *arguments)
    assert result.exit_code == code
    assert text in result.stderr
    assert run(alias, "list").output == "sales@example.org\tx@y.test\n"


# group


def test_groups_come_and_go_and_so_do_their_members(run: Any) -> None:
    added(run, "bob@example.org")
    result = run(group, "add", "Team@example.org", "Bob@example.org", "nobody@example.org")
    assert result.stdout == "Added the group team@example.org.\n"
    assert result.stderr == "Warning: there is no nobody@example.org here yet.\n"
    changed = run(
        group, "members", "team@example.org", "--add", "x@y.test", "--add", "no@example.org",
        "--remove", "nobody@example.org",
    )  # fmt: skip
    assert changed.stdout == "Bob@example.org\nx@y.test\nno@example.org\n"
    assert changed.stderr == "Warning: there is no no@example.org here yet.\n"
    assert run(group, "list").output == "team@example.org\tBob@example.org, x@y.test, no@example.org\tanybody\t\n"
    shown = run(group, "members", "team@example.org", "--json")
    assert json.loads(shown.output) == [
        {"member": member} for member in ("Bob@example.org", "x@y.test", "no@example.org")
    ]
    assert run(group, "remove", "team@example.org").output == "Removed the group team@example.org.\n"
    gone = run(group, "members", "team@example.org")
    assert (gone.exit_code, "no such group" in gone.stderr) == (1, True)


# grant


def test_names_to_send_in_are_granted_and_taken_back(run: Any) -> None:
    added(run, "bob@example.org")
    granted = run(account, "grant", "bob@example.org", "Info@example.org", "@Partner.test")
    assert granted.output == "bob@example.org may send as itself, info@example.org, @partner.test.\n"
    assert json.loads(run(account, "list", "--json").output)[0]["send_as"] == ["info@example.org", "@partner.test"]
    assert run(account, "grant", "bob@example.org", "info@example.org", "--revoke").exit_code == 0
    revoked = run(account, "grant", "bob@example.org", "@partner.test", "--revoke")
    assert revoked.output == "bob@example.org may send as itself.\n"
    again = run(account, "grant", "bob@example.org", "@partner.test", "--revoke")
    assert (again.exit_code, "was not granted" in again.stderr) == (1, True)


# Passwords for a database


def test_what_a_database_is_to_have_of_a_password(run: Any) -> None:
    result = run(account, "hash", "--password-stdin", stdin=PASSWORD + "\n")
    hashed, verifier = result.output.splitlines()
    assert passwords.matches(hashed, PASSWORD)
    keys = scram.parse_verifier(verifier)
    assert keys.keys == (scram.key(PASSWORD, keys.salt, keys.iterations),)
    assert run(account, "hash", "--password-stdin", stdin=PASSWORD).output.splitlines()[1] != verifier


# The configuration


def test_a_store_that_cannot_be_opened(run: Any, config: Path) -> None:
    (config.parent / "directory").write_text("in the way")
    result = run(account, "list")
    assert result.exit_code == 1
    assert "cannot open the store" in result.stderr


def test_a_configuration_that_cannot_be_read_exits_with_2(
    run: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    result = run(account, "list")
    assert result.exit_code == 2
    assert "pipeline.toml" in result.stderr


# Real processes


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "--config", str(config), *arguments]


def test_a_running_server_sees_what_the_command_changed(config: Path) -> None:
    with reopened(config) as directory:
        assert directory.find("bob@example.org") is None
        done = subprocess.run(
            command(config, "account", "add", "bob@example.org", "--password-stdin"),
            input=PASSWORD,
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "Added the account bob@example.org.\n", "")
        assert directory.verify("bob@example.org", PASSWORD)


def dialog(argv: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run ``argv`` on a terminal, give each answer when its prompt appears; exit code and what was on the screen."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(argv[0], argv)
    screen, seen = "", 0
    deadline = time.monotonic() + 60
    while True:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], screen
        try:
            octets = os.read(terminal, 4096)
        except OSError:  # Linux: the child has gone
            break
        screen += octets.decode()
        while answers and answers[0][0] in screen[seen:]:
            prompt, answer = answers.pop(0)
            seen = screen.index(prompt, seen) + len(prompt)
            os.write(terminal, answer.encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen


def test_a_terminal_is_asked_twice_and_shows_no_password(config: Path) -> None:
    code, screen = dialog(
        command(config, "account", "add", "bob@example.org"),
        [
            ("Password:", PASSWORD + "\n"),
            ("Again:", "mistyped\n"),
            ("Password:", PASSWORD + "\n"),
            ("Again:", PASSWORD + "\n"),
        ],
    )
    assert code == 0, screen
    assert "do not match" in screen
    assert "Added the account bob@example.org." in screen
    assert PASSWORD not in screen
    with reopened(config) as directory:
        assert directory.verify("bob@example.org", PASSWORD)


def test_a_terminal_gets_a_table(config: Path) -> None:
    code, screen = dialog(command(config, "domain", "list"), [])
    assert code == 0, screen
    lines = [line.split() for line in click.unstyle(screen).splitlines() if line.strip()]
    assert lines == [["domain", "source"], ["example.org", "pipeline.toml"]]


# app passwords


def test_an_app_password_is_shown_once_listed_and_revoked(run: Any, config: Path) -> None:
    added(run, "bob@example.org")
    made = run(account, "app-password", "add", "bob@example.org", "phone", "--scope", "smtp", "--scope", "pop3")
    assert made.exit_code == 0
    password = made.output.strip()
    with reopened(config) as directory:
        login = directory.verify_app_password("bob@example.org", password, "pop3")
        assert login
        assert login.app_password

    def listed() -> list[dict[str, Any]]:
        shown = run(account, "app-password", "list", "bob@example.org", "--json")
        assert password not in shown.output
        rows: list[dict[str, Any]] = json.loads(shown.output)
        return rows

    (row,) = listed()
    assert (row["name"], row["scopes"], row["last_used"]) == ("phone", ["smtp", "pop3"], "")
    with Guard.open(config.parent / "logins", Login()) as guard:
        guard.used(login.account.id, login.app_password.created)
    assert listed()[0]["last_used"].endswith("Z")
    assert run(account, "app-password", "revoke", "bob@example.org", "phone").exit_code == 0
    assert listed() == []
    again = run(account, "app-password", "revoke", "bob@example.org", "phone")
    assert (again.exit_code, again.stderr) == (
        1, "Error: no such app password: phone; postroad account app-password list shows those there are\n",
    )  # fmt: skip


def test_an_app_password_needs_an_account_and_a_name(run: Any) -> None:
    added(run, "bob@example.org")
    assert run(account, "app-password", "add", "eve@example.org", "phone").exit_code == 1
    assert run(account, "app-password", "add", "bob@example.org", " ").exit_code == 2
    assert run(account, "app-password", "add", "bob@example.org", "phone", "--scope", "web").exit_code == 2


def test_a_second_factor_is_given_and_taken(run: Any, config: Path) -> None:
    added(run, "bob@example.org")
    shown = run(account, "totp", "enable", "bob@example.org")
    assert shown.exit_code == 0
    assert shown.output.startswith("otpauth://totp/Postroad:bob%40example.org?secret=")
    assert json.loads(run(account, "list", "--json").output)[0]["has_totp"]
    assert (
        run(account, "totp", "disable", "bob@example.org").output == "bob@example.org has no second factor any more.\n"
    )
    assert not json.loads(run(account, "list", "--json").output)[0]["has_totp"]
    assert run(account, "totp", "enable", "eve@example.org").exit_code == 1
