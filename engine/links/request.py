"""Questions from one process to another that are no message: a name and arguments there, an answer back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any

import trio
import zmq

from engine.links import wire
from engine.links.sockets import Socket
from engine.wakeup import Answer

Function = Callable[..., Awaitable[Any]]

AtOnce = Callable[..., Any]
"""What gives the answer without waiting for anything, or None where it would have to."""


class Unanswered(Exception):
    """The other process died, or could not do it. What was asked may or may not have been done."""


class Questions:
    """Those that wait for their answers, by number."""

    def __init__(self) -> None:
        self._open: dict[int, Answer] = {}
        self._numbers = count(1)

    async def answered(self, name: str, arguments: Sequence[Any], send: Callable[[bytes], None]) -> Any:
        """The answer to what is sent. Unanswered when there is none."""
        number = next(self._numbers)
        answer = self._open[number] = Answer()
        send(wire.pack([number, name, arguments]))
        try:
            found: Any = await answer.wait()
        finally:
            self._open.pop(number, None)
        done, value = found
        if not done:
            raise Unanswered(value)
        return value

    def heard(self, packed: bytes) -> None:
        """An answer has come."""
        number, done, value = wire.unpack(packed)
        if number in self._open:
            self._open[number].give((done, value))

    def lost(self) -> None:
        """No more answers will come to what has been sent."""
        for answer in self._open.values():
            answer.give((False, "the process that was asked has ended"))


async def answer_to(number: int, functions: Mapping[str, Function], name: str, arguments: Sequence[Any]) -> bytes:
    """What ``Questions.heard`` takes: what the function gives, or why there is nothing."""
    try:
        value = await functions[name](*arguments)
    except Exception as error:
        return _failed(number, error)
    return wire.pack([number, True, value])


def answer_now(number: int, function: AtOnce, arguments: Sequence[Any]) -> bytes | None:
    """The same of what waits for nothing; None: it would have to."""
    try:
        value = function(*arguments)
    except Exception as error:
        return _failed(number, error)
    return wire.pack([number, True, value]) if value is not None else None


def _failed(number: int, error: Exception) -> bytes:
    """The asker must hear of it, whatever it is."""
    return wire.pack([number, False, f"{type(error).__name__}: {error}"])


class Asker:
    """Asks whoever serves at the endpoint that it was last connected to."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._socket: Socket | None = None
        self._questions = Questions()
        self._connected = trio.Event()

    async def ask(self, name: str, *arguments: Any, octets: bytes = b"") -> Any:
        """The answer. Unanswered when there is none. ``octets`` are the last argument, and may be many."""
        while (socket := self._socket) is None:  # again: it may be gone by the turn in which that is heard of
            await self._connected.wait()
        behind = [octets] if octets else []  # a frame of their own: packed they would be copied
        send = socket.send
        return await self._questions.answered(name, arguments, lambda asked: send([asked, *behind]))

    async def serve(self, endpoint: str) -> None:
        """Be connected to ``endpoint`` until cancelled."""
        socket = self._socket = Socket(self._context, zmq.DEALER)
        socket.connect(endpoint)
        self._connected.set()
        try:
            while True:
                for frames in await socket.receive_many():
                    self._questions.heard(frames[0])
        finally:
            self._socket = None
            self._connected = trio.Event()
            socket.close()
            self._questions.lost()


async def answer_requests(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, functions: Mapping[str, Function]
) -> None:
    """Answer questions at ``endpoint`` until cancelled, each in a task of its own."""
    socket = Socket(context, zmq.ROUTER)
    socket.bind(endpoint)

    async def answer(identity: bytes, number: int, name: str, arguments: list[Any]) -> None:
        socket.send([identity, await answer_to(number, functions, name, arguments)])

    try:
        async with trio.open_nursery() as nursery:
            while True:
                for identity, asked, *octets in await socket.receive_many():
                    number, name, arguments = wire.unpack(asked)
                    nursery.start_soon(answer, identity, number, name, arguments + octets)
    finally:
        socket.close()
