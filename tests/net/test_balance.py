"""Connections handed from one process to another: two of them in this one, with sockets that are real."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.net.balance import Balance
from engine.net.connection import Connection


class Served:
    """Serves by saying who did."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.listeners: list[str] = []

    async def __call__(self, listener: str, connection: Connection) -> None:
        self.listeners.append(listener)
        await connection.send(self.name.encode())


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Balance, Balance]]:
    first, second = Balance(tmp_path, "readers", 0), Balance(tmp_path, "readers", 1)
    yield first, second
    first.close()
    second.close()


@contextmanager
def connections(balance: Balance, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(balance.joined())
        yield


def connected() -> tuple[socket.socket, Connection]:
    """A client, and the other end."""
    client, server = socket.socketpair()
    client.settimeout(60)
    return client, Connection(server)


async def taking(nursery: trio.Nursery, balance: Balance, served: Served) -> None:
    """Until it takes."""
    nursery.start_soon(balance.take, served)
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("ours", "theirs", "handed"),
    [(0, 0, False), (1, 1, False), (1, 0, True), (0, 1, False), (5, 4, True), (100, 90, False), (100, 88, True)],
)
async def test_who_has_clearly_more_hands_over(
    pair: tuple[Balance, Balance], ours: int, theirs: int, handed: bool
) -> None:
    first, second = pair
    async with trio.open_nursery() as nursery:
        served = Served("second")
        await taking(nursery, first, Served("first"))
        await taking(nursery, second, served)
        client, connection = connected()
        with client, connections(first, ours), connections(second, theirs):
            assert first.hand_over("imap", connection) is handed
            connection.close()
            heard = await trio.to_thread.run_sync(client.recv, 100)
            assert heard == (b"second" if handed else b""), "closed here, it is open there"
            assert served.listeners == ["imap"] * handed
        nursery.cancel_scope.cancel()


async def test_those_on_their_way_count_as_well(pair: tuple[Balance, Balance]) -> None:
    """Of many that come at once, none has been taken when the last one is handed over."""
    first, second = pair
    async with trio.open_nursery() as nursery:
        served = Served("second")
        await taking(nursery, second, served)
        clients = [connected() for _ in range(100)]
        with connections(first, 60), connections(second, 40):
            handed = [first.hand_over("imap", connection) for _, connection in clients]
        for client, connection in clients:
            client.close()
            connection.close()
        await trio.testing.wait_all_tasks_blocked()
        assert len(served.listeners) == sum(handed) <= 20
        assert handed[0]
        nursery.cancel_scope.cancel()


async def test_nothing_is_handed_to_who_leaves_or_is_not_there_yet(pair: tuple[Balance, Balance]) -> None:
    first, second = pair
    client, connection = connected()
    with client, connections(first, 3):
        assert not first.hand_over("imap", connection)
        async with trio.open_nursery() as nursery:
            await taking(nursery, second, Served("second"))
            second.leave()
            assert not first.hand_over("imap", connection)
            nursery.cancel_scope.cancel()
    connection.close()


async def test_who_has_died_is_asked_once_and_again_when_it_is_back(tmp_path: Path) -> None:
    first, second = Balance(tmp_path, "readers", 0), Balance(tmp_path, "readers", 1)
    client, connection = connected()
    with client, connections(first, 3):
        async with trio.open_nursery() as nursery:
            await taking(nursery, second, Served("second"))
            nursery.cancel_scope.cancel()
        second._socket.close()  # as where it is killed: its count stays
        assert not first.hand_over("imap", connection)
        assert first._lightest() is None
        async with trio.open_nursery() as nursery:
            again = Balance(tmp_path, "readers", 1)
            await taking(nursery, again, Served("again"))
            assert first.hand_over("imap", connection)
            connection.close()
            assert await trio.to_thread.run_sync(client.recv, 100) == b"again"
            nursery.cancel_scope.cancel()
        again.close()
    first.close()


async def test_more_than_it_takes_at_once_is_served_here(pair: tuple[Balance, Balance]) -> None:
    """The kernel holds some for who does not come to take them."""
    first, second = pair
    second._takes = True
    second._tell()
    client, connection = connected()
    handed = 0
    with connections(first, 3):
        while first.hand_over("imap", connection):
            handed += 1
    connection.close()
    assert handed
    served = Served("x")
    async with trio.open_nursery() as nursery:
        await taking(nursery, second, served)
        with client:
            assert await trio.to_thread.run_sync(client.recv, handed, socket.MSG_WAITALL) == b"x" * handed
        nursery.cancel_scope.cancel()
    assert len(served.listeners) == handed
