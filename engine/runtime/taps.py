"""Taps on links: messages that pass are told to one who listens, never more of them than a link would notice."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from engine.condition import When
from engine.links import wire
from engine.links.link import Done, Tap, Way
from engine.message import Fact, Message
from engine.observe.events import event
from engine.runtime.verdicts import in_words
from engine.verdict import Changed, Each, Verdict

LOOKS = 5_000
"""Messages a second that one tap of a worker looks at: a condition takes some microseconds."""

TELLS = 200
"""Messages a second that it tells of: more than anybody reads."""

RECIPIENTS = 5
"""Recipients that are named."""

DOMAINS = 50
"""Domains of recipients that are named, one more than that where there are more."""

FACTS = 40
"""Facts that are told of one message."""

LONGEST = 200
"""Characters of a text that are told."""

HEADER = 16 * 1024
"""Octets of header fields that are told, where they are wanted."""

PASSED, ANSWERED = "passed", "answered"
"""What is told of a message: that it came to the link, and what came back."""


class Taps:
    """Those of one process, by the name of the link. A link of any revision has the same list for as long as it is."""

    def __init__(self) -> None:
        self._on: dict[str, list[Tap]] = {}

    def on(self, link: str) -> list[Tap]:
        return self._on.setdefault(link, [])

    def knows(self, link: str) -> bool:
        """Whether such a link begins in this process, or did once."""
        return link in self._on


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listener wants to hear of: one of so many messages, by their ids, so that all links tell the same ones."""

    one_of: int = 1
    when: When | None = None
    headers: bool = False


class _Bound:
    """So many a second, and no more."""

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._began = now()
        self._taken = 0

    def take(self) -> bool:
        now = self._now()
        if now - self._began >= 1:
            self._began, self._taken = now, 0
        self._taken += 1
        return self._taken <= self._most


class Listened:
    """A tap that somebody listens to. ``tell`` gets packed records, and must not wait."""

    def __init__(
        self, wanted: Wanted, tell: Callable[[bytes], None], now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._wanted = wanted
        self._tell = tell
        self._now = now
        self._looks, self._tells = _Bound(LOOKS, now), _Bound(TELLS, now)
        self._numbers = count(1)
        self.seen = 0  # messages that passed, and were to be looked at
        self.missed = 0  # of these, such as were too many

    def follow(self, message: Message, done: Done) -> Done:
        try:
            return self._followed(message, done) if self._is_wanted(message) else done
        except Exception as error:  # who watches mail must not stop it
            event.bug("tap", error, id=message.id)
            return done

    def _is_wanted(self, message: Message) -> bool:
        wanted = self._wanted
        if wanted.one_of > 1 and int.from_bytes(message.id[-8:], "big") % wanted.one_of:
            return False
        self.seen += 1
        if wanted.when is not None:
            if not self._looks.take():
                self.missed += 1
                return False
            if not wanted.when.holds(message):
                return False
        if self._tells.take():
            return True
        self.missed += 1
        return False

    def _followed(self, message: Message, done: Done) -> Done:
        number = next(self._numbers)
        began = self._now()
        self._say(PASSED, number, {**_told(message), **self._header(message)})

        def answered(verdict: Verdict | Changed, stopped: int, way: Way) -> None:
            try:
                said = {"ms": round((self._now() - began) * 1000, 3), **_answer(verdict, message, way)}
                self._say(ANSWERED, number, said)
            except Exception as error:
                event.bug("tap", error, id=message.id)
            done(verdict, stopped, way)

        return answered

    def _header(self, message: Message) -> dict[str, str]:
        if not self._wanted.headers:
            return {}
        return {"headers": message.header_octets()[:HEADER].decode("utf-8", "replace")}

    def _say(self, kind: str, number: int, values: Mapping[str, Any]) -> None:
        try:
            self._tell(wire.pack([kind, number, values]))
        except wire.UNPACKABLE as error:
            event("tap-untold", error=str(error))


def _told(message: Message) -> dict[str, Any]:
    return {
        "time": round(time.time(), 3),
        "id": str(message.id),
        "from": _short(message.sender),
        "to": [_short(address) for address in message.recipients[:RECIPIENTS]],
        "recipients": len(message.recipients),
        "domains": _domains(message),
        "login": _short(message.session.login),
        "size": message.size,
        "attempts": message.envelope.attempts,
    }


def _domains(message: Message) -> list[str]:
    """Those of all recipients: by them it is known who may hear of the message."""
    found = dict.fromkeys(address.rpartition("@")[2] for address in message.recipients)
    return [_short(domain) for domain in list(found)[: DOMAINS + 1]]


def _answer(verdict: Verdict | Changed, asked: Message, way: Way) -> dict[str, Any]:
    inner = verdict.verdict if isinstance(verdict, Changed) else verdict
    each = list(inner.verdicts.items())[:RECIPIENTS] if isinstance(inner, Each) else []
    return {
        "verdict": _short(in_words(verdict, asked)),
        "each": {_short(address): _short(_words_for_one(said, asked)) for address, said in each},
        "facts": dict(list(_changed_facts(verdict, asked))[:FACTS]),
        "way": [[stage, _short(said), took] for stage, said, took, *_ in way],
    }


def _words_for_one(said: Any, asked: Message) -> str:
    """The verdict on one recipient; several routes are told as their lanes."""
    return ", ".join(f"lane {route.lane}" for route in said) if isinstance(said, tuple) else in_words(said, asked)


def _changed_facts(verdict: Verdict | Changed, asked: Message) -> Iterator[tuple[str, Any]]:
    """Facts that are others than those of the message that was asked about."""
    known = asked.envelope.facts
    for message in _messages(verdict):
        for name, value in message.envelope.facts.items():
            if name not in known or known[name] != value:
                yield _short(name), _short_fact(value)


def _messages(verdict: Verdict | Changed) -> Iterable[Message]:
    if isinstance(verdict, Changed):
        return (verdict.message, *_messages(verdict.verdict))
    if isinstance(verdict, Each):
        return [said for said in verdict.verdicts.values() if isinstance(said, Message)]
    return (verdict,) if isinstance(verdict, Message) else ()


def _short_fact(value: Fact) -> Any:
    return value if value is None or isinstance(value, int | float) else _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
