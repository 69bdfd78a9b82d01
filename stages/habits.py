"""Habits: park the mail of an account that suddenly sends unlike itself. A pure stage, for the lane of submissions."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from engine import Message, MessageId, Quarantine, Reject, Session, Verdict, domain_of
from engine.abuse import Habits as Remembered
from engine.abuse import Tables
from engine.abuse.habits import Limits, Sending
from engine.directory import Account, Directory, Unavailable, asked, is_member
from engine.message import RELEASED
from engine.net.countries import Countries
from engine.net.mmdb import MmdbError
from engine.net.targets import network_of
from engine.observe.events import event
from engine.protocols.address import normalised, normalised_domain
from engine.storage.environment import StorageError

REASON = "the account sends unlike itself"
"""The same for all of its messages, so that one that is released is not parked again."""

_USUAL = Limits()


class Allowance(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Other limits for some; what is not said is that of the stage."""

    who: str  # an account, a group, or a domain
    recipients: int | None = None
    new_recipients: int | None = None
    domains: int | None = None
    networks: int | None = None
    countries: int | None = None
    spam: int | None = None
    refused: int | None = None


@dataclass
class Habits:
    """What an account may send in an hour is so many times what is usual for it, but never less than these limits."""

    tables: Tables
    directory: Directory
    _: KW_ONLY
    # Recipients in an hour. 0 here, and in those that follow: the signal does not count.
    recipients: int = _USUAL.recipients
    # Of them such as the account has never written to.
    new_recipients: int = _USUAL.new_recipients
    # Their domains.
    domains: int = _USUAL.domains
    # Networks that it sends from.
    networks: int = _USUAL.networks
    # Countries that it sends from, by countries_file.
    countries: int = _USUAL.countries
    # Messages with a score (the fact scan.score) of spam_score or more.
    spam: int = _USUAL.spam
    spam_score: float = 6.0
    # Recipients that came back, and messages that were refused at once.
    refused: int = _USUAL.refused
    # So many times what is usual is suspicious.
    times: float = _USUAL.times
    # How many signals must be above their limit at once; one that is four times above it counts twice.
    signals: int = _USUAL.signals
    # What counts as one network: about a provider.
    network_ipv4: int = 16
    network_ipv6: int = 32
    # Which country an address is in: a database in MaxMind's format, looked at again when another takes its place.
    countries_file: Path | None = None
    # Accounts, groups and domains with limits of their own. The first one that fits counts.
    allow: tuple[Allowance, ...] = ()
    _habits: Remembered = field(init=False, repr=False)
    _countries: Countries | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._limits = Limits(**{one.name: getattr(self, one.name) for one in fields(Limits)})
        self._habits = Remembered(self.tables)
        self._countries = Countries(self.countries_file) if self.countries_file else None

    @staticmethod
    def check(
        *, network_ipv4: int = 16, network_ipv6: int = 32, countries_file: Path | None = None, **others: object
    ) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        for name, bits, most in (("network_ipv4", network_ipv4, 32), ("network_ipv6", network_ipv6, 128)):
            if not 0 <= bits <= most:
                yield f"{name} must be a number of bits from 0 to {most}"
        for name in ("signals", "times"):
            value = others.get(name, 1)
            if isinstance(value, int | float) and value < 1:
                yield f"{name} must be at least 1"
        if countries_file is not None:
            try:
                Countries(countries_file).check()
            except OSError as error:
                yield f"countries_file: {countries_file}: {error.strerror or error}"
            except MmdbError as error:
                yield f"countries_file: {countries_file}: {error}"
        elif "countries" in others:
            yield "countries are known by countries_file"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._countries is not None:
            self._countries.close()

    async def __call__(self, message: Message) -> Verdict:
        login = message.session.login
        if not login or message.fact(RELEASED):
            return message
        try:
            if await self._habits.is_suspect(login):
                return Quarantine(REASON)
            limits = await asked(self.directory, self._limits_of, login)
            if reasons := await self._habits.weigh(self._sending(message), limits):
                await self._suspect(message.session, reasons, message.id)
                return Quarantine(REASON)
        except (StorageError, Unavailable) as error:
            event("habits-unknown", id=message.id, login=login, error=str(error))
        return message

    async def at_refusal(self, session: Session, _refusal: Reject, is_content: bool) -> None:
        """A message that is refused here goes nowhere, but it shows who sends: it counts like one that came back."""
        login = session.login
        try:
            if not login or not is_content or await self._habits.is_suspect(login):
                return
            limits = await asked(self.directory, self._limits_of, login)
            if reasons := await self._habits.weigh(replace(self._from(session), refused=1), limits):
                await self._suspect(session, reasons)
        except (StorageError, Unavailable) as error:
            event("habits-unknown", login=login, error=str(error))

    async def rehearse(self, message: Message) -> Verdict:
        """Whether the account is suspicious already: what it sent before is not counted once more."""
        login = message.session.login
        try:
            parks = login and not message.fact(RELEASED) and await self._habits.is_suspect(login)
        except StorageError as error:
            event("habits-unknown", id=message.id, login=login, error=str(error))
            return message
        return Quarantine(REASON) if parks else message

    def _sending(self, message: Message) -> Sending:
        score = message.fact("scan.score")
        is_spam = isinstance(score, int | float) and score >= self.spam_score
        return replace(self._from(message.session), recipients=message.recipients, is_spam=is_spam)

    def _from(self, session: Session) -> Sending:
        return Sending(
            account=session.login,
            network=network_of(session.peer, self.network_ipv4, self.network_ipv6) if session.peer else "",
            country=self._countries.of(session.peer) if self._countries and session.peer else "",
        )

    async def _suspect(self, session: Session, reasons: list[str], identity: MessageId | None = None) -> None:
        if await self._habits.suspect(session.login, reasons, session.peer):
            event("account-suspicious", id=identity, login=session.login, peer=session.peer, reasons=reasons)

    def _limits_of(self, login: str) -> Limits:
        for allowance in self.allow:
            if self._is(login, allowance.who):
                said = {one.name: getattr(allowance, one.name, None) for one in fields(Limits)}
                usual = {one.name: getattr(self._limits, one.name) for one in fields(Limits)}
                return Limits(**usual | {name: value for name, value in said.items() if value is not None})
        return self._limits

    def _is(self, login: str, who: str) -> bool:
        if "@" not in who:
            return domain_of(login) == normalised_domain(who)
        if normalised(who) == login:
            return True
        account = self.directory.find(login)
        return isinstance(account, Account) and is_member(self.directory, account, normalised(who))
