"""`postroad show`: the pipeline as a picture, with what passes through it now where a server runs."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail

if TYPE_CHECKING:
    from engine.config import Config
    from engine.drawing.pipeline import Pipeline
    from engine.watching.readings import Reading


@click.command()
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw into this file.")
@click.option("--live/--no-live", default=None, help="With rates, or without; else, with them if the server runs.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    help="Seconds that rates are taken over.",
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters alone.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(
    ctx: click.Context, svg: Path | None, *, live: bool | None, interval: float, ascii_only: bool, as_json: bool
) -> None:
    """Draw the lanes, their stages, and where mail gets from one lane into another.

    Where the server runs, each link has its rate and what waits there, and each stage its verdicts and the times that
    half of the messages and 99 % of them took at most.
    """
    from engine.drawing.pipeline import NO_NOTES, as_data, drawn
    from engine.drawing.svg import as_svg
    from engine.drawing.text import as_text
    from engine.watching.readings import as_data as reading_as_data
    from engine.watching.wording import notes_of

    config = configuration(ctx)
    pipeline = drawn(config)
    reading = None if live is False else _reading(config, pipeline, interval, must_run=live is True)
    notes = notes_of(reading) if reading else NO_NOTES
    if svg is not None:
        svg.write_text(as_svg(pipeline, notes), encoding="utf-8")
    if as_json:
        tables.show_json({"lanes": as_data(pipeline), "live": reading_as_data(reading) if reading else None})
    elif svg is None:
        has_boxes = "utf" in (sys.stdout.encoding or "").lower()
        click.echo(as_text(pipeline, notes, ascii_only=ascii_only or not has_boxes), nl=False)


def _reading(config: "Config", pipeline: "Pipeline", interval: float, *, must_run: bool) -> "Reading | None":
    from engine.cli.workers import measured
    from engine.runtime.state import State
    from engine.watching.readings import Round, read

    running = State(config.server.data).running()
    if running is None:
        if must_run:
            fail(f"no server runs on {config.server.data}")
        return None
    earlier = Round(time.monotonic(), measured(running))
    time.sleep(interval)
    return read(earlier, Round(time.monotonic(), measured(running)), pipeline)
