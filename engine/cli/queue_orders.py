"""`postroad queue hold`, `release`, `retry`, `reroute`, `expire`, `bounce` and `delete`: what becomes of messages."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click
import trio
from msgspec.structs import replace

from engine.cli import opening, tables
from engine.cli.configured import basis, config_option, configuration, fail
from engine.cli.errors import inner
from engine.cli.progress import progress
from engine.cli.selecting import selected
from engine.config import Basis
from engine.links.request import Unanswered
from engine.observe.visible import visible
from engine.operations import orders
from engine.operations import queue as operations
from engine.operations.operator import user
from engine.operations.orders import Report
from engine.queue.orders import MEANT, RETURNED, RETURNED_CODE, Order, Word
from engine.queue.search import Selection
from engine.storage.environment import StorageError

DONE: Mapping[Order, str] = {
    "retry": "tried now",
    "hold": "held",
    "release": "released",
    "reroute": "rerouted",
    "expire": "given up",
    "bounce": "returned",
    "delete": "deleted",
}

_SUBSET = (
    click.argument("which", nargs=-1, metavar="[ID|CONDITION]..."),
    click.option("--all", "everything", is_flag=True, help="All messages for which this can be done."),
    click.option("--dry-run", is_flag=True, help="Only count them."),
    click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked."),
    click.option("--json", "as_json", is_flag=True, help="For programs."),
    config_option,
    click.pass_context,
)


def _on_a_subset(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of commands that do something to a part of what is in the queue."""
    for decorate in reversed(_SUBSET):
        command = decorate(command)
    return command


@click.command()
@_on_a_subset
def retry(ctx: click.Context, **given: Any) -> None:
    """Try messages that wait now. Those of a whole line follow the first one, if that gets through."""
    _order(ctx, Word("retry"), **given)


@click.command()
@_on_a_subset
def hold(ctx: click.Context, **given: Any) -> None:
    """Hold messages that wait back, until they are released."""
    _order(ctx, Word("hold"), **given)


@click.command()
@_on_a_subset
def release(ctx: click.Context, **given: Any) -> None:
    """Let messages go on: what was held is again where it was, what was parked goes on from behind `queue`."""
    _order(ctx, Word("release"), **given)


@click.command()
@click.option("--lane", default="", metavar="LANE", help="They go on in this lane: behind its `queue`, if it has one.")
@click.option("--to-site", metavar="HOST[:PORT]", help="They go to this server, whatever the DNS says.")
@click.option("--by-dns", is_flag=True, help="They no longer go to the server that --to-site has named.")
@_on_a_subset
def reroute(ctx: click.Context, lane: str, to_site: str | None, by_dns: bool, **given: Any) -> None:
    """Send messages another way, and try them now."""
    if not (lane or to_site or by_dns) or (to_site and by_dns):
        raise click.UsageError("say where: --lane, and --to-site or --by-dns")
    try:
        orders.check_way(configuration(ctx), lane, to_site or "")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _order(ctx, Word("reroute", lane=lane, to_site="" if by_dns else to_site or None), **given)


@click.command()
@_on_a_subset
def expire(ctx: click.Context, **given: Any) -> None:
    """Give messages up, and tell their senders that they could not be delivered in time."""
    _order(ctx, Word("expire"), **given)


def _code(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(orders.FAILURE, value):
        raise click.BadParameter(f"{value!r} is no enhanced status code of a failure, such as 5.7.1 (RFC 3463)")
    return value


@click.command()
@click.option("--text", default=RETURNED, metavar="TEXT", help="What the senders are told.")
@click.option("--code", default=RETURNED_CODE, callback=_code, metavar="CODE", help="The enhanced status code.")
@_on_a_subset
def bounce(ctx: click.Context, text: str, code: str, **given: Any) -> None:
    """Return messages to their senders at once, with a text of yours."""
    if not text.strip() or not text.isprintable():
        raise click.UsageError("--text must be one line")
    _order(ctx, Word("bounce", text=text, code=code), **given)


@click.command()
@_on_a_subset
def delete(ctx: click.Context, **given: Any) -> None:
    """Delete messages, whatever they wait for; nobody is told."""
    _order(ctx, Word("delete"), **given)


def _order(
    ctx: click.Context, word: Word, *, which: tuple[str, ...], everything: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Say how many they are, ask, and have it done."""
    if not (which or everything):
        raise click.UsageError("say which: by ids, by a condition, or --all")
    if which and everything:
        raise click.UsageError("say either which, or --all")
    config, selection = basis(ctx), selected(which, MEANT[word.order])
    chosen = operations.choose(config, selection)
    count = sum(map(len, chosen.values()))
    missing = _say_missing(config, selection, chosen)
    word = replace(word, by=user(), which=selection.words or "all")
    report = Report(count)
    if not dry_run and count:
        _ask(word.order, count, yes=yes or (selection.condition is None and not everything))
        report = _carried_out(config, word, selection, chosen)
    if as_json:
        about = {"order": word.order, "which": word.which, "selected": count, "done": report.done, "dry_run": dry_run}
        tables.show_json(about)
    elif dry_run:
        click.echo(f"{tables.counted(count, 'message')} would be {DONE[word.order]}.")
    else:
        _say_done(word, selection, report)
    if missing:
        raise SystemExit(1)


def _ask(order: Order, count: int, *, yes: bool) -> None:
    """Nobody is asked about messages that were named one by one."""
    if yes:
        return
    what = f"{tables.counted(count, 'message')} will be {DONE[order]}"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}: say --yes if that is what you want, or --dry-run")
    click.confirm(f"{what}. Go on?", abort=True, err=True)


def _carried_out(config: Basis, word: Word, selection: Selection, chosen: operations.Chosen) -> Report:
    """How far it came. If it broke off, that is said, and the command ends with exit code 1."""
    report = Report(sum(map(len, chosen.values())))
    try:
        if word.order == "retry" and selection.line:
            trio.run(orders.take_turn, config, selection.line, word.by)
            report.done = report.total
        else:
            with progress(word.order.capitalize(), "messages") as told:
                trio.run(orders.carry_out, config, word, chosen, report, told)
    except BaseException as error:
        errors = list(inner(error))
        if not all(isinstance(one, KeyboardInterrupt | Unanswered | StorageError) for one in errors):
            raise
        fail(_broken_off(word, report, errors[0]))
    finally:
        trio.run(orders.noted, opening.operator_of(config.server.data), word, report)
    return report


def _broken_off(word: Word, report: Report, error: BaseException) -> str:
    why = "broken off" if isinstance(error, KeyboardInterrupt) else str(error)
    perhaps = f", and up to {report.open:,} more, which were not answered for" if report.open else ""
    return (
        f"{why}: {report.done:,} of {tables.counted(report.total, 'message')} {DONE[word.order]}{perhaps}; "
        "the others are as they were"
    )


def _say_done(word: Word, selection: Selection, report: Report) -> None:
    if word.order == "retry" and selection.line:
        click.echo(f"{tables.counted(report.total, 'message')} in line: the first goes ahead now.")
        return
    left = report.total - report.done
    because = ", or are held for their sender" if word.order == "retry" else ""
    others = f" {left:,} are on their way already{because}." if left else ""
    click.echo(f"{tables.counted(report.done, 'message')} {DONE[word.order]}.{others}")


def _say_missing(config: Basis, selection: Selection, chosen: operations.Chosen) -> int:
    """How many of the ids cannot be meant; of each it is said why."""
    missing = operations.missing(config, selection, chosen)
    for identity, why in missing:
        click.echo(visible(f"{identity}: {why}"), err=True)
    return len(missing)
