"""What stages return: whether it makes sense, what becomes of what was released, and how it is told."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from operator import is_not
from types import MappingProxyType
from typing import Any, get_args

from engine.history import history
from engine.links.link import Step
from engine.message import CHANGED, PARK, PARKED_BY, RELEASED, Fact, Message, Octets
from engine.verdict import Changed, Defer, Delivered, Discard, Each, Quarantine, Reject, Route, Verdict, is_held

AMID_CHANGES = (Each, Route, Quarantine)
"""Verdicts after which recipients may go on, and so with what was changed before."""

LINE_LIMIT = 500
"""Characters of the name of a line: a site, and a source."""

_VERDICTS = get_args(Verdict)
_SIMPLE = frozenset({str, bool, float, type(None)})
_NAMES = {
    Reject: "reject",
    Defer: "defer",
    Discard: "discard",
    Quarantine: "quarantine",
    Route: "lane",
    Each: "each",
}


def flaw_of(verdict: object, asked: Message, *, effect: bool) -> str:
    """What is wrong with what a stage returned; empty: nothing. Further on a wrong one would lose or stop the mail."""
    if type(verdict) is Message:
        return _flaw_of_message(verdict, asked)
    if type(verdict) is Route or (effect and type(verdict) is Delivered):
        return ""
    if isinstance(verdict, Changed):
        later: object = verdict.verdict
        if not isinstance(later, AMID_CHANGES):
            return _strange(verdict)
        flaw = _flaw_of_one(verdict.message, asked, effect)
        return flaw or flaw_of(later, verdict.message, effect=effect)
    if isinstance(verdict, Each):
        found: Iterable[object] = verdict.verdicts.values()
        flaws = (_flaw_of_one(one, asked, effect) for one in found)
        return next((f"for one recipient {flaw}" for flaw in flaws if flaw), "")
    return _flaw_of_one(verdict, asked, effect) if not isinstance(verdict, tuple) else _strange(verdict)


def _flaw_of_one(verdict: object, asked: Message, effect: bool) -> str:
    if isinstance(verdict, Message):
        return _flaw_of_message(verdict, asked)
    if isinstance(verdict, Delivered):
        return "" if effect else "Delivered, which only an effect may say (`effect = True`)"
    if isinstance(verdict, tuple):
        return "" if verdict and all(isinstance(route, Route) for route in verdict) else _strange(verdict)
    if isinstance(verdict, Each) or not isinstance(verdict, _VERDICTS):
        return _strange(verdict)
    return _flaw_of_deferral(verdict) if isinstance(verdict, Defer) else ""


def _flaw_of_deferral(verdict: Any) -> str:
    """Its fields are looked at as what they are, not as what they should be."""
    seconds, line = verdict.retry_after, verdict.line
    if seconds is not None and (
        isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds)
    ):
        return f"a retry_after of {seconds!r}; it is a number of seconds"
    if not (isinstance(line, str) and len(line) <= LINE_LIMIT):
        return f"a line named {line!r:.80}; it is a text of at most {LINE_LIMIT} characters"
    return ""


def _flaw_of_message(message: Message, asked: Message) -> str:
    if message is asked:
        return ""
    changed = message.content is not asked.content
    if message.id != asked.id or (changed and not (isinstance(message.content, Octets) and message.fact(CHANGED))):
        return "another message; change the one it was given, by with_header, with_fact or with_content"
    if message.envelope.recipients != asked.envelope.recipients:
        return "other recipients; return Route(lane, to=…) or Each for that"
    old = asked.envelope.facts
    facts: Mapping[Any, object] = message.envelope.facts
    if facts is old:
        return ""
    for name, value in facts.items():
        if not (isinstance(name, str) and ((name in old and old[name] is value) or _is_fact(value))):
            return (
                f"the fact {name} = {value!r:.80}; facts are texts, numbers, lists, tables with texts as keys, or None"
            )
    return ""


def _is_fact(value: object) -> bool:
    if type(value) in _SIMPLE:  # as nearly all: the ways of an isinstance take four times as long
        return True
    if isinstance(value, list):
        return all(map(_is_fact, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_fact(inner) for key, inner in value.items())
    if isinstance(value, int):
        return -(2**63) <= value < 2**64  # what MessagePack holds
    return value is None or isinstance(value, str | float)


def _strange(verdict: object) -> str:
    return "nothing (a forgotten `return message`?)" if verdict is None else f"{verdict!r:.80}"


def as_seen(verdict: Verdict | Changed, asked: Message, stage: str) -> Verdict | Changed:
    """The verdict, with the name of the stage where it parks something.

    An operator's word stands: what was let go on is not parked again for a reason that the operator has seen.
    """
    match verdict:
        case Message():
            return _marked(verdict, asked, stage)
        case Delivered() | Route():
            return verdict
        case Quarantine():
            return _parked(verdict, asked, stage)
        case Each(verdicts):
            return Each({a: _parked(v, asked, stage) if isinstance(v, Quarantine) else v for a, v in verdicts.items()})
        case Changed(message, inner):
            message = _marked(message, asked, stage)
            later = as_seen(inner, message, stage)
            return Changed(message, later) if isinstance(later, AMID_CHANGES) else later
    return verdict


def _marked(message: Message, asked: Message, stage: str) -> Message:
    facts = message.envelope.facts
    return message.with_fact(PARKED_BY, stage) if PARK in facts and PARK not in asked.envelope.facts else message


def _parked(verdict: Quarantine, asked: Message, stage: str) -> Message | Quarantine:
    released = asked.fact(RELEASED)
    if isinstance(released, list) and verdict.reason in released:
        return asked
    return replace(verdict, stage=stage)


def kind_of(verdict: Verdict | Changed, asked: Message) -> str:
    """What kind of verdict that is, in one word; that a message waits in a line, which is no failure, is `held`."""
    if isinstance(verdict, Message):
        return "pass" if verdict is asked else "changed"
    if isinstance(verdict, Delivered):
        return "delivered"
    if isinstance(verdict, Route):
        return "lane"
    if isinstance(verdict, Changed):
        verdict = verdict.verdict
    return "held" if is_held(verdict) else _NAMES[type(verdict)]


def in_words(verdict: Verdict | Changed, asked: Message) -> str:
    """The verdict in a few words, for the way of a message."""
    if isinstance(verdict, Message):
        return "pass" if verdict is asked else "changed"
    if isinstance(verdict, Delivered):
        return f"delivered: {verdict.reply}" if verdict.reply else "delivered"
    if isinstance(verdict, Changed):
        verdict = verdict.verdict
    if isinstance(verdict, Route):
        return f"lane {verdict.lane}"
    if isinstance(verdict, Each):
        return "each"
    name = _NAMES[type(verdict)]
    text = getattr(verdict, "text", "") or getattr(verdict, "reason", "") or getattr(verdict, "reply", "")
    return f"{name}: {text}" if text else name


def step_of(stage: str, verdict: Verdict | Changed, asked: Message, seconds: float) -> Step:
    """A stage that was met, for the way of a message."""
    milliseconds = int(seconds * 1e6) / 1000
    words, detail = in_words(verdict, asked), detail_of(verdict, asked) if history.on else None
    return (stage, words, milliseconds) if detail is None else (stage, words, milliseconds, detail)


def detail_of(verdict: Verdict | Changed, asked: Message) -> object:
    """What the words leave out, for the history: the facts that were found, by name; or for each recipient that has a
    verdict of its own, a list of [addresses, words, facts]. None: nothing."""
    if isinstance(verdict, Message):
        return _found(verdict, asked)
    if isinstance(verdict, Delivered):
        return None
    if isinstance(verdict, Changed):
        inner, facts = detail_of(verdict.verdict, verdict.message), _found(verdict.message, asked)
        changed: list[object] = [[], "changed", facts]
        return [changed, *inner] if isinstance(inner, list) else [changed] if facts else None
    if isinstance(verdict, Each):
        parted: dict[int, tuple[object, list[str]]] = {}
        for address, one in verdict.verdicts.items():
            parted.setdefault(id(one), (one, []))[1].append(address)
        return [_part(addresses, one, asked) for one, addresses in parted.values()]
    return [_part(list(asked.recipients), verdict, asked)] if isinstance(verdict, Route) and verdict.to else None


def _part(addresses: list[str], verdict: object, asked: Message) -> list[object]:
    if isinstance(verdict, tuple | Route):
        routes = verdict if isinstance(verdict, tuple) else (verdict,)
        words = (f"lane {route.lane}" + (f": to {', '.join(route.to)}" if route.to else "") for route in routes)
        return [addresses, "; ".join(words), None]
    one: Verdict = verdict  # type: ignore[assignment]
    return [addresses, in_words(one, asked), _found(one, asked) if isinstance(one, Message) else None]


def _found(message: Message, asked: Message) -> dict[str, Fact] | None:
    facts, old = message.envelope.facts, asked.envelope.facts
    if facts is old:
        return None
    if any(map(is_not, facts.values(), old.values())):  # seldom: what was found before stands in front as it was
        return {name: value for name, value in facts.items() if name not in old or old[name] is not value} or None
    if not old and isinstance(facts, MappingProxyType):
        return facts.copy() or None
    return dict(islice(facts.items(), len(old), None)) or None
