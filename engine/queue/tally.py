"""Counts messages of a shard by what they have in common: a million in a second, so no call that can be spared."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import add
from typing import Any, NamedTuple, TypeAlias

from engine.condition.meaning import folded
from engine.message import TENANT
from engine.queue.replies import alike, outline, said
from engine.queue.search import NEEDED, Seen, Selection, seen
from engine.queue.store import Shard

AGES = (300.0, 1800.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 3 * 86400.0)
"""Seconds up to which the columns of such a count go; a last one has what is older."""

_BOUNDS = (-inf, *AGES, inf)
_OCTETS, _OLDEST = len(AGES) + 1, len(AGES) + 2
_MOST = 100_000
"""Values whose groups are remembered: where each message has one of its own, memory does not grow with the queue."""

Sums: TypeAlias = list[Any]
"""Of a group: messages by age, then octets, then the age of the oldest."""


class Grouping(NamedTuple):
    """By what messages are counted: a value of each that is quickly had, and the names that stand for such a value."""

    values: Callable[[Sequence[Seen]], Iterable[Hashable]]
    names: Callable[[Any], Iterable[str]]


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
    tally = _Tally(GROUPED[group], selection.now)
    for page in seen(shard, selection, NEEDED[group] | {"arrived", "size"}):
        tally.add(page)
    groups = list(tally.groups().items())
    return tally.total, groups


def named(name: str, sums: Sums) -> Counted:
    """The group of that name."""
    ages = sums[:_OCTETS]
    return Counted(name, sum(ages), sums[_OCTETS], sums[_OLDEST], ages)


class _Tally(dict[Hashable, Sums]):
    """The sums of each value; and of each name, once they are put together."""

    def __init__(self, grouping: Grouping, now: float) -> None:
        super().__init__()
        self._grouping, self._now = grouping, now
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
            for name in dict.fromkeys(self._grouping.names(value)):
                group = self._groups.get(name)
                self._groups[name] = list(sums) if group is None else _added(group, sums)
        self.clear()
        return self._groups

    def add(self, page: Sequence[Seen]) -> None:
        """Count some more. Ids are in the order of time, so that the next one nearly always has the same column."""
        now, column, above, up_to = self._now, 0, _BOUNDS[0], _BOUNDS[1]
        for one, value in zip(page, self._grouping.values(page), strict=True):
            age = now - one.envelope.arrived
            if not above < age <= up_to:
                column = bisect_left(AGES, age)
                above, up_to = _BOUNDS[column], _BOUNDS[column + 1]
            sums = self[value]
            sums[column] += 1
            sums[_OCTETS] += one.size
            if age > sums[_OLDEST]:  # noqa: PLR1730 (max() is a call)
                sums[_OLDEST] = age


def _blank() -> Sums:
    return [*([0] * _OCTETS), 0, 0.0]


def _added(one: Sums, other: Sums) -> Sums:
    return [*map(add, one[:_OLDEST], other[:_OLDEST]), max(one[_OLDEST], other[_OLDEST])]


def _behind_at(address: str) -> str:
    """The address from its last @ on; where it has none, something without one."""
    return address[address.rfind("@") :]


def _domain(behind: str) -> str:
    return folded(behind[1:]) if behind.startswith("@") else ""


def _recipients(page: Sequence[Seen]) -> list[Hashable]:
    """Of nearly all a single text: what stands behind the recipient's @."""
    return [
        (address := some[0].address)[address.rfind("@") :]
        if len(some := one.envelope.recipients) == 1
        else tuple([_behind_at(each.address) for each in some])
        for one in page
    ]


def _domains(value: str | tuple[str, ...]) -> Iterable[str]:
    return (_domain(value),) if isinstance(value, str) else [_domain(one) for one in value] or ("",)


def _lanes(page: Sequence[Seen]) -> Iterator[Hashable]:
    for one in page:
        yield (one.lane, *[some.lane for some in one.envelope.recipients if some.lane])


GROUPED: Mapping[str, Grouping] = {
    "domain": Grouping(_recipients, _domains),
    "site": Grouping(lambda page: [one.sites for one in page], lambda sites: sites or ("",)),
    "sender": Grouping(lambda page: [one.envelope.sender for one in page], lambda sender: (folded(sender),)),
    "sender.domain": Grouping(
        lambda page: [_behind_at(one.envelope.sender) for one in page], lambda behind: (_domain(behind),)
    ),
    "tenant": Grouping(lambda page: [str(one.envelope.facts.get(TENANT, "")) for one in page], lambda name: (name,)),
    "reply": Grouping(lambda page: [outline(one.reason) for one in page], lambda outlined: (alike(said(outlined)),)),
    "line": Grouping(lambda page: [one.line for one in page], lambda line: (line,)),
    "lane": Grouping(_lanes, lambda lanes: lanes),
    "state": Grouping(lambda page: [one.state for one in page], lambda state: (state,)),
}
