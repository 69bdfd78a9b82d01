"""`postroad reload --preview`: what a reload would change, before it does."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from engine.cli import tables
from engine.cli.configured import configuration, print_problems
from engine.cli.errors import Unusable
from engine.cli.in_force import in_force
from engine.cli.progress import progress
from engine.config import Config, ConfigError, parse
from engine.observe.visible import on_one_line
from engine.operations.sampling import SAMPLE

if TYPE_CHECKING:
    from engine.operations.rehearsing import Result

_OPTIONS = (
    click.option("--preview", is_flag=True, help="Change nothing; say what would change."),
    click.option(
        "--against", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Preview: the file as it was before the edit. Default: what is in force on the running server.",
    ),
    click.option(
        "--sample", type=click.IntRange(0), default=SAMPLE, show_default=True, metavar="N",
        help="Preview: so many messages of the queue are looked at, evenly spread; 0: all.",
    ),
    click.option("--offline", is_flag=True, help="Preview: ask nobody else, such as the DNS."),
    click.option("--json", "as_json", is_flag=True, help="Preview: for programs."),
)  # fmt: skip


def with_preview(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a preview, and what they do in place of the command."""

    @functools.wraps(function)
    def command(
        *, preview: bool, against: Path | None, sample: int, offline: bool, as_json: bool, **others: Any
    ) -> None:
        if preview:
            _preview(against, sample, offline=offline, as_json=as_json)
        elif against or offline or as_json:
            raise click.UsageError("--against, --offline and --json belong to --preview")
        else:
            function(**others)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _preview(against: Path | None, sample: int, *, offline: bool, as_json: bool) -> None:
    after = configuration(click.get_current_context())
    before = in_force(after) if against is None else _earlier(against, after)
    if before is None:
        raise Unusable(f"no server runs on {after.server.data}; say by --against what the file was before the edit")
    from engine.cli.rehearsing import translated  # slow to import
    from engine.operations.previewing import Look, differences, queued
    from engine.operations.rehearsing import Result

    result = Result()
    with translated(), progress("rehearse", "messages") as step:
        every = trio.run(queued, before, after, Look(sample, offline), result, step)
    _show(differences(before, after), result, every, as_json=as_json)


def _earlier(path: Path, after: Config) -> Config:
    """What the file said before it was edited: its relative paths are those of the file that there is now."""
    try:
        return parse(path.read_text(), after.path)
    except ConfigError as error:
        print_problems(ConfigError(path, error.problems))
        sys.exit(2)
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _show(found: Mapping[str, Mapping[str, Sequence[str]]], result: "Result", every: int, *, as_json: bool) -> None:
    from engine.cli.rehearsing import lines, say_limits
    from engine.operations.rehearsing import summary

    if as_json:
        tables.show_json({**found, "queue": {"every": every, **summary(result)}})
        return
    for what, parts in found.items():
        told = [_words(how, names) for how, names in parts.items() if names]
        if told:
            click.echo(f"{what}: {'; '.join(told)}")
    say_limits(result)
    seen = tables.counted(result.messages, "message")
    sampled = f", one of each {every:,}: about {every * result.different:,} of all" if every > 1 else ""
    click.echo(f"queue: {seen} looked at; {result.different:,} would fare otherwise{sampled}")
    for line in lines(result):
        click.echo(on_one_line(line))


def _words(how: str, names: Sequence[str]) -> str:
    return f"{len(names)} the same" if how == "the same" else f"{how}: {', '.join(names)}"
