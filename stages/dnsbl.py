"""Look clients up in lists of the DNS (RFC 5782), whose weights add up to a score. A pure stage."""

from collections.abc import Awaitable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import msgspec

from engine import Defer, Duration, Fact, Message, Reject, Session, Verdict, domain_of
from engine.admission.dnsbl import Answers, meaning, of_address, of_domain
from engine.admission.judged import ALWAYS_REACHED, Lately, is_judged, is_reached
from engine.authentication.iprev import client_address
from engine.net.dns import Answer, DnsTrouble, Resolver, side_by_side
from engine.scanning import Guard, Unreachable

_AT_ONCE = 256
"""Questions to one list that wait for their answer at one time."""

_PAUSE = 60.0
"""Seconds for which a list is left alone that has failed several times: each try holds up one client."""

_LONGEST_REASON = 200
"""Characters of what a list says in its TXT record."""

What = Literal["client", "sender", "helo"]


class DnsList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One list, and what it counts for."""

    zone: str
    # Added to the score of what is on it; below 0 for lists of the good.
    weight: float = 1.0
    # Which answers count, as "127.0.0.2-11"; empty: all in 127.0.0.0/8 that are no errors.
    answers: tuple[str, ...] = ()
    # What is looked up: the client's address, the domain of the sender, the name in HELO.
    of: tuple[What, ...] = ("client",)
    # What who is refused hears; "%s" is what was found on the list. Empty: the list's own TXT record.
    text: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Something of a client is on a list."""

    listing: DnsList
    what: str  # the address or the domain
    name: str  # by which the list was asked


@dataclass(frozen=True, slots=True)
class Found:
    """What all lists say."""

    listed: tuple[Listed, ...]

    @property
    def score(self) -> float:
        """The sum of the weights of the lists, each counted once."""
        return sum(listing.weight for listing in dict.fromkeys(one.listing for one in self.listed))

    @property
    def worst(self) -> Listed:
        return max(self.listed, key=lambda one: one.listing.weight)


@dataclass
class Dnsbl:
    """Refuse recipients of clients that have a bad name, and note the rest as facts.

    At RCPT, so that postmasters can be reached, and those who have logged in are not looked at.
    """

    asks_others: ClassVar = True
    leaves: ClassVar = ("door.dnsbl", "door.dnsbl_score")

    resolver: Resolver
    _: KW_ONLY
    lists: tuple[DnsList, ...]
    # The score from which on recipients are refused. 0: never, it is only noted.
    reject_at: float = 1.0
    # For all lists of a client; what has not answered by then counts for nothing.
    time_limit: Duration = Duration("3s")
    # Local parts that get their mail in any case.
    exempt_recipients: tuple[str, ...] = ALWAYS_REACHED
    _lately: Lately[tuple[str, str, str], Found] = field(init=False, repr=False)

    @staticmethod
    def check(*, lists: tuple[DnsList, ...] = (), reject_at: float = 1.0, **_: Any) -> Iterator[str]:
        """What is wrong with the settings."""
        if not lists:
            yield "lists names no list"
        for one in lists:
            try:
                Answers(one.answers)
            except ValueError as error:
                yield f"{one.zone}: {error}"
            if of_domain(one.zone.rstrip("."), "x") is None:
                yield f'{one.zone!r} is no zone; write it like "zen.spamhaus.org"'
        if reject_at < 0:
            yield "reject_at must not be negative"

    def __post_init__(self) -> None:
        """ValueError for lists that cannot be."""
        self._lately = Lately()
        self._answers = {one: Answers(one.answers) if one.answers else None for one in self.lists}
        self._guards = {
            one.zone: Guard(f"the list {one.zone}", time_limit=self.time_limit, at_once=_AT_ONCE, pause=_PAUSE)
            for one in self.lists
        }

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Awaitable[Reject | Defer | None] | None:
        if not self.reject_at or not is_judged(session) or is_reached(recipient, self.exempt_recipients):
            return None
        return self._refusal(session, sender)

    async def __call__(self, message: Message) -> Verdict:
        if not is_judged(message.session):
            return message
        found = await self._found(message.session, message.sender)
        zones: list[Fact] = [*dict.fromkeys(one.listing.zone for one in found.listed)]
        return message.with_facts({"door.dnsbl": zones, "door.dnsbl_score": float(found.score)})

    async def _refusal(self, session: Session, sender: str) -> Reject | None:
        found = await self._found(session, sender)
        if found.score < self.reject_at:
            return None
        return Reject(await self._text(found.worst), "5.7.1")

    async def _text(self, listed: Listed) -> str:
        zone, text = listed.listing.zone, listed.listing.text
        if text:
            return text.replace("%s", listed.what)
        outcome = await self._asked(zone, listed.name, "TXT")
        reason = outcome.records[0].decode("utf-8", "replace") if outcome else ""
        reason = " ".join(reason.split())[:_LONGEST_REASON]
        return f"{listed.what} is listed by {zone}" + (f": {reason}" if reason else "")

    async def _found(self, session: Session, sender: str) -> Found:
        domain = domain_of(sender)
        key = (session.peer, session.helo, domain)
        return await self._lately.of(key, partial(self._look_up, *key))

    async def _look_up(self, peer: str, helo: str, domain: str) -> Found:
        names = {"sender": domain, "helo": helo.lower()}
        wanted: dict[tuple[DnsList, str], str] = {}  # list and name to ask it by → what is looked up
        for one in self.lists:
            for kind in one.of:
                what = names.get(kind, peer)
                name = of_domain(what, one.zone) if kind in names else of_address(client_address(peer), one.zone)
                if name:
                    wanted[one, name] = what
        said = await side_by_side([partial(self._is_listed, one, name) for one, name in wanted])
        return Found(
            tuple(
                Listed(one, what, name)
                for ((one, name), what), is_listed in zip(wanted.items(), said, strict=True)
                if is_listed
            )
        )

    async def _is_listed(self, one: DnsList, name: str) -> bool:
        outcome = await self._asked(one.zone, name, "A", self._answers[one])
        return outcome is not None and meaning(outcome.records, self._answers[one]) is True

    async def _asked(self, zone: str, name: str, rdtype: str, listing: Answers | None = None) -> Answer[Any] | None:
        """The answer of a list; None: it has none, or cannot be asked now."""

        async def ask() -> Answer[Any] | None:
            outcome = await self.resolver.ask(name, rdtype)
            if isinstance(outcome, DnsTrouble):
                raise Unreachable(outcome.text)
            if not isinstance(outcome, Answer):
                return None
            if rdtype == "A" and isinstance(why := meaning(outcome.records, listing), str):
                raise Unreachable(why)
            return outcome

        try:
            return await self._guards[zone].call(ask)
        except Unreachable:
            return None
