"""The simulator as a program: its sites under TLS and over broken connections, its orders, and its page."""

import re
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.relay.behaviour import FAULTS, ORIGIN, STEPS, Behaviour, Table, Tls
from tests.relay.simulator import Simulator, simulated
from tests.support.server import PATIENCE, ROOT

PAGE = ROOT / "docs" / "relay-simulator.md"

SITES = (
    {"name": "good", "tls": "good"},
    {"name": "wrong", "tls": "wrong-name"},
    {"name": "alert", "tls": "alert"},
    {"name": "garbage", "tls": "garbage"},
    {"name": "reset", "steps": {"EHLO": "!reset"}},
    {"name": "flood", "steps": {"EHLO": "!flood"}},
    {"name": "line", "steps": {"EHLO": "!line"}},
    {"name": "slow", "delays": {"*": 0.05}, "trickle": 2000},
)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("program"), *SITES) as running:
        yield running


def host(name: str) -> str:
    (place,) = [place for place in Table.of(*SITES).places() if place.name == f"{name}-0"]
    return place.address


def client(simulator: Simulator, name: str) -> smtplib.SMTP:
    found = smtplib.SMTP(host(name), simulator.port, timeout=PATIENCE)
    found._host = f"mx-{name}-0.{ORIGIN}"  # type: ignore[attr-defined]  # whom a certificate has to be for
    return found


def trusting(simulator: Simulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(simulator.authority))


def test_a_message_is_taken_under_tls_and_counted(simulator: Simulator) -> None:
    with client(simulator, "good") as good:
        good.starttls(context=trusting(simulator))
        for number in range(3):
            good.sendmail("a@source.test", [f"m{number}@good-0.{ORIGIN}"], 100_000 * b"x\r\n")
    seen = simulator.seen("good")
    assert (seen.encrypted, seen.most_messages, seen.most_open, seen.open) == (1, 3, 1, 0)
    assert [recipient for _, recipient in seen.taken] == [f"m{number}@good-0.{ORIGIN}" for number in range(3)]
    simulator.forget()
    assert simulator.seen("good").taken == ()


@pytest.mark.parametrize("name", ["wrong", "alert", "garbage"])
def test_tls_fails_in_several_ways(simulator: Simulator, name: str) -> None:
    with client(simulator, name) as server, pytest.raises(ssl.SSLError) as caught:
        server.starttls(context=trusting(simulator))
    assert isinstance(caught.value, ssl.SSLCertVerificationError) == (name == "wrong")


def test_a_connection_is_broken(simulator: Simulator) -> None:
    with socket.create_connection((host("reset"), simulator.port), PATIENCE) as connection:
        assert connection.recv(1000).startswith(b"220 ")
        connection.sendall(b"EHLO us\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1000)


@pytest.mark.parametrize("name", ["flood", "line"])
def test_a_reply_has_no_end(simulator: Simulator, name: str) -> None:
    with socket.create_connection((host(name), simulator.port), PATIENCE) as connection:
        connection.sendall(b"EHLO us\r\n")
        heard = b""
        while len(heard) < 2**22:
            heard += connection.recv(2**16)
    assert (heard.count(b"\r\n250-") > 1000) == (name == "flood")
    assert simulator.seen(name).faults == {f"EHLO {name}": 1}


def test_slow_replies_come_whole_in_the_end(simulator: Simulator) -> None:
    with client(simulator, "slow") as slow:
        slow.sendmail("a@source.test", [f"m@slow-0.{ORIGIN}"], b"Subject: x\r\n\r\n")
    since, until = simulator.seen("slow").spans
    assert until - since > 0.2


def test_a_site_does_otherwise_when_it_is_told_to(simulator: Simulator) -> None:
    simulator.change("good", steps={"EHLO": "421 4.3.2 Not now"})
    with pytest.raises(smtplib.SMTPException), client(simulator, "good") as good:
        good.sendmail("a@source.test", [f"m@good-0.{ORIGIN}"], b"")
    simulator.change("good", steps={})
    with client(simulator, "good") as good:
        assert good.ehlo()[0] == 250


def test_the_sites_have_names(simulator: Simulator) -> None:
    where, _, port = simulator.dns.rpartition(":")
    answer = dns.query.udp(dns.message.make_query(f"mx-slow-0.{ORIGIN}", "A"), where, port=int(port), timeout=PATIENCE)
    assert answer.answer[0][0].to_text() == host("slow")


def test_an_order_that_is_none_is_answered(simulator: Simulator) -> None:
    for order in ("burn", {"report": "nobody"}, {"change": "good", "by": {"speed": 1}}):
        with pytest.raises(AssertionError, match="error"):
            simulator._ask(order)


def test_a_table_with_a_mistake_is_an_error(tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text('[[site]]\nname = "one"\nspeed = 3\n')
    command = [sys.executable, "-m", "tests.relay.sites", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, "speed" in done.stderr) == (1, True)


def test_the_page_and_its_example_name_what_there_is() -> None:
    text = PAGE.read_text()
    names = {*re.findall(r"`!?([\w-]+)`", text)}
    assert {*Behaviour.__struct_fields__} <= names
    assert {*FAULTS} <= names
    assert {*Tls.__args__} - {"none"} <= names  # type: ignore[attr-defined]
    assert all(step in text for step in STEPS)
    assert len(Table.read(ROOT / "tests" / "relay" / "example.toml").site) == 7
