"""Greylisting in a whole server: the first try, the second one, what is asked before it, and the commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Dialogue, Postroad, letter, until

BOB = "bob@example.org"
STRANGER, OTHER = "127.0.0.9", "127.1.0.9"
SETTINGS = {
    "lane": {"inbound": {"stages": ["accept", "greylist", "queue", "route"]}},
    "stage": {"accept": {"relay_networks": ["127.0.0.1"]}, "greylist": {"delay": "1s", "only": "unproved"}},
    "dns": {"servers": ["127.0.0.1:1"], "timeout": "1s"},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, SETTINGS) as server:
        yield server.account(BOB)


def attempt(server: Postroad, recipient: str = BOB, source: str = STRANGER) -> str:
    """The reply to RCPT."""
    with server.dialogue(source) as client:
        return client.start().ask(f"RCPT TO:<{recipient}>")


def states(server: Postroad, *options: str) -> list[tuple[str, str]]:
    done = server.command("greylist", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [(row["state"], row["client"]) for row in json.loads(done.stdout)]


def test_a_stranger_comes_again_and_passes_from_then_on(server: Postroad) -> None:
    assert attempt(server) == "451 4.7.1 Greylisted, please come again in 1 seconds"
    assert server.wait_for("recipient-refused", to=BOB)["code"] == "4.7.1"
    assert states(server, "--waiting") == [("waiting", "127.0.0.0/24")]
    assert attempt(server, source=OTHER).startswith("451 4.7.1")
    until(lambda: attempt(server).startswith("250"), "the second try to pass")

    server.kill()
    server.start()
    with Dialogue(server.ports["smtp"], STRANGER) as client:
        client.start(BOB).content(letter("came again"))
    assert b"came again" in server.mail_for(BOB)[0]
    assert ("passed", "127.0.0.0/24") in states(server)
    shown = json.loads(server.command("greylist", "status", "--json").stdout)
    assert {row["state"]: row["count"] for row in shown} == {"waiting": 1, "passed": 1, "known": 1}

    done = server.command("greylist", "forget", STRANGER)
    assert (done.returncode, done.stdout) == (0, f"2 entries of {STRANGER} forgotten.\n"), done.stderr
    assert attempt(server).startswith("451 4.7.1")
    assert server.command("greylist", "forget", "nobody@example.org").returncode == 1


def test_trusted_clients_and_unknown_recipients_are_not_noted(server: Postroad) -> None:
    assert attempt(server, source="127.0.0.1").startswith("250")
    assert attempt(server, "nobody@example.org").startswith("550 5.1.1")
    assert states(server) == []


def test_to_be_told_to_come_again_is_no_error_of_the_client(server: Postroad) -> None:
    names = [f"bob+{number}@example.org" for number in range(30)]
    with server.dialogue(STRANGER) as client:
        client.start()
        for name in names:
            client.ask(f"RCPT TO:<{name}>", "451")
        client.ask("RSET", "250")
