"""The supervisor's line to a worker: commands, and sockets that come with them."""

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest
import trio

from engine.runtime.control import LOST, Control


@pytest.fixture
def ends() -> Iterator[tuple[Control, Control]]:
    with contextlib.ExitStack() as stack:
        yield tuple(Control(stack.enter_context(sock)) for sock in socket.socketpair())  # type: ignore[misc]


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_commands_and_sockets_keep_their_order(ends: tuple[Control, Control]) -> None:
    async def talk() -> list[tuple[str, dict[str, object]] | None]:
        ours, theirs = ends
        with socket.socket() as one, socket.socket() as two:
            await ours.send("listen", one, name="smtp")
            await ours.send("big", text="x" * 100_000)
            await ours.send("listen", two, name="pop3")
            wanted = [os.fstat(sock.fileno()).st_ino for sock in (one, two)]
            said = [await theirs.receive() for _ in range(3)]
        fds = [int(one[1].pop("fd")) for one in (said[0], said[2]) if one]
        assert [os.fstat(fd).st_ino for fd in fds] == wanted
        for fd in fds:
            os.close(fd)
        ours.close()
        return [*said, await theirs.receive()]

    first, second, third, end = trio.run(talk)
    assert (first, third) == (("listen", {"name": "smtp"}), ("listen", {"name": "pop3"}))
    assert second == ("big", {"text": "x" * 100_000})
    assert end is None


def test_a_socket_that_cannot_be_had_is_lost_alone(ends: tuple[Control, Control]) -> None:
    async def talk() -> None:
        ours, theirs = ends
        with socket.socket() as one, socket.socket() as two:
            await ours.send("listen", one, name="smtp")
            await ours.send("listen", two, name="pop3")
            with no_descriptors_left():
                assert await theirs.receive() == ("listen", {"name": "smtp", "fd": LOST})
            command = await theirs.receive()
            assert command is not None
            assert command[1]["name"] == "pop3"
            assert os.fstat(command[1]["fd"]).st_ino == os.fstat(two.fileno()).st_ino
            os.close(command[1]["fd"])

    trio.run(talk)
