"""`postroad log`: the events of the server, as `[log] file` keeps them."""

import contextlib
import fnmatch
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.cli import tables
from engine.cli.configured import config_option, configuration
from engine.cli.durations import seconds
from engine.cli.errors import Refused
from engine.config import NOWHERE, Config
from engine.observe.files import Tail, files, lines
from engine.observe.outputs import readable
from engine.observe.visible import visible
from engine.runtime.log import veil_of

FEW = 10
"""Lines that are shown before those that come."""


@click.command("log")
@click.argument("what", nargs=-1, metavar="[ID|ADDRESS]...")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--last", metavar="TIME", help='How far to look back, such as "1h"; otherwise as far as the files go.')
@click.option("--lines", "-n", "count", type=click.IntRange(0), metavar="N", help="Only the last N of them.")
@click.option("--event", default="*", metavar="NAME", help="Only events of this name; with * and ?.")
@click.option("--process", default="*", metavar="NAME", help="Only of this process, such as mail-0; with * and ?.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the lines as they are.")
@config_option
@click.pass_context
def log(
    ctx: click.Context, *, what: tuple[str, ...], follow: bool, last: str | None, count: int | None, event: str,
    process: str, as_json: bool,
) -> None:  # fmt: skip
    """Show the events of the server, the oldest first; with ID or ADDRESS only those that name one of them."""
    config = configuration(ctx)
    path = _file(config)
    since = time.time() - seconds(last, "--last") if last else 0.0
    wanted = _wanted(config, what, event, process)
    show = _plain if as_json else _readable
    if not follow:
        _show_all(_last(filter(wanted, lines(path, since)), count), show)
        return
    tail = Tail(path)
    _show_all(_last(filter(wanted, lines(path, since, tail.start)), FEW if count is None and not last else count), show)
    with contextlib.suppress(KeyboardInterrupt):
        _show_all(filter(wanted, tail.lines()), show)


def _file(config: Config) -> Path:
    if config.log.file == NOWHERE:
        raise Refused(
            "[log] names no file, so events are where standard error leads (or the journal, or syslog); "
            'with file = "log/events.jsonl" and a reload they are kept for this command, too'
        )
    if not files(config.log.file):
        raise Refused(f"there is no {config.log.file} yet: the server has not run with it")
    return config.log.file


def _wanted(config: Config, what: Iterable[str], event: str, process: str) -> Callable[[bytes], bool]:
    """Whether a line is to be shown."""
    veil = veil_of(config)
    named = [(veil.address(one) if veil else one).lower().encode() for one in what]

    def wanted(line: bytes) -> bool:
        if named and not any(one in line.lower() for one in named):
            return False
        if event == process == "*":
            return True
        values = _values(line)
        return _like(values.get("event"), event) and _like(values.get("process"), process)

    return wanted


def _values(line: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:  # broken off, as the disk was full
        return {}
    return found if isinstance(found, dict) else {}


def _like(value: object, pattern: str) -> bool:
    return fnmatch.fnmatchcase(str(value or ""), pattern)


def _last(found: Iterator[bytes], count: int | None) -> Iterable[bytes]:
    return found if count is None else deque(found, count)


def _show_all(found: Iterable[bytes], show: Callable[[bytes], str]) -> None:
    for line in found:
        click.echo(show(line), nl=False)


def _plain(line: bytes) -> str:
    return visible(line.decode(errors="replace"))


def _readable(line: bytes) -> str:
    values = _values(line)
    if not values:
        return _plain(line)
    return f"{tables.timestamp(values.get('time', 0))} {readable(line, clock=False).decode()}"
