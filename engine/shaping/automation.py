"""What replies lead to: patterns and thresholds on one side, actions in force on the other.

All processes count together (`engine/shaping/counts.py`). What it leads to is kept for all of them, and over restarts.
"""

import hashlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, NoReturn

import msgspec
import trio

from engine.bounces import UNKNOWN, Class, Classifier, Heard, Phase, usual
from engine.bounces.classes import is_own
from engine.bounces.patterns import LARGEST_EXPRESSION
from engine.bounces.phrases import Phrases
from engine.config.automation import Automation, shipped
from engine.config.rules import Provider, covers
from engine.observe.events import event
from engine.regex import compiled
from engine.shaping.actions import REPLY, Action, ActionStore
from engine.shaping.counts import Counts, Share, Threshold
from engine.storage.environment import StorageError
from engine.verdict import Defer, Delivered, Each, Reject, Verdict

TELL = 1.0
"""Seconds after which the others hear of replies that do not fit, and count for a share alone."""

LIFTED = 0.25
"""Seconds between two looks whether somebody has lifted a suspension, each of which takes microseconds."""

_OVERLAYS = 10_000

_SPREAD = 0.1
"""The part of a pause over which what was held comes back."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What actions in force change about mail for a site. ``until`` is when they next change by themselves."""

    suspended: float = 0.0  # Unix time up to which nothing leaves; 0: it leaves
    rate: float = 1.0  # the part that is left of its rates
    connections: float = 1.0
    use: str | None = None  # another source is to take over: this one, or ("") any
    expire: bool = False  # what waits is returned
    actions: tuple[str, ...] = ()  # their ids
    until: float = float("inf")

    def waits(self, now: float) -> float:
        """Seconds that nothing leaves; 0: it leaves."""
        return max(0.0, self.suspended - now)

    def verdict(self, now: float, expires: float) -> Defer | Reject | None:
        """On a message that is to leave now; ``expires``: when it is returned if it waits. None: it may leave."""
        if self.expire:
            return Reject("Mail for this destination is returned for now", code="4.3.2", log=self._log)
        wait = self.waits(now)
        if not wait:
            return None
        again = wait * random.uniform(1.0, 1.0 + _SPREAD)  # what was held together does not leave all at once
        return Defer(
            "Mail for this destination is suspended for now", code="4.3.2", log=self._log, retry_after=again,
            expires=expires,
        )  # fmt: skip

    @property
    def _log(self) -> str:
        return f"postroad shaping actions: {', '.join(self.actions)}"


NOTHING = Overlay()


class Said(NamedTuple):
    """A reply, and what it was about. ``host`` is who has said it."""

    site: str
    source: str
    reply: str = ""
    host: str = ""
    domain: str = ""
    tenant: str = ""
    phase: Phase = ""


class _Rule:
    """One automation, ready to be held against replies."""

    def __init__(self, one: Automation, providers: Mapping[str, Provider]) -> None:
        self.one = one
        self.classes = frozenset(one.classes)
        self.status = frozenset(one.status)
        self.expressions = [compiled(text, casemap=True, limit=LARGEST_EXPRESSION) for text in one.match]
        self.providers = {name: providers[name] for name in one.providers if name in providers}
        about = self.providers.values()
        self.hosts = (*one.sites, *(pattern for provider in about for pattern in provider.mx))
        self.domains = (*one.domains, *(pattern for provider in about for pattern in provider.domains))
        self.anywhere = not (one.sites or one.domains or one.providers)
        # What is counted for a rule is another thing once the rule is another one.
        self.named = ("reply", one.name, hashlib.blake2b(repr(one).encode(), digest_size=8).hexdigest())
        self.threshold = Threshold(one.after.most, one.after.period, one.lasts)
        self.share = Share(one.share, one.least, one.within, one.lasts)

    def is_about(self, said: Said) -> bool:
        """Whether it is about this place."""
        if self.one.sources and said.source not in self.one.sources:
            return False
        if self.one.scope == "tenant" and not said.tenant:
            return False
        if self.one.scope == "provider":
            return any(_belongs(one, said.site, said.domain) for one in self.providers.values())
        if self.anywhere or any(covers(pattern, said.domain) for pattern in self.domains):
            return True
        names = (said.host, *hosts_of(said.site))
        return any(covers(pattern, name) for pattern in self.hosts for name in names)

    def whom(self, said: Said) -> tuple[str, str, str, str]:
        """Site, source, tenant and provider that are acted on."""
        match self.one.scope:
            case "source":
                return said.site, said.source, "", ""
            case "tenant":
                return said.site, "", said.tenant, ""
            case "provider":
                name = next(name for name, one in self.providers.items() if _belongs(one, said.site, said.domain))
                return f"[provider.{name}]", said.source, "", name
        return said.site, "", "", ""

    def fits(self, heard: Heard, which: str) -> bool:
        """Whether the codes and the class do."""
        if self.classes and which not in self.classes:
            return False
        if self.one.codes and not str(heard.code).startswith(self.one.codes):
            return False
        return not self.status or heard.status in self.status or f"x{heard.status[1:]}" in self.status

    def matches(self, text: str) -> bool:
        return not self.expressions or any(one.matches(text, _free) for one in self.expressions)


def _free(_work: int) -> None:
    """What an expression costs is bounded by the length of the text, which `Heard` bounds."""


class Actions:
    """One object a process. Without a store all is kept here alone."""

    def __init__(
        self,
        store: ActionStore | None = None,
        rules: Sequence[Automation] | None = None,
        *,
        providers: Mapping[str, Provider] | None = None,
        known: Classifier | None = None,
        counts: Counts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``rules``: those of the operator; ours where there is None. ``known``: what gives replies their class.

        Without ``counts`` replies are counted here alone.
        """
        self._store = store
        self._clock = clock
        self._known = known or usual()
        self._counts = counts or Counts(clock=clock)
        self._writer: ThreadPoolExecutor | None = None
        self._mine: dict[str, Action] = {}  # that may not be in the store yet
        self._written: deque[str] = deque()  # of those: what is in the store since it was last read
        self._seen = -1  # changes of the store that are known
        self._there: list[Action] = []
        self._overlays: dict[tuple[str, str, str, str], Overlay] = {}
        self.use(shipped() if rules is None else rules, providers or {})

    def use(
        self, rules: Sequence[Automation], providers: Mapping[str, Provider], known: Classifier | None = None
    ) -> None:
        """Other rules hold from now on. Actions in force stay."""
        self._rules = [_Rule(one, providers) for one in rules]
        self._providers = providers
        self._overlays.clear()
        self._known = known or self._known
        texts = [(text.lower(), number) for number, one in enumerate(rules) for text in one.texts]
        self._texts = [number for _, number in texts]
        self._phrases = Phrases([text for text, _ in texts])
        self._by_share = [number for number, one in enumerate(rules) if one.share]

    # -- what replies lead to

    def passed(self, site: str, source: str) -> None:
        """A site has taken a message."""
        for number in self._by_share:
            rule = self._rules[number]
            self._counts.pass_by((*rule.named, site, source), rule.share)

    async def heard(self, said: Said, now: float | None = None) -> list[Action]:
        """A site has not taken a message, and said why. The actions that this leads to, which hold from now on."""
        now = self._clock() if now is None else now
        heard = Heard.of(said.reply, phase=said.phase)
        fitting = list(self._fitting(said, heard))
        for number in self._by_share:
            if number not in fitting:
                self._counts.pass_by((*self._rules[number].named, said.site, said.source), self._rules[number].share)
        taken = []
        for number in fitting:
            action = await self._found(self._rules[number], said, now)
            if action is not None:
                taken.append(action)
                self._take(action)
        return taken

    async def told(self, verdict: Verdict, said: Said) -> None:
        """A message has come back from a site; ``said`` has all but the replies. What each of them leads to."""
        for one in verdict.verdicts.values() if isinstance(verdict, Each) else (verdict,):
            if isinstance(one, Delivered):
                self.passed(said.site, said.source)
            elif isinstance(one, Defer | Reject) and one.reply:
                await self.heard(said._replace(reply=one.reply, host=one.remote))

    def class_of(self, text: str, status: str) -> Class:
        """What a reply with these words and this enhanced code means; codes alone are enough for a class of its own."""
        found = self._known.classify(text, status=status)
        return found.which if found.in_words or is_own(found.name) else UNKNOWN

    async def run(self) -> NoReturn:
        """Let the others know of what was counted here without a word."""
        while True:
            await trio.sleep(TELL)
            await self.tell()

    async def tell(self, now: float | None = None) -> None:
        """The same once."""
        try:
            await self._counts.tell(now)
        except StorageError as error:
            event("shaping-replies-uncounted", error=str(error))

    def _fitting(self, said: Said, heard: Heard) -> Iterator[int]:
        which = self._known.of(heard).name
        texts: set[int] | None = None
        for number, rule in enumerate(self._rules):
            if not rule.fits(heard, which):
                continue
            if rule.one.texts:
                if texts is None:
                    texts = {self._texts[found] for found in self._phrases.found(heard.text)}
                if number not in texts:
                    continue
            if rule.is_about(said) and rule.matches(heard.text):
                yield number

    async def _found(self, rule: _Rule, said: Said, now: float) -> Action | None:
        """What a reply that fits a rule leads to, if it is one too many."""
        action = self._action(rule, said, now)
        if self._is_taken(action, now):
            return None
        try:
            if rule.one.share:
                until = await self._counts.share_reached((*rule.named, said.site, said.source), rule.share, now)
            else:
                whom = (action.site, action.source, action.tenant)
                until = await self._counts.reached((*rule.named, *whom), rule.threshold, now)
        except StorageError as error:
            event("shaping-replies-uncounted", error=str(error))
            return None
        # While it was counted another process may have done the same.
        found = until > now and not self._is_taken(action, now)
        return msgspec.structs.replace(action, until=until) if found else None

    def _action(self, rule: _Rule, said: Said, now: float) -> Action:
        one, (site, source, tenant, provider) = rule.one, rule.whom(said)
        return Action.new(
            one.name, one.action, site, now, one.lasts,
            source=source, tenant=tenant, provider=provider, use=one.use, reply=said.reply[:REPLY],
            rate=one.rate if one.action == "slow" else 1.0,
            connections=one.connections if one.action == "slow" else 1.0,
            notify=one.notify or one.action == "notify",
        )  # fmt: skip

    def _is_taken(self, action: Action, now: float) -> bool:
        """Whether the same is in force already."""
        mine = (action.name, action.site, action.source, action.tenant)
        return any((one.name, one.site, one.source, one.tenant) == mine and one.until > now for one in self._now())

    def _take(self, action: Action) -> None:
        event(
            "shaping-action", id=action.id, name=action.name, action=action.act, site=action.site,
            source=action.source or None, tenant=action.tenant or None, until=round(action.until), reply=action.reply,
        )  # fmt: skip
        self._mine[action.id] = action
        self._overlays.clear()
        if self._store is not None:
            self._writer = self._writer or ThreadPoolExecutor(1, "actions")
            self._writer.submit(self._write, self._store, action)

    def _write(self, store: ActionStore, action: Action) -> None:
        """By a thread: a commit waits for the disk."""
        try:
            store.put(action)
            self._written.append(action.id)
        except StorageError as error:
            event("shaping-action-unwritten", id=action.id, error=str(error))

    # -- what is in force

    def in_force(self, site: str, source: str, now: float, *, domain: str = "", tenant: str = "") -> Overlay:
        """What actions change about mail that leaves from the source for the site."""
        there = self._now()
        if not there:
            return NOTHING
        key = site, source, domain, tenant
        overlay = self._overlays.get(key)
        if overlay is None or overlay.until <= now:
            if len(self._overlays) >= _OVERLAYS:
                self._overlays.clear()
            for_it = [one for one in there if _is_for(self._providers, one, key[:2], domain=domain, tenant=tenant)]
            overlay = self._overlays[key] = _joined(for_it, now)
        return overlay

    async def watch(self, lifted: Callable[[Sequence[Action]], Awaitable[None]]) -> NoReturn:
        """Tell of suspensions that are over before their time, whoever has lifted them."""
        before: dict[str, Action] = {}
        while True:
            there = {one.id: one for one in self._now() if one.act == "suspend"}
            now = self._clock()
            gone = [one for identity, one in before.items() if identity not in there and one.until > now]
            if gone:
                await lifted(gone)
            before = there
            await trio.sleep(LIFTED)

    def is_held_by(self, action: Action, line: str, domain: str) -> bool:
        """Whether it has kept back what stands in a line, of which some is for the domain."""
        site, _, source = line.rpartition("/")
        way = (site.partition(" ")[0], source)
        return bool(site) and _is_for(self._providers, action, way, domain=domain, tenant=action.tenant)

    def _now(self) -> list[Action]:
        """All actions, as far as anybody knows."""
        if self._store is None:
            return list(self._mine.values())
        changes = self._store.changes
        if changes != self._seen:
            self._refresh(changes)
        return [*self._there, *self._mine.values()] if self._mine else self._there

    def _refresh(self, changes: int) -> None:
        assert self._store is not None
        written = [self._written.popleft() for _ in range(len(self._written))]  # some may have been lifted since
        try:
            self._there = self._store.all()
        except StorageError as error:
            event("shaping-actions-unknown", error=str(error))
            self._written.extend(written)
            written = []
        self._seen = changes
        for identity in (*written, *(one.id for one in self._there)):
            self._mine.pop(identity, None)
        self._overlays.clear()

    def close(self) -> None:
        """Write what is still to be written."""
        if self._writer is not None:
            self._writer.shutdown()


def _belongs(provider: Provider, site: str, domain: str) -> bool:
    """Whether a site, or the recipient's domain, is a provider's."""
    hosts = hosts_of(site)
    return any(covers(pattern, domain) for pattern in provider.domains) or all(
        any(covers(pattern, host) for pattern in provider.mx) for host in hosts
    )


def _is_for(
    providers: Mapping[str, Provider], action: Action, way: tuple[str, str], *, domain: str, tenant: str
) -> bool:
    """``way``: site and source."""
    site, source = way
    if (action.source and action.source != source) or (action.tenant and action.tenant != tenant):
        return False
    if action.provider:
        return action.provider in providers and _belongs(providers[action.provider], site, domain)
    return action.site == site or any(covers(action.site, name) for name in (domain, *hosts_of(site)))


def _joined(actions: Sequence[Action], now: float) -> Overlay:
    """What all of them come to."""
    actions = [one for one in actions if one.until > now]
    if not actions:
        return NOTHING
    uses = [one.use for one in actions if one.act == "use_source"]
    return Overlay(
        suspended=max((one.until for one in actions if one.act == "suspend"), default=0.0),
        rate=min(one.rate for one in actions),
        connections=min(one.connections for one in actions),
        use=uses[-1] if uses else None,
        expire=any(one.act == "expire" for one in actions),
        actions=tuple(one.id for one in actions),
        until=min(one.until for one in actions),
    )


@lru_cache(4096)
def hosts_of(site: str) -> tuple[str, ...]:
    """The names of hosts in the name of a site, behind which a port may stand."""
    if site.startswith("["):
        return (site[1:].partition("]")[0],)
    return tuple((site.partition(":")[0] if site.count(":") == 1 else site).split(","))
