"""`postroad hold`, `oversight` and `retention`, without a server: what they do, say, and exit with."""

import json
import time
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from engine.cli import main
from engine.directory import Embedded
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Append, Appended, Begin, Expunge
from engine.mailbox.layout import INBOX
from engine.operations import operator
from engine.oversight import Oversight

ANN, BOB = "ann@example.org", "bob@example.org"

FILE = """
[server]
hostname = "mx.example.org"
[domains]
local = ["example.org"]
[listen]
smtp = "127.0.0.1:0"
[mailboxes]
keep_expunged = 0
[retention.trash]
folders = ["\\\\Trash"]
keep = "30d"
[retention.all]
keep = "365d"
[lane.inbound]
stages = ["accept", "queue", "route"]
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(FILE)
    with Embedded.open(tmp_path / "var" / "directory", ["example.org"]) as directory:
        directory.add_account(ANN)
        directory.add_account(BOB)
    trio.run(fill, tmp_path / "var" / "mailbox")
    return tmp_path


async def fill(path: Path) -> None:
    old = time.time() - 400 * 86400
    with MailboxOwner(path, clock=lambda: old) as owner:
        await owner.change(Begin(account=1))
        await owner.change(Begin(account=2))
        messages = tuple(Appended(b"Subject: %d\r\n\r\nHello\r\n" % number) for number in range(3))
        await owner.change(Append(account=1, mailbox=INBOX, messages=messages))
        await owner.change(Append(account=2, mailbox=INBOX, messages=messages[:1]))


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), *arguments])


def kinds(folder: Path) -> list[str]:
    with Oversight.open(folder / "var") as opened:
        return [one.what for one in opened.entries()]


def as_user(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Commands are given by this user of the machine from now on."""
    for module in ("engine.operations.operator", "engine.cli.opening"):
        monkeypatch.setattr(f"{module}.user", lambda: name)
    assert operator.user() == name


def test_a_hold_begins_and_ends(folder: Path) -> None:
    done = run(folder, "hold", "add", ANN, "--reason", "a case")
    assert (done.exit_code, done.output) == (0, f"Held: nothing of {ANN}, number 1, is removed for good.\n")
    assert run(folder, "hold", "add", ANN, "--reason", "again").exit_code == 1
    (row,) = json.loads(run(folder, "hold", "list", "--json").output)
    assert (row["account"], row["address"], row["reason"]) == (1, ANN, "a case")
    done = run(folder, "account", "remove", ANN)
    assert done.exit_code == 0
    assert "A hold keeps 3 messages" in done.output
    assert run(folder, "account", "remove", BOB).output.endswith("Erased 1 message (21 octets).\n")
    assert run(folder, "hold", "lift", BOB, "--reason", "x").exit_code == 1
    assert run(folder, "hold", "lift", ANN, "--reason", "closed").output == f"Lifted the hold on {ANN}.\n"
    assert run(folder, "mailbox", "erase", "1", "--yes").output == "Erased 3 messages (63 octets).\n"
    assert kinds(folder) == ["hold-begun", "hold-lifted"]
    assert run(folder, "hold", "add", "nobody@example.org", "--reason", "x").exit_code == 1
    assert run(folder, "hold", "add", BOB).exit_code == 2


def test_a_grant_takes_two_users(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_user(monkeypatch, "anna")
    done = run(folder, "oversight", "ask", ANN, "--reason", "a leak", "--for", "2d")
    assert (done.exit_code, done.output) == (0, "Grant 1 waits for consent.\n")
    assert "somebody else" in run(folder, "oversight", "consent", "1").output
    out = tmp_path / "out"
    assert run(folder, "oversight", "export", "1", str(out)).exit_code == 1
    assert not out.exists()
    as_user(monkeypatch, "bernd")
    assert run(folder, "oversight", "consent", "1").output.startswith("Grant 1 is open until ")
    as_user(monkeypatch, "anna")
    done = run(folder, "oversight", "export", "1", str(out))
    assert done.output == f"Exported 3 messages ({(out / 'mail.mbox').stat().st_size:,} octets) into {out}.\n"
    assert run(folder, "oversight", "verify", str(out)).output.startswith("3 messages, each as it was written;")
    assert run(folder, "oversight", "export", "1", str(out)).exit_code == 1  # it is there
    (row,) = json.loads(run(folder, "oversight", "list", "--json").output)
    assert (row["state"], row["by"], row["consented_by"], row["addresses"]) == ("open", "anna", "bernd", [ANN])
    assert run(folder, "oversight", "end", "1").output == "Grant 1 is over.\n"
    assert "not open" in run(folder, "oversight", "export", "1", str(tmp_path / "two")).output
    assert kinds(folder) == ["grant-asked", "grant-consented", "export-begun", "export-done", "grant-ended"]
    (out / "mail.mbox").write_bytes(b"nothing")
    done = run(folder, "oversight", "verify", str(out))
    assert done.exit_code == 1
    assert "mail.mbox is not as it was written" in done.output
    assert run(folder, "oversight", "verify", str(out), "--alone").exit_code == 1


def test_a_grant_can_be_refused_and_must_not_be_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, "anna")
    assert "7 days at most" in run(folder, "oversight", "ask", ANN, "--reason", "x", "--for", "30d").output
    assert run(folder, "oversight", "ask", "nobody@example.org", "--reason", "x").exit_code == 1
    run(folder, "oversight", "ask", ANN, BOB, "--reason", "x")
    as_user(monkeypatch, "bernd")
    assert run(folder, "oversight", "refuse", "1").output == "Grant 1 is refused.\n"
    assert run(folder, "oversight", "refuse", "7").exit_code == 1
    assert "refused" in run(folder, "oversight", "list").output


def test_what_the_rules_would_take_is_shown_before(folder: Path) -> None:
    assert run(folder, "retention", "list").output.splitlines() == [
        "trash\t*\t\\Trash\t30 days\tsaved",
        "all\t*\t*\t365 days\tsaved",
    ]
    assert run(folder, "retention", "preview").output.splitlines() == [
        f"{ANN}\tINBOX\tall\t3",
        f"{BOB}\tINBOX\tall\t1",
    ]
    assert run(folder, "retention", "preview", BOB).output == f"{BOB}\tINBOX\tall\t1\n"
    run(folder, "hold", "add", ANN, "--reason", "a case")
    assert run(folder, "retention", "preview").output == f"{BOB}\tINBOX\tall\t1\n"


def test_an_export_of_a_mailbox_by_command_is_noted(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "mailbox", "export", ANN, str(tmp_path / "out"), "--format", "mbox")
    assert done.exit_code == 0
    with Oversight.open(folder / "var") as opened:
        (entry,) = opened.entries()
    assert (entry.what, entry.about, entry.details["folders"]) == ("mailbox-exported", (ANN,), "all")


def test_nothing_of_a_held_account_goes_without_a_server_either(folder: Path) -> None:
    run(folder, "hold", "add", ANN, "--reason", "a case")

    async def expunge() -> int:
        with MailboxOwner(folder / "var" / "mailbox") as owner:
            await owner.change(Expunge(account=1, mailbox=INBOX, uids=(1, 2, 3), deleted_only=False))
            return owner.reader.usage(1).kept

    assert trio.run(expunge) == 3
    (row,) = json.loads(run(folder, "hold", "list", "--json").output)
    assert (row["kept"], row["kept_size"]) == (3, 63)


def test_domains_and_groups_are_held(folder: Path) -> None:
    with Embedded.open(folder / "var" / "directory", ["example.org"]) as directory:
        directory.add_group("team@example.org", [BOB])
    done = run(folder, "hold", "add", "example.org", "team@example.org", "--reason", "Case 17")
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "Held: nothing of example.org is removed for good: 2 accounts now, and all that come.",
            "Held: nothing of team@example.org is removed for good: 1 account now, and all that come.",
        ],
    )
    rows = json.loads(run(folder, "hold", "list", "--json").output)
    assert [(row["address"], row["kind"], row["accounts"]) for row in rows] == [
        ("example.org", "domain", 2), ("team@example.org", "group", 1),
    ]  # fmt: skip
    assert run(folder, "hold", "add", "elsewhere.test", "--reason", "Case 17").exit_code == 1
    assert run(folder, "hold", "add", "example.org", "--reason", "Case 17").exit_code == 1
    lifted = run(folder, "hold", "lift", "example.org", "--reason", "closed")
    assert lifted.output == "Lifted the hold on example.org; 1 account not held any more.\n"
    assert run(folder, "hold", "lift", "team@example.org", "--reason", "closed").exit_code == 0
    assert run(folder, "hold", "lift", "team@example.org", "--reason", "closed").exit_code == 1
    assert kinds(folder) == ["hold-begun"] * 2 + ["hold-lifted"] * 2


def test_mail_is_searched_and_read_by_a_grant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, "auditor")
    assert run(folder, "oversight", "ask", ANN, "--reason", "Case 17").exit_code == 0
    assert run(folder, "oversight", "search", "1", "hello").exit_code == 1  # nobody has consented
    as_user(monkeypatch, "boss")
    assert run(folder, "oversight", "consent", "1").exit_code == 0
    assert run(folder, "oversight", "search", "1", "hello").exit_code == 1  # it is not for who has consented
    as_user(monkeypatch, "auditor")
    found = json.loads(run(folder, "oversight", "search", "1", "hello subject:1", "--json").output)
    ((one,), after) = found["items"], found["next"]
    assert (one["address"], one["folder"], one["subject"], after) == (ANN, "INBOX", "1", "")
    assert "\tINBOX\t" in run(folder, "oversight", "search", "1", "hello").output
    assert len(json.loads(run(folder, "oversight", "search", "1", "hello", "--json").output)["items"]) == 3
    assert run(folder, "oversight", "search", "1", "hello", "--after", "x").exit_code == 1
    octets = run(folder, "oversight", "read", "1", ANN, "INBOX", str(one["uid"])).stdout_bytes
    assert octets == b"Subject: 1\r\n\r\nHello\r\n"
    for place in ((BOB, "INBOX", "1"), (ANN, "INBOX", "99"), (ANN, "Nothing", "1")):
        assert run(folder, "oversight", "read", "1", *place).exit_code == 1
    assert kinds(folder)[2:] == ["searched"] * 3 + ["message-opened"]
    assert run(folder, "oversight", "end", "1").exit_code == 0
    assert run(folder, "oversight", "search", "1", "hello").exit_code == 1
    assert run(folder, "oversight", "read", "1", ANN, "INBOX", "1").exit_code == 1
    assert kinds(folder)[2:] == ["searched"] * 3 + ["message-opened", "grant-ended"]


def test_a_token_looks_by_the_grants_of_one_auditor(folder: Path) -> None:
    def token(name: str, *arguments: str) -> Result:
        return run(folder, "token", "add", name, "--json", *arguments)

    made = json.loads(token("legal", "--scope", "oversight:look", "--auditor", "Auditor@example.org").output)
    assert (made["scopes"], made["auditor"]) == (["oversight:look"], "auditor@example.org")
    assert "oversight:look" not in json.loads(token("all", "--scope", "all").output)["scopes"]
    assert token("without", "--scope", "oversight:look").exit_code == 2
    assert token("needless", "--scope", "queue:read", "--auditor", "auditor@example.org").exit_code == 2
