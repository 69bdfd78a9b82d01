"""`python -m bench.micro`: runs the micro-benchmarks and prints a table of them."""

import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console
from rich.table import Table

_QUIET = ["-q", "--no-header", "--benchmark-quiet", "--benchmark-disable-gc", "--benchmark-min-time=0.0002"]
_USUAL = ["--benchmark-max-time=0.5"]
_SHORT = ["--benchmark-max-time=0.02", "--benchmark-min-rounds=3"]
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_WIDTH = 100  # where the output is no terminal


@click.command()
@click.option("-k", "chosen", default="", help="Only what matches, as pytest's -k does.")
@click.option("--short", is_flag=True, help="A few rounds of each.")
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), help="Keep the figures in this folder, as micro.json."
)
def main(chosen: str, short: bool, save: Path | None) -> None:
    """Measure the parts of the engine one by one, each alone and in one process."""
    with tempfile.TemporaryDirectory(prefix="postroad-micro-") as name:
        figures = (save or Path(name)) / "micro.json"
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.unlink(missing_ok=True)
        options = [
            *_QUIET,
            *(_SHORT if short else _USUAL),
            f"--benchmark-json={figures}",
            *(["-k", chosen] * bool(chosen)),
        ]
        code = pytest.main([*options, str(Path(__file__).parent)])
        if figures.exists():
            show(json.loads(figures.read_text()))
    sys.exit(code)


def show(run: dict[str, Any]) -> None:
    """Print the table of a run, as pytest-benchmark writes it into JSON."""
    machine = run["machine_info"]
    caption = f"Python {machine['python']}, {machine['cores']} cores {machine['processor']}, {machine['system']}"
    table = Table(
        "", "median", "quickest", "in a second", box=None, pad_edge=False, caption_justify="left",
        caption=f"{caption}\nqueue and due index on {machine['file_system']} in {machine['folder']}",
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for subject, benchmarks in groupby(run["benchmarks"], key=lambda benchmark: benchmark["group"]):
        table.add_row()
        table.add_row(f"[bold]{subject}[/bold]")
        for row in _rows(benchmarks):
            table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table, highlight=False)


def _rows(benchmarks: Iterator[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    for benchmark in benchmarks:
        what, operations = benchmark["extra_info"]["what"], benchmark["extra_info"]["operations"]
        median, least = (benchmark["stats"][name] / operations for name in ("median", "min"))
        yield f"  {what}", shown(median), shown(least), f"{1 / median:,.0f}"


def shown(seconds: float) -> str:
    """A time with three digits: 0.0000123 is 12.3 µs."""
    seconds = float(f"{seconds:.3g}")
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    number = seconds / size
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"


if __name__ == "__main__":
    main()
