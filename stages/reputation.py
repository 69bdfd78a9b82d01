"""Reputation: what is thought of the client's network, by what came from it before. A pure stage."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

import trio

from engine import Defer, Duration, Message, Reject, Session, Verdict
from engine.abuse import Tables
from engine.abuse.reputation import Reputation as Remembered
from engine.message import PARK
from engine.net.targets import network_of
from engine.observe.events import event
from engine.storage.environment import StorageError

_FLUSH = 5.0
"""Seconds for which outcomes are gathered before they are written."""

_UNKNOWN = 0.2
"""What a refused recipient counts for, where bad mail counts for 1: people mistype."""


@dataclass
class Reputation:
    """Behind a scanner it learns what that thinks of a message; what is refused it hears of wherever it stands."""

    leaves: ClassVar = ("door.reputation",)

    tables: Tables
    _: KW_ONLY
    # Clients of networks below this are told to come again when they connect; -1: nobody is.
    defer_below: float = -1.0
    # From which scan.score on a message is bad.
    spam_score: float = 6.0
    # Outcomes count half after that time.
    half_life: Duration = Duration("7d")
    # What counts as one network.
    network_ipv4: int = 24
    network_ipv6: int = 64
    _known: Remembered = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._known = Remembered(self.tables["networks"], self.half_life)

    @staticmethod
    def check(
        *,
        defer_below: float = -1.0,
        network_ipv4: int = 24,
        network_ipv6: int = 64,
        half_life: float = 1.0,
        **_: object,
    ) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        if not -1 <= defer_below < 0:
            yield "defer_below must be from -1 to below 0, which is what is thought of a network that nobody knows"
        if half_life <= 0:
            yield "half_life must be longer than nothing"
        for name, bits, most in (("network_ipv4", network_ipv4, 32), ("network_ipv6", network_ipv6, 128)):
            if not 0 <= bits <= most:
                yield f"{name} must be a number of bits from 0 to {most}"

    async def __aenter__(self) -> "Reputation":
        self._nursery_of = trio.open_nursery()
        nursery = await self._nursery_of.__aenter__()
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._write)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._scope.cancel()
        await self._nursery_of.__aexit__(None, None, None)
        with trio.CancelScope(shield=True):
            await self._flush()

    async def _write(self) -> None:
        while True:
            await trio.sleep(_FLUSH)
            await self._flush()

    async def _flush(self) -> None:
        try:
            await self._known.flush()
        except StorageError as error:
            event("reputation-unknown", error=str(error))

    async def at_connect(self, session: Session) -> Defer | None:
        if self.defer_below == -1 or not self._counts(session):
            return None
        score = await self._score(session)
        if score >= self.defer_below:
            return None
        event("connection-refused", peer=session.peer, why=f"The reputation of its network is {score:.2f}")
        return Defer("Too much unwanted mail came from your network, come again later", "4.7.1")

    def at_refusal(self, session: Session, _refusal: Reject, is_content: bool) -> None:
        if self._counts(session):
            self._known.note(self._network(session), bad=1.0 if is_content else _UNKNOWN)

    async def __call__(self, message: Message) -> Verdict:
        session = message.session
        if not self._counts(session):
            return message
        found = message.with_fact("door.reputation", round(await self._score(session), 2))
        score = message.fact("scan.score")
        is_bad = message.fact(PARK) is not None or (isinstance(score, int | float) and score >= self.spam_score)
        self._known.note(self._network(session), good=not is_bad, bad=is_bad)
        return found

    async def rehearse(self, message: Message) -> Verdict:
        """What is thought of the network now; it learns nothing."""
        if not self._counts(message.session):
            return message
        return message.with_fact("door.reputation", round(await self._score(message.session), 2))

    async def _score(self, session: Session) -> float:
        try:
            return await self._known.score(self._network(session))
        except StorageError as error:
            event("reputation-unknown", error=str(error))
            return 0.0

    def _network(self, session: Session) -> str:
        return network_of(session.peer, self.network_ipv4, self.network_ipv6)

    @staticmethod
    def _counts(session: Session) -> bool:
        return bool(session.peer) and not session.trusted and not session.login
