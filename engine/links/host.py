"""The far end of links: a leg's worker, which takes messages in, runs them, and sends the verdicts back."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio
import zmq

from engine.links import wire
from engine.links.link import Call, Way, local_links
from engine.links.sockets import LocalSocket, Socket
from engine.message import Content, Message
from engine.observe.events import event
from engine.verdict import Changed, Defer, Verdict
from engine.wakeup import Wakeup

Run: TypeAlias = "Callable[[Message, int], Awaitable[tuple[Verdict | Changed, int, Way]]]"
"""Runs a message through the leg from a stage on: verdict, number of stages done with, way. It never raises."""

Key: TypeAlias = "tuple[bytes, int, tuple[str, ...]]"
"""What an effect must not have in hand twice: message, attempt, recipients."""

KEPT = 10_000
"""Answers of an effect that are kept for an asker who died before it could hear them."""


_Asker: TypeAlias = tuple[Socket, bytes]
"""Whom to answer: the socket that the message came by, and the identity of its other end."""


class _Asked:
    """One message in hand, with all who wait for its verdict."""

    __slots__ = ("askers", "call", "key", "message", "start")

    def __init__(self, message: Message, start: int, call: Call | None) -> None:
        self.message = message
        self.start = start
        self.call = call
        self.askers: list[tuple[_Asker, int]] = []
        self.key: Key | None = None  # of an effect


class Host:
    """Serves one leg. ``once`` is for effects: the same message for the same recipients is never in hand twice.

    A queue owner that died and came back gives out again what it had; if that is still in hand here, the new asker
    joins the old call, and if it has ended, it gets the answer that was found.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoints: list[str],
        run: Run,
        find: Callable[[wire.Reference], Content],
        *,
        concurrency: int,
        once: bool = False,
    ) -> None:
        self._sockets: list[Socket] = []
        for endpoint in endpoints:
            local = endpoint.startswith("inproc:")
            self._sockets.append((LocalSocket if local else Socket)(context, zmq.ROUTER))
            self._sockets[-1].bind(endpoint)
        self._run = run
        self._find = find
        self._concurrency = concurrency
        self._once = once
        self._waiting: deque[_Asked] = deque()
        self._idle: list[Wakeup] = []
        self._runners = 0
        self._in_hand: dict[Key, _Asked] = {}
        self._ended: dict[Key, list[Any]] = {}
        self._answers: dict[_Asker, list[Any]] = {}
        self._answered = Wakeup()
        self._nursery: trio.Nursery | None = None

    @property
    def busy(self) -> int:
        """Messages in hand or waiting here."""
        return len(self._waiting) + self._runners - len(self._idle)

    def close(self) -> None:
        """Give the endpoints back."""
        for socket in self._sockets:
            socket.close()

    async def serve(self) -> None:
        """Take messages in until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._send_answers)
                for socket in self._sockets:
                    self._nursery.start_soon(self._receive, socket)
        finally:
            self.close()

    async def _receive(self, socket: Socket) -> None:
        while True:
            for identity, *frames in await socket.receive_many():
                self._take((socket, identity), frames)
            self._rouse()

    def _take(self, asker: _Asker, frames: list[bytes]) -> None:
        number, items = wire.unpack(frames[0])
        if number:
            link = local_links.get(number)
            for sequence in items if link else ():
                call = link.call_of(sequence) if link else None
                if call is not None:
                    self._add(asker, sequence, _Asked(call.message, call.start, call))
            return
        for sequence, start, packed in items:
            self._add(asker, sequence, _Asked(wire.unpack_message(packed, frames[1:], self._find), start, None))

    def _add(self, asker: _Asker, sequence: int, asked: _Asked) -> None:
        asked.askers.append((asker, sequence))
        if self._once:
            key = asked.key = _key(asked.message)
            known = self._in_hand.get(key)
            if known is not None:
                known.askers.append((asker, sequence))
                known.call = None
                return
            if key in self._ended:
                stopped, way, verdict = self._ended.pop(key)
                self._answer(asker, [sequence, stopped, way, verdict])
                return
            self._in_hand[key] = asked
        self._waiting.append(asked)

    def _rouse(self) -> None:
        """Wake one runner. It wakes the next one when it leaves work behind: one that never waits does all itself."""
        if not self._waiting:
            return
        if self._idle:
            self._idle.pop().wake()
        elif self._runners < self._concurrency:
            assert self._nursery is not None
            self._runners += 1
            self._nursery.start_soon(self._runner)

    async def _runner(self) -> None:
        wakeup = Wakeup()
        while True:
            while self._waiting:
                asked = self._waiting.popleft()
                self._rouse()
                verdict: Verdict | Changed
                try:
                    verdict, stopped, way = await self._run(asked.message, asked.start)
                except Exception as error:  # `run` must not raise; if it does, that is one message's trouble
                    event.bug("leg", error, id=asked.message.id)
                    verdict, stopped, way = Defer("Local trouble, please try again later", log=repr(error)), 0, []
                self._settle(asked, verdict, stopped, way)
            self._idle.append(wakeup)
            await wakeup.wait()

    def _settle(self, asked: _Asked, verdict: Verdict | Changed, stopped: int, way: Way) -> None:
        if asked.key is not None:
            del self._in_hand[asked.key]
        if asked.call is not None:
            asked.call.verdict = verdict
            asked.call.stopped = stopped
            asked.call.way = way
            asker, sequence = asked.askers[0]
            self._answer(asker, sequence)
            return
        packed = wire.pack_verdict(verdict, asked.message)
        for asker, sequence in asked.askers:
            self._answer(asker, [sequence, stopped, way, packed])
        if asked.key is not None:
            self._keep(asked.key, [stopped, way, packed])

    def _keep(self, key: Key, answer: list[Any]) -> None:
        self._ended[key] = answer
        if len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]

    def _answer(self, asker: _Asker, answer: Any) -> None:
        self._answers.setdefault(asker, []).append(answer)
        self._answered.wake()

    async def _send_answers(self) -> None:
        while True:
            await self._answered.wait()
            answers, self._answers = self._answers, {}
            for (socket, identity), batch in answers.items():
                try:
                    packed = wire.pack(batch)
                except wire.UNPACKABLE:  # one verdict's trouble: the others of the batch must not share it
                    packed = wire.pack([_able_to_travel(answer) for answer in batch])
                socket.send([identity, packed])


def _able_to_travel(answer: Any) -> Any:
    try:
        wire.pack(answer)
    except wire.UNPACKABLE as error:
        sequence, _, way, _ = answer
        event("verdict-unsent", error=str(error))
        said = Defer("Local trouble, please try again later", log=f"the verdict cannot be sent back: {error}")
        return [sequence, 0, way, wire.pack_plain(said)]
    return answer


def _key(message: Message) -> Key:
    return message.id, message.envelope.attempts, message.recipients
