"""What stages that hand messages on have in common: settings, and connections that are open as long as the stage is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from engine.deadline import Watch
from engine.net.names import Hostname
from engine.net.tls import client_context
from engine.outbound.handshake import Contexts
from engine.outbound.pool import PENALTY
from engine.outbound.schedule import Means
from engine.outbound.sending import Sending
from engine.outbound.session import Terms, Timeouts
from engine.outbound.standing import Standing
from engine.outbound.way import Source, TlsPolicy
from engine.policies.results import TlsResult
from engine.shaping.shaping import Shaping
from engine.units import Duration

_AT_LEAST_ONE = ("connections", "messages_per_connection", "recipients_per_transaction")


@dataclass
class Outbound:
    """The base of such a stage, which says in ``_made`` how it sends. ValueError for what ``check`` refuses."""

    effect: ClassVar[bool] = True

    hostname: Hostname
    _: KW_ONLY
    connections: int = 20
    """At a time, to one site, of one worker (Postfix: default_destination_concurrency_limit)."""
    recipients_per_transaction: int = 100
    """RFC 5321 4.5.3.1.8: every server takes as many."""
    idle: Duration = Duration("3s")
    """How long a connection is kept for the next message."""
    retry: tuple[Duration, ...] = (Duration("5m"), Duration("15m"), Duration("1h"), Duration("4h"))
    """Delays between attempts; the last one repeats (RFC 5321 4.5.4.1)."""
    retry_greylisted: tuple[Duration, ...] = (
        Duration("6m"), Duration("10m"), Duration("20m"), Duration("1h"), Duration("4h"),
    )  # fmt: skip
    """The same after a reply that puts off newcomers: most let them in after five minutes. Empty: as `retry`."""
    retry_full: tuple[Duration, ...] = (Duration("1h"), Duration("4h"), Duration("8h"))
    """The same after a reply that a mailbox is full: people take hours to clear one. Empty: as `retry`."""
    expire: Duration = Duration("5d")
    """Age at which a message that still waits is returned to its sender."""
    tls: TlsPolicy = "opportunistic"
    """What our side wants at least, see `Security`."""
    connect_timeout: Duration = Duration("30s")
    command_timeout: Duration = Duration("5m")
    final_timeout: Duration = Duration("10m")
    _sending: Sending = field(init=False, repr=False)

    def __post_init__(self) -> None:
        problems = list(self.check(**{each.name: getattr(self, each.name) for each in fields(self) if each.init}))
        if problems:
            raise ValueError("; ".join(problems))

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from (f"{name} must be at least 1" for name in _AT_LEAST_ONE if settings.get(name, 1) < 1)
        if "retry" in settings and not settings["retry"]:
            yield "retry needs at least one delay"

    async def __aenter__(self) -> Self:
        self._sending = await self._made().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sending.__aexit__(kind, error, trace)

    @property
    def ways(self) -> int:
        """How many ways there are that mail leaves by now."""
        return self._sending.ways

    def sites(self, most: int) -> list[Standing]:
        """How it stands with the busiest of them, so many at most."""
        return self._sending.sites(most)

    def _made(self) -> Sending:
        raise NotImplementedError

    def _by(
        self,
        timeouts: Timeouts,
        *,
        messages_per_connection: int,
        penalty: float = PENALTY,
        strict_8bit: bool = False,
        lmtp: bool = False,
        chunking: bool = True,
        forward: bool = False,
        source_failed: Callable[[Source, str], None] = lambda *_: None,
        trust: Path | None = None,
        results: Callable[[TlsResult], None] | None = None,
        shaping: Shaping | None = None,
        patient: Sequence[float] = (),
        means: Means = lambda _text, _status: "usual",
    ) -> Sending:
        """Sending by the settings that all such stages have, and these."""
        watch = Watch()
        return Sending(
            terms=Terms(
                self.hostname,
                Contexts(cache(lambda verify: client_context(verify=verify, trust=trust))),
                timeouts,
                watch,
                lmtp=lmtp,
                chunking=chunking,
                source_failed=source_failed,
                results=results,
            ),
            watch=watch,
            connections=self.connections,
            idle=self.idle,
            messages_per_connection=messages_per_connection,
            recipients_per_transaction=self.recipients_per_transaction,
            retry=self.retry,
            greylisted=self.retry_greylisted,
            full=self.retry_full,
            patient=patient,
            means=means,
            expire=self.expire,
            penalty=penalty,
            strict_8bit=strict_8bit,
            forward=forward,
            shaping=shaping,
        )
