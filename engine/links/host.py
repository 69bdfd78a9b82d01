"""The far end of links: takes messages in for a leg of this process, and sends the verdicts back."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import trio
import zmq

from engine.links import wire
from engine.links.link import Done, Way
from engine.links.sockets import Socket
from engine.message import Content, Message
from engine.observe.events import event
from engine.verdict import Changed, Defer, Verdict, is_held
from engine.wakeup import Wakeup

Begin: TypeAlias = "Callable[[Message, int, Done], None]"
"""Runs a message through the leg from a stage on, and calls back with what came of it. It never raises."""

Key: TypeAlias = "tuple[bytes, int, tuple[str, ...]]"
"""What an effect must not have in hand twice: message, attempt, recipients."""

KEPT = 10_000
"""Answers of an effect that are kept for an asker who died before it could hear them."""


_Asker: TypeAlias = tuple[bytes, int]
"""Whom to answer: the identity of a link in another process, and the number that the message has there."""


class Host:
    """Serves one leg, to links of this process by ``take``, to others at ``endpoint``.

    ``once`` is for effects: the same message for the same recipients is never in hand twice. A queue owner that died
    and came back gives out again what it had; if that is still in hand here, the new asker joins the old call, and if
    it has ended, it gets the answer that was found.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        begin: Begin,
        find: Callable[[wire.Reference], Content],
        *,
        once: bool = False,
    ) -> None:
        self._socket = Socket(context, zmq.ROUTER)
        self._socket.bind(endpoint)
        self._begin = begin
        self._find = find
        self._once = once
        self._in_hand: dict[Key, list[_Asker]] = {}
        self._ended: dict[Key, list[Any]] = {}
        self._answers: dict[bytes, list[Any]] = {}
        self._answered = Wakeup()
        self.busy = 0  # messages in hand

    def close(self) -> None:
        """Give the endpoint back."""
        self._socket.close()

    def take(self, message: Message, start: int, done: Done) -> None:
        """A message from a link of this process."""
        self.busy += 1
        self._begin(message, start, partial(self._done_here, done))

    def _done_here(self, done: Done, verdict: Verdict | Changed, stopped: int, way: Way) -> None:
        self.busy -= 1
        done(verdict, stopped, way)

    async def serve(self) -> None:
        """Take messages in from other processes until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_answers)
                while True:
                    for identity, *frames in await self._socket.receive_many():
                        for number, start, packed in wire.unpack(frames[0]):
                            message = wire.unpack_message(packed, frames[1:], self._find)
                            self._receive((identity, number), message, start)
        finally:
            self.close()

    def _receive(self, asker: _Asker, message: Message, start: int) -> None:
        askers = [asker]
        if self._once:
            key = _key(message)
            known = self._in_hand.get(key)
            if known is not None:
                known.append(asker)
                return
            ended = self._ended.pop(key, None)
            if ended is not None:
                self._answer(asker, ended)
                return
            self._in_hand[key] = askers
        self.busy += 1
        self._begin(message, start, partial(self._done, askers, message))

    def _done(self, askers: list[_Asker], message: Message, verdict: Verdict | Changed, stopped: int, way: Way) -> None:
        self.busy -= 1
        answer = [stopped, way, wire.pack_verdict(verdict, message)]
        for asker in askers:
            self._answer(asker, answer)
        if self._once:
            key = _key(message)
            del self._in_hand[key]
            if is_held(verdict):  # nothing was done, and it comes again with the same number of attempts
                return
            self._ended[key] = answer
            if len(self._ended) > KEPT:
                del self._ended[next(iter(self._ended))]

    def _answer(self, asker: _Asker, answer: list[Any]) -> None:
        identity, number = asker
        self._answers.setdefault(identity, []).append([number, *answer])
        self._answered.wake()

    async def _send_answers(self) -> None:
        while True:
            await self._answered.wait()
            answers, self._answers = self._answers, {}
            for identity, batch in answers.items():
                try:
                    packed = wire.pack(batch)
                except wire.UNPACKABLE:  # one verdict's trouble: the others of the batch must not share it
                    packed = wire.pack([_able_to_travel(answer) for answer in batch])
                self._socket.send([identity, packed])


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
