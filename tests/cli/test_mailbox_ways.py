"""`postroad mailbox import`, `export`, `backup` and `restore` beside a running server, and what they say."""

from pathlib import Path

from tests.support.load import subjects
from tests.support.server import Postroad, letter

BOB, EVE = "bob@example.org", "eve@example.org"


def said(server: Postroad, *arguments: object, code: int = 0) -> str:
    """What a command prints, up to the rate."""
    done = server.command("mailbox", *map(str, arguments))
    assert done.returncode == code, done.stderr
    return (done.stderr if code else done.stdout).partition(",")[0].strip().rstrip(".")


def test_mail_goes_out_comes_in_is_saved_and_put_back(tmp_path: Path) -> None:
    with Postroad(tmp_path / "server").account(BOB, EVE) as server:
        server.send(letter("one"), BOB)
        server.send(letter("large", "line\r\n" * 50_000), BOB)
        mail = server.mail_for(BOB, 2)

        out = tmp_path / "out"
        assert said(server, "export", BOB, out, "--format", "maildir") == f"2 messages of {BOB} in {out}"
        assert said(server, "import", EVE, out) == f"2 messages imported into {EVE}"
        assert server.mailbox(EVE) == mail
        assert said(server, "import", EVE, out, "--folder", "INBOX") == f"0 messages imported into {EVE}"
        one = tmp_path / "one.mbox"
        assert said(server, "export", BOB, one, "--format", "mbox", "--folder", "inbox").startswith("2 messages")
        assert one.read_bytes().count(b"\nX-UID: ") == 2
        assert said(server, "import", EVE, one, "--into", "Archive/old") == f"2 messages imported into {EVE}"

        saved = tmp_path / "bob.backup"
        server.command("mailbox", "share", BOB, "INBOX", EVE, "lr")
        assert said(server, "backup", BOB, saved).startswith(f"{BOB}: 2 contents in")
        assert said(server, "backup", "--all", tmp_path / "all").startswith(BOB)
        assert {path.name for path in (tmp_path / "all").iterdir()} == {f"{BOB}.backup", f"{EVE}.backup"}
        server.send(letter("since"), BOB)
        server.mail_for(BOB, 3)
        assert said(server, "restore", BOB, saved, code=1) == "postroad: the account is in use; put it below a folder"
        assert said(server, "restore", BOB, saved, "--into", "Rescued").startswith("2 messages of ")
        server.command("mailbox", "unshare", BOB, "INBOX", EVE)
        assert said(server, "restore", BOB, saved, "--replace").startswith("0 messages of ")
        assert server.mailbox(BOB) == mail
        assert said(server, "acl", BOB, "INBOX").split() == [EVE, "lr"]
        assert said(server, "undelete", BOB) == "3 messages brought back"
        assert "since" in subjects(server.mailbox(BOB))
        assert said(server, "verify") == "no contradiction"


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    server = Postroad(tmp_path / "server").account(BOB)
    (tmp_path / "empty").mkdir()
    assert said(server, "import", BOB, tmp_path / "empty", code=1) == f"postroad: {tmp_path / 'empty'} has no messages"
    mbox = tmp_path / "x.mbox"
    mbox.write_text("From a@b Tue Nov 28 18:15:43 2026\nSubject: x\n\nx\n")
    assert (
        "has no folder Sent; it has x" in server.command("mailbox", "import", BOB, str(mbox), "--folder", "Sent").stderr
    )
    assert said(server, "import", BOB, mbox) == f"1 message imported into {BOB}"
    assert "is no backup" in said(server, "restore", BOB, mbox, code=1)
    assert "there is no mailbox Nowhere" in said(
        server, "export", BOB, tmp_path / "out", "--format", "eml", "--folder", "Nowhere", code=1
    )
    assert server.command("mailbox", "backup", BOB, str(tmp_path), "--all").returncode == 2
