"""Clients that take all their time, or come by the thousand: others do not notice."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import PATIENCE, Postroad, letter

BOB = "bob@example.org"
IDLE = 2000


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many as this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2 * IDLE:
        pytest.skip(f"{before[1]} file descriptors are too few")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _connected(port: int, octets: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.sendall(octets)
    return connection


@pytest.mark.usefixtures("descriptors")
def test_two_thousand_that_say_nothing_hold_nobody_up(tmp_path: Path) -> None:
    with (
        Postroad(tmp_path, {"stage": {"accept": {"max_connections_per_network": 3 * IDLE}}}) as server,
        contextlib.ExitStack() as stack,
    ):
        server.account(BOB)
        for number in range(IDLE):
            halves = [b"", b"EHLO slow", b"EHLO slow.example\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<"]
            stack.enter_context(contextlib.closing(_connected(server.ports["smtp"], halves[number % 3])))
        began = time.monotonic()
        server.send(letter("in time"), BOB)
        print(f"250 within {time.monotonic() - began:.3f} s beside {IDLE} idle connections")
        assert len(server.mail_for(BOB)) == 1
        assert server.all("connection-refused") == []


def test_a_flood_from_one_network_is_held_to_its_limit(tmp_path: Path) -> None:
    settings = {"stage": {"accept": {"max_connections_per_network": 20, "relay_networks": ["127.0.0.2/32"]}}}
    with Postroad(tmp_path, settings) as server, contextlib.ExitStack() as stack:
        server.account(BOB)
        flood = [stack.enter_context(contextlib.closing(_connected(server.ports["smtp"], b""))) for _ in range(200)]
        greetings = [connection.recv(100) for connection in flood]
        served = sum(greeting.startswith(b"220") for greeting in greetings)
        assert 0 < served <= 2 * 20  # in each of the two mail workers
        assert all(greeting.startswith((b"220", b"421")) for greeting in greetings)
        with server.dialogue("127.0.0.2") as other:
            other.ask("NOOP", "250")
