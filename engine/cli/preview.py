"""`postroad reload --preview`: what a reload would change, before it does."""

import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.configured import configuration, print_problems
from engine.cli.errors import Unusable
from engine.cli.in_force import in_force
from engine.cli.progress import progress
from engine.config import Config, ConfigError, parse
from engine.observe.visible import on_one_line

if TYPE_CHECKING:
    from engine.cli.rehearsing import Result
    from engine.rehearsal import Comparison

SAMPLE = 10_000
"""Messages that are looked at: each takes about a millisecond, and more would tell little more."""

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
    result, every = _queue(before, after, sample, offline=offline)
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


def differences(before: Config, after: Config) -> dict[str, dict[str, list[str]]]:
    """What would be opened, closed and restarted: stages, listeners, workers, and what a reload does not change."""
    from engine.runtime.places import processes
    from engine.runtime.revision import is_same

    def same(name: str) -> bool:
        return is_same(before, after, after.stages[name])

    workers = [{process.name: process for process in processes(config)} for config in (before, after)]
    return {
        "stages": _compared(before.stages, after.stages, same),
        "listeners": _compared(before.listen, after.listen, lambda name: before.listen[name] == after.listen[name]),
        "workers": _compared(workers[0], workers[1], lambda _: True),
        "lanes": _compared(before.courses, after.courses, lambda name: before.courses[name] == after.courses[name]),
        "restart": {"needed": list(_restarts(before, after))},
    }


def _compared(before: Mapping[str, Any], after: Mapping[str, Any], same: Callable[[str], bool]) -> dict[str, list[str]]:
    return {
        "new": [name for name in after if name not in before],
        "changed": [name for name in after if name in before and not same(name)],
        "gone": [name for name in before if name not in after],
        "the same": [name for name in after if name in before and same(name)],
    }


def _restarts(before: Config, after: Config) -> Iterator[str]:
    """What counts only from the next start on."""
    for name in ("data", "workers", "user"):
        if getattr(before.server, name) != getattr(after.server, name):
            yield f"[server] {name}"
    if before.directory != after.directory:
        yield "[directory]"


def _queue(before: Config, after: Config, sample: int, *, offline: bool) -> "tuple[Result, int]":
    """What would become of what waits: of all of it, or of each so many-th message."""
    from engine.cli.rehearsing import Result, Versions, rehearsed  # slow to import
    from engine.quarantine.held import held, shards
    from engine.rehearsal import Surroundings, queued

    result = Result()
    with (
        closing(Surroundings(before.server.data, offline=offline)) as surroundings,
        shards(before.server.data, before.queue.map_size) as found,
        progress("rehearse", "messages") as step,
    ):
        count = sum(shard.count() for shard in found) - sum(1 for _ in held(found))
        every = max(math.ceil(count / sample), 1) if sample else 1

        def hear(one: "Comparison") -> None:
            result.add(one, keep=False, kinds=("verdict", "route", "recipient", "wording"))
            step(result.messages, min(count, sample or count))

        rehearsed(Versions(before, after, surroundings), queued(found, every), result, hear)
    return result, every


def _show(found: Mapping[str, Mapping[str, Sequence[str]]], result: "Result", every: int, *, as_json: bool) -> None:
    from engine.cli.rehearsing import lines, say_limits, summary

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
