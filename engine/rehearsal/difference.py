"""What two outcomes of one message disagree about, and the same of many messages, gathered."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from engine.message import CHANGED
from engine.rehearsal.outcome import Fate, Outcome

Kind: TypeAlias = Literal["verdict", "route", "recipient", "wording", "sender", "fact", "header", "content"]

KINDS: Final[tuple[Kind, ...]] = ("verdict", "route", "recipient", "wording", "sender", "fact", "header", "content")
"""In the order in which they are told."""

ABSENT = "(none)"

_SIGNED = ("dkim-signature", "arc-seal", "arc-message-signature")
_STEADY = ("a", "d", "s", "i", "c", "h", "cv")
"""Tags of a signature that say how it is made; the others follow from the content and the time."""

_EXAMPLES = 3
_KEPT = 1000
"""Values of one fact or field that are counted each by itself."""

_DISTINCT = 5
"""Values of one fact or field that are told each by itself; more of them are told as one change with an example."""


class Change(NamedTuple):
    """One disagreement. ``name``: of the fact, field or recipient."""

    kind: Kind
    name: str
    before: str
    after: str

    @property
    def about(self) -> tuple[str, str]:
        """What it is about, whatever the values."""
        return (self.kind, self.name)


def changes(before: Outcome, after: Outcome) -> list[Change]:
    """What is not the same, each once; empty where nothing is."""
    old, new = _by_recipient(before), _by_recipient(after)
    found: list[Change] = []
    for address in dict.fromkeys((*old, *new)):
        if address not in old or address not in new:
            found.append(Change("recipient", address, _told(old.get(address)), _told(new.get(address))))
            continue
        found += _between(old[address], new[address])
    return list(dict.fromkeys(found))


def _by_recipient(outcome: Outcome) -> dict[str, list[Fate]]:
    """One may go down several lanes."""
    found: dict[str, list[Fate]] = {}
    for fate in outcome.fates:
        found.setdefault(fate.recipient, []).append(fate)
    return {address: sorted(fates, key=lambda one: (one.lane, one.stage)) for address, fates in found.items()}


def _told(fates: Sequence[Fate] | None) -> str:
    return "; ".join(map(str, fates)) if fates else ABSENT


def _between(old: Sequence[Fate], new: Sequence[Fate]) -> Iterator[Change]:
    before, after = _told(old), _told(new)
    if [fate.verdict for fate in old] != [fate.verdict for fate in new]:
        yield Change("verdict", "", before, after)
        return  # the one got farther than the other, so that it knows more is no news
    if before != after:
        # Apart from the verdict: words may have a time in them.
        yield Change("route" if old[0].verdict == "delivered" else "wording", "", before, after)
    for one, other in zip(old, new, strict=True):
        if one.sender != other.sender:
            yield Change("sender", "", one.sender or "<>", other.sender or "<>")
        yield from _facts(one.facts, other.facts)
        yield from _fields(one.fields, other.fields)
        if one.body != other.body:
            yield Change("content", "", *("changed" if fate.body else "as it came" for fate in (one, other)))


def _facts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if name != CHANGED and (name in old, _plain(old.get(name))) != (name in new, _plain(new.get(name))):
            yield Change("fact", name, *(_short(facts[name]) if name in facts else ABSENT for facts in (old, new)))


def _plain(value: Any) -> Any:
    """As it compares: the order of a list is often that of chance, as that of hosts of the same preference."""
    if isinstance(value, list):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _fields(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    before, after = Counter(map(_steady, old)), Counter(map(_steady, new))
    gone, come = before - after, after - before
    names = dict.fromkeys(field.partition(":")[0] for field in (*gone, *come))
    for name in names:
        yield Change("header", name, *(_values(name, fields) for fields in (gone, come)))


def _values(name: str, fields: Iterable[str]) -> str:
    found = [one.partition(":")[2].strip() for one in fields if one.partition(":")[0] == name]
    return _short("; ".join(found)) if found else ABSENT


def _steady(line: str) -> str:
    """The field without what is another thing each time it is made."""
    name, colon, value = line.partition(":")
    if name.lower() not in _SIGNED:
        return line
    tags = [tag.strip() for tag in value.split(";")]
    return f"{name}{colon} {'; '.join(tag for tag in tags if tag.partition('=')[0].strip() in _STEADY)}"


@dataclass(slots=True)
class Group:
    """The same disagreement about several messages. ``examples`` are a few of them.

    ``values``: how many different ones there are, of which ``change`` has the most frequent.
    """

    change: Change
    messages: int = 0
    values: int = 1
    examples: list[str] = field(default_factory=list)

    def add(self, messages: int, examples: Iterable[str]) -> None:
        self.messages += messages
        self.examples = [*self.examples, *examples][:_EXAMPLES]


class Groups:
    """Disagreements about many messages. Memory does not grow with their number."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, str], dict[Change, Group]] = {}

    def add(self, where: str, found: Iterable[Change]) -> None:
        for change in found:
            groups = self._alike.setdefault(_alike(change), {})
            group = groups.get(change)
            if group is None and len(groups) == _KEPT:
                group = next(iter(groups.values()))
                group.values += 1
            elif group is None:
                group = groups[change] = Group(change)
            group.add(1, [where])

    def rows(self) -> list[Group]:
        """In the order of their kinds; of each the most frequent first."""
        rows: list[Group] = []
        for groups in self._alike.values():
            rows += groups.values() if len(groups) <= _DISTINCT else [_one(list(groups.values()))]
        return sorted(rows, key=lambda row: (KINDS.index(row.change.kind), -row.messages, row.change))


def _alike(change: Change) -> tuple[str, str]:
    """What changes have in common that may be told as one: the fact or field; of verdicts what precedes the text."""
    if change.kind == "recipient":
        return (change.kind, "")
    mark = "," if change.kind == "route" else ":"  # the lane stands before it; the stage
    return (change.kind, change.name or f"{change.before.partition(mark)[0]} {change.after.partition(mark)[0]}")


def _one(groups: Sequence[Group]) -> Group:
    most = max(groups, key=lambda group: group.messages)
    found = Group(most.change, values=sum(group.values for group in groups))
    for group in (most, *(group for group in groups if group is not most)):
        found.add(group.messages, group.examples)
    return found
