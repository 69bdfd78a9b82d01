"""`python -m bench.webmail`: what the webmail takes, by itself and from the mail."""

import tempfile
from functools import partial
from pathlib import Path

import click
import trio

from bench import Failed
from bench.machine import file_system, machine
from bench.measure import Cell
from bench.webmail import beside, large


@click.group()
def main() -> None:
    """Measure the webmail of a server of its own. Figures hold for this machine, as busy as it is now."""


@main.command()
@click.option("--messages", default=200_000, show_default=True, type=click.IntRange(1000), help="In the mailbox.")
@click.option("--size", default=2048, show_default=True, type=click.IntRange(600), help="Octets of each, about.")
@click.option("--turns", default=50, show_default=True, type=click.IntRange(5), help="Of each request.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where data goes.")
def lists(*, messages: int, size: int, turns: int, folder: Path | None) -> None:
    """How long the lists of a large mailbox take, and what memory."""
    with tempfile.TemporaryDirectory(prefix="postroad-webmail-", dir=folder) as name:
        click.echo(f"{machine()}; {file_system(Path(name))}")
        trio.run(partial(large.run, Path(name), messages, size, turns))


@main.command()
@click.option("--people", default=100, show_default=True, type=click.IntRange(1), help="In the webmail at once.")
@click.option("--think", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two acts.")
@click.option("--stored", default=1000, show_default=True, type=click.IntRange(100), help="Messages of each mailbox.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="With and without them.")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(2.0), help="Of a run, about.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where data goes.")
def crowd(*, people: int, think: float, stored: int, rounds: int, seconds: float, folder: Path | None) -> None:
    """How fast mail is relayed while people are in the webmail, beside how fast it is without them."""
    with tempfile.TemporaryDirectory(prefix="postroad-webmail-", dir=folder) as name:
        click.echo(f"{machine()}; {file_system(Path(name))}")
        wanted = beside.Wanted(people, think, stored, rounds, seconds, Cell())
        try:
            trio.run(partial(beside.run, Path(name), wanted))
        except* Failed as failed:
            raise click.ClickException("; ".join(map(str, failed.exceptions))) from failed


main(prog_name="python -m bench.webmail")
