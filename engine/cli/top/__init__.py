"""`postroad top`: what the running server does, as it does it."""

import sys
from typing import TYPE_CHECKING

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail

if TYPE_CHECKING:
    from engine.cli.top.frame import Frame
    from engine.drawing.pipeline import Pipeline
    from engine.runtime.state import State

WIDTH = 100
"""Columns of what is printed where there is no terminal."""


@click.command()
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds from frame to frame."
)
@click.option("--once", is_flag=True, help="Print one frame, and end; so it does too where there is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one frame.")
@config_option
@click.pass_context
def top(ctx: click.Context, interval: float, once: bool, as_json: bool) -> None:
    """Watch links, stages, sites and workers of the running server.

    Links: messages a second; how many wait for a credit (depth), for how long at this rate (lag), and how many of those
    that may be with workers are. Stages: how long half of the messages took at most (p50), and 99 % (p99). Sites: what
    waits, connections, the last reply. Workers: CPU, memory that no file backs, how late the event loop is at worst.
    Press ? for the keys.
    """
    from engine.drawing.pipeline import drawn
    from engine.runtime.state import State

    config = configuration(ctx)
    state = State(config.server.data)
    if state.running() is None:
        fail(f"no server runs on {config.server.data}")
    pipeline = drawn(config)
    if not (once or as_json) and sys.stdin.isatty() and sys.stdout.isatty():
        from engine.cli.top.live import watch

        watch(state, ctx.obj, pipeline, interval, version())
        return
    frame = _frame(state, pipeline, interval)
    if as_json:
        from engine.cli.top.frame import as_json as frame_as_json

        tables.show_json(frame_as_json(frame, version()))
    else:
        _print(frame)


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return version_of("postroad")
    except PackageNotFoundError:  # it runs from its folder
        return ""


def _frame(state: "State", pipeline: "Pipeline", interval: float) -> "Frame":
    import time

    from engine.cli.top.frame import frame_of
    from engine.cli.top.snapshot import take

    earlier = take(state)
    time.sleep(interval)
    return frame_of(earlier, take(state), pipeline)


def _print(frame: "Frame") -> None:
    from rich.console import Console

    from engine.cli.top.drawing import plain

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(plain(frame, version()))
