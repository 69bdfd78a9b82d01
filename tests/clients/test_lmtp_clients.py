"""Programs that hand in mail by LMTP, against a running server: each recipient has a reply of its own."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import needs, run
from tests.support.server import PATIENCE, Dialogue, Postroad, body, letter, until

BOB, EVE, PAT, SALES = "bob@example.org", "eve@example.org", "pat@example.org", "sales@example.org"

FUSSY = '''
"""Refuse what is for Eve, and put off what is for Pat."""

from engine import Defer, Each, Message, Reject, Verdict


def fussy(message: Message) -> Verdict:
    said = {"eve@example.org": Reject("Eve wants none", "5.7.2"), "pat@example.org": Defer("Pat is away", "4.2.1")}
    return Each({address: said[address] for address in message.recipients if address in said})
'''

SETTINGS = {
    "listen": {"lmtp": "127.0.0.1:0"},
    "lane": {"handed_in": {"listen": ["lmtp"], "stages": ["lmtp_accept", "fussy", "queue", "route"]}},
    "stage": {
        "lmtp_accept": {"use": "stages.accept", "protocol": "lmtp"},
        "fussy": {"use": "filters/fussy.py"},
    },
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, SETTINGS, fussy=FUSSY) as server:
        yield server.account(BOB, EVE, PAT)


def dialogue(server: Postroad, source: str = "127.0.0.1", greeting: str = "220") -> Dialogue:
    return Dialogue(server.ports["lmtp"], source, greeting)


def begin(client: Dialogue, *recipients: str) -> None:
    client.ask("LHLO client.example.net", "250")
    client.ask("MAIL FROM:<ann@example.net>", "250")
    for recipient in recipients:
        client.ask(f"RCPT TO:<{recipient}>", "250")


def test_smtplib_hands_in(server: Postroad) -> None:
    with smtplib.LMTP("127.0.0.1", server.ports["lmtp"], timeout=PATIENCE) as client:
        assert client.sendmail("ann@example.net", [BOB, "nobody@example.org"], letter("by LMTP")).keys() == {
            "nobody@example.org"
        }
        client.sendmail("ann@example.net", [BOB], letter("again"))
    first, _ = server.mail_for(BOB, 2)
    assert b" with LMTP id " in first


@needs("swaks")
def test_swaks_hears_what_became_of_each(server: Postroad) -> None:
    said = run(
        "swaks", "--protocol", "LMTP", "--server", f"127.0.0.1:{server.ports['lmtp']}", "--from", "ann@example.net",
        "--to", f"{BOB},{EVE},{PAT}", "--body", "hello",
    )  # fmt: skip
    assert "250 2.0.0 queued as" in said
    assert "550 5.7.2 Eve wants none" in said
    assert "451 4.2.1 Pat is away" in said
    server.mail_for(BOB)
    assert not server.mailbox(EVE) + server.mailbox(PAT)


@needs("smtp-source")
def test_postfix_hands_in_many(server: Postroad) -> None:
    """smtp-source(1) of Postfix: 4 connections, and each message to two recipients, the second with a number."""
    server.account("zoe@example.org", "2zoe@example.org")
    run(
        "smtp-source", "-L", "-m", "20", "-s", "4", "-r", "2", "-l", "2000", "-f", "ann@example.net",
        "-t", "zoe@example.org", f"inet:127.0.0.1:{server.ports['lmtp']}",
    )  # fmt: skip
    for address in ("zoe@example.org", "2zoe@example.org"):
        server.mail_for(address, 20)


def test_replies_come_in_the_order_of_the_recipients(server: Postroad) -> None:
    with dialogue(server) as client:
        begin(client, EVE, BOB, PAT, BOB)
        client.ask("DATA", "354")
        client.send(letter("in order") + b".\r\n")
        for beginning in ("550 5.7.2", "250 2.0.0", "451 4.2.1", "250 2.0.0"):
            client.expect(beginning)
        client.ask("QUIT", "221")
    until(lambda: len(server.all("recipient-refused")) >= 2, "both refusals to be told")
    assert [event["code"] for event in server.all("recipient-refused")] == ["5.7.2", "4.2.1"]
    server.mail_for(BOB)


def test_a_large_message_is_kept_for_those_who_get_it(server: Postroad) -> None:
    content = letter("large", "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 20_000)
    with dialogue(server) as client:
        begin(client, EVE, BOB)
        client.ask("DATA", "354")
        client.send(content + b".\r\n")
        client.expect("550 5.7.2")
        client.expect("250 2.0.0")
    (message,) = server.mail_for(BOB)
    assert body(message) == body(content)


def test_no_bounce_is_written_about_what_the_client_was_told(server: Postroad) -> None:
    with dialogue(server) as client:
        client.ask("LHLO client.example.net", "250")
        client.ask(f"MAIL FROM:<{BOB}>", "250")
        for recipient in (BOB, EVE):
            client.ask(f"RCPT TO:<{recipient}>", "250")
        client.ask("DATA", "354")
        client.send(letter("to both") + b".\r\n")
        client.expect("250")
        client.expect("550")
    server.send(letter("the last"), BOB)
    subjects = [message.partition(b"Subject: ")[2].partition(b"\r\n")[0] for message in server.mail_for(BOB, 2)]
    assert sorted(subjects) == [b"the last", b"to both"]


def test_strangers_are_turned_away(tmp_path: Path) -> None:
    with Postroad(tmp_path, SETTINGS, fussy=FUSSY) as server:
        server.account(BOB)
        dialogue(server, "127.0.0.9").close()  # of this machine, as by default
        server.change({"stage": {"lmtp_accept": {"clients": ["127.0.0.2/32"]}}})
        assert server.reload().returncode == 0
        with dialogue(server, greeting="554 5.7.1") as client:
            client.ask("LHLO client.example.net", "503")
        with dialogue(server, "127.0.0.2") as client:
            begin(client, BOB)


def test_nobody_relays_through_it(server: Postroad) -> None:
    with dialogue(server) as client:
        begin(client)
        client.ask("RCPT TO:<someone@example.com>", "550 5.7.1")
