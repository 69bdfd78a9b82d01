"""Connections by way of a proxy: whose they are, over real sockets."""

import socket
from ipaddress import ip_network

import pytest
import trio

from engine.net.connection import Connection
from engine.net.introduction import introduced
from engine.protocols.proxy_protocol import SIGNATURE, Proxied, header

PROXIES = (ip_network("127.0.0.0/8"),)
CLIENT = Proxied("192.0.2.7", 40000, "127.0.0.1", 25)


@pytest.fixture
def pair():
    """Our side of a TCP connection, and the other one."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as other:
        ours, _ = listener.accept()
        with ours:
            yield Connection(ours), other


@pytest.mark.parametrize("version", [1, 2])
async def test_the_peer_is_the_client_and_nothing_of_what_it_says_is_lost(pair, version) -> None:
    connection, other = pair
    other.sendall(header(version, CLIENT) + b"EHLO a\r\n")
    assert await introduced(connection, PROXIES, "smtp")
    assert connection.peer == "192.0.2.7"
    assert not connection.is_loopback
    assert await connection.receive() == b"EHLO a\r\n"


async def test_a_mapped_address_is_the_one_that_it_stands_for(pair) -> None:
    connection, other = pair
    other.sendall(header(2, Proxied("::ffff:192.0.2.7", 1, "::1", 25)))
    assert await introduced(connection, PROXIES, "smtp")
    assert connection.peer == "192.0.2.7"


async def test_a_proxy_may_speak_for_itself(pair) -> None:
    connection, other = pair
    other.sendall(SIGNATURE + bytes.fromhex("20000000"))
    assert await introduced(connection, PROXIES, "smtp")
    assert connection.peer == "127.0.0.1"


async def test_who_is_no_proxy_is_believed_nothing(pair) -> None:
    connection, other = pair
    octets = header(2, CLIENT)
    other.sendall(octets)
    assert await introduced(connection, (ip_network("198.51.100.0/24"),), "smtp")
    assert connection.peer == "127.0.0.1"
    assert await connection.receive() == octets


@pytest.mark.parametrize("said", [b"EHLO client.example.org\r\n", b"PROXY TCP4 a b c d\r\n      ", b""])
async def test_a_proxy_that_says_nothing_of_its_client_is_turned_away(pair, said, capfd) -> None:
    connection, other = pair
    other.sendall(said)
    other.shutdown(socket.SHUT_WR)
    assert not await introduced(connection, PROXIES, "smtp")
    assert "proxy-refused" in capfd.readouterr().err


async def test_one_that_says_nothing_at_all_is_not_waited_for_long(pair, autojump_clock, capfd) -> None:
    connection, _ = pair
    autojump_clock.autojump_threshold = 0.02
    before = trio.current_time()
    assert not await introduced(connection, PROXIES, "smtp")
    assert trio.current_time() - before < 11
    assert "no header in time" in capfd.readouterr().err
