"""What replies lead to: patterns and thresholds on one side, actions in force on the other.

What is counted is counted by the process that sends to the site, which is one (`stages/relay.py` partitions by it).
What it leads to is kept for all of them, and over restarts.
"""

import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from engine.bounces import Classifier, Heard, Phase, usual
from engine.bounces.patterns import LARGEST_EXPRESSION
from engine.bounces.phrases import Phrases
from engine.config.automation import Automation, shipped
from engine.config.rules import Provider, covers
from engine.observe.events import event
from engine.shaping.actions import REPLY, Action, ActionStore
from engine.sieve.regex import compiled
from engine.storage.environment import StorageError
from engine.verdict import Defer, Delivered, Each, Reject, Verdict

COUNTED = 20_000
"""Sites, for each rule, whose replies are counted. Then those are forgotten that were counted longest ago."""

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
        about = [providers[name] for name in one.providers if name in providers]
        self.hosts = (*one.sites, *(pattern for provider in about for pattern in provider.mx))
        self.domains = (*one.domains, *(pattern for provider in about for pattern in provider.domains))
        self.anywhere = not (one.sites or one.domains or one.providers)

    def is_about(self, said: Said) -> bool:
        """Whether it is about this place."""
        if self.one.sources and said.source not in self.one.sources:
            return False
        if self.one.scope == "tenant" and not said.tenant:
            return False
        if self.anywhere or any(covers(pattern, said.domain) for pattern in self.domains):
            return True
        names = (said.host, *hosts_of(said.site))
        return any(covers(pattern, name) for pattern in self.hosts for name in names)

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


class _Shares:
    """How many replies there were lately, and how many of them fitted: by halves of the window."""

    __slots__ = ("_began", "_half", "_now", "_then")

    def __init__(self, within: float) -> None:
        self._half = within / 2
        self._began = 0.0
        self._now = [0, 0]
        self._then = [0, 0]

    def add(self, now: float, *, fits: bool) -> tuple[int, int]:
        """Count one. How many there were, and how many fitted."""
        if now - self._began >= self._half:
            self._then = self._now if now - self._began < 2 * self._half else [0, 0]
            self._now, self._began = [0, 0], now
        self._now[0] += 1
        self._now[1] += fits
        return self._now[0] + self._then[0], self._now[1] + self._then[1]


class _Counts:
    """What was counted of each site, the newest last."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[int, str, str, str], deque[float]] = OrderedDict()
        self._shares: OrderedDict[tuple[int, str, str], _Shares] = OrderedDict()

    def times(self, key: tuple[int, str, str, str], one: Automation, now: float) -> bool:
        """Count a reply. Whether it is the one that is too many."""
        times = self._times.pop(key, None) or deque(maxlen=one.after.most)
        times.append(now)
        self._times[key] = times
        if len(self._times) > COUNTED:
            self._times.popitem(last=False)
        if len(times) < one.after.most or now - times[0] > one.after.period:
            return False
        del self._times[key]
        return True

    def share(self, key: tuple[int, str, str], one: Automation, now: float, *, fits: bool) -> bool:
        """The same of a share of all replies."""
        shares = self._shares.pop(key, None) or _Shares(one.within)
        self._shares[key] = shares
        if len(self._shares) > COUNTED:
            self._shares.popitem(last=False)
        total, some = shares.add(now, fits=fits)
        if not fits or total < one.least or some * 100 < one.share * total:
            return False
        del self._shares[key]
        return True


class Actions:
    """One object a process. Without a store all is kept here alone."""

    def __init__(
        self,
        store: ActionStore | None = None,
        rules: Sequence[Automation] | None = None,
        *,
        providers: Mapping[str, Provider] | None = None,
        known: Classifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``rules``: those of the operator; ours where there is None. ``known``: what gives replies their class."""
        self._store = store
        self._clock = clock
        self._known = known or usual()
        self._counts = _Counts()
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
        self._known = known or self._known
        texts = [(text.lower(), number) for number, one in enumerate(rules) for text in one.texts]
        self._texts = [number for _, number in texts]
        self._phrases = Phrases([text for text, _ in texts])
        self._by_share = [number for number, one in enumerate(rules) if one.share]

    # -- what replies lead to

    def passed(self, site: str, source: str, now: float | None = None) -> None:
        """A site has taken a message."""
        for number in self._by_share:
            when = self._clock() if now is None else now
            self._counts.share((number, site, source), self._rules[number].one, when, fits=False)

    def heard(self, said: Said, now: float | None = None) -> list[Action]:
        """A site has not taken a message, and said why. The actions that this leads to, which hold from now on."""
        now = self._clock() if now is None else now
        heard = Heard.of(said.reply, phase=said.phase)
        fitting = set(self._fitting(said, heard))
        taken = []
        for number in sorted(fitting.union(self._by_share)):
            if self._is_too_much(number, said, now, fits=number in fitting):
                action = self._action(self._rules[number].one, said, now)
                if not self._is_taken(action, now):
                    taken.append(action)
                    self._take(action)
        return taken

    def told(self, verdict: Verdict, said: Said) -> None:
        """A message has come back from a site; ``said`` has all but the replies. What each of them leads to."""
        for one in verdict.verdicts.values() if isinstance(verdict, Each) else (verdict,):
            if isinstance(one, Delivered):
                self.passed(said.site, said.source)
            elif isinstance(one, Defer | Reject) and one.reply:
                self.heard(said._replace(reply=one.reply, host=one.remote))

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

    def _is_too_much(self, number: int, said: Said, now: float, *, fits: bool) -> bool:
        one = self._rules[number].one
        if one.share:
            return self._counts.share((number, said.site, said.source), one, now, fits=fits)
        return self._counts.times((number, *_whom(one, said)), one, now)

    def _action(self, one: Automation, said: Said, now: float) -> Action:
        site, source, tenant = _whom(one, said)
        return Action.new(
            one.name, one.action, site, now, one.lasts,
            source=source, tenant=tenant, use=one.use, reply=said.reply[:REPLY],
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
            overlay = self._overlays[key] = _joined([one for one in there if _is_for(one, *key)], now)
        return overlay

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


def _whom(one: Automation, said: Said) -> tuple[str, str, str]:
    """Site, source and tenant that are acted on."""
    match one.scope:
        case "source":
            return said.site, said.source, ""
        case "tenant":
            return said.site, "", said.tenant
    return said.site, "", ""


def _is_for(action: Action, site: str, source: str, domain: str, tenant: str) -> bool:
    if (action.source and action.source != source) or (action.tenant and action.tenant != tenant):
        return False
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
