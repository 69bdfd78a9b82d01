"""Greylist: tell clients that are not known to come again. A pure stage, which says so at RCPT."""

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Literal

import trio

from engine import Defer, Duration, Message, Session, Verdict, domain_of
from engine.abuse import Greylist as Remembered
from engine.abuse import Tables
from engine.abuse.greylist import Attempt, Terms, steady
from engine.authentication import spf
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.net.targets import Network, address_of, network_of
from engine.observe.events import event
from engine.protocols.address import normalised, normalised_domain
from engine.storage.environment import StorageError

SPF_TIME = 5.0
"""Seconds for SPF: a client waits for its reply to RCPT."""


@dataclass
class Greylist:
    """Who has logged in, and who is trusted by its network, is never told to come again."""

    asked_last: ClassVar = True  # nothing is noted about a recipient whom another stage refuses

    tables: Tables
    resolver: Resolver
    hostname: Hostname
    _: KW_ONLY
    # How long a client that is not known must wait. Most software that only sends spam has given up by then.
    delay: Duration = Duration("5m")
    # Until when it must have come again. RFC 5321 4.5.4.1 has servers try for days.
    window: Duration = Duration("2d")
    # How long what has passed is known: a monthly letter comes in time.
    remember: Duration = Duration("36d")
    # What counts as one network: large senders come again from a neighbour.
    network_ipv4: int = 24
    network_ipv6: int = 64
    # With how many senders or recipients a network must have come again before all from there passes; 0: never.
    network_passes: int = 5
    # The same for a domain, for clients that SPF proves to speak for it.
    domain_passes: int = 1
    # "unproved": who SPF proves to speak for the sender's domain passes at once.
    only: Literal["all", "unproved"] = "all"
    # Who is never told to come again: networks, senders (addresses and domains), recipients. "postmaster@" stands for
    # that name in any domain.
    networks: tuple[Network, ...] = ()
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ("postmaster@", "abuse@")
    _known: Remembered = field(init=False, repr=False)

    def __post_init__(self) -> None:
        terms = Terms(self.delay, self.window, self.remember, self.network_passes, self.domain_passes)
        self._known = Remembered(self.tables["triplets"], terms)
        self._senders = frozenset(map(_name, self.senders))
        self._recipients = frozenset(map(_name, self.recipients))

    @staticmethod
    def check(
        *,
        delay: float = Terms().delay,
        window: float = Terms().window,
        network_ipv4: int = 24,
        network_ipv6: int = 64,
        **_: object,
    ) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        if window <= delay:
            yield "window must be longer than delay, or nobody ever comes in time"
        for name, bits, most in (("network_ipv4", network_ipv4, 32), ("network_ipv6", network_ipv6, 128)):
            if not 0 <= bits <= most:
                yield f"{name} must be a number of bits from 0 to {most}"

    async def __call__(self, message: Message) -> Verdict:
        return message

    async def at_recipient(self, session: Session, sender: str, recipient: str) -> Defer | None:
        """RFC 6647 2.4: by the client, the sender and the recipient."""
        if session.trusted or session.login or not session.peer or self._is_exempt(session.peer, sender, recipient):
            return None
        network = network_of(session.peer, self.network_ipv4, self.network_ipv6)
        attempt = Attempt(network, steady(sender), normalised(recipient))
        try:
            wait = 0.0 if await self._known.knows(attempt) else await self._wait(session, sender, attempt)
        except StorageError as error:
            event("greylist-unknown", peer=session.peer, error=str(error))
            return None
        if not wait:
            return None
        return Defer(f"Greylisted, please come again in {math.ceil(wait)} seconds", "4.7.1")

    async def _wait(self, session: Session, sender: str, attempt: Attempt) -> float:
        domain = domain_of(sender)
        if domain and await self._is_proved(session, sender, domain):
            if self.only == "unproved":
                return 0.0
            attempt = Attempt(attempt.network, attempt.sender, attempt.recipient, domain)
        return await self._known.wait(attempt)

    async def _is_proved(self, session: Session, sender: str, domain: str) -> bool:
        with trio.move_on_after(SPF_TIME):
            found = await spf.check_host(
                self.resolver.ask, session.peer, domain, sender, helo=session.helo, receiver=self.hostname
            )
            return found.result is spf.Result.PASS
        return False

    def _is_exempt(self, peer: str, sender: str, recipient: str) -> bool:
        return (
            _is_among(recipient, self._recipients)
            or _is_among(sender, self._senders)
            or (bool(self.networks) and any(address_of(peer) in network for network in self.networks))
        )


def _name(text: str) -> str:
    """An address, a domain, or "postmaster@", as they compare."""
    local, at, domain = text.rpartition("@")
    if not domain:
        return f"{local.lower()}@"
    return normalised(text) if at else normalised_domain(text)


def _is_among(address: str, names: frozenset[str]) -> bool:
    """Whether an address is named: by itself, by its domain, or by its local part and an @."""
    if not names:
        return False
    whole = normalised(address)
    local, at, domain = whole.rpartition("@")
    return bool(at) and (whole in names or domain in names or f"{local.lower()}@" in names)
