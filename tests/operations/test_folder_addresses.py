"""Public folders with an address: who may post to them, and where that is refused."""

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Postroad, letter, until

ANN, BOB, NEWS = "ann@example.org", "bob@example.org", "news@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path) as server:
        server.account(ANN, BOB)
        said(server, "folder", "create", "News/local")
        yield server


def said(server: Postroad, *arguments: str) -> str:
    done = server.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def posted(server: Postroad) -> int:
    """Messages in the folder."""
    rows = json.loads(said(server, "folder", "list", "--json"))
    return sum(row["messages"] for row in rows if row["folder"] == "News/local")


def test_anyone_may_post_once_they_have_the_right(server: Postroad) -> None:
    assert "Nobody may post yet" in said(server, "folder", "address", "News/local", NEWS)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        server.send(letter("too early"), NEWS)
    assert refused.value.recipients[NEWS][0] == 550
    assert b"5.7.1 you may not post" in refused.value.recipients[NEWS][1]
    said(server, "folder", "share", "News/local", "anyone", "+p")
    said(server, "alias", "add", "press@example.org", NEWS, BOB)
    server.send(letter("to the folder"), NEWS)
    server.send(letter("to both"), "press@example.org")
    server.mail_for(BOB)
    until(lambda: posted(server) == 2, "both to be in the folder")
    said(server, "account", "remove", NEWS)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.send(letter("too late"), NEWS)
    assert posted(server) == 2
    said(server, "mailbox", "verify")
