"""Runs as records, and records as tables: on the terminal, and in RESULTS.md with all runs beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench import parts
from bench.chart import Bar, Panel, picture
from bench.measure import Cell, Part, Run, Spread, Trial, ratio
from bench.parts import shown as _shown
from bench.workloads import all_workloads
from bench.workloads.base import CEILING

OURS = "postroad"

RUNS = "results.jsonl"
PAGE = "RESULTS.md"
PICTURE = "results.svg"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and how records were made: the same for all of one call."""

    date: str
    machine: str
    command: str


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one trial, or its failure, with all that is to be said about it. A line of results.jsonl."""

    workload: str
    disk: str
    file_system: str
    cell: Cell
    key: str
    name: str
    version: str
    durability: str
    number: int  # of the round, from 1
    origin: Origin
    messages: int = 0
    seconds: float = 0.0
    cpu: float = 0.0  # seconds
    memory: int = 0  # octets
    figures: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    failure: str = ""  # why there is no run

    @property
    def place(self) -> tuple[str, str, Cell]:
        """What is measured together, and compared."""
        return self.workload, self.disk, self.cell

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What the records of one cell have in common."""

    workload: str
    disk: str
    file_system: str
    cell: Cell
    origin: Origin


def record(setting: Setting, trial: Trial, number: int, outcome: Run | str) -> Record:
    """A run, or the reason why there is none."""
    measured = (
        {"failure": outcome}
        if isinstance(outcome, str)
        else {
            "messages": outcome.messages,
            "seconds": outcome.seconds,
            "cpu": outcome.cpu,
            "memory": outcome.memory,
            "figures": dict(outcome.figures),
            "parts": dict(outcome.parts),
        }
    )
    return Record(
        workload=setting.workload,
        disk=setting.disk,
        file_system=setting.file_system,
        cell=setting.cell,
        key=trial.key,
        name=trial.name,
        version=trial.version,
        durability=trial.durability,
        number=number,
        origin=setting.origin,
        **measured,
    )


# -- what is kept


def kept(folder: Path) -> list[Record]:
    """The records in results.jsonl; none when there is no such file. ValueError for a line that is none."""
    path = folder / RUNS
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(Record)
    return [decoder.decode(line) for line in path.read_bytes().splitlines() if line]


def merged(old: Iterable[Record], new: Sequence[Record]) -> list[Record]:
    """All of the new, and the old of other places: figures that were not taken side by side are not compared."""
    again = {one.place for one in new}
    return sorted([*(one for one in old if one.place not in again), *new], key=_order)


def _order(one: Record) -> tuple[object, ...]:
    places = {workload.name: workload.place for workload in all_workloads()}
    return places.get(one.workload, len(places)), one.workload, one.disk, one.cell


def write(folder: Path, records: Sequence[Record]) -> None:
    """results.jsonl, RESULTS.md and its picture."""
    (folder / RUNS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    panels = pictured(records)
    if panels:
        (folder / PICTURE).write_text(picture(panels))
    (folder / PAGE).write_text(page(records, with_picture=bool(panels)))


# -- tables


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def places(records: Iterable[Record]) -> dict[tuple[str, str, Cell], list[Record]]:
    """Records by what is compared, in the order they have."""
    found: dict[tuple[str, str, Cell], list[Record]] = {}
    for one in records:
        found.setdefault(one.place, []).append(one)
    return found


def table(records: Sequence[Record]) -> Table:
    """A row for each trial of one place, or for each line of runs that do many things."""
    title = f"{records[0].cell}, on {records[0].disk}: {records[0].file_system}"
    if any(one.parts for one in records):
        return Table(title, *parts.columns_and_rows(records, OURS))
    headings = list(dict.fromkeys(name for one in records for name in one.figures))
    compared = ["Postroad ÷ it", "÷ ceiling"] if _compared(records[0]) else []
    columns = ["", "messages/s", *compared, "CPU s for 1,000", "MiB (PSS)", *headings, "durability"]
    rows = [_row(key, records, columns, headings) for key in dict.fromkeys(one.key for one in records)]
    return Table(title, columns, rows)


def _row(key: str, records: Sequence[Record], columns: Sequence[str], headings: Sequence[str]) -> list[str]:
    mine = [one for one in records if one.key == key]
    runs = [one for one in mine if not one.failure]
    if not runs:
        return [mine[0].name, f"failed: {mine[-1].failure}", *[""] * (len(columns) - 2)]
    cpu = Spread.of(one.cpu / one.messages * 1000 for one in runs)
    memory = Spread.of(one.memory / 2**20 for one in runs)
    serves = key != CEILING
    ratios = [
        "" if key == OURS else _shown(ratio(_rates(records, OURS), _rates(records, key)), ".2f"),
        _shown(ratio(_rates(records, key), _rates(records, CEILING)), ".3f") if serves else "",
    ]
    return [
        mine[0].name,
        _shown(Spread.of(one.rate for one in runs), ",.0f"),
        *(ratios if _compared(mine[0]) else ()),
        _shown(cpu, ".2f") if serves else "",
        _shown(memory, ".0f") if serves else "",
        *(_shown(Spread.of(one.figures[name] for one in runs if name in one.figures)) for name in headings),
        mine[0].durability,
    ]


def _rates(records: Iterable[Record], key: str) -> dict[int, float]:
    """Messages a second by round."""
    return {one.number: one.rate for one in records if one.key == key and not one.failure}


def summary(records: Sequence[Record]) -> Table:
    """One row for each place: how many times as fast as each other one Postroad is."""
    names = {one.key: one.name for one in records if _compared(one) and one.key.partition("@")[0] != OURS}
    rows = []
    for (workload, disk, cell), here in places(one for one in records if _compared(one)).items():
        ours = _rates(here, OURS)
        ratios = [ratio(ours, _rates(here, key)) for key in names]
        shown = [f"{found.median:.2f}×" if found else "" for found in ratios]
        rows.append([workload, str(cell), disk, _shown(Spread.of(ours.values()), ",.0f"), *shown])
    return Table("", ["workload", "messages", "disk", "Postroad, messages/s", *(names.values())], rows)


def _compared(one: Record) -> bool:
    """Whether the speed of its servers is what the workload is about."""
    return _shown_by(one.workload) == "messages/s"


def _shown_by(workload: str) -> str:
    """What the picture of a workload shows."""
    return next((one.picture for one in all_workloads() if one.name == workload), "messages/s")


def markdown(shown: Table) -> str:
    """The table, without its title."""
    lines = [shown.columns, ["---", *["--:"] * (len(shown.columns) - 1)], *shown.rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# -- the page


def page(records: Sequence[Record], *, with_picture: bool) -> str:
    """RESULTS.md."""
    parts = ["# The last results\n", _INTRODUCTION]
    origins = dict.fromkeys(one.origin for one in records)
    for machine in dict.fromkeys(origin.machine for origin in origins):
        parts.append(f"- {machine}\n")
        parts += [f"  - {one.date}: `{one.command}`\n" for one in origins if one.machine == machine]
    versions = dict.fromkeys(one.version for one in records if one.version)
    parts += [f"- {', '.join(versions)}\n"] if versions else []
    if with_picture:
        parts.append(f"\n![Each server's figures, workload by workload]({PICTURE})\n")
    compared = summary(records)
    if compared.rows:
        parts += ["\n## How many times as fast as the others Postroad is\n\n", markdown(compared)]
    titles = {workload.name: workload.title for workload in all_workloads()}
    for name in dict.fromkeys(one.workload for one in records):
        parts.append(f"\n## {name.capitalize()}\n\n{titles.get(name, name)}\n")
        for here in places(one for one in records if one.workload == name).values():
            shown = table(here)
            parts.append(f"\n{shown.title}\n\n{markdown(shown)}")
    return "".join(parts)


_INTRODUCTION = """
Written by `postroad bench --results`, from the runs in `results.jsonl`. How it is measured, and how to read it, is in
[docs/benchmarks.md](../docs/benchmarks.md). Each figure is the median of the runs, with the least and the most; ratios
are taken in each round, between runs that follow one another. Compare no figures of different machines.

"""


# -- the picture


def pictured(records: Sequence[Record]) -> list[Panel]:
    """A panel for each workload and disk, with the cells side by side."""
    panels = []
    titles = {workload.name: workload.title for workload in all_workloads()}
    for workload, disk in dict.fromkeys((one.workload, one.disk) for one in records):
        here = [one for one in records if (one.workload, one.disk) == (workload, disk) and not one.failure]
        by = _shown_by(workload)
        groups = {_label(cell): _bars(cell_records, by) for (_, _, cell), cell_records in places(here).items()}
        groups = {label: bars for label, bars in groups.items() if bars}
        if by and groups:
            panels.append(Panel(f"{workload.capitalize()} (disk: {disk})", titles.get(workload, ""), by, groups))
    return panels


def _label(cell: Cell) -> tuple[str, ...]:
    """What stands below a group of bars, line by line."""
    backlog = f", {cell.backlog:,} waiting" if cell.backlog else ""
    return f"{cell.shown_size}{backlog}", f"{cell.sessions} sessions", "reused" if cell.reuse else "a message each"


def _bars(records: Sequence[Record], by: str) -> list[Bar]:
    found = []
    for key in dict.fromkeys(one.key for one in records if one.key != CEILING):
        runs = [one for one in records if one.key == key]
        spread = Spread.of(
            one.rate if by == "messages/s" else one.figures[by] for one in runs if by in (*one.figures, "messages/s")
        )
        if spread is not None:
            found.append(Bar(key, runs[0].name, spread))
    return found
