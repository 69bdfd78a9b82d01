"""Runs that do many things, as a table: a row for each line, with what is owed there and whether it was reached."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.measure import Part, Spread, ratio

if TYPE_CHECKING:
    from bench.report import Record


def columns_and_rows(records: Sequence["Record"], ours: str) -> tuple[list[str], list[list[str]]]:
    """Of one place. ``ours``: the key of the one that is compared with the best of all others."""
    names = {one.key: one.name for one in records}
    runs = [one for one in records if not one.failure]
    columns = [
        "",
        *names.values(),
        "Postroad ÷ the best",
        "floor",
        *(f"CPU s: {name}" for name in names.values()),
        "client",
    ]
    lines = dict.fromkeys(name for one in runs for name in one.parts)
    return columns, [[line, *_row({key: _parts(runs, key, line) for key in names}, ours)] for line in lines]


def _parts(records: Sequence["Record"], key: str, line: str) -> dict[int, Part]:
    """By round."""
    return {one.number: one.parts[line] for one in records if one.key == key and line in one.parts}


def _row(parts: Mapping[str, Mapping[int, Part]], ours: str) -> list[str]:
    everything = [part for of_one in parts.values() for part in of_one.values()]
    values = {key: _values(of_one) for key, of_one in parts.items()}
    goal = everything[0]
    compared = _compared(values, ours, least=bool(goal.most))
    return [
        *(_figure(parts[key], values[key]) for key in parts),
        shown(compared, ".2f"),
        _floor(goal, compared, Spread.of(values.get(ours, {}).values())),
        *(_median(part.cpu for part in parts[key].values() if part.cpu) for key in parts),
        shown(Spread.of([max((part.client for part in everything), default=0.0)]), ".0%"),
    ]


def _values(parts: Mapping[int, Part]) -> dict[int, float]:
    return {number: part.value for number, part in parts.items() if not part.failure}


def _compared(values: Mapping[str, Mapping[int, float]], ours: str, *, least: bool) -> Spread | None:
    """In each round, ours by the best of the others; where less is better, the other way round."""
    best: dict[int, float] = {}
    for key, theirs in values.items():
        for number, value in theirs.items() if key != ours else ():
            best[number] = (min if least else max)(value, best.get(number, value))
    mine = values.get(ours, {})
    return ratio(best, mine) if least else ratio(mine, best)


def _floor(goal: Part, compared: Spread | None, ours: Spread | None) -> str:
    if goal.most:
        reached = None if ours is None else ours.median <= goal.most
        text = f"≤ {goal.most:g}"
    else:
        reached = None if compared is None else compared.median >= goal.floor
        text = f"{goal.floor:g}×"
    return text if reached is None else f"{text}: {'reached' if reached else 'MISSED'}"


def _median(values: Iterable[float]) -> str:
    """Without the spread, for which there is no room."""
    spread = Spread.of(values)
    return "" if spread is None else f"{spread.median:.3g}"


def _figure(parts: Mapping[int, Part], values: Mapping[int, float]) -> str:
    failures = [part.failure for part in parts.values() if part.failure]
    return f"failed: {failures[-1]}" if failures and not values else shown(Spread.of(values.values()))


def shown(spread: Spread | None, form: str = "") -> str:
    """In this format; without one, with three digits that say something."""
    return "" if spread is None else spread.shown(form or (",.0f" if spread.median >= 100 else ".3g"))
