"""Finds messages in a shard by a condition. Of each record only what is asked is read, in views that are soon over."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeAlias

import msgspec

from engine.condition import Condition, Known, Vocabulary, understood
from engine.condition.meaning import folded
from engine.condition.messages import domain_of
from engine.condition.tree import Comparison, Constant, Name, Node, conjuncts, names
from engine.message import TENANT, MessageId
from engine.queue.store import HELD, QUARANTINED, WAITING, Shard

Seen: TypeAlias = Any  # the fields of a record that were asked for

Page: TypeAlias = list[tuple[bytes, bytes]]
"""Ids, each with its record as it is stored."""

Within: TypeAlias = Callable[[str, Iterable[str]], bool]
"""Whether a message may be known of: by the account that handed it in, if any, and its recipients."""

Found: TypeAlias = list[tuple[bytes, Seen]]
"""Ids, each with what was asked of its record."""

PAGE = 10_000
"""Records in one view of the store: some ten milliseconds. Pages that become free meanwhile cannot be used again."""

STATES = (WAITING, HELD, QUARANTINED)


class Address(msgspec.Struct, array_like=True, gc=False):
    """A recipient, as far as it is asked for."""

    address: str
    notify: msgspec.Raw
    original: msgspec.Raw
    lane: str


_ENVELOPE: tuple[tuple[str, Any], ...] = (
    ("sender", str), ("recipients", list[Address]), ("session", tuple[str, str, str, str, str, bool]),
    ("facts", dict[str, Any]), ("prepended", bytes), ("arrived", float), ("attempts", int), ("smtputf8", bool),
    ("body", str), ("ret", str), ("envid", str), ("left_out", Any), ("requiretls", Any), ("timing", Any),
)  # fmt: skip
_RECORD: tuple[tuple[str, Any], ...] = (
    ("lane", str), ("size", int), ("in_file", bool), ("state", str), ("due", float), ("reason", str), ("line", str),
    ("deaths", int), ("decided", float), ("warned", bool), ("sites", tuple[str, ...]), ("back", str),
)  # fmt: skip
_LATER: dict[str, Any] = {
    "left_out": (), "requiretls": False, "timing": None, "deaths": 0, "decided": 0.0, "warned": False, "sites": (),
    "back": "",
}  # fmt: skip
"""What stands for fields that an earlier release has not stored."""

_PEER, _HELO, _TLS, _LOGIN, _TRUSTED = 0, 1, 3, 4, 5

NEEDED: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "sender": "sender", "sender.domain": "sender", "recipient": "recipients", "domain": "recipients",
        "site": "sites", "size": "size", "age": "arrived", "attempts": "attempts", "reply": "reason",
        "lane": "lane recipients", "state": "state", "line": "line", "tenant": "facts", "priority": "timing",
        "session.peer": "session", "session.helo": "session", "session.tls": "session", "session.login": "session",
        "session.trusted": "session",
    }.items()
}  # fmt: skip
"""The fields by which each name is known; all others are facts."""


def words(now: float) -> Vocabulary[Seen]:
    """What can be said of a message in the queue, at that Unix time."""
    return Vocabulary(
        {
            "sender": Known("text", lambda seen: seen.envelope.sender),
            "sender.domain": Known("text", lambda seen: domain_of(seen.envelope.sender)),
            "recipient": Known("text", lambda seen: [one.address for one in seen.envelope.recipients], several=True),
            "domain": Known("text", _domains, several=True, is_folded=True),
            "site": Known("text", lambda seen: seen.sites, several=True),
            "size": Known("size", lambda seen: seen.size),
            "age": Known("duration", lambda seen: now - seen.envelope.arrived),
            "attempts": Known("number", lambda seen: seen.envelope.attempts),
            "reply": Known("text", lambda seen: seen.reason),
            "lane": Known("text", _lanes, several=True),
            "state": Known("text", lambda seen: seen.state, values=STATES),
            "line": Known("text", lambda seen: seen.line),
            "tenant": Known("text", lambda seen: str(seen.envelope.facts.get(TENANT, ""))),
            "priority": Known("number", lambda seen: seen.envelope.timing[0] if seen.envelope.timing else 0),
            "session.peer": Known("text", lambda seen: seen.envelope.session[_PEER]),
            "session.helo": Known("text", lambda seen: seen.envelope.session[_HELO]),
            "session.tls": Known("text", lambda seen: seen.envelope.session[_TLS]),
            "session.login": Known("text", lambda seen: seen.envelope.session[_LOGIN]),
            "session.trusted": Known("flag", lambda seen: seen.envelope.session[_TRUSTED]),
        },
        lambda seen, name: seen.envelope.facts.get(name),
        free=False,
    )


def _domains(seen: Seen) -> Sequence[str]:
    recipients = seen.envelope.recipients
    if len(recipients) == 1:
        return (folded(domain_of(recipients[0].address)),)
    return list(dict.fromkeys([folded(domain_of(one.address)) for one in recipients]))


def _lanes(seen: Seen) -> Sequence[str]:
    return list(dict.fromkeys([seen.lane, *(one.lane for one in seen.envelope.recipients if one.lane)]))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages: all that meet whatever is given. ``words``: as it was told, for those who read of it."""

    ids: tuple[MessageId, ...] = ()
    condition: Condition[Seen] | None = None
    states: frozenset[str] = frozenset(STATES)
    now: float = 0.0  # Unix time by which ages are counted
    words: str = ""
    within: Within | None = None  # None: all may be known of

    @classmethod
    def told(
        cls, texts: Iterable[str], now: float, states: Iterable[str] = STATES, within: Within | None = None
    ) -> Self:
        """From ids and conditions; several conditions must all hold. ValueError, with the place of the mistake."""
        ids: list[MessageId] = []
        conditions: list[str] = []
        for text in texts:
            try:
                ids.append(MessageId.parse(text.strip()))
            except ValueError:
                conditions.append(text)
        vocabulary = words(now)
        for text in conditions:  # each by itself, so that its mistakes are told with its own columns
            understood(text, vocabulary)
        whole = conditions[0] if len(conditions) == 1 else " and ".join(f"({text})" for text in conditions)
        condition = understood(whole, vocabulary) if conditions else None
        said = " ".join([*map(str, ids), *([str(condition.tree)] if condition else [])])
        return cls(tuple(dict.fromkeys(ids)), condition, frozenset(states), now, said, within)

    @property
    def is_everything(self) -> bool:
        """Whether all messages are selected, whatever they are."""
        return not self.ids and self.condition is None and self.states == set(STATES) and self.within is None

    @property
    def line(self) -> str:
        """The line, if nothing is asked but that they stand in it; else empty."""
        tree = None if self.ids or self.condition is None or self.within else self.condition.tree
        return _equal(tree, "line") if tree else ""


def found(
    shard: Shard,
    selection: Selection,
    fields: Set[str] = frozenset(),
    told: Callable[[int], None] = lambda _: None,
    after: bytes = b"",
) -> Iterator[Found]:
    """Those that are selected, with these ``fields``, in the order of their ids; in lists that may be empty.

    Only what is behind ``after``, an id. ``told`` hears how many records have been looked at. What changes meanwhile is
    seen as it was or as it has become.
    """
    looking = Looking(selection, fields)
    candidates = _candidates(shard, selection)
    seen = 0
    some = sorted(one for one in candidates if one > after) if candidates is not None else []
    for page in _walked(shard, after) if candidates is None else _picked(shard, some):
        seen += len(page)
        told(seen)
        yield looking.among(page)


class Looking:
    """Looks at records as they are stored, and keeps those that are selected."""

    def __init__(self, selection: Selection, fields: Set[str]) -> None:
        condition, states = selection.condition, selection.states
        fields = set(fields)
        if condition is not None:
            for name in names(condition.tree):
                fields |= NEEDED.get(name.name, frozenset({"facts"}))
        narrow = states < set(STATES)
        if narrow:
            fields.add("state")
        within = selection.within
        if within is not None:
            fields |= {"recipients", "session"}
        self._decode = decoder(frozenset(fields))
        self._needle = _needle(condition.tree) if condition else b""
        test = condition.test if condition else None
        self._test: Callable[[Seen], Any] | None = test if within is None else _both(test, within)
        if narrow:
            test = self._test
            self._test = lambda seen: seen.state in states and (test is None or test(seen))

    def among(self, page: Page) -> Found:
        """Those of a page that are selected. What cannot be read is not; `queue verify` tells of it."""
        if needle := self._needle:
            page = [one for one in page if needle in one[1].lower()]
        try:
            return self._selected(page)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [one for single in page for one in self._readable(single)]

    def _selected(self, page: Page) -> Found:
        decode, test = self._decode, self._test
        if test is None:
            return [(key, decode(packed)) for key, packed in page]
        return [(key, seen) for key, packed in page if test(seen := decode(packed))]

    def _readable(self, one: tuple[bytes, bytes]) -> Found:
        try:
            return self._selected([one])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []


def _both(test: Callable[[Seen], Any] | None, within: Within) -> Callable[[Seen], Any]:
    def holds(seen: Seen) -> Any:
        envelope = seen.envelope
        is_within = within(envelope.session[_LOGIN], [one.address for one in envelope.recipients])
        return is_within and (test is None or test(seen))

    return holds


def _walked(shard: Shard, position: bytes) -> Iterator[Page]:
    while page := shard.packed_from(position, PAGE):
        yield page
        position = page[-1][0]


def _picked(shard: Shard, identities: Sequence[MessageId]) -> Iterator[Page]:
    for start in range(0, len(identities), PAGE):
        yield shard.packed(identities[start : start + PAGE])


def _candidates(shard: Shard, selection: Selection) -> list[MessageId] | None:
    """Ids among which all are that are selected, by an index; None: every message must be looked at."""
    if selection.ids:
        return list(selection.ids)
    states = set(selection.states)
    for part in conjuncts(selection.condition.tree if selection.condition else None):
        if line := _equal(part, "line"):
            same = [name for name in shard.line_names() if folded(name) == folded(line)]
            return [i for name in same for i in _whole(lambda at, name=name: shard.line_from(name, at, PAGE))]  # type: ignore[misc]
        if state := _equal(part, "state"):
            states &= {folded(state)}
    if WAITING in states:
        return None
    identities = list(_whole(lambda at: shard.held_from(at, PAGE))) if HELD in states else []
    if QUARANTINED in states:
        identities += _whole(lambda at: shard.parked_from(at, PAGE, 2.0**40))
    return identities


def _whole(page: Callable[[bytes], tuple[list[MessageId], bytes]]) -> Iterator[MessageId]:
    identities, position = page(b"")
    while identities:
        yield from identities
        identities, position = page(position)


def _equal(node: Node, name: str) -> str:
    """The text that the name must be equal to, if that is all that the node says; else empty."""
    match node:
        case Comparison("==", Name(found), Constant(str() as text)) if found == name:
            return text
        case Comparison("==", Constant(str() as text), Name(found)) if found == name:
            return text
    return ""


def _needle(tree: Node) -> bytes:
    """Octets that the record of each message has for which the condition holds, in lower case; the longest that are
    known, or none. To look for them costs less than to read the record."""
    longest = ""
    for part in conjuncts(tree):
        match part:
            case Comparison("==", Name(), Constant(str() as text)) | Comparison("==", Constant(str() as text), Name()):
                pieces = [text]
            case Comparison("in", Constant(str() as text), Name()):
                pieces = [text]
            case Comparison("like", Name(), Constant(str() as text)):
                pieces = text.replace("?", "*").split("*")
            case _:
                continue
        longest = max([longest, *(piece for piece in pieces if piece.isascii())], key=len)
    needle: str = folded(longest)
    return needle.encode()


@lru_cache(maxsize=64)
def decoder(fields: frozenset[str]) -> Callable[[bytes], Seen]:
    """Reads these fields of a record, and skips the others."""
    inner = _shaped("Envelope", _ENVELOPE, fields)
    outer = _shaped("Seen", (("envelope", inner or msgspec.Raw), *_RECORD), fields | ({"envelope"} if inner else set()))
    return (lambda _: None) if outer is None else msgspec.msgpack.Decoder(outer).decode


def _shaped(name: str, known: Sequence[tuple[str, Any]], fields: Set[str]) -> Any:
    """A struct of all fields up to the last one that is wanted; those between are not read."""
    last = max((place for place, (field, _) in enumerate(known) if field in fields), default=-1)
    if last < 0:
        return None
    shaped: list[Any] = []
    for field, kind in known[: last + 1]:
        shape = kind if field in fields else msgspec.Raw
        shaped.append((field, shape, _LATER[field]) if field in _LATER else (field, shape))
    return msgspec.defstruct(name, shaped, array_like=True, gc=False)
