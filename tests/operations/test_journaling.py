"""Journaling on a real server: what people get and send is in the journal, large mail and hidden recipients too."""

import email
import email.policy
import re
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.server import Postroad, letter, until

pytestmark = pytest.mark.system

ANN, BOB, JOURNAL = "ann@example.org", "bob@example.org", "journal@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "journal", "queue", "route"]}},
        "journal": {"ann": {"who": [ANN], "to": JOURNAL}},
    }
    with Postroad(tmp_path, settings).account(ANN, BOB, JOURNAL) as found:
        yield found


def opened(octets: bytes) -> tuple[str, bytes]:
    """The text of a report, and the message in it."""
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    text, attached = parsed.iter_parts()
    return text.get_content(), attached.get_content().as_bytes()


def test_what_somebody_gets_is_in_the_journal(server: Postroad) -> None:
    server.send(letter("for both"), ANN, BOB, sender="eve@elsewhere.test")
    server.send(letter("for bob alone"), BOB)
    large = letter("a large one", ("y" * 76 + "\r\n") * 5000)
    server.send(large, ANN)
    server.mail_for(ANN, 2)
    server.mail_for(BOB, 2)
    reports = sorted(map(opened, server.mail_for(JOURNAL, 2)), key=lambda one: len(one[1]))
    assert "Sender: eve@elsewhere.test" in reports[0][0]
    assert [line for line in reports[0][0].splitlines() if line.startswith(("To: ", "Recipient: "))] == [
        f"Recipient: {ANN}",
        f"Recipient: {BOB}",
    ]
    assert b"for both" in reports[0][1]
    assert len(reports[1][1]) > 300_000
    journaled = server.all("journaled")
    assert [event["to"] for event in journaled] == [[JOURNAL]] * 2


def test_a_journal_that_is_gone_is_told_to_the_postmaster(server: Postroad) -> None:
    assert server.command("account", "remove", JOURNAL, "--yes").returncode == 0
    server.send(letter("for ann"), ANN)
    server.mail_for(ANN, 1)
    assert server.wait_for("bounce")["to"] == "postmaster@example.org"


def test_nothing_is_delivered_that_is_not_in_the_journal_whatever_is_killed(server: Postroad) -> None:
    sent: set[str] = set()
    for attempt in range(3):
        with ThreadPoolExecutor(8) as pool:
            work = [pool.submit(send, server, f"{attempt}-{number}") for number in range(40)]
            until(lambda: len(server.all("accepted")) > 10, "some mail")
            server.kill()
            sent |= {found for one in work if (found := one.result())}
        server.forget()
        server.start()
    until(lambda: sent <= subjects(server.mailbox(ANN)), "all that was accepted")
    delivered = subjects(server.mailbox(ANN))
    until(lambda: delivered <= subjects(server.mailbox(JOURNAL)), "a copy of all that was delivered")


def send(server: Postroad, subject: str) -> str:
    """The subject, if the server has taken the message."""
    try:
        server.send(letter(subject), ANN)
    except (OSError, smtplib.SMTPException):
        return ""
    return subject


def subjects(mail: list[bytes]) -> set[str]:
    return {match[1].decode() for one in mail if (match := re.search(rb"^Subject: (\d-\d+)\r$", one, re.MULTILINE))}
