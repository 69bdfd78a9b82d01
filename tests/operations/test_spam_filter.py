r"""A whole server with the spam filter: spam goes into Junk, GTUBE is refused, and moves by IMAP teach."""

import imaplib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spam.judge import ENOUGH, OWN
from tests.support.server import PASSWORD, Postroad, until

BOB = "bob@example.org"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SPAM = "cheap pills for you order now without prescription limited offer"
HAM = "minutes of the meeting agenda for tomorrow thanks to all of you"


def letter(text: str, number: int) -> bytes:
    return (
        f"From: ann@example.net\r\nTo: {BOB}\r\nSubject: hello\r\nMessage-ID: <{number}@example.net>\r\n"
        f"Date: Sat, 28 Nov 2026 10:00:00 +0000\r\n\r\n{text} {number}\r\n"
    ).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings = {
        "listen": {"imap": "127.0.0.1:0"},
        "lane": {"inbound": {"stages": ["accept", "scan", "queue", "route"]}},
        "stage": {"scan": {"spam": {"mark": 4.0, "weights": {"DATE_IN_PAST": 0, "DATE_IN_FUTURE": 0}}}},
        "mailboxes": {"learn_junk": "server"},
    }
    with Postroad(tmp_path, settings) as server:
        yield server.account(BOB)


@pytest.fixture
def client(server: Postroad) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", server.ports["imap"]) as client:
        client.login(BOB, PASSWORD)
        yield client


def train(server: Postroad, folder: Path) -> None:
    for kind, text in (("spam", SPAM), ("ham", HAM)):
        path = folder / kind
        path.mkdir()
        for number in range(ENOUGH.spam):
            (path / f"{number}.eml").write_bytes(letter(text, number))
        assert server.command("scan", "train", f"--{kind}", str(path)).returncode == 0


def learnt(server: Postroad) -> dict[str, tuple[int, int]]:
    rows = json.loads(server.command("scan", "status", "--json").stdout)
    return {row["for"]: (row["spam"], row["ham"]) for row in rows}


def count(client: imaplib.IMAP4, mailbox: str) -> int:
    status, told = client.select(mailbox)
    assert status == "OK"
    return int(told[0] or b"0")


def test_spam_goes_into_junk_and_gtube_nowhere(server: Postroad, client: imaplib.IMAP4, tmp_path: Path) -> None:
    train(server, tmp_path)
    server.send(letter(SPAM, 1000), BOB)
    server.send(letter(HAM, 1001), BOB)
    until(lambda: count(client, "Junk") == 1, "mail in Junk")
    until(lambda: count(client, "INBOX") == 1, "mail in INBOX")
    client.select("Junk")
    _, told = client.fetch("1", "(BODY[HEADER.FIELDS (X-Spam-Flag X-Spam-Status)])")
    assert b"X-Spam-Flag: YES" in told[0][1]
    assert b"BAYES_SPAM" in told[0][1]
    with server.dialogue() as dialogue:
        assert dialogue.start(BOB).content(letter(GTUBE, 1002), "").startswith("550 5.7.1")
    assert learnt(server) == {"the server": (ENOUGH.spam, ENOUGH.ham)}, "what the filter does itself teaches nothing"


def test_moves_by_a_client_teach(server: Postroad, client: imaplib.IMAP4) -> None:
    for number in range(OWN.spam):
        server.send(letter(HAM, number), BOB)  # what the words that the filter begins with let through
    until(lambda: count(client, "INBOX") == OWN.spam, "mail in INBOX")
    client.select("INBOX")
    client.uid("MOVE", "1:*", "Junk")
    until(lambda: learnt(server) == {"the server": (OWN.spam, 0), BOB: (OWN.spam, 0)}, "the lesson")
    client.select("Junk")
    client.uid("MOVE", "1:2", "INBOX")
    until(lambda: learnt(server)[BOB] == (OWN.spam - 2, 2), "the lesson")
    client.uid("MOVE", "3", "Trash")  # which says nothing
    client.select("INBOX")
    client.uid("STORE", "1:*", "+FLAGS", "($Junk)")
    until(lambda: learnt(server)[BOB] == (OWN.spam, 0), "the lesson")
    client.uid("STORE", "1:*", "-FLAGS", "($Junk)")
    client.uid("STORE", "1:*", "+FLAGS", "($NotJunk)")
    until(lambda: learnt(server)[BOB] == (OWN.spam - 2, 2), "the lesson")
