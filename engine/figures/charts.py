"""Charts out of figures: which there are, what each line of them is, and its values over a span of time."""

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.figures.measured import (
    ARRIVED,
    BECAME,
    DOMAIN,
    DOOR,
    LOGINS,
    OLDEST,
    PARKED,
    SCANNED,
    TLS,
    TOOK,
    UNDER_WAY,
    VIRUSES,
)
from engine.figures.spans import Span, moments
from engine.figures.store import Row
from engine.observe.quantiles import quantile

Unit: TypeAlias = Literal["messages", "recipients", "logins", "sessions", "seconds"]
Form: TypeAlias = Literal["stack", "lines"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. A value is None where nobody looked, or where there is nothing to say it of."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """``form``: whether its values add up to a whole, or stand beside each other."""

    name: str
    form: Form
    unit: Unit
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Charts:
    """``times``: when each step begins, in Unix time, and when the last ends. That one is not over yet."""

    span: Span
    times: tuple[int, ...]
    charts: tuple[Chart, ...]


class _Step:
    """The rows of one step, added up once, for a year has some thousand of them."""

    def __init__(self) -> None:
        self.is_seen = False
        self.counts: dict[str, int] = {}
        self._most: dict[str, float] = {}

    def add(self, row: Row) -> None:
        self.is_seen = True
        counts, most = self.counts, self._most
        for key, count in row.counts.items():
            counts[key] = counts.get(key, 0) + count
        for key, level in row.levels.items():
            most[key] = max(most.get(key, 0.0), level.most)

    def count(self, *begins: str) -> float | None:
        """All counts whose keys are these, or are below them."""
        if not self.is_seen:
            return None
        below = tuple(f"{one}/" for one in begins)
        return sum(count for key, count in self.counts.items() if key in begins or key.startswith(below))

    def took(self, share: float) -> float | None:
        """Seconds within which so large a share of mail was delivered."""
        found: dict[float, int] = {}
        for key, count in self.counts.items():
            if key.startswith(f"{TOOK}/"):
                bound = float(key.rpartition("/")[2])
                found[bound] = found.get(bound, 0) + count
        return quantile(found.items(), share)

    def most(self, level: str) -> float | None:
        """The most that was seen of a level; None: it was not looked at."""
        return self._most.get(level)


Value: TypeAlias = Callable[[_Step], float | None]


def of_server(span: Span, now: float, rows: Sequence[tuple[int, Row]]) -> Charts:
    """What there is of the whole server."""
    steps = _Steps(span, now, rows)
    lanes = steps.names(f"{ARRIVED}/accepted/")
    return steps.charts(
        steps.chart("taken", "stack", "messages", {lane: _count(f"{ARRIVED}/accepted/{lane}") for lane in lanes}),
        steps.chart(
            "handed-on", "stack", "recipients", {"mailboxes": _count(f"{TOOK}/mailbox/+Inf"),
                                                 "servers": _count(f"{TOOK}/server/+Inf")}),
        steps.chart(
            "trouble", "lines", "recipients", {"deferred": _count(f"{BECAME}/deferred"),
                                               "returned": _count(f"{BECAME}/failed"),
                                               "refused": _count(f"{ARRIVED}/refused", DOOR)}),
        steps.chart(
            "spam", "stack", "messages", {"clean": _count(f"{SCANNED}/clean"), "junk": _count(f"{SCANNED}/junk"),
                                          "quarantined": _count(f"{SCANNED}/quarantined"),
                                          "refused": _count(f"{SCANNED}/refused", f"{SCANNED}/discarded")}),
        steps.chart("viruses", "stack", "messages", {"viruses": _count(VIRUSES)}),
        steps.chart("delay", "lines", "seconds", {"p50": _took(0.5), "p90": _took(0.9), "p99": _took(0.99)}),
        steps.chart("queue", "lines", "messages", {"under-way": _most(UNDER_WAY), "parked": _most(PARKED)}),
        steps.chart("oldest", "lines", "seconds", {"oldest": _most(OLDEST)}),
        steps.chart(
            "logins", "stack", "logins", {"wrong": _count(f"{LOGINS}/wrong"), "banned": _count(f"{LOGINS}/banned")}),
    )  # fmt: skip


def of_domain(span: Span, now: float, rows: Sequence[tuple[int, Row]], domain: str) -> Charts:
    """What there is of a domain that is local."""
    steps, below = _Steps(span, now, rows), f"{DOMAIN}/{domain}"
    return steps.charts(
        steps.chart("received", "stack", "recipients", {"clean": _count(f"{below}/received"),
                                                        "junk": _count(f"{below}/junk")}),
        steps.chart("sent", "stack", "recipients", {"sent": _count(f"{below}/sent"),
                                                    "returned": _count(f"{below}/returned")}),
    )  # fmt: skip


def of_tls(span: Span, now: float, rows: Sequence[tuple[int, Row]]) -> Charts:
    """How TLS went with the servers that we send to, as we report it to them: by result, and by policy."""
    steps = _Steps(span, now, rows)
    policies = ("sts", "tlsa", "no-policy-found")
    results = sorted({name.partition("/")[2] for name in steps.names(f"{TLS}/")} - {"success"})
    by_result = {one: _count(*(f"{TLS}/{policy}/{one}" for policy in policies)) for one in ("success", *results)}
    failed = {
        policy: _count(*(f"{TLS}/{policy}/{one}" for one in results)) if results else _nothing for policy in policies
    }
    return steps.charts(
        steps.chart("tls-sent", "stack", "sessions", by_result),
        steps.chart("tls-sent-policies", "stack", "sessions", failed),
    )


class _Steps:
    """Rows as they belong to steps."""

    def __init__(self, span: Span, now: float, rows: Sequence[tuple[int, Row]]) -> None:
        self._span = span
        self._times = moments(span, now)
        self._steps = [_Step() for _ in self._times[1:]]
        for moment, row in rows:
            place = bisect.bisect_right(self._times, moment) - 1
            if 0 <= place < len(self._steps):
                self._steps[place].add(row)

    def names(self, begin: str) -> list[str]:
        """What stands behind the beginning of keys."""
        keys = {key for step in self._steps for key in step.counts}
        return sorted(key[len(begin) :] for key in keys if key.startswith(begin))

    def chart(self, name: str, form: Form, unit: Unit, lines: Mapping[str, Value]) -> Chart:
        return Chart(
            name, form, unit, tuple(Series(one, tuple(map(value, self._steps))) for one, value in lines.items())
        )

    def charts(self, *charts: Chart) -> Charts:
        return Charts(self._span, tuple(self._times), charts)


def _count(*begins: str) -> Value:
    return lambda step: step.count(*begins)


def _took(share: float) -> Value:
    return lambda step: step.took(share)


def _most(level: str) -> Value:
    return lambda step: step.most(level)


def _nothing(step: _Step) -> float | None:
    return 0.0 if step.is_seen else None
