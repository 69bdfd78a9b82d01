"""An account whose password was stolen: its mail is parked, one event and one letter say so, nothing is lost."""

import json
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates
from tests.support.scanners import GTUBE
from tests.support.server import Postroad, letter, until

ANN, BOB, ROOT = "ann@example.org", "bob@example.org", "root@example.org"
SETTINGS = {
    "listen": {"submissions": "127.0.0.1:0"},
    "lane": {
        "outbound": {"listen": ["submissions"], "stages": ["submit", "habits", "queue", "route"]},
        "remote": {"stages": ["nobody"]},
    },
    "stage": {
        "submit": {"use": "stages.accept", "login": "required", "account_recipients": ["5000/1h"]},
        "habits": {"refused": 3},
        "nobody": {"use": "filters/nobody.py"},
        "relay": None,
    },
}

NOBODY = """
from engine import Message, Reject, Verdict

async def nobody(message: Message) -> Verdict:
    return Reject("No such user", code="5.1.1")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, SETTINGS | {"tls": Certificates(tmp_path / "tls").settings}, nobody=NOBODY) as server:
        server.account(ANN, BOB, ROOT)
        assert server.command("alias", "add", "postmaster@example.org", ROOT).returncode == 0
        done = server.command("alias", "add", "@example.org", BOB)  # whoever is written to
        assert done.returncode == 0, done.stderr
        yield server


def parked(server: Postroad) -> list[dict[str, str]]:
    done = server.command("queue", "list", "state == 'quarantined'", "--json")
    return list(json.loads(done.stdout))


def test_two_thousand_recipients_in_minutes_are_held_and_go_on_when_an_operator_says_so(server: Postroad) -> None:
    with server.logged_in(ANN) as client:
        for number in range(40):
            recipients = [f"p{number}.{one}@example.org" for one in range(50)]
            assert client.sendmail(ANN, recipients, letter(f"spam {number}", author=ANN)) == {}
    said = server.wait_for("account-suspicious", login=ANN)
    assert said["reasons"] == ["recipients: 250 in an hour, usually 0", "new recipients: 250 in an hour, usually 0"]
    assert said["peer"] == "127.0.0.1"
    held = until(lambda: len(found := parked(server)) == 36 and found, "what is parked")
    assert {row["reason"] for row in held} == {"the account sends unlike itself"}
    (told,) = server.mail_for(ROOT)
    assert re.search(rb"Subject: The mail of ann@example.org is parked", told)

    server.kill()
    server.start()
    with server.logged_in(ANN) as client:
        assert client.sendmail(ANN, [BOB], letter("still", author=ANN)) == {}
    assert len(parked(server)) == 37
    assert len(server.all("account-suspicious")) == 1
    listed = json.loads(server.command("suspect", "list", "--json").stdout)
    assert [row["account"] for row in listed] == [ANN]

    done = server.command("suspect", "lift", ANN.upper())
    assert (done.returncode, done.stdout) == (0, f"{ANN.upper()} may send again.\n"), done.stderr
    assert server.command("suspect", "lift", ANN).returncode == 1
    ids = [row["id"] for row in parked(server)]
    assert server.command("queue", "release", *ids).returncode == 0
    until(lambda: parked(server) == [], "the release")
    with server.logged_in(ANN) as client:
        assert client.sendmail(ANN, [BOB], letter("again", author=ANN)) == {}
    assert len(server.mail_for(BOB, 42)) == 42
    assert len(server.mailbox(ROOT)) == 1, "one letter"


def test_spam_that_is_refused_at_once_is_suspicious(server: Postroad) -> None:
    server.change({
        "lane": {"outbound": {"listen": ["submissions"], "stages": ["submit", "scan", "habits", "queue", "route"]}},
        "stage": {"scan": {"spam": {}}},
    })  # fmt: skip
    done = server.reload()
    assert done.returncode == 0, done.stderr
    with server.logged_in(ANN) as client:
        for number in range(20):
            with pytest.raises(smtplib.SMTPDataError, match="looks like spam"):
                client.sendmail(ANN, [BOB], letter(f"spam {number}", GTUBE, author=ANN))
        said = server.wait_for("account-suspicious", login=ANN)
        assert said["reasons"] == ["refused: 13 in an hour, usually 0"]
        assert client.sendmail(ANN, [BOB], letter("a harmless one", author=ANN)) == {}
    assert [row["reason"] for row in parked(server)] == ["the account sends unlike itself"]
    assert len(server.all("account-suspicious")) == 1


def test_mail_that_mostly_comes_back_is_suspicious(server: Postroad) -> None:
    with server.logged_in(ANN) as client:
        for number in range(13):
            assert client.sendmail(ANN, [f"p{number}@example.net"], letter("out", author=ANN)) == {}
        until(lambda: len(server.all("bounce")) == 13, "what comes back")
        client.sendmail(ANN, [BOB], letter("one more", author=ANN))
    assert server.wait_for("account-suspicious", login=ANN)["reasons"] == ["refused: 13 in an hour, usually 0"]
