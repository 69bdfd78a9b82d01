"""A link: the way from whoever has a message to the workers of a leg, and of their verdicts back.

A verdict is also the credit for the next message: at most ``window`` messages are with a worker at once. What a
worker has not answered is known here by number, so that when it dies exactly that is given out again.
"""

import contextlib
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeAlias

import trio
import zmq

from engine.links import wire
from engine.links.sockets import Socket
from engine.message import Message
from engine.observe.measures import Counter
from engine.verdict import Changed, Defer, Quarantine, Verdict
from engine.wakeup import Wakeup

BATCH = 64
"""Messages in one frame at most: beyond that a batch gains nothing and delays its first message."""

DEATHS = 3
"""Workers that may die while they hold one and the same message, before it is parked as the cause.

Before the last one it is a suspect, and goes to a worker alone: so that none is parked for what another one did.
"""

PASSED = Counter("postroad_link_messages_total", "Messages whose verdict came back over a link.", ("link",))

Step: TypeAlias = "tuple[Any, ...]"
"""A stage that was met, what it decided, and the milliseconds that took; then, where it is known, what it has found out
(None: nothing), and the worker, if that is another process."""

Way: TypeAlias = "list[Step]"
"""Stages met."""

Done: TypeAlias = "Callable[[Verdict | Changed, int, Way], None]"
"""Called with the verdict, the number of stages of the leg that were done with, and the way."""


class FarEnd(Protocol):
    """What takes messages in at the other end of a link; here, of one that does not leave the process."""

    def take(self, message: Message, start: int, done: Done) -> None: ...


class Tap(Protocol):
    """What looks at messages when they are given to a link."""

    def follow(self, message: Message, done: Done) -> Done:
        """What is to be called in place of ``done``, which it calls itself; or just that. It never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker at the far end. ``life`` tells a restarted worker from the one that died."""

    name: str
    life: int
    end: str | FarEnd  # its endpoint, or itself when it is in this process


class Call:
    """One message on its way through one leg."""

    __slots__ = ("deaths", "done", "message", "start")

    def __init__(self, message: Message, start: int, done: Done) -> None:
        self.message = message
        self.start = start
        self.done = done
        self.deaths = 0

    @property
    def suspect(self) -> bool:
        return self.deaths >= DEATHS - 1


class _Channel:
    """One peer with the way to it, what waits for it and what it has."""

    __slots__ = ("inside", "near", "out", "peer", "receiving", "socket", "suspects", "waiting")

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.near: FarEnd | None = None  # the peer, when it is in this process and the link runs
        self.inside = 0  # messages that it has then
        self.socket: Socket | None = None
        self.receiving: trio.CancelScope | None = None
        self.waiting: deque[Call] = deque()
        self.suspects: deque[Call] = deque()
        self.out: dict[int, Call] = {}

    @property
    def open(self) -> bool:
        return self.socket is not None or self.near is not None

    @property
    def load(self) -> int:
        return len(self.out) + self.inside + len(self.waiting)

    @property
    def alone(self) -> bool:
        """Whether the worker has a suspect now: then it gets nothing else."""
        return len(self.out) == 1 and next(iter(self.out.values())).suspect


class Link:
    """Give it the names of all workers of the leg: messages with the same key always go to the same one.

    ``taps``: those who look at what passes, as long as they stand in it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name: str,
        workers: Sequence[str],
        *,
        window: int,
        keyed: bool,
        taps: Sequence[Tap] = (),
    ) -> None:
        self.name = name
        self.taps = taps
        self.window = window
        self.keyed = keyed
        self._passed = PASSED.of(name)
        self._context = context
        self._channels = {worker: _Channel() for worker in workers}
        self._order = list(self._channels.values())
        self._sequence = count(1)
        self._shared: deque[Call] = deque()
        self._wakeup = Wakeup()
        self._nursery: trio.Nursery | None = None
        self._final = False

    @property
    def depth(self) -> int:
        """Messages that wait for a credit."""
        return len(self._shared) + sum(len(c.waiting) + len(c.suspects) for c in self._order)

    @property
    def away(self) -> int:
        """Messages that are with workers now."""
        return sum(len(channel.out) + channel.inside for channel in self._order)

    def submit(self, message: Message, done: Done, *, start: int = 0, key: str = "") -> None:
        """Send the message along; ``done`` is called in this process when the verdict is there.

        That may be before this returns, where the worker is in this process and its stages never wait.
        """
        if self.taps:
            for tap in self.taps:
                done = tap.follow(message, done)
        if len(self._order) == 1:
            channel = self._order[0]
        elif self.keyed:
            channel = self._order[zlib.crc32(key.encode()) % len(self._order)]
        else:
            self._shared.append(Call(message, start, done))
            self._wakeup.wake()
            self._give_up()
            return
        if channel.near is not None and not channel.waiting and channel.inside < self.window:
            self._hand_over(channel, channel.near, message, start, done)
        else:
            channel.waiting.append(Call(message, start, done))
            self._wakeup.wake()
            self._give_up()

    async def run(self) -> None:
        """Carry messages until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for channel in self._order:
                    if channel.peer is not None:
                        self._open(channel)
                while True:
                    await self._wakeup.wait()
                    self._flush()
        finally:
            self._nursery = None
            for channel in self._order:
                channel.near = None
                if channel.socket is not None:
                    channel.socket.close()
                    channel.socket = None

    def connect(self, peer: Peer) -> None:
        """A worker has come up (again)."""
        channel = self._channels.get(peer.name)
        if channel is None or channel.peer == peer or self._final:
            return
        self.lost(peer.name)
        channel.peer = peer
        if self._nursery is not None:
            self._open(channel)

    def lost(self, worker: str) -> None:
        """A worker is dead, for certain: give out again what it had. It must not come to life any more."""
        channel = self._channels.get(worker)
        if channel is None or channel.peer is None:
            return
        channel.peer = channel.near = None
        if channel.receiving is not None:
            channel.receiving.cancel()
            channel.receiving = None
        if channel.socket is not None:
            channel.socket.close()
            channel.socket = None
        held = list(channel.out.values())
        channel.out.clear()
        again = channel.waiting if self.keyed else self._shared
        for call in reversed(held):
            call.deaths += 1
            if call.suspect and self._final:  # perhaps it is the revision that they die of
                channel.waiting.append(call)
            elif call.deaths >= DEATHS:
                call.done(Quarantine(f"{self.name}: {call.deaths} workers died with this message"), 0, [])
            elif call.suspect:
                channel.suspects.append(call)
            else:
                again.appendleft(call)
        self._give_up()
        self._wakeup.wake()

    def conclude(self) -> None:
        """Its revision is no longer in force: a worker that dies does not come back for it.

        What only waits for those who are gone is deferred, and will go by another revision.
        """
        self._final = True
        self._give_up()

    def _give_up(self) -> None:
        if not self._final:
            return
        gone = [channel for channel in self._order if not channel.open]
        lost = [call for channel in gone for call in (*channel.suspects, *channel.waiting)]
        for channel in gone:
            channel.suspects.clear()
            channel.waiting.clear()
        if len(gone) == len(self._order):
            lost += self._shared
            self._shared.clear()
        for call in lost:
            log = f"{self.name}: its worker died, and the revision is no longer in force"
            call.done(Defer("Local trouble, please try again later", "4.3.0", log=log), 0, [])

    def _open(self, channel: _Channel) -> None:
        assert channel.peer is not None
        assert self._nursery is not None
        self._wakeup.wake()
        if not isinstance(channel.peer.end, str):
            channel.near = channel.peer.end
            return
        channel.socket = Socket(self._context, zmq.DEALER)
        channel.socket.connect(channel.peer.end)
        channel.receiving = trio.CancelScope()
        self._nursery.start_soon(self._receive, channel, channel.socket, channel.receiving)

    def _flush(self) -> None:
        if self._shared:
            self._share_out()
        for channel in self._order:
            while channel.near is not None and channel.waiting and channel.inside < self.window:
                call = channel.waiting.popleft()
                self._hand_over(channel, channel.near, call.message, call.start, call.done)
            if channel.socket is None or channel.alone:
                continue
            if channel.suspects:
                if not channel.out:
                    self._send(channel, channel.socket, [channel.suspects.popleft()])
                continue
            while channel.waiting and len(channel.out) < self.window:
                count = min(BATCH, self.window - len(channel.out), len(channel.waiting))
                self._send(channel, channel.socket, [channel.waiting.popleft() for _ in range(count)])

    def _hand_over(self, channel: _Channel, near: FarEnd, message: Message, start: int, done: Done) -> None:
        """Inside a process there is nothing to pack, and nobody who may die alone."""
        channel.inside += 1
        near.take(message, start, partial(self._came_back, channel, done))

    def _came_back(self, channel: _Channel, done: Done, verdict: Verdict | Changed, stopped: int, way: Way) -> None:
        channel.inside -= 1
        self._passed.value += 1
        if channel.waiting or self._shared:
            self._wakeup.wake()
        done(verdict, stopped, way)

    def _share_out(self) -> None:
        """Each message to the worker that has least, as far as credits go."""
        open_channels = [channel for channel in self._order if channel.open]
        while self._shared and open_channels:
            channel = min(open_channels, key=lambda c: c.load)
            room = self.window - channel.load
            if room <= 0:
                return
            for _ in range(min(room, BATCH if len(open_channels) == 1 else 1, len(self._shared))):
                channel.waiting.append(self._shared.popleft())

    def _send(self, channel: _Channel, socket: Socket, calls: list[Call]) -> None:
        numbers = [next(self._sequence) for _ in calls]
        channel.out.update(zip(numbers, calls, strict=True))
        frames: list[bytes] = []
        items = [[n, c.start, wire.pack_message(c.message, frames)] for n, c in zip(numbers, calls, strict=True)]
        try:
            packed = wire.pack(items)
        except wire.UNPACKABLE:  # one message's trouble: the others of the batch must not share it
            packed = wire.pack([item for item in items if self._can_travel(channel, item)])
        socket.send([packed, *frames])

    @staticmethod
    def _can_travel(channel: _Channel, item: list[Any]) -> bool:
        try:
            wire.pack(item)
        except wire.UNPACKABLE as error:
            call = channel.out.pop(item[0])
            call.done(Defer("Local trouble, please try again later", log=f"cannot be sent on: {error}"), 0, [])
            return False
        return True

    async def _receive(self, channel: _Channel, socket: Socket, scope: trio.CancelScope) -> None:
        with scope, contextlib.suppress(trio.ClosedResourceError):
            while True:
                for frames in await socket.receive_many():
                    self._answers(channel, wire.unpack(frames[0]))
                if channel.waiting or channel.suspects or self._shared:
                    self._wakeup.wake()

    def _answers(self, channel: _Channel, answers: list[Any]) -> None:
        worker = channel.peer.name if channel.peer is not None else ""
        for number, stopped, way, verdict in answers:
            call = channel.out.pop(number, None)
            if call is not None:
                self._passed.value += 1
                steps = [_by(worker, *step) for step in way]
                call.done(wire.unpack_verdict(verdict, call.message), stopped, steps)  # type: ignore[arg-type]


def _by(worker: str, stage: str, words: str, milliseconds: float, detail: object = None) -> Step:
    return stage, words, milliseconds, detail, worker
