"""`postroad mailbox`: removed mail comes back through the running server; sums and checks beside it."""

import json
import poplib
from pathlib import Path

from tests.support.load import subjects
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter

BOB = "bob@example.org"


def remove_all(server: Postroad) -> None:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.user(BOB)
    client.pass_(PASSWORD)
    for number in range(1, client.stat()[0] + 1):
        client.dele(number)
    client.quit()


def sums(server: Postroad) -> dict[str, int]:
    rows = json.loads(server.command("mailbox", "usage", BOB, "--json").stdout)
    return {row["mailbox"]: row["messages"] for row in rows if row["messages"]}


def test_what_was_removed_is_shown_and_brought_back(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        for count, subject in enumerate(("one", "two"), 1):
            server.send(letter(subject), BOB)
            server.mail_for(BOB, count)
        remove_all(server)
        assert server.mailbox(BOB) == []
        assert sums(server) == {"(removed, kept)": 2}
        for options, said in (
            (("--folder", "Archive"), "0 messages brought back.\n"),
            (("--since", "2999-01-01"), "0 messages brought back.\n"),
            (("--folder", "inbox", "--since", "1h"), "2 messages brought back.\n"),
        ):
            done = server.command("mailbox", "undelete", BOB, *options)
            assert (done.stdout, done.stderr) == (said, "")
        assert subjects(server.mailbox(BOB)) == ["one", "two"]
        assert sums(server) == {"INBOX": 2, "(all)": 2}
        assert server.command("mailbox", "verify").stdout == "no contradiction.\n"
        done = server.command("mailbox", "undelete", "nobody@example.org")
        said = "postroad: there is no account nobody@example.org; `postroad account list` shows those there are\n"
        assert (done.returncode, done.stderr) == (1, said)
        done = server.command("mailbox", "undelete", BOB, "--since", "yesterday")
        assert done.returncode == 2
        assert "is no time" in done.stderr
        assert server.command("mailbox", "restored").returncode == 1
    done = server.command("mailbox", "undelete", BOB)
    assert done.returncode == 1
    assert "no server runs" in done.stderr
    done = server.command("mailbox", "restored")
    assert done.stdout == "The mailboxes of 1 account go on with numbers that nobody has seen.\n"
