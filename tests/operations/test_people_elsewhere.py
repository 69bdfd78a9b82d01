"""People whom another server keeps: mail finds them, they log in, and while it is away nobody is turned away."""

import json
import smtplib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from email import message_from_bytes
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.operations.test_submission import SETTINGS, blind
from tests.support.postgresql import Postgresql, postgresql
from tests.support.programs import Certificates, marks
from tests.support.server import PASSWORD, PATIENCE, Dialogue, Postroad, letter, until
from tests.support.slapd import Slapd, slapd

without_psycopg = pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed")

ANN, BOB, TEAM = "ann@example.org", "bob@example.org", "team@example.org"

KINDS = {
    "ldap": (slapd, marks("slapd", "slapadd")),
    "postgresql": (postgresql, [*marks("postgres", "initdb"), without_psycopg]),
}


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=needed) for kind, (_, needed) in KINDS.items()])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Postroad, Slapd | Postgresql]]:
    """A server, and the one that keeps its people; nothing is remembered between two questions."""
    folder = tmp_path_factory.mktemp(request.param)
    keeper: AbstractContextManager[Slapd | Postgresql] = KINDS[request.param][0](folder / "keeper")
    with keeper as people:
        settings = SETTINGS | {
            "tls": Certificates(folder / "tls").settings,
            "directory": {request.param: people.settings(cache=0)},
            "queue": {"retry": ["1s"]},
        }
        with Postroad(folder / "server", settings) as server:
            yield server, people


def subject(message: bytes) -> str:
    return str(message_from_bytes(message)["Subject"])


def login(server: Postroad, user: str = ANN, password: str = PASSWORD) -> smtplib.SMTP:
    client = smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], timeout=PATIENCE, context=blind())
    client.login(user, password)
    return client


def test_mail_finds_people(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, _ = pair
    with server.dialogue() as client:
        client.ask("EHLO client.example.net", "250")
        client.ask("MAIL FROM:<x@example.net>", "250")
        client.ask("RCPT TO:<nobody@example.org>", "550 5.1.1")
        client.ask(f"RCPT TO:<{TEAM}>", "250")
        client.ask("RCPT TO:<Postmaster>", "250")
        client.content(letter("to all"))
    for user in (ANN, BOB):
        until(lambda user=user: "to all" in map(subject, server.mailbox(user)), f"it in the mailbox of {user}")
        assert [subject(mail) for mail in server.mailbox(user)].count("to all") == 1, "once, though by two ways"


def test_people_log_in_and_send_in_their_names(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, _ = pair
    with login(server) as client:
        for sender, code in ((ANN, 250), (TEAM, 250), ("boss@example.org", 250), (BOB, 553)):
            assert client.mail(sender)[0] == code
            client.rset()
        offered = client.esmtp_features["auth"].split()
        assert {"PLAIN", "LOGIN"} <= set(offered)
        assert ("SCRAM-SHA-256" in offered) is ("postgresql" in server.settings["directory"])
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        login(server, password="guess")
    assert refused.value.smtp_code == 535


def test_they_have_quotas(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, _ = pair
    server.send(letter("for the quota"), ANN)
    until(lambda: server.mailbox(ANN), "mail in the mailbox")
    for limit, answer in ((1, "452 4.2.2"), (None, "250")):
        server.change({"quota": {"messages": limit}})
        assert server.reload().returncode == 0
        with server.dialogue() as client:
            client.ask("EHLO client.example.net", "250")
            client.ask("MAIL FROM:<x@example.net>", "250")
            client.ask(f"RCPT TO:<{ANN}>", answer)
            client.ask(f"RCPT TO:<{TEAM}>", answer)
        shown = json.loads(server.command("quota", "show", ANN, "--json").stdout)
        assert [(row["limit_exactly"], row["from"]) for row in shown] == [(0, "[quota]"), (limit or 0, "[quota]")]
    assert server.command("quota", "set", ANN, "--messages", "1").returncode == 1


def test_while_it_is_away_all_wait_and_nobody_is_turned_away(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, people = pair
    server.change({"queue": {"in_flight": 0}})
    assert server.reload().returncode == 0
    before = len(server.mailbox(BOB))
    server.send(letter("queued in time"), BOB)
    people.stop()
    try:
        with server.dialogue() as client:
            client.ask("EHLO client.example.net", "250")
            client.ask("MAIL FROM:<x@example.net>", "250")
            client.ask(f"RCPT TO:<{BOB}>", "451 4.3.0")
            client.ask("RCPT TO:<nobody@example.org>", "451 4.3.0")
            # Whether a domain is ours only the database has a say in.
            client.ask("RCPT TO:<x@elsewhere.test>", "451" if isinstance(people, Postgresql) else "250")
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            login(server)
        assert refused.value.smtp_code == 454
        with Dialogue(server.ports["pop3"], greeting="+OK") as reader:
            reader.ask(f"USER {ANN}", "+OK")
            reader.ask(f"PASS {PASSWORD}", "-ERR [SYS/TEMP]")
        server.change({"queue": {"in_flight": None}})
        assert server.reload().returncode == 0
        server.wait_for("deferred", to=BOB)
        assert not server.all("failed")
    finally:
        people.start()
    assert "queued in time" in [subject(mail) for mail in server.mail_for(BOB, before + 1)]


def test_a_file_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text("nonsense")
    table = {"servers": ["ldaps://ldap.test"], "base": "dc=a", "postmaster": ANN, "trust": "authority.pem"}
    server = Postroad(tmp_path, {"directory": {"ldap": table}})
    done = server.command("check")
    assert done.returncode == 2
    assert f"[directory]: cannot use {tmp_path}/authority.pem" in done.stderr


def test_another_directory_needs_a_restart(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, _ = pair
    table = server.settings["directory"]
    server.change({"directory": None})
    done = server.reload()
    server.change({"directory": table})
    assert done.returncode == 1
    assert "[directory] cannot change while the server runs" in done.stderr


def test_commands_say_where_people_are_kept(pair: tuple[Postroad, Slapd | Postgresql]) -> None:
    server, _ = pair
    refused = server.command("account", "add", "new@example.org", "--password-stdin", stdin="secret words")
    assert refused.returncode == 1
    assert "another server keeps them" in refused.stderr
    found = server.command("account", "find", "Team@example.org")
    kind, address, *_ = found.stdout.split("\t")
    assert (kind in ("group", "alias"), address) == (True, TEAM)
    assert server.command("account", "find", "nobody@example.org").returncode == 1
