"""Turns: which of the messages that wait for one way may leave, how many may wait here, and what is heard of them."""

from collections import deque

import trio

from engine.outbound.session import Job, NoTurn, Session, Trouble
from engine.shaping.valve import ASK, READY, Valve

LOOK = 0.5
"""Seconds for which it counts how many may wait here."""

LONGEST = 300.0
"""Seconds after which mail is brought again, at most: what holds it up may have been lifted meanwhile."""

FEWEST = 10
"""Messages that may wait for a site that is slow."""


class Turns:
    """Those of one way. What will not have its turn soon does not wait in memory: it goes back, to wait on disk."""

    def __init__(self, queue: deque[Job], valve: Valve) -> None:
        self.now = trio.lowlevel.current_clock().current_time  # two calls less, for what each message asks
        self.valve = valve
        self._queue = queue
        self._one = trio.StrictFIFOLock()  # held by the connection that gets the next turn
        self._room = float("inf")
        self._looked = -LOOK
        self._done: deque[tuple[float, int]] = deque()  # how many were done with, and when, for the last while
        self._slow = False  # one has waited for long, and since then there always was one that waited
        self._closing = False

    def admits(self, job: Job) -> bool:
        """Whether it may wait here. If not, it has failed."""
        now = job.since = self.now()
        job.heard = self._heard
        wait = self.valve.wait(now, len(job.transaction.recipients))
        if len(self._queue) >= self._room:
            self.trim()
        if wait <= READY and len(self._queue) < self._room:
            return True
        self._put_off(job, wait)
        return False

    def wait(self) -> float:
        """Seconds until the next one may leave, if that is known."""
        return self.valve.wait(self.now())

    def take(self, job: Job) -> bool:
        """Let a job leave that was taken from the queue. If it may not, it is back in its front."""
        now = self.now()
        if self.valve.take(now, len(job.transaction.recipients)):
            job.sent = now
            return True
        self._queue.appendleft(job)
        return False

    async def wait_for_one(self, patience: float) -> bool:
        """Wait until the next one may leave. False: other connections wait for that already, for ``patience`` long."""
        with trio.move_on_after(patience) as scope:
            await self._one.acquire()
        if scope.cancelled_caught:
            return False
        try:
            await self._next()
        finally:
            self._one.release()
        return True

    async def _next(self) -> None:
        while self._queue:
            now = self.now()
            wait = self.valve.wait(now, self._sizes(1)[0])
            if not wait:
                return
            if wait == ASK:
                await self.valve.ask(now, self._sizes(self.valve.batch(len(self._queue))))
                self._looked = -LOOK
                continue
            self.trim(at_once=wait > READY)
            if self._queue:
                with trio.move_on_after(wait):  # exactly: what would make it shorter wakes us
                    await self.valve.moved.wait()

    def _sizes(self, count: int) -> list[int]:
        """Recipients of the first messages."""
        return [len(self._queue[index].transaction.recipients) for index in range(count)]

    def trim(self, *, at_once: bool = False) -> None:
        """Put off what will not have its turn soon. ``at_once``: though it was looked just before."""
        now = self.now()
        if now < self._looked + LOOK and not (at_once or self._closing):
            return
        self._looked = now
        wait = self.valve.wait(now, *self._sizes(min(len(self._queue), 1)))
        # Nothing passes the first one: with many recipients it would never have its turn.
        is_shut = wait > READY or (self._closing and wait)
        self._room = 0 if is_shut else min(self.valve.room(now), self._served(now))
        while len(self._queue) > self._room:
            self._put_off(self._queue.pop(), wait)
        if not self._queue:
            self.valve.move()  # who waits for the next one has nothing to wait for

    def _served(self, now: float) -> float:
        """How many will be done with soon, if that goes on as it did. It counts once one has waited for long."""
        governor = self.valve.governor
        self._done.append((now, governor.passed + governor.deferred))
        while len(self._done) > 1 and self._done[1][0] <= now - READY:
            self._done.popleft()
        is_old = bool(self._queue) and now - self._queue[0].since > READY
        self._slow = is_old or (self._slow and bool(self._queue))
        if not self._slow:
            return float("inf")
        # Twice as many, or it could never become more.
        return max(2 * (self._done[-1][1] - self._done[0][1]), 2 * self.valve.established, FEWEST)

    def _put_off(self, job: Job, wait: float) -> None:
        job.fail(NoTurn(self.valve.name, min(max(wait, READY), LONGEST)))

    def close(self) -> None:
        """Nothing more comes: what would have to wait goes back."""
        self._closing = True
        self._looked = -LOOK
        self.trim()

    # -- what is heard

    def _heard(self, job: Job) -> None:
        reply = next((one for one in job.replies if one and one.positive), job.replies[0])
        if reply is not None and not reply.local:
            first = not job.message.envelope.attempts
            now = self.now()
            self.valve.heard(reply.code, reply.status, reply.text, sent=job.sent, now=now, first=first)

    def refused(self) -> None:
        """The site wants no further connection."""
        self.valve.refused(self.now())

    def broken(self, session: Session, trouble: Trouble) -> None:
        """A connection broke with what was open on it."""
        if session.open and trouble.reply[:1] == "4":
            code, _, text = trouble.reply.partition(" ")
            now = self.now()
            self.valve.heard(int(code), trouble.code, text, sent=session.open[0].sent, now=now, first=False)
