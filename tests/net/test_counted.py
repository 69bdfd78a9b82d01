"""What is counted of connections, logins and what is asked of others."""

import socket

import pytest
import trio
import trio.testing

from engine.net.connection import Connection
from engine.net.crowd import Crowd
from engine.net.listening import accept_connections, bind
from engine.observe.measures import measures
from engine.scanning.guard import Guard, Unreachable


def counted(name: str, **labels: str) -> float:
    """What this process has counted up to now."""
    return sum(
        value for found, named, value in measures.samples() if found == name and labels.items() <= dict(named).items()
    )


async def test_connections_of_a_listener(nursery):
    [sock] = bind("counted", "127.0.0.1", 0, 1)
    leave = trio.Event()

    async def serve(_: Connection) -> None:
        await leave.wait()
        raise RuntimeError("which is logged")

    with sock:
        nursery.start_soon(accept_connections, sock, serve, "counted", nursery)
        clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
        while counted("postroad_connections_open", listener="counted") < 3:
            await trio.sleep(0.01)
        assert counted("postroad_connections_total", listener="counted") == 3
        leave.set()
        while counted("postroad_connections_open", listener="counted"):
            await trio.sleep(0.01)
        assert counted("postroad_connections_total", listener="counted") == 3
        nursery.cancel_scope.cancel()
    for client in clients:
        client.close()


def test_connections_for_which_there_is_no_place():
    before = {why: counted("postroad_connections_refused_total", why=why) for why in ("all", "network")}
    crowd = Crowd(2, 1)
    with crowd.joined("a"):
        assert crowd.refusal("a")
        assert not crowd.refusal("b")
        with crowd.joined("b"):
            assert crowd.refusal("c")
    now = {why: counted("postroad_connections_refused_total", why=why) for why in ("all", "network")}
    assert now == {why: number + 1 for why, number in before.items()}


async def test_what_does_not_answer_is_told_until_it_does(autojump_clock):
    guard = Guard("counted scanner", time_limit=1, at_once=1, failures=2, pause=5)

    async def answer() -> str:
        await trio.sleep(0.5)
        return "clean"

    async def silence() -> str:
        await trio.sleep(100)
        return "never"

    assert counted("postroad_reachable", what=guard.name) == 1
    await guard.call(answer)
    assert counted("postroad_asked_seconds_count", what=guard.name) == 1
    assert counted("postroad_asked_seconds_sum", what=guard.name) == pytest.approx(0.5)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await guard.call(silence)
    assert counted("postroad_reachable", what=guard.name) == 0
    with pytest.raises(Unreachable):
        await guard.call(answer)
    assert counted("postroad_asked_failures_total", what=guard.name, why="failed") == 2
    assert counted("postroad_asked_failures_total", what=guard.name, why="pause") == 1
    await trio.sleep(5)
    await guard.call(answer)
    assert counted("postroad_reachable", what=guard.name) == 1


async def test_what_is_no_longer_asked_is_no_longer_told():
    guard = Guard("scanner that was", time_limit=1, at_once=1)
    assert counted("postroad_reachable", what=guard.name) == 1
    name = guard.name
    del guard
    assert not [
        labels for found, labels, _ in measures.samples() if found == "postroad_reachable" and name in str(labels)
    ]
