"""`postroad bench`: Postroad and its peers under the same load."""

import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import trio
from click.core import ParameterSource
from rich import box
from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from bench import Failed, load, report
from bench.disks import DISKS
from bench.machine import file_system, machine
from bench.measure import Run, Trial, Wanted, leaves, rounds
from bench.progress import Screen, screen
from bench.report import OURS, Origin, Record, Setting, Table
from bench.servers import all_servers
from bench.servers.base import Server
from bench.servers.postroad import FILES, PACKAGE
from bench.workloads import all_workloads
from bench.workloads.base import Choice, Workload

_INTERRUPTED = 130
"""The exit code of what Ctrl-C has ended, as shells have it: 128 + SIGINT."""

_NONE = "none"

_UNSAID = {"folder", "room", "into", "results", "as_json", "peers_listed", "redraw"}
"""Parameters that say nothing about what was measured."""


def _peers(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of servers, each given alone or with commas between."""
    keys = [key.strip() for value in values for key in value.split(",") if key.strip()]
    known = [_NONE, *(server.key for server in all_servers() if server.key != OURS)]
    for key in keys:
        if key not in known:
            raise click.BadParameter(f"no peer is named {key}; there are {', '.join(known)}", ctx)
    if _NONE in keys and len(keys) > 1:
        raise click.BadParameter(f"{_NONE} stands alone", ctx)
    return tuple(dict.fromkeys(keys))


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice([workload.name for workload in all_workloads()]))
@click.option("--list", "peers_listed", is_flag=True, help="Say which peers are here, why others are not, and stop.")
@click.option(
    "--peers", multiple=True, callback=_peers, help="Only these, as --list names them: postfix,exim; or none."
)
@click.option("--size", "sizes", multiple=True, type=click.IntRange(1), help="Octets of a message; again for more.")
@click.option("--sessions", multiple=True, type=click.IntRange(1), help="At once; again for more.")
@click.option("--stored", multiple=True, type=click.IntRange(1), help="In the mailbox of `mailbox`; again for more.")
@click.option("--line", "lines", multiple=True, help="Of `mailbox`: only those with this in their names.")
@click.option("--reuse/--no-reuse", default=None, help="Many messages on a connection, or one.")
@click.option("--full", is_flag=True, help="With 20 and 100 sessions, with and without reuse. Takes hours.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="Rounds in which all have a turn.")
@click.option(
    "--seconds", default=6.0, show_default=True, type=click.FloatRange(0.1), help="About how long a run takes."
)
@click.option("--count", default=0, type=click.IntRange(0), help="Messages in a run, instead of --seconds.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where data goes.")
@click.option(
    "--disk", "disks", multiple=True, type=click.Choice(list(DISKS)),
    help="The disk of --folder as it is, an ext4 with a journal in an image on it, memory, or each sync 5 ms longer; "
    "again for more. Default: as it is; where that is an ext4 without a journal, and you are root, with one.",
)  # fmt: skip
@click.option("--room", type=click.IntRange(1), help="MiB that the disk must have, instead of what a workload needs.")
@click.option("--results", is_flag=True, help="Write RESULTS.md, with all runs and a picture beside it.")
@click.option("--into", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where to write that.")
@click.option("--redraw", is_flag=True, help="Write it anew from the runs that are there, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print every run, for programs.")
@click.pass_context
def bench(
    ctx: click.Context,
    *,
    workloads: tuple[str, ...],
    peers_listed: bool,
    peers: tuple[str, ...],
    sizes: tuple[int, ...],
    sessions: tuple[int, ...],
    stored: tuple[int, ...],
    lines: tuple[str, ...],
    reuse: bool | None,
    full: bool,
    runs: int,
    seconds: float,
    count: int,
    folder: Path | None,
    disks: tuple[str, ...],
    room: int | None,
    results: bool,
    into: Path | None,
    redraw: bool,
    as_json: bool,
) -> None:
    """Measure Postroad beside the other mail servers that are installed, all under the same load.

    Each runs as a private instance on 127.0.0.1 with a folder of its own, and takes its turn in every round. Without
    WORKLOADS, all the usual ones are measured.
    """
    target = into or (PACKAGE if FILES != PACKAGE / "files" else Path())
    if peers_listed:
        _list_peers()
        return
    if redraw:
        report.write(target, _kept(target))
        click.echo(f"Wrote {target / report.PAGE}.")
        return
    where = folder or Path(tempfile.gettempdir())
    plan = _Plan(
        workloads=[one for one in all_workloads() if one.name in workloads or (not workloads and one.usual)],
        servers=_chosen(peers),
        choice=Choice(sizes, sessions, () if reuse is None else (reuse,), stored, full),
        wanted=Wanted(runs, seconds, count, lines),
        where=where,
        room=room,
        disks=disks or (_usual_disk(where),),
        origin=Origin(datetime.now(UTC).date().isoformat(), machine(), _command(ctx)),
        results=target if results else None,
        as_json=as_json,
    )
    if gone := load.missing():
        raise click.ClickException(f"{gone} (Postfix need not run)")
    if results:
        _kept(target)  # before hours of work, not after them
    records: list[Record] = []
    trouble, stopped = "", False
    try:
        trio.run(_until_told_to_stop, plan, records)
    except* Failed as group:  # what is raised in here comes out as a group where Python is older than 3.11.4
        trouble = "; ".join(map(str, leaves(group)))
    except* KeyboardInterrupt:
        stopped = True
    if trouble:
        raise click.ClickException(trouble)
    if stopped:
        click.echo("Stopped; nothing is left behind.", err=True)
        ctx.exit(_INTERRUPTED)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(records), ensure_ascii=False, indent=2))
    ctx.exit(1 if any(_without_run(here) for here in report.places(records).values()) else 0)


def _without_run(records: Sequence[Record]) -> bool:
    """Whether something in a place never came to its end."""
    return any(all(one.failure for one in records if one.key == key) for key in {one.key for one in records})


def _list_peers() -> None:
    for server in all_servers():
        missing = server.missing()
        click.echo(f"{server.key:16}{server.version() if missing is None else f'not here: {missing}'}")


def _chosen(keys: Sequence[str]) -> list[Server]:
    """Postroad, and the peers of these keys; none given: all that are here."""
    found = []
    for server in all_servers():
        missing = server.missing()
        if server.key != OURS and keys and server.key not in keys:
            continue
        if missing is None:
            found.append(server)
        elif server.key in keys or server.key == OURS:
            raise click.ClickException(f"{server.name}: {missing}")
        else:
            click.echo(f"Left out: {server.name}: {missing}", err=True)
    return found


def _usual_disk(folder: Path) -> str:
    """Files are made and deleted many times slower without a journal: that would be measured, not the servers."""
    lacking = file_system(folder) == "ext4 without a journal"
    return "journaled" if lacking and not os.geteuid() else "plain"


def _kept(folder: Path) -> list[Record]:
    try:
        return report.kept(folder)
    except ValueError as error:
        raise click.ClickException(f"{folder / report.RUNS} cannot be read: {error}") from error


def _command(ctx: click.Context) -> str:
    """The command line, without what says nothing about the figures."""
    words = ["postroad", "bench"]
    for parameter in ctx.command.params:
        name, value = parameter.name or "", ctx.params.get(parameter.name or "")
        if name in _UNSAID or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Argument):
            words += value or ()
        elif isinstance(value, bool):
            words.append(parameter.opts[0] if value else (*parameter.secondary_opts, parameter.opts[0])[0])
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [parameter.opts[0], f"{one:g}" if isinstance(one, float) else str(one)]
    return shlex.join(words)


# -- the work


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that was chosen."""

    workloads: Sequence[Workload]
    servers: Sequence[Server]
    choice: Choice
    wanted: Wanted
    where: Path
    room: int | None  # MiB
    disks: Sequence[str]
    origin: Origin
    results: Path | None
    as_json: bool


async def _until_told_to_stop(plan: _Plan, records: list[Record]) -> None:
    """Clean up when told to stop: nobody else would end the servers and take down the disk.

    Ctrl-C comes in by this way too. As trio's own KeyboardInterrupt it could be raised in the midst of that.
    """

    async def obey() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                raise KeyboardInterrupt

    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey)
        with screen() as shown:
            await _all(plan, records, shown)
        nursery.cancel_scope.cancel()


async def _all(plan: _Plan, records: list[Record], shown: Screen) -> None:
    shown.say(plan.origin.machine)
    cells = [(workload, cell) for workload in plan.workloads for cell in workload.cells(plan.choice)]
    left = len(cells) * len(plan.disks)
    turns = 0
    room = plan.room or max(workload.room for workload in plan.workloads)
    for kind in plan.disks:
        async with DISKS[kind](plan.where, room) as disk:
            for workload, cell in cells:
                shown.say(f"\n{workload.name}: {workload.title}\n{cell}, on {kind}: {disk.file_system}")
                trials = await workload.trials(plan.servers, cell, disk, plan.wanted)
                each = len(trials) * (plan.wanted.runs + (0 if plan.wanted.count else 2))
                shown.expect(turns + left * each)
                witness = _Witness(Setting(workload.name, kind, disk.file_system, cell, plan.origin), shown)
                await rounds(trials, plan.wanted, witness)
                turns, left = turns + each, left - 1
                _finish(plan, records, witness.records)


def _finish(plan: _Plan, records: list[Record], new: Sequence[Record]) -> None:
    """Show one cell, and keep it: who stops the benchmarks in the midst keeps what was done."""
    records += new
    if not new:
        return
    if not plan.as_json:
        _show(report.table(new))
    if plan.results is not None:
        report.write(plan.results, report.merged(report.kept(plan.results), records))


class _Witness:
    """Makes records of what happens, and shows it."""

    def __init__(self, setting: Setting, shown: Screen) -> None:
        self.records: list[Record] = []
        self._setting = setting
        self._shown = shown

    def turn(self, number: int, trial: Trial) -> None:
        self._shown.turn(number, trial)

    def ran(self, number: int, trial: Trial, run: Run) -> None:
        self._shown.ran(number, trial, run)
        if number:
            self.records.append(report.record(self._setting, trial, number, run))

    def failed(self, number: int, trial: Trial, reason: str) -> None:
        self._shown.failed(number, trial, reason)
        self.records.append(report.record(self._setting, trial, number, reason))


def _show(table: Table) -> None:
    """On a terminal in columns that fit it, elsewhere one line a row."""
    shown = Shown(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    console = Console(width=None if sys.stdout.isatty() else 240)
    console.print(shown)
