"""Quotas on a running server: refused before the content comes, one message over, letters, and the command."""

import json
import poplib
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from tests.support.server import PASSWORD, PATIENCE, Dialogue, Postroad, body, letter, until

BOB, EVE, PAT, TEAM = "bob@example.org", "eve@example.org", "pat@example.org", "team@example.org"

SETTINGS = {
    "listen": {"lmtp": "127.0.0.1:0"},
    "lane": {"handed_in": {"listen": ["lmtp"], "stages": ["lmtp_accept", "queue", "route"]}},
    "stage": {"lmtp_accept": {"use": "stages.accept", "protocol": "lmtp"}},
    "queue": {"retry": ["1s"]},
}
FULL = "452 4.2.2 the mailbox is full"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, SETTINGS) as server:
        yield server.account(BOB, EVE, PAT)


def quota(server: Postroad, *arguments: str) -> str:
    done = server.command("quota", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shares(server: Postroad, *options: str) -> dict[str, int | None]:
    return {row["address"]: row["share"] for row in json.loads(quota(server, "list", "--json", *options))}


def subjects(server: Postroad, address: str, count: int) -> list[str]:
    return [message_from_bytes(one, policy=default)["Subject"] for one in server.mail_for(address, count)]


def send(server: Postroad, subject: str, text: str) -> None:
    """Send to Bob, and wait until he has it: of two workers the second message may be the quicker."""
    before = len(server.all("delivered", to=BOB))
    server.send(letter(subject, text), BOB)
    until(lambda: len(server.all("delivered", to=BOB)) > before, f"{subject} to be delivered")


def refused(client: Dialogue, *recipients: str, reply: str = FULL) -> None:
    """None of them is taken."""
    client.ask("MAIL FROM:<ann@example.net>", "250")
    for recipient in recipients:
        client.ask(f"RCPT TO:<{recipient}>", reply)
    client.ask("RSET", "250")


def test_one_message_goes_over_and_the_next_is_refused_until_there_is_room(server: Postroad) -> None:
    quota(server, "set", BOB, "--size", "10KB")
    send(server, "fits", "x" * 3000)
    send(server, "goes over", "x" * 30_000)
    assert subjects(server, BOB, 3) == ["fits", "goes over", "Your mailbox is full"]
    assert server.wait_for("mailbox-filling")["address"] == BOB
    with server.dialogue() as client, Dialogue(server.ports["lmtp"]) as handing_in:
        client.ask("EHLO client.example.net", "250")
        refused(client, BOB, "BOB+tag@example.org")
        handing_in.ask("LHLO client.example.net", "250")
        handing_in.ask("MAIL FROM:<ann@example.net>", "250")
        handing_in.ask(f"RCPT TO:<{BOB}>", FULL)
        handing_in.ask(f"RCPT TO:<{EVE}>", "250")
        handing_in.content(letter("for Eve alone"))
        assert server.wait_for("recipient-refused", to=BOB)["code"] == "4.2.2"

        quota(server, "set", BOB, "--size", "unlimited")
        client.start(BOB).content(letter("again"))
    assert subjects(server, BOB, 4)[-1] == "again"
    assert subjects(server, EVE, 1) == ["for Eve alone"]


def test_a_letter_at_each_share_and_again_after_it_sank(server: Postroad) -> None:
    quota(server, "set", BOB, "--size", "100KB", "--messages", "1000")
    server.send(letter("80", "\r\n".join(["x" * 98] * 810)), BOB)
    told = message_from_bytes(server.mail_for(BOB, 2)[1], policy=default)
    assert told["Subject"] == "Your mailbox is 81 % full"
    assert (told["To"], told["From"], told["Return-Path"]) == (BOB, "postmaster@example.org", "<>")
    assert "it holds 81 KB of 100 KB and 1 of 1,000 messages." in told.get_content()
    assert "waits with those who sent it" in told.get_content()

    server.kill()
    server.start()
    send(server, "90", "\r\n".join(["x" * 98] * 90))
    send(server, "95", "\r\n".join(["x" * 98] * 60))
    assert subjects(server, BOB, 5) == ["80", "Your mailbox is 81 % full", "90", "95", "Your mailbox is 97 % full"]

    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.user(BOB)
    client.pass_(PASSWORD)
    client.dele(1)
    client.quit()
    server.send(letter("80", "\r\n".join(["x" * 98] * 680)), BOB)
    assert subjects(server, BOB, 6)[4:] == ["80", "Your mailbox is 85 % full"]
    until(lambda: len(server.all("mailbox-filling")) == 3, "three events")


def test_what_was_on_its_way_is_put_off_or_comes_back(server: Postroad) -> None:
    """An address that leads to others is not refused; the one of them that is full is told of apart."""
    assert server.command("group", "add", TEAM, BOB, EVE).returncode == 0
    quota(server, "set", BOB, "--messages", "1")
    server.send(letter("first"), BOB)
    until(lambda: shares(server)[BOB] == 200, "the message and the letter about it")
    server.send(letter("to all"), TEAM)
    assert subjects(server, EVE, 1) == ["to all"]
    assert server.wait_for("deferred", to=BOB)["text"] == "the mailbox is full"
    quota(server, "unset", BOB)
    assert subjects(server, BOB, 3)[-1] == "to all"

    quota(server, "set", BOB, "--messages", "1")
    server.change({"quota": {"full": "reject", "warn": []}})
    assert server.reload().returncode == 0
    with server.dialogue() as client:
        client.ask("EHLO client.example.net", "250")
        refused(client, BOB, reply="552 5.2.2 the mailbox is full")
    server.send(letter("to all again"), TEAM, sender=PAT)
    report = body(server.mail_for(PAT, 1)[0])
    assert b"Status: 5.2.2" in report
    assert b"the mailbox is full" in report

    assert subjects(server, EVE, 2)[-1] == "to all again"
    server.change({"quota": {"messages": 2}})
    assert server.reload().returncode == 0
    with server.dialogue() as client:
        client.ask("EHLO client.example.net", "250")
        refused(client, EVE, reply="552 5.2.2 the mailbox is full")


def test_the_command(server: Postroad) -> None:
    assert server.command("group", "add", TEAM, EVE).returncode == 0
    for name, *limits in (
        (TEAM, "--messages", "10"),
        ("example.org", "--messages", "4", "--size", "1G"),
        (PAT, "--size", "5KB"),
    ):
        quota(server, "set", name, *limits)
    for address in (BOB, BOB, EVE, EVE, PAT):
        server.send(letter("one"), address)
    until(lambda: shares(server) == {BOB: 50, EVE: 20, PAT: 25}, "all of it")
    assert list(shares(server)) == [BOB, PAT, EVE]
    assert shares(server, "--over", "25") == {BOB: 50, PAT: 25}
    assert quota(server, "list").splitlines()[0].split("\t")[:2] == [BOB, "50 %"]
    shown = [line.split("\t") for line in quota(server, "show", EVE).splitlines()]
    assert [[cells[0], *cells[2:]] for cells in shown] == [
        ["size", "1.1 GB", "0 %", "domain example.org"], ["messages", "10", "20 %", f"group {TEAM}"],
    ]  # fmt: skip
    quota(server, "set", "example.org", "--total-messages", "100")
    assert quota(server, "show", "example.org").splitlines() == [
        "size of each\t\t1.1 GB\t\texample.org", "messages of each\t\t4\t\texample.org",
        "messages of all\t5\t100\t5 %\texample.org",
    ]  # fmt: skip
    quota(server, "unset", PAT)
    assert shares(server) == {BOB: 50, EVE: 20, PAT: 25}
    quota(server, "unset", "example.org")
    assert shares(server) == {BOB: None, EVE: 20, PAT: None}
    for *arguments, code in (
        ("set", "nobody@example.org", "--size", "1G", 1), ("set", BOB, 2), ("set", BOB, "--size", "some", 2),
        ("set", BOB, "--total-size", "1G", 2), ("unset", "elsewhere.test", 1), ("show", "nobody@example.org", 1),
        ("show", "example.org", 1),
    ):  # fmt: skip
        assert server.command("quota", *arguments).returncode == code, arguments
