"""Counts messages of a shard by what they have in common: a million in a second, so no call that can be spared."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from operator import add
from typing import Any, TypeAlias

from engine.queue.briefs import COLUMNS
from engine.queue.groups import GROUPED, Grouping
from engine.queue.search import NEEDED, Looking, NotBriefly, Seen, Selection, briefly, seen
from engine.queue.store import Briefs, Shard

AGES = (300.0, 1800.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 3 * 86400.0)
"""Seconds up to which the columns of such a count go; a last one has what is older."""

_BOUNDS = (-inf, *AGES, inf)
_OCTETS, _OLDEST = len(AGES) + 1, len(AGES) + 2
_MOST = 100_000
"""Values whose groups are remembered: where each message has one of its own, memory does not grow with the queue."""

_NAMED = 20_000
"""Groups whose names are read each from a record of its own: with more of them all records are read as soon."""

Sums: TypeAlias = list[Any]
"""Of a group: messages by age, then octets, then the age of the oldest."""


@dataclass(slots=True)
class Counted:
    """Messages of one group."""

    name: str
    messages: int = 0
    octets: int = 0
    oldest: float = 0.0  # seconds
    ages: list[int] = field(default_factory=lambda: [0] * (len(AGES) + 1))

    def add(self, other: "Counted") -> None:
        """All of another group."""
        self.messages += other.messages
        self.octets += other.octets
        self.ages = [mine + theirs for mine, theirs in zip(self.ages, other.ages, strict=True)]
        self.oldest = max(self.oldest, other.oldest)


def tallied(shard: Shard, selection: Selection, group: str) -> tuple[Sums, list[tuple[str, Sums]]]:
    """The sums of all that are selected, and of each of their groups."""
    tally = None
    if selection.is_brief:
        with suppress(NotBriefly):
            tally = _by_briefs(shard, selection, group)
    if tally is None:
        tally = _Tally(GROUPED[group])
        for page in seen(shard, selection, _needed(group)):
            _count(tally, page, tally.grouping.values(page), selection.now)
    groups = list(tally.groups().items())
    return tally.total, groups


def _needed(group: str) -> frozenset[str]:
    return NEEDED[group] | {"arrived", "size"}


def _by_briefs(shard: Shard, selection: Selection, group: str) -> "_Tally":
    """By what the indexes say. NotBriefly."""
    tally, numbers, values = _Tally(GROUPED[group]), defaultdict[int, Sums](_blank), dict[int, Hashable]()
    with shard.briefs() as briefs:
        for some, _, others in briefly(briefs, selection, _needed(group), group):
            _count(tally, others, tally.grouping.values(others), selection.now)
            if group not in COLUMNS:
                _count(tally, some, tally.grouping.values(some), selection.now)
                continue
            _count(numbers, some, [one.value for one in some], selection.now)
            if len(numbers) > _NAMED:
                raise NotBriefly
            if len(numbers) > len(values):
                ids = {one.value: one.envelope.id for one in some if one.value not in values}
                values |= _values(briefs, ids, group)
    for number, sums in numbers.items():
        tally[values[number]] = _added(tally[values[number]], sums)
    return tally


def _values(briefs: Briefs, ids: Mapping[int, bytes], group: str) -> dict[int, Hashable]:
    """The value that each number stands for, by the record of one that has it. NotBriefly: one cannot be read."""
    packed = [record for _, record in briefs.records(list(ids.values()))]
    _, records = Looking(Selection(), _needed(group)).among(packed)
    if len(records) < len(ids):
        raise NotBriefly
    return dict(zip(ids, GROUPED[group].values(records), strict=True))


def named(name: str, sums: Sums) -> Counted:
    """The group of that name."""
    ages = sums[:_OCTETS]
    return Counted(name, sum(ages), sums[_OCTETS], sums[_OLDEST], ages)


class _Tally(dict[Hashable, Sums]):
    """The sums of each value; and of each name, once they are put together."""

    def __init__(self, grouping: Grouping) -> None:
        super().__init__()
        self.grouping = grouping
        self.total = _blank()
        self._groups: dict[str, Sums] = {}

    def __missing__(self, value: Hashable) -> Sums:
        if len(self) >= _MOST:
            self.groups()
        begun = self[value] = _blank()
        return begun

    def groups(self) -> dict[str, Sums]:
        """Those of each name so far."""
        for value, sums in self.items():
            self.total = _added(self.total, sums)
            for name in dict.fromkeys(self.grouping.names(value)):
                group = self._groups.get(name)
                self._groups[name] = list(sums) if group is None else _added(group, sums)
        self.clear()
        return self._groups


def _count(table: dict[Any, Sums], page: Sequence[Seen], values: Iterable[Hashable], now: float) -> None:
    """Count some more. Ids are in the order of time, so that the next one nearly always has the same column."""
    column, above, up_to = 0, _BOUNDS[0], _BOUNDS[1]
    for one, value in zip(page, values, strict=True):
        age = now - one.envelope.arrived
        if not above < age <= up_to:
            column = bisect_left(AGES, age)
            above, up_to = _BOUNDS[column], _BOUNDS[column + 1]
        sums = table[value]
        sums[column] += 1
        sums[_OCTETS] += one.size
        if age > sums[_OLDEST]:  # noqa: PLR1730 (max() is a call)
            sums[_OLDEST] = age


def _blank() -> Sums:
    return [*([0] * _OCTETS), 0, 0.0]


def _added(one: Sums, other: Sums) -> Sums:
    return [*map(add, one[:_OLDEST], other[:_OLDEST]), max(one[_OLDEST], other[_OLDEST])]
