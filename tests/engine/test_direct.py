"""Questions over a socket between two processes: order, size, and the death of either side."""

import errno
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.links import wire
from engine.links.direct import DirectAsker, answer_directly
from engine.links.request import AtOnce, Function, Unanswered


class There:
    """What can be asked for."""

    def __init__(self) -> None:
        self.waiting = trio.Event()
        self.go = trio.Event()
        self.done: list[int] = []
        self.asked: list[tuple[Any, ...]] = []

    async def length(self, *arguments: Any) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [len(one) for one in arguments]

    async def echo(self, octets: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return bytes(octets)

    async def slow(self, number: int) -> int:
        self.waiting.set()
        await self.go.wait()
        self.done.append(number)
        return number

    async def broken(self) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("no such thing")

    def length_now(self, *arguments: Any) -> list[int] | None:
        self.asked.append(arguments)
        if not arguments:
            raise ValueError("nothing at all")
        return [len(one) for one in arguments] if len(arguments) == 1 else None

    @property
    def functions(self) -> dict[str, Function]:
        return {"length": self.length, "echo": self.echo, "slow": self.slow, "broken": self.broken}


@asynccontextmanager
async def served(endpoint: str, there: There, at_once: Mapping[str, AtOnce] | None = None) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_directly, endpoint, there.functions, at_once)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def asking(endpoint: str) -> AsyncIterator[DirectAsker]:
    asker = DirectAsker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asker.serve, endpoint)
        yield asker
        nursery.cancel_scope.cancel()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/service"


async def test_each_is_answered_and_octets_of_any_size_arrive(endpoint: str) -> None:
    there = There()
    with trio.fail_after(60):
        async with served(endpoint, there), asking(endpoint) as asker:
            for size in (0, 1, 65_535, 65_536, 65_537, 300_000, 5_000_000):
                assert await asker.ask("length", "ab", octets=bytes(size)) == ([2, size] if size else [2])
            octets = bytes(range(256)) * 4000
            assert await asker.ask("echo", octets=octets) == octets  # a long answer too
            with pytest.raises(Unanswered, match="no such thing"):
                await asker.ask("broken")
            with pytest.raises(Unanswered, match="KeyError"):
                await asker.ask("unknown")
            assert await asker.ask("length") == []


async def test_what_can_be_answered_at_once_is(endpoint: str) -> None:
    there = There()
    with trio.fail_after(60):
        async with served(endpoint, there, {"length": there.length_now}), asking(endpoint) as asker:
            assert await asker.ask("length", octets=b"abc") == [3]
            assert await asker.ask("length", "ab", octets=b"abc") == [2, 3]  # it would have had to wait
            with pytest.raises(Unanswered, match="ValueError: nothing at all"):
                await asker.ask("length")
            assert await asker.ask("echo", octets=b"abc") == b"abc"
    assert there.asked == [(b"abc",), ("ab", b"abc"), ()]


async def test_many_ask_at_once_and_nobody_waits_for_another(endpoint: str) -> None:
    there, found = There(), dict[int, Any]()
    with trio.fail_after(60):
        async with served(endpoint, there), asking(endpoint) as asker, trio.open_nursery() as nursery:
            nursery.start_soon(asker.ask, "slow", 7)
            await there.waiting.wait()

            async def one(size: int) -> None:
                found[size] = await asker.ask("length", octets=bytes(size))

            async with trio.open_nursery() as all_of_them:
                for size in range(1, 200_000, 997):
                    all_of_them.start_soon(one, size)
            assert not there.done
            there.go.set()
    assert found == {size: [size] for size in found}
    assert len(found) == 201
    assert there.done == [7]


async def test_who_is_asked_may_come_later_end_and_come_back(endpoint: str) -> None:
    there, refused = There(), list[str]()

    async def ask() -> None:
        try:
            await asker.ask("slow", 1)
        except Unanswered as error:
            refused.append(str(error))

    with trio.fail_after(60):
        async with asking(endpoint) as asker, trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.001)
            async with served(endpoint, there):
                await there.waiting.wait()
            while not refused:
                await trio.sleep(0.001)
            async with served(endpoint, there):
                assert await asker.ask("length", "abc") == [3]
    assert refused == ["the process that was asked has ended"]
    assert there.done == []  # it ended with its process


async def test_what_has_begun_goes_on_where_its_asker_dies(endpoint: str) -> None:
    there = There()
    with trio.fail_after(60):
        async with served(endpoint, there):
            async with asking(endpoint) as asker, trio.open_nursery() as nursery:
                nursery.start_soon(asker.ask, "slow", 1)
                await there.waiting.wait()
                nursery.cancel_scope.cancel()
            there.go.set()
            async with asking(endpoint) as another:
                assert await another.ask("length") == []
    assert there.done == [1]


async def test_who_does_not_read_answers_holds_up_nobody(endpoint: str) -> None:
    """The answers are larger than all that the kernel holds."""
    there = There()
    with trio.fail_after(60), socket.socket(socket.AF_UNIX) as deaf:
        async with served(endpoint, there), asking(endpoint) as asker:
            await asker.ask("length")
            deaf.connect(endpoint.removeprefix("ipc://"))
            asked, octets = wire.pack([1, "echo", []]), bytes(3_000_000)
            deaf.setblocking(False)
            head = struct.pack(">II", len(asked), len(octets)) + asked
            await _sent(deaf, (head + octets) * 2)
            for _ in range(10):
                assert await asker.ask("length", "ab") == [2]


async def _sent(sock: socket.socket, octets: bytes) -> None:
    while octets:
        await trio.lowlevel.wait_writable(sock)
        octets = octets[sock.send(octets) :]


async def test_who_comes_while_there_are_no_descriptors_is_answered_later(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, refused = socket.socket.accept, []

    def few(listening: socket.socket) -> Any:
        if len(refused) < 3:
            refused.append(listening)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", few)
    with trio.fail_after(60):
        async with served(endpoint, There()), asking(endpoint) as asker:
            assert await asker.ask("length", "abc") == [3]
    assert len(refused) == 3
