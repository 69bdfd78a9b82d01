"""Allow and block lists on a running server: a command counts for the very next message."""

import smtplib
from pathlib import Path

import pytest

from tests.support.load import subjects
from tests.support.server import Postroad, letter

BOB, CAT = "bob@example.org", "cat@example.org"

PARK = """
'''Parks everything.'''
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("spam")
"""


def test_a_server_looks_at_its_lists(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "lists", "park", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py", "when": "not lists.allowed"}},
    }
    with Postroad(tmp_path, settings, park=PARK) as server:
        server.account(BOB, CAT)
        assert server.command("lists", "block", "example.net").returncode == 0
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            server.send(letter("blocked"), BOB)
        assert refused.value.recipients[BOB] == (550, b"5.7.1 mail from this sender is not taken here")
        # The client is trusted by its network, so that it need not prove who it is.
        assert server.command("lists", "allow", "example.net", "--for", BOB).returncode == 0
        server.send(letter("allowed"), BOB)
        assert subjects(server.mail_for(BOB)) == ["allowed"]
        assert server.command("lists", "remove", "example.net").returncode == 0
        server.send(letter("parted"), BOB, CAT)
        assert sorted(subjects(server.mail_for(BOB, 2))) == ["allowed", "parted"]
        assert server.mailbox(CAT) == []
        assert f"\t{CAT}\t" in server.command("quarantine", "list").stdout
