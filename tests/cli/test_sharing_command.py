"""`postroad mailbox share` and `postroad folder`: rights are given, shown and taken while the server runs."""

import json
from pathlib import Path

from tests.support.server import Postroad

ANN, BOB = "ann@example.org", "bob@example.org"


def test_mailboxes_are_shared_and_public_folders_made(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(ANN)
        server.account(BOB)
        assert server.command("group", "add", "sales@example.org", BOB).returncode == 0

        def said(*arguments: str) -> str:
            done = server.command(*arguments)
            assert (done.returncode, done.stderr) == (0, ""), done
            return done.stdout

        def refused(*arguments: str) -> str:
            done = server.command(*arguments)
            assert (done.returncode, done.stdout) in ((1, ""), (2, "")), done
            return done.stderr

        assert said("mailbox", "share", ANN, "inbox", "Bob@example.org", "rl") == f"{BOB} has lr on inbox.\n"
        assert said("mailbox", "share", ANN, "INBOX", BOB, "+s") == f"{BOB} has lrs on INBOX.\n"
        assert said("mailbox", "share", ANN, "INBOX", "group:sales@example.org", "lrc")
        assert said("mailbox", "share", ANN, "INBOX", "--", "-anyone", "p")
        assert json.loads(said("mailbox", "acl", ANN, "INBOX", "--json")) == [
            {"who": "$sales@example.org", "rights": "lrkx"},
            {"who": "-anyone", "rights": "p"},
            {"who": BOB, "rights": "lrs"},
        ]
        assert said("mailbox", "unshare", ANN, "INBOX", BOB, "s") == f"{BOB} has lr on INBOX.\n"
        assert said("mailbox", "unshare", ANN, "INBOX", BOB) == f"{BOB} has no rights on INBOX.\n"
        assert refused("mailbox", "unshare", ANN, "INBOX", BOB) == f"postroad: {BOB} has no rights on INBOX\n"
        for arguments, reason in (
            ((ANN, "INBOX", "eve@example.org", "l"), "there is no account eve@example.org"),
            ((ANN, "INBOX", "$eve@example.org", "l"), "there is no group eve@example.org"),
            ((ANN, "INBOX", f"${BOB}", "l"), f"there is no group {BOB}"),
            ((ANN, "INBOX", "sales@example.org", "l"), "there is no account sales@example.org"),
            ((ANN, "INBOX", ANN, "l"), "all rights"),
            ((ANN, "INBOX", BOB, "z"), "there is no right 'z'"),
            ((ANN, "INBOX", "bob", "l"), "'bob' is none of"),
            ((ANN, "Work", BOB, "l"), "there is no mailbox Work"),
            ((ANN, "Work//", BOB, "l"), "no empty part"),
        ):
            assert reason in refused("mailbox", "share", *arguments)

        assert said("folder", "create", "Public/News/local") == (
            "Made Public/News/local. Nobody sees it yet: postroad folder share News/local anyone lrs\n"
        )
        assert said("folder", "share", "News/local", "anyone", "lr") == "anyone has lr on News/local.\n"
        assert said("folder", "create", "News/local/old") == "Made Public/News/local/old.\n"
        assert said("folder", "acl", "Public/News/local/old") == "anyone\tlr\n"
        assert said("folder", "unshare", "News/local/old", "anyone", "r") == "anyone has l on News/local/old.\n"
        assert json.loads(said("folder", "list", "--json")) == [
            {"folder": "News", "messages": 0, "size": 0, "rights": []},
            {"folder": "News/local", "messages": 0, "size": 0, "rights": ["anyone: lr"]},
            {"folder": "News/local/old", "messages": 0, "size": 0, "rights": ["anyone: l"]},
        ]
        assert said("folder", "delete", "News/local") == "Deleted Public/News/local.\n"
        for arguments, reason in (
            (("create", "News"), "there is a mailbox News already"),
            (("create", "Public/Public/x"), "no mailbox can be called"),
            (("create", "inbox"), "a name of its own"),
            (("delete", "News/local"), "there are mailboxes below"),
            (("share", "Olds", "anyone", "l"), "there is no mailbox Olds"),
        ):
            assert reason in refused("folder", *arguments)
        assert said("mailbox", "verify") == "no contradiction.\n"
    done = server.command("folder", "create", "Late")
    assert done.returncode == 1
    assert "no server runs" in done.stderr


def test_who_else_works_in_a_mailbox(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(ANN, BOB)
        assert server.command("group", "add", "sales@example.org", BOB).returncode == 0

        def people() -> list[dict[str, str]]:
            done = server.command("mailbox", "people", ANN, "--json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)  # type: ignore[no-any-return]

        let = ("mailbox", "let", ANN)
        said = server.command(*let, BOB, "--level", "read", "--sends", "on-behalf")
        assert said.stdout == f"{BOB} in the mailbox of {ANN}: read; sends for it: on-behalf.\n", said.stderr
        assert server.command(*let, "sales@example.org", "--level", "write").returncode == 0
        assert people() == [
            {"who": BOB, "kind": "account", "level": "read", "sends": "on-behalf"},
            {"who": "sales@example.org", "kind": "group", "level": "write", "sends": "no"},
        ]
        assert server.command(*let, BOB, "--level", "nothing", "--sends", "as").returncode == 0
        assert people()[0] == {"who": BOB, "kind": "account", "level": "nothing", "sends": "as"}
        assert server.command(*let, BOB, "--level", "nothing").returncode == 0
        assert [one["who"] for one in people()] == ["sales@example.org"]
        for arguments in ((ANN, "--level", "read"), ("x@example.org", "--level", "read")):
            assert server.command(*let, *arguments).returncode == 1
        assert server.command(*let, "sales@example.org", "--level", "read", "--sends", "as").returncode == 1
        assert server.command(*let, BOB, "--level", "all").returncode == 2
