"""What this process measures of itself: counts, gauges and histograms, under the names and in the forms of Prometheus.

A part of the server declares a family once, where it counts, and keeps the child that it counts into::

    TAKEN = Counter("postroad_link_messages_total", "Messages whose verdict came back over a link.", ("link",))
    taken = TAKEN.of("inbound/1")
    taken.value += 1

What is known elsewhere already is not counted again: a family that ``reads`` it asks when somebody wants to know.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Generic, TypeAlias, TypeVar

Labels: TypeAlias = tuple[str, ...]
"""The values of a family's labels, in the order of their names."""

Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...], float]
"""A name, its labels with their values, and the number."""

Source: TypeAlias = Callable[[], Iterable[tuple[Labels, float]]]
"""Reads numbers at the time of asking. Those with the same labels, from whatever source, are added up."""

MOST = 1000
"""Children of one family. Labels come from the configuration and are few; where a mistake lets strangers choose them,
what goes beyond is counted as one, under OTHER."""

OTHER = "other"

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Bounds for what takes from a tenth of a millisecond to five minutes, three to a decade or so."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
"""Bounds for the number of things in a batch."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Count:
    """A number of a counter or a gauge. Whoever holds it changes ``value``: nothing is cheaper."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Distribution:
    """How many values of a histogram were at most as large as each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value: 0.1 microseconds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


Child = TypeVar("Child")


class Family(Generic[Child]):
    """All children of one name. A family that is declared again, by a filter that was reloaded, goes on counting."""

    kind = ""

    def __init__(self, name: str, meaning: str, labels: Labels = (), *, to: "Measures | None" = None) -> None:
        if not all(map(_NAME.fullmatch, (name, *labels))):
            raise ValueError(f"{name} {labels}: names have lower-case letters, digits and _ alone")
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self._children: dict[Labels, Child] = {}
        (to if to is not None else measures).take(self)

    def of(self, *labels: str) -> Child:
        """The child of these labels, which is made when it is first asked for."""
        child = self._children.get(labels)
        if child is not None:
            return child
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        if labels and len(self._children) >= MOST:
            labels = (OTHER,) * len(labels)
        return self._children.setdefault(labels, self._make())

    def go_on_from(self, before: "Family[Child]") -> None:
        """Share the children of a family that was declared earlier. ValueError if it is another one."""
        if (before.kind, before.labels) != (self.kind, self.labels):
            raise ValueError(f"{self.name} is a {before.kind} with the labels {before.labels} already")
        self._children = before._children

    def _make(self) -> Child:
        raise NotImplementedError

    def samples(self) -> Iterator[Sample]:
        """All numbers of the family now."""
        raise NotImplementedError

    def _named(self, labels: Labels) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.labels, labels, strict=True))


class _Numbers(Family[Count]):
    """What has one number for each set of labels."""

    def __init__(self, name: str, meaning: str, labels: Labels = (), *, to: "Measures | None" = None) -> None:
        self._sources: list[Source] = []
        super().__init__(name, meaning, labels, to=to)

    def reads(self, source: Source) -> None:
        """From now on ask this too."""
        self._sources.append(source)

    def _make(self) -> Count:
        return Count()

    def samples(self) -> Iterator[Sample]:
        found: dict[Labels, float] = {labels: child.value for labels, child in list(self._children.items())}
        for source in self._sources:
            for labels, value in source():
                found[labels] = found.get(labels, 0) + value
        for labels, value in found.items():
            yield self.name, self._named(labels), value


class Counter(_Numbers):
    """What only grows while the process lives; its name ends in ``_total``."""

    kind = "counter"


class Gauge(_Numbers):
    """What goes up and down."""

    kind = "gauge"


class Histogram(Family[Distribution]):
    """How values are spread: as ``_bucket`` with ``le``, each with all that are smaller, ``_sum`` and ``_count``."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Labels = (),
        *,
        bounds: Sequence[float] = SECONDS,
        to: "Measures | None" = None,
    ) -> None:
        self.bounds = tuple(map(float, bounds))
        super().__init__(name, meaning, labels, to=to)

    def _make(self) -> Distribution:
        return Distribution(self.bounds)

    def samples(self) -> Iterator[Sample]:
        for labels, child in list(self._children.items()):
            named = self._named(labels)
            heaps = list(accumulate(child.counts))
            for bound, heap in zip((*map(str, child.bounds), "+Inf"), heaps, strict=True):
                yield f"{self.name}_bucket", (*named, ("le", bound)), heap
            yield f"{self.name}_sum", named, child.sum
            yield f"{self.name}_count", named, heaps[-1]


class Measures:
    """The families of a process."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Count] | Family[Distribution]] = {}

    def take(self, family: Family[Child]) -> None:
        """A family was declared."""
        before = self._families.get(family.name)
        if before is not None:
            family.go_on_from(before)  # type: ignore[arg-type]  # it has looked that they are of one kind
        self._families[family.name] = family  # type: ignore[assignment]

    def samples(self) -> list[Sample]:
        """All numbers of this process now."""
        return [sample for family in list(self._families.values()) for sample in family.samples()]

    def families(self) -> Mapping[str, tuple[str, str]]:
        """The kind, and what is meant, of each family."""
        return {name: (family.kind, family.meaning) for name, family in self._families.items()}


measures = Measures()
"""What this process measures."""
