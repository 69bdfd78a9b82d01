"""Rates: counted over all workers and connections, told once, shown and lifted by the command, kept over a crash."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates
from tests.support.server import Dialogue, Postroad, letter

BOB, EVE = "bob@example.org", "eve@example.org"
STRANGER = "127.0.0.9"
SETTINGS = {
    "listen": {"submissions": "127.0.0.1:0"},
    "lane": {"outbound": {"listen": ["submissions"], "stages": ["submit", "queue", "route"]}},
    "stage": {
        "accept": {"relay_networks": ["127.0.0.1"], "network_messages": ["2/1h"]},
        "submit": {
            "use": "stages.accept", "login": "required", "max_recipients": 3,
            "account_messages": ["3/1h"], "account_recipients": ["4/1d"],
        },
    },
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    with Postroad(tmp_path, SETTINGS | {"tls": Certificates(tmp_path / "tls").settings}) as server:
        yield server.account(BOB, EVE)


def send(server: Postroad, user: str, *recipients: str) -> int:
    """A message over a connection of its own; the code of the last reply."""
    with server.logged_in(user) as client:
        if (code := client.mail(user)[0]) != 250:
            return code
        for recipient in recipients:
            if (code := client.rcpt(recipient)[0]) != 250:
                return code
        return client.data(letter("counted", author=user))[0]


def rows(server: Postroad, *options: str) -> list[tuple[str, str, str]]:
    done = server.command("rate", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [(row["name"], row["sent"], row["state"]) for row in json.loads(done.stdout)]


def test_an_account_may_send_no_more_until_an_operator_lets_it(server: Postroad) -> None:
    assert [send(server, EVE, BOB) for _ in range(3)] == [250] * 3
    assert rows(server, "--limited") == []
    with server.logged_in(EVE) as client:
        code, text = client.mail(EVE)
        assert code == 450
        assert text.startswith(b"4.7.1 3 messages within 60 minutes are taken, come again in ")
    assert send(server, BOB, EVE) == 250
    said = server.wait_for("limited", address=EVE)
    assert (said["what"], said["rate"]) == ("messages", "3/1h")

    server.kill()
    server.start()
    assert send(server, EVE, BOB) == 450
    assert len(server.all("limited")) == 1, "it is told once"
    assert rows(server, "--limited") == [(EVE, "3 messages", "limited")]
    assert (EVE, "3 recipients", "") in rows(server)

    done = server.command("rate", "lift", EVE.upper())
    assert (done.returncode, done.stdout) == (0, f"{EVE.upper()} may send again.\n"), done.stderr
    assert send(server, EVE, BOB) == 250
    done = server.command("rate", "lift", "nobody@example.org")
    assert (done.returncode, done.stderr.split(";")[0]) == (1, "nothing counts for nobody@example.org")


def test_recipients_are_counted_and_a_message_takes_those_that_are_within(server: Postroad) -> None:
    with server.logged_in(EVE) as client:
        client.mail(EVE)
        assert [client.rcpt(BOB)[0] for _ in range(3)] == [250] * 3
        assert client.rcpt(BOB) == (452, b"4.5.3 Too many recipients")
        assert client.data(letter("three", author=EVE))[0] == 250
        client.mail(EVE)
        assert client.rcpt("nobody@example.org")[0] == 550
        assert client.rcpt(BOB)[0] == 250
        code, text = client.rcpt(BOB)
        assert (code, text[:30]) == (450, b"4.7.1 4 recipients within 24 h")
        assert client.data(letter("one", author=EVE))[0] == 250
        assert client.mail(EVE)[0] == 450
    assert server.wait_for("limited", address=EVE)["what"] == "recipients"


def test_sessions_side_by_side_share_what_there_is(server: Postroad) -> None:
    clients = [server.logged_in(EVE) for _ in range(4)]
    for client in clients:
        assert client.mail(EVE)[0] == 250
        assert client.rcpt(BOB)[0] == 250
    assert [client.data(letter("at once", author=EVE))[0] for client in clients] == [250, 250, 250, 450]
    assert clients[3].mail(EVE)[0] == 450
    for client in clients:
        client.close()


def test_a_stranger_s_network_may_send_no_more_but_its_neighbour_may(server: Postroad) -> None:
    for _ in range(2):
        with server.dialogue(STRANGER) as client:
            client.start(BOB).content(letter("from a stranger"))
    with server.dialogue(STRANGER) as client:
        client.ask("EHLO client.example.net", "250")
        client.ask("MAIL FROM:<ann@example.net>", "450 4.7.1 2 messages within 60 minutes")
    assert "address" not in server.wait_for("limited", network=f"{STRANGER}/32")
    for source in ("127.0.0.8", "127.0.0.1", "127.0.0.1", "127.0.0.1"):
        with Dialogue(server.ports["smtp"], source) as client:
            client.start(BOB).content(letter("from others"))
    assert server.command("rate", "lift", STRANGER).returncode == 0
    with server.dialogue(STRANGER) as client:
        client.start(BOB).content(letter("again"))


def test_a_sender_a_domain_and_a_recipient_have_limits_over_all_networks(server: Postroad) -> None:
    """Each comes from a network of its own, and over a connection of its own: to whichever worker takes it."""
    server.change({
        "lane": {"inbound": {"stages": ["accept", "limit_rates", "queue", "route"]}},
        "stage": {"limit_rates": {
            "sender_messages": ["2/1h"], "domain_messages": ["3/1h"], "recipient_messages": ["5/1h"],
        }},
    })  # fmt: skip
    done = server.reload()
    assert done.returncode == 0, done.stderr
    networks = (f"127.0.1.{number}" for number in range(1, 100))

    def says(sender: str, recipient: str = BOB) -> str:
        with server.dialogue(next(networks)) as client:
            client.ask("EHLO client.example.net", "250")
            if not (said := client.ask(f"MAIL FROM:<{sender}>")).startswith("250"):
                return said
            if not (said := client.ask(f"RCPT TO:<{recipient}>")).startswith("250"):
                return said
            return client.content(letter("counted"), "")

    assert [says("ann@one.test")[:3] for _ in range(2)] == ["250", "250"]
    assert says("Ann+tag@one.test").startswith("451 4.7.1 For this sender 2 messages within 60 minutes are taken")
    assert says("bob@one.test").startswith("250")
    assert says("cat@one.test").startswith("451 4.7.1 For this domain 3 messages within 60 minutes are taken")
    assert [says(f"x@{number}.test")[:3] for number in range(2)] == ["250", "250"]
    assert says("x@9.test", "Bob+x@example.org").startswith(
        "451 4.7.1 For this recipient 5 messages within 60 minutes are taken"
    )
    assert says("x@9.test", EVE).startswith("250")
    for who in ({"sender": "ann@one.test"}, {"domain": "one.test"}, {"recipient": BOB}):
        server.wait_for("limited", **who)


def test_what_cannot_be_meant(server: Postroad) -> None:
    server.change({"stage": {"submit": {"account_messages": ["1/1h", "2/60m"], "account_recipients": ["many"]}}})
    done = server.command("check")
    assert done.returncode == 2
    assert "'many' is no rate" in done.stderr
    server.change({"stage": {"submit": {"account_recipients": []}}})
    assert "account_messages has two rates over the same time" in server.command("check").stderr
