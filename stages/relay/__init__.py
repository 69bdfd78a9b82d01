"""Hand messages on to the next server, by SMTP."""

import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from types import TracebackType
from typing import Any, ClassVar, Self

import trio

from engine import Defer, Delivered, Duration, Each, Message, Reject, Verdict
from engine.deadline import Watch
from engine.net.names import Hostname
from engine.net.targets import permitted
from engine.net.tls import client_context
from engine.protocols.smtp_client import Reply, To, Transaction
from stages.relay.pool import Pool
from stages.relay.schedule import retry_delay
from stages.relay.session import Job, Terms, Timeouts, TlsPolicy, Trouble

SMTP_PORT = 25

_AT_LEAST_ONE = ("connections", "messages_per_connection", "recipients_per_transaction")

_Outcome = Delivered | Defer | Reject


@dataclass
class Relay:
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    """

    effect: ClassVar[bool] = True
    partition: ClassVar[str] = "resolve.site"

    hostname: Hostname

    allow_networks: tuple[IPv4Network | IPv6Network, ...] = field(default=(), kw_only=True)
    """Private networks that mail may be sent into."""
    connections: int = field(default=20, kw_only=True)
    """To one site at a time (Postfix: default_destination_concurrency_limit)."""
    messages_per_connection: int = field(default=1000, kw_only=True)
    recipients_per_transaction: int = field(default=100, kw_only=True)
    """RFC 5321 4.5.3.1.8: every server takes as many."""
    idle: Duration = field(default=Duration("3s"), kw_only=True)
    """How long a connection is kept for the next message."""
    retry: tuple[Duration, ...] = field(
        default=(Duration("5m"), Duration("15m"), Duration("1h"), Duration("4h")), kw_only=True
    )
    """Delays between attempts; the last one repeats (RFC 5321 4.5.4.1)."""
    expire: Duration = field(default=Duration("5d"), kw_only=True)
    """Age at which a message that still waits is returned to its sender."""
    tls: TlsPolicy = field(default="opportunistic", kw_only=True)
    """`opportunistic`: where offered, unverified. `require`: always. `verify`: with a trusted certificate. `never`."""
    strict_8bit: bool = field(default=False, kw_only=True)
    """Return 8-bit content to its sender where the next server does not offer 8BITMIME, rather than send it anyway."""
    connect_timeout: Duration = field(default=Duration("30s"), kw_only=True)
    greeting_timeout: Duration = field(default=Duration("5m"), kw_only=True)
    command_timeout: Duration = field(default=Duration("5m"), kw_only=True)
    data_timeout: Duration = field(default=Duration("2m"), kw_only=True)
    block_timeout: Duration = field(default=Duration("3m"), kw_only=True)
    final_timeout: Duration = field(default=Duration("10m"), kw_only=True)

    def __post_init__(self) -> None:
        problems = list(self.check(**{name: getattr(self, name) for name in (*_AT_LEAST_ONE, "retry")}))
        if problems:
            raise ValueError("; ".join(problems))
        self._may_connect = lru_cache(4096)(partial(permitted, allow_networks=self.allow_networks))

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from (f"{name} must be at least 1" for name in _AT_LEAST_ONE if settings.get(name, 1) < 1)
        if "retry" in settings and not settings["retry"]:
            yield "retry needs at least one delay"

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        watch = Watch()
        beside = await self._stack.enter_async_context(trio.open_nursery())
        beside.start_soon(watch.run)
        self._stack.callback(beside.cancel_scope.cancel)  # once the last connection has ended
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._pool = Pool(
            nursery,
            self._terms(watch),
            connections=self.connections,
            idle=self.idle,
            messages_per_connection=self.messages_per_connection,
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

    async def __call__(self, message: Message) -> Verdict:
        site, port = message.fact("resolve.site"), message.fact("resolve.port", SMTP_PORT)
        if not isinstance(site, str) or not isinstance(port, int):
            return Defer("Cannot deliver now", code="4.3.5", log="relay needs the facts of a resolve stage before it")
        found = _addresses(message)
        targets = [target for target in found if self._may_connect(target[1])]
        if found and not targets:
            return Reject(
                "The address of the next server is not a public one",
                code="5.4.4",
                log=f"{found[0][1]} is private: allow_networks in [stage.relay] would permit it",
                remote=found[0][0],
            )
        jobs = [Job(message, transaction, targets) for transaction in self._transactions(message)]
        if len(jobs) == 1:
            await self._pool.deliver(jobs[0], site, port)
        else:
            async with trio.open_nursery() as nursery:
                for job in jobs:
                    nursery.start_soon(self._pool.deliver, job, site, port)
        return self._verdict(message, jobs)

    def _terms(self, watch: Watch) -> Terms:
        context: ssl.SSLContext = client_context(verify=self.tls == "verify")
        timeouts = Timeouts(
            connect=self.connect_timeout,
            greeting=self.greeting_timeout,
            command=self.command_timeout,
            data=self.data_timeout,
            block=self.block_timeout,
            final=self.final_timeout,
        )
        return Terms(self.hostname, self.tls, context, timeouts, watch)

    def _transactions(self, message: Message) -> list[Transaction]:
        envelope = message.envelope
        utf8_headers = envelope.smtputf8 and not message.header_octets().isascii()
        strict_8bit = self.strict_8bit and any(not chunk.isascii() for chunk in message.chunks())
        recipients = tuple([To(each.address, each.notify, each.original) for each in envelope.recipients])
        return [
            Transaction(
                envelope.sender,
                recipients[start : start + self.recipients_per_transaction],
                message.size,
                envelope.body,
                envelope.smtputf8,
                utf8_headers,
                strict_8bit,
                envelope.ret,
                envelope.envid,
            )
            for start in range(0, len(recipients), self.recipients_per_transaction)
        ]

    def _verdict(self, message: Message, jobs: list[Job]) -> Verdict:
        if len(jobs) == 1 and len(jobs[0].replies) == 1 and jobs[0].replies[0].positive:
            return Delivered(str(jobs[0].replies[0]), jobs[0].remote)  # as nearly always, so no more is worked out
        retry_after = retry_delay(self.retry, message.envelope.attempts)
        expires = message.envelope.arrived + self.expire
        verdicts: dict[str, _Outcome] = {}
        for job in jobs:
            outcomes = _outcomes(job, retry_after, expires)
            verdicts |= {to.address: found for to, found in zip(job.transaction.recipients, outcomes, strict=True)}
        first, *others = verdicts.values()
        return first if all(outcome == first for outcome in others) else Each(verdicts)


def _addresses(message: Message) -> list[tuple[str, str]]:
    """(host, address) in the order to try."""
    hosts = message.fact("resolve.hosts")
    found: list[tuple[str, str]] = []
    for entry in hosts if isinstance(hosts, list) else ():
        match entry:
            case [_, str(host), [*addresses]]:
                found += [(host, str(address)) for address in addresses]
    return found


def _outcomes(job: Job, retry_after: float, expires: float) -> list[_Outcome]:
    if job.trouble is not None:
        return [_deferred(job, job.trouble, retry_after, expires)] * len(job.transaction.recipients)
    return [_outcome(reply, job.remote, retry_after, expires) for reply in job.replies]


def _outcome(reply: Reply, remote: str, retry_after: float, expires: float) -> _Outcome:
    if reply.positive:
        return Delivered(str(reply), remote)
    if reply.local:
        return Reject(reply.text, code=reply.status, remote=remote)
    if reply.permanent:
        return Reject("The next server refused it", code=reply.status, reply=str(reply), remote=remote)
    return Defer(
        "The next server asks us to try later",
        code=reply.status,
        retry_after=retry_after,
        reply=str(reply),
        remote=remote,
        expires=expires,
    )


def _deferred(job: Job, trouble: Trouble, retry_after: float, expires: float) -> Defer:
    return Defer(
        trouble.text,
        code=trouble.code,
        retry_after=retry_after,
        reply=trouble.reply,
        remote=trouble.remote,
        unreached=job.unreached,
        expires=expires,
    )
