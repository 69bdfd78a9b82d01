"""The index's process beside a running server: it follows the mail, comes back when it is killed, tells operators."""

import json
import os
import signal
from pathlib import Path

import pytest

from engine.config import READERS
from engine.index import Text
from engine.index.fulltext import file_of, search
from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"

pytestmark = pytest.mark.skipif("imap" not in READERS, reason="no index without a listener that needs it")

IMAP = {"listen": {"imap": "127.0.0.1:0"}}


def found(server: Postroad, text: str) -> int:
    """Messages of the only account that the index finds."""
    files = list((server.folder / "var" / "index" / "text").glob("*.sqlite3"))
    return sum(len(search(file_of(file.parents[1], int(file.stem)), Text(text)).sure) for file in files)


def progress(server: Postroad) -> dict[str, int]:
    row: dict[str, int] = json.loads(server.command("mailbox", "index", BOB, "--json").stdout)[0]
    return row


def test_the_index_follows_the_mail_and_can_be_killed_and_built_anew(tmp_path: Path) -> None:
    with Postroad(tmp_path, IMAP) as server:
        server.account(BOB)
        server.send(letter("first", "about apples"), BOB)
        until(lambda: found(server, "APPLE") == 1, "the first message to be found")
        assert os.getpriority(os.PRIO_PROCESS, server.worker("index")) == 10
        os.kill(server.worker("index"), signal.SIGKILL)
        server.send(letter("second", "about pears"), BOB)
        until(lambda: found(server, "pear") == 1, "the second message to be found")
        until(lambda: progress(server)["known"] == 2, "both to be in the index")
        assert server.command("mailbox", "index").stdout.startswith("All of 2 messages are in it; it takes ")
        done = server.command("mailbox", "index", BOB, "--rebuild")
        assert (done.stdout, done.stderr) == (f"The index of {BOB} is being built anew.\n", "")
        until(lambda: found(server, "about") == 2, "both to be found again")
        server.change({"mailboxes": {"full_text": False}})
        assert server.reload().returncode == 0
        server.send(letter("third", "about plums"), BOB)
        until(lambda: progress(server)["known"] == 3, "the third to be in the index")
        assert found(server, "plums") == 0
    with Postroad(tmp_path) as server:
        done = server.command("mailbox", "index", "--rebuild")
        assert "does not listen for IMAP" in done.stderr
    done = server.command("mailbox", "index", "--rebuild")
    assert "no server runs" in done.stderr
