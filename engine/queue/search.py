"""Finds messages in a shard by a condition. Of each record only what is asked is read, in views that are soon over."""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import msgspec

from engine.condition import Condition, Known, Vocabulary, understood
from engine.condition.meaning import folded
from engine.condition.messages import domain_of
from engine.condition.tree import Comparison, Constant, Name, Node, conjuncts, names
from engine.message import TENANT, MessageId
from engine.queue import briefs
from engine.queue.store import HELD, QUARANTINED, WAITING, Briefs, Shard

Seen: TypeAlias = Any  # the fields of a record that were asked for

Packed: TypeAlias = Sequence[bytes | memoryview]
"""Records as they are stored."""

Within: TypeAlias = Callable[[str, Iterable[str]], bool]
"""Whether a message may be known of: by the account that handed it in, if any, and its recipients."""

Found: TypeAlias = list[tuple[bytes, Seen]]
"""Ids, each with what was asked of its record."""

BARE = 50_000
"""Messages without a brief of which each may be looked up: from then on all records are better read in their order."""

PAGE = 10_000
"""Records in one view of the store: some ten milliseconds. Pages that become free meanwhile cannot be used again."""

_TOGETHER = 200
"""Records that are searched, or read, at once: a hundred KiB or so, which the caches of a core hold. To put them
together costs less than to begin with each, and brings them from memory in the order in which they lie there."""

_SHORTEST = 2
"""Octets that are worth a search: a single one is in nearly every record."""

STATES = (WAITING, HELD, QUARANTINED)


class _Passed(msgspec.Struct, array_like=True, gc=False):
    """Stands for an array that nobody has asked for."""


class _PassedMap(msgspec.Struct, gc=False):
    """The same for a map."""


class Address(msgspec.Struct, array_like=True, gc=False):
    """A recipient, as far as it is asked for."""

    address: str


class Directed(msgspec.Struct, array_like=True, gc=False):
    """The same, with the lane that it is in by itself."""

    address: str
    notify: str
    original: str
    lane: str


class _Tenant(msgspec.Struct, gc=False, rename={"tenant": TENANT}):
    """The facts, if of them only the tenant is asked for."""

    tenant: Any = ""

    def get(self, _name: str, _default: str) -> Any:
        return self.tenant


_State: TypeAlias = Literal["waiting", "held", "quarantined"]

_ENVELOPE: tuple[tuple[str, Any], ...] = (
    ("sender", str), ("recipients", list[Address]), ("session", tuple[str, str, str, str, str, bool]),
    ("facts", dict[str, Any]), ("prepended", bytes), ("arrived", float), ("attempts", int), ("smtputf8", bool),
    ("body", str), ("ret", str), ("envid", str), ("left_out", Any), ("requiretls", Any), ("timing", Any),
)  # fmt: skip
_RECORD: tuple[tuple[str, Any], ...] = (
    ("lane", str), ("size", int), ("in_file", bool), ("state", _State), ("due", float), ("reason", str), ("line", str),
    ("deaths", int), ("decided", float), ("warned", bool), ("sites", tuple[str, ...]), ("back", str),
)  # fmt: skip
_PASSED: dict[str, Any] = {"recipients": _Passed, "session": _Passed, "facts": _PassedMap, "sites": _Passed}
"""What is made of a field that is passed over, where that costs less than to read it."""

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
        "lane": "lane recipients directed", "state": "state", "line": "line", "tenant": "tenant", "priority": "timing",
        "session.peer": "session", "session.helo": "session", "session.tls": "session", "session.login": "session",
        "session.trusted": "session",
    }.items()
}  # fmt: skip
"""The fields by which each name is known; all others are facts. ``directed``: recipients with their lanes."""


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
    def is_brief(self) -> bool:
        """Whether the indexes can say who is selected."""
        if self.ids or self.within is not None:
            return False
        return self.condition is None or {name.name for name in names(self.condition.tree)} <= briefs.NAMES

    @property
    def line(self) -> str:
        """The line, if nothing is asked but that they stand in it; else empty."""
        tree = None if self.ids or self.condition is None or self.within else self.condition.tree
        return _equal(tree, "line") if tree else ""


class Page(NamedTuple):
    """Those of a page that are selected. ``ids``: theirs, if they were wanted."""

    ids: Sequence[bytes]
    seen: Sequence[Seen]
    looked: int  # records that were looked at


def found(
    shard: Shard,
    selection: Selection,
    fields: Set[str] = frozenset(),
    told: Callable[[int], None] = lambda _: None,
    after: bytes = b"",
    *,
    reverse: bool = False,
) -> Iterator[Found]:
    """Those that are selected, with these ``fields``, in the order of their ids; in lists that may be empty.

    Only what is behind ``after``, an id. ``told`` hears how many records have been looked at. What changes meanwhile is
    seen as it was or as it has become. ``reverse``: the last ones first.
    """
    looked = 0
    for page in pages(shard, selection, fields, after, reverse=reverse):
        looked += page.looked
        told(looked)
        yield list(zip(page.ids, page.seen, strict=True))


def seen(shard: Shard, selection: Selection, fields: Set[str] = frozenset()) -> Iterator[Sequence[Seen]]:
    """The same where nobody asks which they are."""
    return (page.seen for page in pages(shard, selection, fields, named=False))


def how_many(shard: Shard, selection: Selection) -> int:
    """How many are selected."""
    if selection.is_brief:
        with suppress(NotBriefly), shard.briefs() as indexes:
            return sum(len(some) + len(others) for some, _, others in briefly(indexes, selection))
    return sum(map(len, seen(shard, selection)))


class NotBriefly(Exception):
    """The indexes do not say it, or take longer than the records."""


def briefly(
    indexes: Briefs, selection: Selection, fields: Set[str] = frozenset(), column: str = ""
) -> Iterator[tuple[Sequence[Seen], Sequence[bytes], Sequence[Seen]]]:
    """Those that are selected, in the order of the indexes: as briefs, with the number of that group; then the ids of
    those that have none, and with these ``fields`` what their records say. For a selection that ``is_brief``.
    NotBriefly."""
    looking, condition, bare = Looking(selection, fields), selection.condition, 0
    for state in sorted(selection.states):
        read = Reader(briefs.shape(state, column))
        for packed, others in indexes.pages(state, PAGE):
            bare += len(others)
            if bare > BARE:
                raise NotBriefly
            try:
                some = read.together(packed)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise NotBriefly from error
            if condition is not None:
                test = condition.test
                some = [one for one in some if test(one)]
            yield some, *_records(indexes, looking, others)


def _records(indexes: Briefs, looking: "Looking", ids: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[Seen]]:
    """Those of them that are selected, and what was asked of them."""
    items = indexes.records(ids)
    places, some = looking.among([packed for _, packed in items])
    return [bytes(items[place][0]) for place in places], some


def pages(
    shard: Shard,
    selection: Selection,
    fields: Set[str] = frozenset(),
    after: bytes = b"",
    *,
    reverse: bool = False,
    named: bool = True,
) -> Iterator[Page]:
    """Page by page, as ``found`` has them. Not ``named``: their ids may be left out."""
    looking, candidates = Looking(selection, fields), _candidates(shard, selection)
    if candidates is None:
        return _walked(shard, looking, after, reverse=reverse, named=named)
    return _picked(shard, looking, sorted({one for one in candidates if one > after}, reverse=reverse))


def _walked(shard: Shard, looking: "Looking", after: bytes, *, reverse: bool, named: bool) -> Iterator[Page]:
    position = b"" if reverse else after
    while True:
        with shard.view(position, PAGE, reverse=reverse) as view:
            places, some = looking.among(view.records)
            ids = view.ids() if named and places else ()
            page = Page([bytes(ids[place]) for place in places] if named else (), some, len(view.records))
            position = view.last
        is_last = not position or (reverse and position <= after)
        yield _down_to(after, page) if is_last and reverse else page
        if is_last:
            return


def _down_to(after: bytes, page: Page) -> Page:
    """What is behind that id of a page that begins with the last ones."""
    count = sum([one > after for one in page.ids])
    return Page(page.ids[:count], page.seen[:count], page.looked)


def _picked(shard: Shard, looking: "Looking", identities: Sequence[MessageId]) -> Iterator[Page]:
    for start in range(0, len(identities), PAGE):
        page = shard.packed(identities[start : start + PAGE])
        places, some = looking.among([packed for _, packed in page])
        yield Page([page[place][0] for place in places], some, len(page))


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
        self._read = reader(frozenset(fields))
        self._needle = _needle(condition.tree) if condition else b""
        test = condition.test if condition else None
        self._test: Callable[[Seen], Any] | None = test if within is None else _both(test, within)
        if narrow:
            test = self._test
            self._test = lambda seen: seen.state in states and (test is None or test(seen))

    def among(self, records: Packed) -> tuple[Sequence[int], list[Seen]]:
        """The places of those that are selected, and what was asked of them. What cannot be read is not selected;
        `queue verify` tells of it."""
        if len(self._needle) < _SHORTEST:
            return self._selected(range(len(records)), records)
        places = having(self._needle, records)
        return self._selected(places, [records[place] for place in places])

    def _selected(self, places: Sequence[int], records: Packed) -> tuple[Sequence[int], list[Seen]]:
        test = self._test
        try:
            some = self._read.together(records)
        except (msgspec.DecodeError, UnicodeDecodeError):
            places, some = self._readable(places, records)
        if test is None:
            return places, some
        chosen = [number for number, one in enumerate(some) if test(one)]
        return [places[number] for number in chosen], [some[number] for number in chosen]

    def _readable(self, places: Sequence[int], records: Packed) -> tuple[Sequence[int], list[Seen]]:
        there, some = [], []
        for place, packed in zip(places, records, strict=True):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                some += self._read.together([packed])
                there.append(place)
        return there, some


def _both(test: Callable[[Seen], Any] | None, within: Within) -> Callable[[Seen], Any]:
    def holds(seen: Seen) -> Any:
        envelope = seen.envelope
        is_within = within(envelope.session[_LOGIN], [one.address for one in envelope.recipients])
        return is_within and (test is None or test(seen))

    return holds


def having(needle: bytes, records: Packed) -> list[int]:
    """The places of records that have these octets, in whatever case.

    They are searched some hundred at once, for few of them have it.
    """
    found: list[int] = []
    for start in range(0, len(records), _TOGETHER):
        some = records[start : start + _TOGETHER]
        joined = b"".join(some).lower()
        at = joined.find(needle)
        ends = list(accumulate(map(len, some))) if at >= 0 else []
        while at >= 0:
            place = bisect_right(ends, at)
            is_within = at + len(needle) <= ends[place]  # else it begins in one record and ends in the next
            if is_within:
                found.append(start + place)
            at = joined.find(needle, ends[place] if is_within else at + 1)
    return found


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


class Reader:
    """Reads some fields of records, and passes over the others."""

    def __init__(self, shape: Any) -> None:
        """``shape``: a struct of them; None: there is nothing to read."""
        self._decode = msgspec.msgpack.Decoder(list[shape]).decode if shape is not None else None

    def together(self, records: Packed) -> list[Seen]:
        """What is read of each. DecodeError, UnicodeDecodeError."""
        decode = self._decode
        if decode is None:
            return [None] * len(records)
        found: list[Seen] = []
        for start in range(0, len(records), _TOGETHER):
            some = records[start : start + _TOGETHER]
            found += decode(b"".join([_ARRAY.pack(0xDC, len(some)), *some]))
        return found


_ARRAY = struct.Struct(">BH")
"""How an array begins in MessagePack whose length is written with 16 bits."""


@lru_cache(maxsize=64)
def reader(fields: frozenset[str]) -> Reader:
    """One that reads these fields."""
    narrow: dict[str, Any] = {"recipients": list[Directed]} if "directed" in fields else {}
    if "tenant" in fields and "facts" not in fields:
        narrow["facts"] = _Tenant
    inner = _shaped("Envelope", [(name, narrow.get(name, kind)) for name, kind in _ENVELOPE], fields | narrow.keys())
    wanted = fields | {"envelope"} if inner else fields
    return Reader(_shaped("Seen", (("envelope", inner or _Passed), *_RECORD), wanted))


def _shaped(name: str, known: Sequence[tuple[str, Any]], fields: Set[str]) -> Any:
    """A struct of all fields up to the last one that is wanted; None: none is. Of those between, texts and numbers are
    read too, which costs no more than to keep the place where they stand."""
    last = max((place for place, (field, _) in enumerate(known) if field in fields), default=-1)
    if last < 0:
        return None
    shaped: list[Any] = []
    for field, kind in known[: last + 1]:
        shape = kind if field in fields else _PASSED.get(field, kind)
        shaped.append((field, shape, _LATER[field]) if field in _LATER else (field, shape))
    return msgspec.defstruct(name, shaped, array_like=True, gc=False)
