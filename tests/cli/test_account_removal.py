"""`postroad account remove` and `postroad mailbox erase`: what goes, and when."""

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import erasing
from engine.cli.account import account
from engine.directory import Embedded
from engine.mailbox import Mailboxes
from tests.support.server import PASSWORD, Postroad, letter, until

BOB, EVE = "bob@example.org", "eve@example.org"


def run(server: Postroad, *arguments: str, code: int = 0) -> str:
    done = server.command(*arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def uses(server: Postroad, number: int) -> int:
    """Messages of the account of that number."""
    with closing(Mailboxes.open(server.folder / "var" / "mailbox")) as mailboxes:
        return mailboxes.usage(number).messages


def leavers(server: Postroad) -> list[int]:
    with Embedded.open(server.folder / "var" / "directory") as directory:
        return directory.leavers()


def test_beside_a_running_server_mail_goes_at_once(tmp_path: Path) -> None:
    with Postroad(tmp_path).account(BOB, EVE) as server:
        server.send(letter("old secret"), BOB)
        server.send(letter("stays"), EVE)
        server.mail_for(BOB)
        server.mail_for(EVE)
        run(server, "mailbox", "share", EVE, "INBOX", BOB, "lr")
        said = run(server, "account", "remove", BOB)
        assert "Its mailbox, number 1, is being erased." in said
        assert "Erased 1 message (" in said
        assert server.wait_for("account-erased")["messages"] == 1
        run(server, "mailbox", "verify")
        assert BOB not in run(server, "mailbox", "acl", EVE, "INBOX")
        assert server.command("account", "add", BOB, "--password-stdin", stdin=PASSWORD).returncode == 0
        assert server.mailbox(BOB) == []
        server.send(letter("new"), BOB)
        assert b"new" in server.mail_for(BOB)[0]
        assert len(server.mail_for(EVE)) == 1
    assert leavers(server) == []


def test_beside_a_stopped_one_too(tmp_path: Path) -> None:
    server = Postroad(tmp_path).account(BOB)
    with server:
        server.send(letter("one"), BOB)
        server.mail_for(BOB)
        server.stop()
    assert "Erased 1 message" in run(server, "account", "remove", BOB)
    assert (uses(server, 1), leavers(server)) == (0, [])


def test_before_the_server_first_ran_there_is_nothing_to_erase(tmp_path: Path) -> None:
    server = Postroad(tmp_path).account(BOB)
    assert "Erased 0 messages" in run(server, "account", "remove", BOB)
    assert not (tmp_path / "var" / "mailbox").exists()


def test_what_the_command_did_not_finish_the_server_does(tmp_path: Path) -> None:
    server = Postroad(tmp_path).account(BOB)
    with server:
        server.send(letter("one"), BOB)
        server.mail_for(BOB)
        server.stop()
    with Embedded.open(tmp_path / "var" / "directory", ["example.org"]) as directory:
        directory.remove_account(BOB)
    with server:
        server.wait_for("account-erased", account=1, messages=1)
        until(lambda: not leavers(server), "the end of the erasure")


def test_mail_is_kept_if_one_says_so_and_erased_later(tmp_path: Path) -> None:
    server = Postroad(tmp_path).account(BOB, EVE)
    with server:
        server.send(letter("one"), BOB)
        server.mail_for(BOB)
        assert "number 1, stays on disk" in run(server, "account", "remove", BOB, "--keep-mail")
        assert "2 is the account eve@example.org" in run(server, "mailbox", "erase", "2", code=1)
        assert server.command("mailbox", "erase", "0").returncode == 2  # the public folders
        server.stop()
    assert (uses(server, 1), leavers(server)) == (1, [])
    assert "Erased 1 message (" in run(server, "mailbox", "erase", "1")
    assert uses(server, 1) == 0


@pytest.mark.parametrize(("answer", "stays"), [("n\n", True), ("y\n", False)])
def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, stays: bool) -> None:
    server = Postroad(tmp_path).account(BOB)
    monkeypatch.setattr(erasing, "is_terminal", lambda: True)
    result = CliRunner().invoke(account, ["remove", BOB], input=answer, obj=server.config)
    assert f"Erase 0 messages (0 octets) of {BOB} for ever? [y/N]" in result.output
    with Embedded.open(tmp_path / "var" / "directory", ["example.org"]) as directory:
        assert (directory.account(BOB) is not None) is stays
