"""Route: which lane each recipient goes down, and whom an alias stands for. A pure stage."""

import fnmatch
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, NamedTuple, TypeAlias, TypeGuard

import msgspec

from engine import Defer, Each, Message, Reject, Session, Verdict, verdict
from engine.directory import (
    ANYBODY,
    FEW,
    Account,
    Alias,
    Directory,
    Group,
    Memory,
    Unavailable,
    asked,
    is_bare_postmaster,
    may_post,
    split,
    valid_address,
    valid_domain,
)
from engine.mailbox import Limited, Posting, Quotas
from engine.mailbox.posting import MAY_NOT
from engine.return_path import ReturnPaths

EVERYONE = "*"
LOCAL = "local"
NULL_SENDER = "<>"

DEPTH = 10
"""Aliases that may follow each other on the way to a person; what lies deeper is dropped."""

NO_SUCH_USER = Reject("no such user here", code="5.1.1")
NOT_A_WRITER = Reject("only some may write to this group: log in as one of them", code="5.7.1")
NOT_OURS = Reject("this is no report about mail that was sent from here", code="5.7.1")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """One `[[route]]`: mail for ``to`` (and from ``from``, if given) goes down ``lane``.

    A pattern is ``*`` (everyone), ``local`` (any local domain), a domain (``example.org`` or ``@example.org``), a
    domain with wildcards (``*.example.org``, which is not example.org itself), or one address
    (``user@example.org``). ``from`` may also be ``<>``, the empty sender of bounces.
    """

    to: str
    lane: str
    sender: str = EVERYONE


class Party(NamedTuple):
    """A sender or recipient as rules look at it."""

    address: str  # as mail is to be sent to it
    name: str  # as it compares
    domain: str
    is_local: bool
    limited: Limited | None = None  # where its mailbox may be full
    folder: int = 0  # the public folder that it stands for
    closed: tuple[str, ...] = ()  # groups that were met on the way to it, to which not everybody may write


NOBODY = Party("", "", "", is_local=False)
"""The empty sender, and any sender where no rule asks for it."""

Test: TypeAlias = Callable[[Party], bool]
Refusal: TypeAlias = Reject | Defer | None


@dataclass(slots=True)
class Route:
    """Give every recipient the lane of the first rule that fits.

    A recipient in a local domain is looked up first: an account is written as the directory has it, an alias is
    replaced by those it stands for, each of which goes through the rules on its own, and an unknown one is refused.
    A member of an alias that is unknown goes down its lane as well, so that the sender gets a bounce for it; if
    nobody else is left, the alias itself is refused. A return path of ours stands for whom it was made for.
    """

    straight: ClassVar[bool] = True

    directory: Directory
    returns: ReturnPaths = field(default_factory=ReturnPaths)
    quotas: Quotas = field(default_factory=Quotas)
    posting: Posting = field(default_factory=Posting)
    _: KW_ONLY
    rules: tuple[Rule, ...]
    subaddress: str = "+"  # the character before a tag, "user+tag"; empty: no tags
    _table: tuple[tuple[Test, Test, verdict.Route], ...] = field(init=False, repr=False)
    _asks_sender: bool = field(init=False, repr=False)
    _reached: Memory[str, tuple[Party, ...]] = field(init=False, repr=False, default_factory=Memory)

    tables: ClassVar[Mapping[str, str]] = {"route": "rules"}

    def __post_init__(self) -> None:
        """ValueError with every mistake in the settings."""
        problems = list(self.check(rules=self.rules, subaddress=self.subaddress))
        if problems:
            raise ValueError("; ".join(problems))
        self._table = tuple((_test(rule.to), _test(rule.sender), verdict.Route(rule.lane)) for rule in self.rules)
        self._asks_sender = any(rule.sender != EVERYONE for rule in self.rules)

    @staticmethod
    def check(*, rules: tuple[Rule, ...], subaddress: str = "+") -> Iterator[str]:
        """What is wrong with the settings."""
        if len(subaddress) > 1 or subaddress == "@":
            yield f"subaddress must be one character that stands before a tag, or empty, not {subaddress!r}"
        yield from _problems(rules)

    @staticmethod
    def advise(*, rules: tuple[Rule, ...], **_: object) -> Iterator[tuple[str, str]]:
        """Rules that no mail comes to, because one before them takes all that they would."""
        for index, rule in enumerate(rules):
            wide = next((number for number, before in enumerate(rules[:index], 1) if _takes_all(before, rule)), 0)
            if wide:
                text = f"rule {index + 1} is never reached: rule {wide} takes all that it would; put it before that one"
                yield f"rules.{index}", text

    @property
    def waits(self) -> bool:
        """Not while the directory is on this machine."""
        return self.directory.limiter is not None

    async def __call__(self, message: Message) -> Verdict:
        try:
            return await asked(self.directory, self._judged, message)
        except Unavailable as error:
            return _put_off(error)

    def at_recipient(self, session: Session, sender: str, recipient: str) -> Refusal | Awaitable[Refusal]:
        """Refuse an unknown local user at RCPT, one whose mailbox is full, and a bounce of what was never sent.

        And a public folder, or a group, to which whoever has logged in, or anyone, may not post.

        Whether others may be relayed to is not asked here.
        """
        is_bounce = not sender and not session.trusted
        return (
            asked(self.directory, self._refusal, recipient, is_bounce, session.login)
            if self.waits
            else self._refusal(recipient, is_bounce, session.login)
        )

    def _refusal(self, recipient: str, is_bounce: bool, login: str) -> Refusal:
        try:
            if self.returns.takes_report(recipient, time.time()):
                return None
            reached = self._resolve(recipient)
            if not reached:
                return NO_SUCH_USER
            if is_bounce and self._lacks_tag(recipient, reached):
                return NOT_OURS
            if not all(may_post(self.directory, group, login) for group in reached[0].closed):
                return NOT_A_WRITER
            if all(party.folder and self.posting.would_be_refused(party.folder, login) for party in reached):
                return MAY_NOT
            return self.quotas.refusal if all(map(self._is_full, reached)) else None
        except Unavailable as error:
            return _put_off(error)

    def _judged(self, message: Message) -> Verdict:
        sender = self._sender(message.sender)
        recipients = message.recipients
        if len(recipients) == 1:
            only = self._verdict(recipients[0], sender)
            return Each({recipients[0]: only}) if isinstance(only, tuple) else only
        verdicts = {recipient: self._verdict(recipient, sender) for recipient in recipients}
        first = next(iter(verdicts.values()), NO_SUCH_USER)
        if _is_plain(first) and all(other == first for other in verdicts.values()):
            return first
        return Each(verdicts)

    def _lacks_tag(self, recipient: str, reached: tuple[Party, ...]) -> bool:
        """Whether mail from there goes out with a tag, and this bounce comes back without. Only people's mail does."""
        batv = self.returns.batv
        if batv is None or not batv.require or self.returns.is_tagged(recipient):
            return False
        names = {self._party(recipient).name, *(party.name for party in reached)}
        return any(party.is_local for party in reached) and not any(map(batv.is_exempt, names))

    def _is_full(self, party: Party) -> bool:
        return party.limited is not None and self.quotas.is_full(party.limited)

    def _resident(self, account: Account) -> Party:
        address, limited = account.address, self.quotas.limited(account)
        return Party(
            address, address, address.rpartition("@")[2], is_local=True, limited=limited, folder=account.folder
        )

    def _verdict(self, recipient: str, sender: Party) -> verdict.Route | verdict.Routes | Reject:
        reached = self._resolve(recipient)
        if len(reached) == 1 and reached[0].address == recipient:
            return self._pick(reached[0], sender)
        lanes: dict[str, list[str]] = {}
        for party in reached:
            lanes.setdefault(self._pick(party, sender).lane, []).append(party.address)
        routes = tuple(verdict.Route(lane, tuple(to)) for lane, to in lanes.items())
        if not routes:
            return NO_SUCH_USER
        return routes[0] if len(routes) == 1 else routes

    def _pick(self, recipient: Party, sender: Party) -> verdict.Route:
        return next(route for to, of, route in self._table if to(recipient) and of(sender))

    def _resolve(self, recipient: str) -> tuple[Party, ...]:
        """Those who get the mail for ``recipient``; empty when nobody does. Asked at RCPT, and again behind `queue`."""
        if self.returns.is_tagged(recipient) and self._party(recipient).is_local:
            opened = self.returns.opened(recipient, time.time())
            return self._found(opened) if opened else ()
        return self._found(recipient)

    def _found(self, recipient: str) -> tuple[Party, ...]:
        state = self.directory.state, self.quotas.state
        reached = self._reached.get(state, recipient)
        if reached is None:
            reached = self._look_up(recipient)
            if 0 < len(reached) <= FEW:
                self._reached.put(state, recipient, reached)
        return reached

    def _look_up(self, recipient: str) -> tuple[Party, ...]:
        party = self._party(recipient)
        if not party.is_local:
            return (party,)
        found = self.directory.find(recipient, subaddress=self.subaddress)
        if isinstance(found, Alias):
            return self._members(found)
        return (self._resident(found),) if found else ()

    def _members(self, alias: Alias) -> tuple[Party, ...]:
        """Those an alias stands for in the end, each once. Aliases are opened layer by layer, each only once.

        The first of them says to which groups among these not everybody may write: their rules hold through all that
        leads to them, or whoever makes an alias would set them aside.
        """
        reached: dict[str, Party] = {}
        unknown: dict[str, Party] = {}
        opened = {alias.address}
        closed = [alias.address] if _is_closed(alias) else []
        layer: Iterable[str] = alias.targets
        for _ in range(DEPTH):
            deeper: list[str] = []
            for target in layer:
                party = self._party(target)
                found = self.directory.find(target, subaddress=self.subaddress) if party.is_local else None
                if isinstance(found, Alias):
                    if found.address not in opened:
                        opened.add(found.address)
                        closed += [found.address] if _is_closed(found) else []
                        deeper += found.targets
                elif isinstance(found, Account):
                    reached[found.address] = self._resident(found)
                else:
                    (unknown if party.is_local else reached)[party.address] = party
            layer = deeper
        if not reached:
            return ()
        first, *others = (*reached.values(), *unknown.values())
        return (first._replace(closed=tuple(closed)), *others)

    def _party(self, address: str) -> Party:
        name = split(address)
        if name is None:
            return Party(address, address, "", is_bare_postmaster(address))
        return Party(address, "@".join(name), name[1], self.directory.is_local(name[1]))

    def _sender(self, address: str) -> Party:
        return self._party(address) if address and self._asks_sender else NOBODY


def _is_closed(alias: Alias) -> bool:
    return isinstance(alias, Group) and alias.posting != ANYBODY


def _put_off(error: Unavailable) -> Defer:
    return Defer("Local trouble, please try again later", code="4.3.0", log=str(error))


def _is_plain(given: object) -> TypeGuard[verdict.Route | Reject]:
    """Whether the verdict may stand for the whole message, since it rewrites nobody."""
    return isinstance(given, Reject) or (isinstance(given, verdict.Route) and not given.to)


def _problems(rules: tuple[Rule, ...]) -> Iterator[str]:
    if not rules:
        yield 'there is no rule; end with [[route]] to = "*" lane = "…"'
        return
    for number, rule in enumerate(rules, 1):
        if not rule.lane:
            yield f"rule {number} names no lane"
        for key, pattern in (("to", rule.to), ("from", rule.sender)):
            try:
                _test(pattern)
            except ValueError as error:
                yield f"rule {number}: {key} = {pattern!r}: {error}"
    catch_all = next((number for number, rule in enumerate(rules, 1) if rule.to == rule.sender == EVERYONE), 0)
    if not catch_all:
        yield 'the last rule must take everyone: to = "*" without from'
    elif catch_all < len(rules):
        yield f"rule {catch_all} takes everyone, so the rules behind it are never reached; move it to the end"


def _takes_all(wide: Rule, rule: Rule) -> bool:
    return _covers(wide.to, rule.to) and _covers(wide.sender, rule.sender)


def _covers(wide: str, pattern: str) -> bool:
    """Whether all that fits the pattern fits the other one too, for certain."""
    wide, pattern = wide.lower(), pattern.lower()
    if wide in (EVERYONE, pattern):
        return True
    if {wide, pattern} & {EVERYONE, LOCAL, NULL_SENDER}:
        return False
    user, _, domain = wide.rpartition("@")
    inner_user, _, inner = pattern.rpartition("@")
    if user and user != inner_user:
        return False
    # A pattern of wildcards is taken as a name here: * stands for itself too, but ? must not stand for *.
    return fnmatch.fnmatchcase(inner, domain) and not ("?" in domain and "*" in inner)


def _test(pattern: str) -> Test:
    """The test that ``pattern`` stands for. ValueError when it can fit nobody."""
    if pattern == EVERYONE:
        return lambda _: True
    if pattern == LOCAL:
        return lambda party: party.is_local
    if pattern == NULL_SENDER:
        return lambda party: not party.address
    user, _, domain = pattern.rpartition("@")
    if "*" in user or "?" in user:
        raise ValueError('wildcards stand for domains only; write "@example.org" for all of a domain')
    if user:
        return _address_test(pattern)
    return _domain_test(domain)


def _address_test(pattern: str) -> Test:
    name = split(valid_address(pattern))
    wanted = "@".join(name or ())
    return lambda party: party.name == wanted


def _domain_test(pattern: str) -> Test:
    if "*" not in pattern and "?" not in pattern:
        wanted = valid_domain(pattern)
        return lambda party: party.domain == wanted
    labels = (label if "*" in label or "?" in label else valid_domain(label) for label in pattern.split("."))
    matches = re.compile(fnmatch.translate(".".join(labels).lower())).fullmatch
    return lambda party: matches(party.domain) is not None
