"""See whether the names hold that a client goes by: in the DNS, in HELO, and of the sender's domain. A pure stage."""

from collections.abc import Awaitable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import trio

from engine import Defer, Duration, Message, Reject, Session, Verdict, domain_of
from engine.admission import names
from engine.admission.judged import ALWAYS_REACHED, Lately, is_judged, is_reached
from engine.admission.names import FLAWS, OF_ADDRESS, OF_HELO, OF_SENDER, Flaws
from engine.net.dns import Resolver, side_by_side
from engine.net.names import Hostname

Action = Literal["off", "note", "defer", "reject"]


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong, by name; and the name of the client that leads back to its address, or ""."""

    flaws: Flaws = field(default_factory=dict)
    client: str = ""


@dataclass
class ClientNames:
    """Refuse or put off recipients of clients whose names do not hold, and note the rest as facts.

    At RCPT, so that postmasters can be reached, and those who have logged in are not looked at. Where the DNS does not
    answer, nothing is held against anybody.
    """

    asks_others: ClassVar = True
    leaves: ClassVar = ("door.flaws", "door.client_name")

    resolver: Resolver
    hostname: Hostname
    _: KW_ONLY
    # Its address has no name in the DNS (Postfix: reject_unknown_reverse_client_hostname).
    client_without_name: Action = "note"
    # It has, but none of them has this address (reject_unknown_client_hostname).
    client_unconfirmed: Action = "note"
    # The name in HELO is no host name, nor an address literal (reject_invalid_helo_hostname).
    helo_malformed: Action = "note"
    # It has no dot (reject_non_fqdn_helo_hostname).
    helo_not_fqdn: Action = "note"
    # It is the address of somebody else, in brackets.
    helo_wrong_literal: Action = "note"
    # It is our own name, which nobody else has.
    helo_ours: Action = "reject"
    # It has no A, AAAA or MX record (reject_unknown_helo_hostname).
    helo_unknown: Action = "note"
    # The sender's domain has no dot (reject_non_fqdn_sender).
    sender_not_fqdn: Action = "note"
    # It has no MX, A or AAAA record, so nobody could answer (reject_unknown_sender_domain).
    sender_unknown: Action = "note"
    # It says that it takes no mail (RFC 7505).
    sender_null_mx: Action = "reject"
    # For all questions to the DNS about a client; what has not been answered by then counts for nothing.
    time_limit: Duration = Duration("3s")
    # Local parts that get their mail in any case.
    exempt_recipients: tuple[str, ...] = ALWAYS_REACHED
    _lately: Lately[tuple[str, str, str], Found] = field(init=False, repr=False)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings."""
        if settings.get("time_limit", 1) <= 0:
            yield "time_limit must be more than nothing"

    def __post_init__(self) -> None:
        self._lately = Lately()
        actions: dict[str, Action] = {name: getattr(self, name) for name in FLAWS}
        self._wanted = frozenset(name for name, action in actions.items() if action != "off")
        self._rejected = frozenset(name for name, action in actions.items() if action == "reject")
        self._deferred = frozenset(name for name, action in actions.items() if action == "defer")

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Awaitable[Reject | Defer | None] | None:
        refuses = self._rejected or self._deferred
        if not refuses or not is_judged(session) or is_reached(recipient, self.exempt_recipients):
            return None
        return self._refusal(session, sender)

    async def __call__(self, message: Message) -> Verdict:
        if not is_judged(message.session):
            return message
        found = await self._found(message.session, message.sender)
        return message.with_facts({"door.flaws": [*found.flaws], "door.client_name": found.client})

    async def _refusal(self, session: Session, sender: str) -> Reject | Defer | None:
        flaws = (await self._found(session, sender)).flaws
        for name, flaw in flaws.items():
            if name in self._rejected:
                return Reject(flaw.text, f"5.{flaw.status}")
        for name, flaw in flaws.items():
            if name in self._deferred:
                return Defer(flaw.text, f"4.{flaw.status}")
        return None

    async def _found(self, session: Session, sender: str) -> Found:
        key = (session.peer, session.helo, domain_of(sender))
        return await self._lately.of(key, partial(self._look_up, *key))

    async def _look_up(self, peer: str, helo: str, domain: str) -> Found:
        ask = self.resolver.ask
        client = ""
        flaws: Flaws = {}

        async def address() -> None:
            nonlocal client
            found, client = await names.of_address(ask, peer)
            flaws.update(found)

        async def hello() -> None:
            flaws.update(await names.of_helo(ask, helo, peer, self.hostname, self._wanted))

        async def origin() -> None:
            flaws.update(await names.of_sender(ask, domain))

        groups = ((OF_ADDRESS, address), (OF_HELO, hello), (OF_SENDER, origin))
        with trio.move_on_after(self.time_limit):
            await side_by_side([look for group, look in groups if self._wanted & set(group)])
        return Found({name: flaws[name] for name in FLAWS if name in flaws and name in self._wanted}, client)
