"""What the entries about a message come to."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from engine.history.entries import Arrived, Attempted, Born, Leg, Noted, Outcome
from engine.history.reading import History, Told
from engine.message import MessageId

_NOTED_FATES = {"deleted": "deleted", "expired": "deleted", "parked": "parked", "released": "released"}


@dataclass(frozen=True)
class Story:
    """All that is known of one message."""

    id: MessageId
    told: tuple[Told, ...]  # of itself, in order
    children: tuple[Born, ...] = ()

    @classmethod
    def of(cls, history: History, identity: MessageId) -> Self:
        """What the history has of it."""
        own: list[Told] = []
        children: list[Born] = []
        for one in history.of(identity):
            if isinstance(one.entry, Born) and one.entry.id != identity:
                children.append(one.entry)
            else:
                own.append(one)
        return cls(identity, tuple(own), tuple(children))

    @cached_property
    def begin(self) -> Arrived | Born | None:
        """How it came to be."""
        return next((one.entry for one in self.told if isinstance(one.entry, Arrived | Born)), None)

    @property
    def parent(self) -> Born | None:
        """What it came of."""
        return next((one.entry for one in self.told if isinstance(one.entry, Born)), None)

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """The last one of each recipient."""
        found: dict[str, Outcome] = {}
        for one in self.told:
            if isinstance(one.entry, Attempted):
                found |= {outcome.to: outcome for outcome in one.entry.outcomes}
        return found

    @property
    def fate(self) -> str:
        """What became of it, in a word or two, as far as the history knows."""
        fate = ""
        for one in self.told:
            match one.entry:
                case Arrived(what=what):
                    fate = what
                case Attempted():
                    fate = counted([outcome.what for outcome in self.outcomes.values()])
                case Noted(what=what):
                    fate = _NOTED_FATES.get(what, fate)
        return fate or "unknown"

    @property
    def is_over(self) -> bool:
        """Whether the last that is known leaves nothing to be done."""
        for one in reversed(self.told):
            match one.entry:
                case Attempted(state=state):
                    return not state
                case Noted(what="deleted" | "expired"):
                    return True
                case Arrived(what=what):
                    return what != "accepted"
        return False

    def plain(self) -> list[dict[str, Any]]:
        """The entries for programs."""
        return [_plain(one) for one in self.told]


def counted(words: list[str]) -> str:
    """ "delivered", or "delivered 2, failed 1"."""
    counts = {word: words.count(word) for word in words}
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{word} {count}" for word, count in counts.items())


def steps(leg: Leg) -> Iterator[dict[str, Any]]:
    """The stages of a leg: stage, verdict and ms; where there are such, facts, each, and the worker."""
    for step in leg.steps:
        stage, verdict, milliseconds, detail, worker = (*step, None, "")[:5]
        found: dict[str, Any] = {"stage": stage, "verdict": verdict, "ms": milliseconds}
        if isinstance(detail, dict):
            found["facts"] = detail
        elif detail:
            found["each"] = [{"to": list(to), "verdict": words, "facts": facts or {}} for to, words, facts in detail]
        if worker:
            found["worker"] = worker
        yield found


def _plain(one: Told) -> dict[str, Any]:
    """An entry as a table: its kind, all its fields by name, without those that say nothing."""
    entry = one.entry
    found: dict[str, Any] = {"kind": type(entry).__name__.lower(), "worker": one.worker}
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if name in ("id", "parent"):
            value = str(MessageId(value)) if value else ""
        elif name == "legs":
            value = [_leg(leg) for leg in value]
        elif name == "session":
            value = dict(zip(("peer", "helo", "protocol", "tls", "login"), value, strict=False))
        elif name in ("outcomes", "refused"):
            value = [_said(outcome) for outcome in value]
        if value not in ("", (), [], {}, 0.0) or name == "sender":
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _said(outcome: Outcome) -> dict[str, Any]:
    return {name: value for name in outcome.__struct_fields__ if (value := getattr(outcome, name))}


def _leg(leg: Leg) -> dict[str, Any]:
    return {"leg": leg.name, "ended": leg.ended, "to": list(leg.to), "steps": list(steps(leg))}
