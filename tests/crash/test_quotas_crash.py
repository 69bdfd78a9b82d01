"""The mailboxes die while mail fills one up: usage stays exact, no message is lost, and each letter comes once."""

import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from engine.mailbox import Mailboxes
from tests.crash.points import Point, environment, points
from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"
MESSAGES = 12
DELIVER, LETTERS = "engine.mailbox.deliver", "engine.mailbox.warnings"

FILLING = {
    "the message that comes over a share is not committed": Point(
        "mailboxes", DELIVER, "Deliver._place", count=MESSAGES - 2
    ),
    "committed, nobody told": Point("mailboxes", LETTERS, "Warnings._tell", "before", count=1),
    "the letter is to be delivered": Point("mailboxes", LETTERS, "Warnings._deliver", "before", count=1),
    "the letter is delivered, which nobody knows": Point("mailboxes", LETTERS, "_told", "before", count=1),
    "that is known, not committed": Point("mailboxes", LETTERS, "_told", count=1),
}


@pytest.mark.parametrize("point", points(FILLING, every=2))
def test_the_mailboxes_die_while_one_fills_up(tmp_path: Path, point: Point) -> None:
    died = tmp_path / "died"
    server = Postroad(tmp_path, {"queue": {"retry": ["1s"]}}).account(BOB)
    assert server.command("quota", "set", BOB, "--messages", str(MESSAGES)).returncode == 0
    server.environment = environment(point, died)
    with server:
        with server.smtp() as client:
            for number in range(MESSAGES - 2):
                client.sendmail("ann@example.net", [BOB], letter(f"number {number} of them"))
        until(died.exists, "the end of the mailboxes' process")
        mail = server.mail_for(BOB, MESSAGES - 1)
        found = Counter(re.findall(rb"^Subject: (.*?)\r", b"".join(mail), re.MULTILINE))
        assert len(found) == found.total() == MESSAGES - 1, "each message and the letter, once"
        assert re.search(rb"Your mailbox is 8\d % full", b"".join(mail))
        usage = server.command("mailbox", "usage", BOB, "--json")
        total = next(row for row in json.loads(usage.stdout) if row["mailbox"] == "(all)")
        assert (total["messages"], total["size"]) == (len(mail), sum(map(len, mail)))
        verified = server.command("mailbox", "verify")
        assert verified.returncode == 0, verified.stderr
        with closing(Mailboxes.open(tmp_path / "var" / "mailbox")) as mailboxes:
            until(lambda: not mailboxes.to_tell(), "nobody to be told any more")
