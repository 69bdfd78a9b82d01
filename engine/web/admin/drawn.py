"""Charts as pages have them: drawn, with a legend, a table of the same values, and what is to be seen in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from babel.dates import format_datetime
from babel.numbers import format_decimal
from babel.units import format_unit
from markupsafe import Markup
from starlette.requests import Request

from engine.drawing import axes, chart
from engine.drawing.axes import Axis
from engine.drawing.chart import Tick
from engine.figures.charts import Chart, Series
from engine.web.languages import language_of, translator

_PATTERNS = {"day": "HH:mm", "week": "EEE d", "month": "d MMM", "quarter": "d MMM", "year": "MMM"}
"""What is written below, by span."""

_MOMENTS = {"day": "EEE d MMM, HH:mm", "week": "EEE d MMM, HH:mm", "month": "EEE d MMM, HH:mm", "year": "EEE d MMM y"}
"""How a step is called."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend. ``part``: its colour. ``told``: what it comes to."""

    part: int
    name: str
    told: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart as a template takes it. ``rows``: when, and each value in words."""

    name: str
    title: str
    unit: str
    legend: tuple[Entry, ...]
    side: Markup
    field: Markup
    below: Markup
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    is_empty: bool
    csv: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What a chart is called, what it counts in each step, and its lines; a line without a name here has its own."""

    title: str
    unit: str
    names: Mapping[str, str]


class Drawing:
    """Draws charts over the same times for a reader. ``times`` are Unix times: beginnings of steps, and the last end.

    The last step is not over. ``days``: the steps are days in UTC, of which people report.
    """

    def __init__(self, request: Request, span: str, times: Sequence[int], *, days: bool = False) -> None:
        _ = translator(request)
        self._language = language_of(request)
        self._so_far = _("%(moment)s, so far")
        self._none = _("Nothing to show yet.")
        self._most = _("%(name)s: at most %(most)s, at last %(last)s")
        steps = {"day": _("in 10 minutes"), "week": _("in an hour"), "month": _("in 6 hours")}
        self._step = _("in a day") if days else steps.get(span, _("in a day"))
        self._span = span
        self._days = days
        self._times = times

    def picture(self, one: Chart, wording: Wording, csv: str) -> Picture:
        """The chart, with its words."""
        tell = self._seconds if one.unit == "seconds" else self._number
        drawn = [Series(line.name, self._finished(one, line.values)) for line in one.series]
        axis, is_empty = (
            self._axis(one, drawn),
            not any(filter(None, (value for line in drawn for value in line.values))),
        )
        legend = tuple(
            Entry(chart.part(number), wording.names.get(line.name, line.name), self._sum(one, line, tell))
            for number, line in enumerate(one.series)
        )
        values = [line.values for line in drawn]
        inner = chart.bars(values, axis) if one.form == "stack" else chart.lines(values, axis)
        label = self._in_words(wording.title, legend, drawn, tell, is_empty=is_empty)
        return Picture(
            one.name,
            wording.title,
            wording.unit if one.unit == "seconds" or one.name == "queue" else f"{wording.unit} {self._step}",
            legend,
            Markup(chart.side([Tick(axis.at(tick), tell(tick)) for tick in axis.ticks])),
            Markup(chart.field(inner, axis, label)),
            Markup(chart.below(self._below())),
            self._rows(one, tell),
            is_empty,
            csv,
        )

    def spark(self, one: Chart, title: str) -> Markup:
        """A small one of the same."""
        drawn = [Series(line.name, self._finished(one, line.values)) for line in one.series]
        return Markup(chart.spark([line.values for line in drawn], one.form, self._axis(one, drawn), title))

    def last(self, one: Chart, line: int = 0) -> str:
        """The last value that is complete, in words."""
        tell = self._seconds if one.unit == "seconds" else self._number
        values = self._finished(one, one.series[line].values)
        return next((tell(value) for value in reversed(values) if value is not None), "–")

    def total(self, one: Chart) -> str:
        """All that there was in the whole time."""
        return self._number(sum(value or 0.0 for line in one.series for value in line.values))

    def _finished(self, one: Chart, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        """A line would seem to fall where the time is not over yet. What waits is as it is."""
        if one.form == "stack" or one.name in ("queue", "oldest"):
            return values
        return (*values[:-1], None)

    def _axis(self, one: Chart, drawn: Sequence[Series]) -> Axis:
        known = [value for line in drawn for value in line.values if value is not None]
        if one.name == "delay":
            return axes.of_delays(known)
        if one.unit == "seconds":
            return axes.of_seconds(max(known, default=0.0))
        if one.form == "stack":
            columns = zip(*(line.values for line in drawn), strict=True)
            return axes.of_counts(max((sum(value or 0.0 for value in column) for column in columns), default=0.0))
        return axes.of_counts(max(known, default=0.0))

    def _sum(self, one: Chart, line: Series, tell: Callable[[float], str]) -> str:
        """Counts come to a sum; of what goes up and down the last is told."""
        known = [value for value in line.values if value is not None]
        if one.unit == "seconds" or one.name == "queue":
            return tell(known[-1]) if known else "–"
        return tell(sum(known))

    def _in_words(
        self,
        title: str,
        legend: Sequence[Entry],
        drawn: Sequence[Series],
        tell: Callable[[float], str],
        *,
        is_empty: bool,
    ) -> str:
        if is_empty:
            return f"{title}. {self._none}"
        said = []
        for entry, line in zip(legend, drawn, strict=True):
            known = [value for value in line.values if value is not None]
            if known:
                said.append(self._most % {"name": entry.name, "most": tell(max(known)), "last": tell(known[-1])})
        return f"{title}. {'; '.join(said)}."

    def _rows(self, one: Chart, tell: Callable[[float], str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        columns = list(zip(*(line.values for line in one.series), strict=True))
        return tuple(
            (self._moment(index), tuple("–" if value is None else tell(value) for value in column))
            for index, column in enumerate(columns)
        )

    def _moment(self, index: int) -> str:
        moment, pattern = self._local(self._times[index]), _MOMENTS["year" if self._days else self._span]
        told = str(format_datetime(moment, pattern, locale=self._language))
        is_last = index == len(self._times) - 2
        return self._so_far % {"moment": told} if is_last else told

    def _local(self, time: float) -> datetime:
        return datetime.fromtimestamp(time, UTC if self._days else None)

    def _below(self) -> list[Tick]:
        """A mark wherever something round begins."""
        found = []
        for index, time in enumerate(self._times[:-1]):
            label, minor = self._mark(self._local(time))
            if label:
                found.append(Tick(index / (len(self._times) - 1), label, minor))
        return found

    def _mark(self, local: datetime) -> tuple[str, bool]:
        """What is written at a time, and whether it may be left out; mostly nothing."""
        at_midnight = local.hour == local.minute == 0
        wanted, minor = {
            "day": (local.minute == 0 and local.hour % 3 == 0, local.hour % 6 == 3),
            "week": (at_midnight, local.toordinal() % 2 == 1),
            "month": (at_midnight and local.weekday() == 0, False),
            "quarter": (at_midnight and local.day in (1, 15), local.day == 15),
            "year": (at_midnight and local.day == 1, local.month % 3 != 1),
        }[self._span]
        return (str(format_datetime(local, _PATTERNS[self._span], locale=self._language)) if wanted else ""), minor

    def _number(self, value: float) -> str:
        return str(format_decimal(round(value, 1 if value % 1 and value < 10 else 0), locale=self._language))

    def _seconds(self, value: float) -> str:
        return seconds(value, self._language)


def seconds(value: float, language: str) -> str:
    """A time as people say it: 0.3 sec, 5 min, 2 hr, 4 days."""
    for unit, length, upto in (("second", 1, 60), ("minute", 60, 3600), ("hour", 3600, 86_400)):
        if value < upto:
            return _amount(value / length, unit, language)
    return _amount(value / 86_400, "day", language)


def _amount(amount: float, unit: str, language: str) -> str:
    shown = round(amount, 2 if amount < 1 else 1 if amount % 1 and amount < 10 else 0)
    return str(format_unit(shown, f"duration-{unit}", "short", locale=language))
