"""What a stage that hands messages on holds open, and how it makes verdicts out of the replies."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import trio

from engine.deadline import Watch
from engine.message import Message
from engine.outbound.bounds import Bounds
from engine.outbound.pool import PENALTY, Pool
from engine.outbound.schedule import Means, Schedule, jitter, step
from engine.outbound.session import Job, NoTurn, Terms, Trouble
from engine.outbound.standing import Standing
from engine.outbound.way import Security, Way
from engine.protocols.smtp_heard import Reply
from engine.protocols.smtp_transaction import To, Transaction
from engine.protocols.timing import UNTIMED
from engine.shaping.shape import UNSHAPED, Shape
from engine.shaping.shaping import Shaping
from engine.verdict import Defer, Delivered, Each, Reject, Verdict

_Outcome = Delivered | Defer | Reject


@dataclass(kw_only=True)
class Sending:
    """The connections of one stage: open it when the stage is opened, and close it with it.

    ``connections`` is how many there may be to one site at a time. ``retry`` and ``expire`` are seconds: the pauses
    between attempts, of which the last repeats, and the age at which a message is returned. ``penalty`` is how long an
    address that could not be used is not tried. ``greylisted``, ``full`` and ``patient`` are pauses in place of
    ``retry`` after replies that say so, or mean so by ``means``. ``forward``: the server is told by XFORWARD, if it
    wants to know, by what session a message came.
    """

    terms: Terms
    watch: Watch
    connections: int
    idle: float
    messages_per_connection: int
    recipients_per_transaction: int
    retry: Sequence[float]
    expire: float
    penalty: float = PENALTY
    strict_8bit: bool = False
    forward: bool = False
    greylisted: Sequence[float] = ()
    full: Sequence[float] = ()
    patient: Sequence[float] = ()
    means: Means = lambda _text, _status: "usual"
    shaping: Shaping | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)
    _pool: Pool = field(init=False)

    async def __aenter__(self) -> Self:
        beside = await self._stack.enter_async_context(trio.open_nursery())
        beside.start_soon(self.watch.run)
        self._stack.callback(beside.cancel_scope.cancel)  # once the last connection has ended
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._pool = Pool(
            nursery,
            Bounds(self.connections, self.idle, self.messages_per_connection, self.terms),
            penalty=self.penalty,
            valves=self.shaping.valve if self.shaping else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.drain()
        try:
            await self._stack.__aexit__(kind, error, trace)
        finally:
            self._pool.fail_all()

    async def deliver(
        self,
        message: Message,
        targets: Sequence[tuple[str, str]],
        way: Way,
        security: Security,
        shape: Shape = UNSHAPED,
    ) -> Verdict:
        """Hand the message to the first of ``targets``, (host, address), that takes it; what became of each recipient.

        ``way`` leads to all the targets. An address may be the path of a Unix socket; the way's port is nothing then.
        """
        jobs = [Job(message, transaction, targets, security) for transaction in self._transactions(message, shape)]
        if len(jobs) == 1:
            await self._pool.deliver(jobs[0], way, shape)
        else:
            async with trio.open_nursery() as nursery:
                for job in jobs:
                    nursery.start_soon(self._pool.deliver, job, way, shape)
        return self._verdict(message, [each for job in jobs for each in job.all()], shape, way.source.name)

    @property
    def ways(self) -> int:
        """How many there are that mail waits for, or that are connected to."""
        return self._pool.ways

    def sites(self, most: int) -> list[Standing]:
        """How it stands with the busiest ways, so many at most."""
        return self._pool.sites(most)

    def _transactions(self, message: Message, shape: Shape) -> list[Transaction]:
        envelope = message.envelope
        utf8_headers = envelope.smtputf8 and not message.header_octets().isascii()
        strict_8bit = self.strict_8bit and any(not chunk.isascii() for chunk in message.chunks())
        share = shape.recipients_per_transaction or self.recipients_per_transaction
        if shape.recipients or shape.together:  # more of them than a rate ever allows would never have their turn
            rates = [*shape.recipients, *(rate for one in shape.together for rate in one.recipients)]
            share = min([share, *(rate.most for rate in rates)])
        recipients = tuple([To(each.address, each.notify, each.original) for each in envelope.recipients])
        return [
            Transaction(
                envelope.sender,
                recipients[start : start + share],
                message.size,
                envelope.body,
                envelope.smtputf8,
                utf8_headers,
                strict_8bit,
                envelope.ret,
                envelope.envid,
                _forwarded(message) if self.forward else None,
                envelope.requiretls,
                UNTIMED if self.forward else envelope.timing,
            )
            for start in range(0, len(recipients), share)
        ]

    def _verdict(self, message: Message, jobs: list[Job], shape: Shape, source: str) -> Verdict:
        if len(jobs) == 1 and len(jobs[0].replies) == 1 and (reply := jobs[0].replies[0]) and reply.positive:
            # As nearly always, so no more is worked out.
            return Delivered(str(reply), jobs[0].remote, tell=jobs[0].tell)
        schedule = Schedule(shape.retry or self.retry, self.greylisted, self.full, self.patient)
        attempts, moved = message.envelope.attempts, jitter()

        def later(code: int, status: str, text: str) -> float:
            heard = code >= 400
            return step(schedule.after(code, status, text, self.means) if heard else schedule.usual, attempts) * moved

        expires = message.envelope.begun + (self.expire if shape.expire is None else shape.expire)
        verdicts: dict[str, _Outcome] = {}
        for job in jobs:
            outcomes = [_from(source, outcome) for outcome in _outcomes(job, later, expires)]
            verdicts |= {to.address: found for to, found in zip(job.transaction.recipients, outcomes, strict=True)}
        first, *others = verdicts.values()
        return first if all(outcome == first for outcome in others) else Each(verdicts)


def _from(source: str, outcome: _Outcome) -> _Outcome:
    """The outcome with the source that it was sent from, where that has a name."""
    return replace(outcome, source=source) if source and not isinstance(outcome, Delivered) else outcome


def _forwarded(message: Message) -> dict[str, str]:
    session = message.session
    return {
        "NAME": str(message.fact("iprev.name") or ""),
        "ADDR": f"IPV6:{session.peer}" if ":" in session.peer else session.peer,
        "PROTO": session.protocol,
        "HELO": session.helo,
        "IDENT": str(message.id),
        "SOURCE": "REMOTE" if session.peer else "LOCAL",
    }


def _outcomes(job: Job, later: Callable[[int, str, str], float], expires: float) -> list[_Outcome]:
    """``later``: seconds until the next attempt, after a reply with that code, status and text; 0: there was none."""
    trouble = job.trouble or Trouble("The server gave no answer")
    code = int(trouble.reply[:3] or "0")
    return [
        _deferred(job, trouble, later(code, trouble.code, trouble.reply), expires)
        if reply is None
        else _outcome(job, reply, later(reply.code, reply.status, str(reply)), expires)
        for reply in job.replies
    ]


def _outcome(job: Job, reply: Reply, retry_after: float, expires: float) -> _Outcome:
    remote = job.remote
    if reply.positive:
        return Delivered(str(reply), remote, tell=job.tell)
    if reply.local:
        return Reject(reply.text, code=reply.status, remote=remote)
    if reply.permanent and not reply.is_one_too_many:
        return Reject("The next server refused it", code=reply.status, reply=str(reply), remote=remote)
    return Defer(
        "The next server asks us to try later",
        code=f"4{reply.status[1:]}",
        retry_after=retry_after,
        reply=str(reply),
        remote=remote,
        expires=expires,
    )


def _deferred(job: Job, trouble: Trouble, retry_after: float, expires: float) -> Defer | Reject:
    if isinstance(trouble, NoTurn):
        return Defer(trouble.text, code=trouble.code, retry_after=trouble.wait, expires=expires, line=trouble.line)
    if trouble.code.startswith("5"):
        return Reject(trouble.text, trouble.code, reply=trouble.reply, remote=trouble.remote)
    return Defer(
        trouble.text,
        code=trouble.code,
        retry_after=retry_after,
        reply=trouble.reply,
        remote=trouble.remote,
        unreached=job.unreached,
        expires=expires,
    )
