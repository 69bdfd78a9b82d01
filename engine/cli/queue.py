"""`postroad queue`: what waits, what is parked, and what becomes of that."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from engine.cli import tables
from engine.cli.changing import running
from engine.cli.configured import config_option, configuration, fail
from engine.cli.deciding import Decision, decided
from engine.cli.subset import Order, Subset, carried_out, take_turn
from engine.config import Config
from engine.links.request import Unanswered
from engine.message import MessageId
from engine.queue.snapshot import restore as put_back
from engine.queue.snapshot import take
from engine.queue.store import QUARANTINED, WAITING, Record, Shard, shard_numbers
from engine.queue.verify import Verification
from engine.runtime.state import State


@click.group()
def queue() -> None:
    """The queue: what waits for its next attempt, and what is parked."""


@queue.command(name="list")
@click.option("--state", type=click.Choice([WAITING, QUARANTINED]), help="Only messages in this state.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, state: str | None, as_json: bool) -> None:
    """Show the messages in the queue, the oldest first."""
    rows = [_row(shard, record) for shard, record in _records(configuration(ctx)) if state in (None, record.state)]
    rows.sort(key=lambda row: str(row["id"]))
    tables.show(rows, ("id", "state", "from", "to", "size", "attempts", "due", "reason"), as_json=as_json)


@queue.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@config_option
@click.pass_context
def release(ctx: click.Context, ids: tuple[str, ...]) -> None:
    """Let parked messages go on, from behind `queue`. The server must be running."""
    _each(configuration(ctx), ids, "release")


@queue.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@config_option
@click.pass_context
def delete(ctx: click.Context, ids: tuple[str, ...]) -> None:
    """Delete parked messages; nobody is told. The server must be running."""
    _each(configuration(ctx), ids, "delete")


_SUBSET = (
    click.argument("ids", nargs=-1, metavar="[ID]..."),
    click.option("--to", default="", metavar="ADDRESS|DOMAIN", help="Only messages to this address or domain."),
    click.option("--from", "sender", default="", metavar="ADDRESS|DOMAIN", help='Only from here; "<>": only reports.'),
    click.option("--line", default="", metavar="LINE", help="Only messages that stand in this line."),
    click.option("--all", "everything", is_flag=True, help="All messages that wait."),
    click.option("--dry-run", is_flag=True, help="Only count them."),
    config_option,
    click.pass_context,
)


def _on_a_subset(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of commands that do something to a part of what waits."""
    for decorate in reversed(_SUBSET):
        command = decorate(command)
    return command


@queue.command()
@_on_a_subset
def retry(ctx: click.Context, ids: tuple[str, ...], dry_run: bool, **which: Any) -> None:
    """Try messages that wait now, whether or not the server runs: by ID, or all that meet the options."""
    _order(configuration(ctx), "retry", _subset(ids, **which), dry_run=dry_run)


@queue.command()
@_on_a_subset
def expire(ctx: click.Context, ids: tuple[str, ...], dry_run: bool, **which: Any) -> None:
    """Give up messages that wait, and tell their senders: by ID, or all that meet the options."""
    _order(configuration(ctx), "expire", _subset(ids, **which), dry_run=dry_run)


@queue.command()
@config_option
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Check every message against every index and its content, beside the running server or without it."""
    config = configuration(ctx)
    numbers = shard_numbers(config.server.data)
    messages = found = 0
    with _progress("Looked at") as told:
        for number in numbers:
            with _shard(config, number) as shard:
                verification = Verification(shard)
                for problem in verification.problems(lambda seen, before=messages: told(before + seen)):  # type: ignore[misc]
                    click.echo(f"shard {number}: {problem}", err=True)
                    found += 1
                messages += verification.messages
    about = f"{tables.counted(messages, 'message')} in {tables.counted(len(numbers), 'shard')}"
    if found:
        fail(f"{about}: {tables.counted(found, 'contradiction')}; stop the server, and keep a copy of its data folder")
    click.echo(f"{about}: no contradiction.")


@queue.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.pass_context
def snapshot(ctx: click.Context, file: Path) -> None:
    """Write all messages to FILE, beside the running server. A name that ends in .gz is compressed."""
    config = configuration(ctx)
    if file.exists():
        fail(f"{file} exists already")
    with _progress("Written") as told:
        count = take(config.server.data, file, map_size=config.queue.map_size, told=told)
    click.echo(f"{tables.counted(count, 'message')} in {file}.")


@queue.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@config_option
@click.pass_context
def restore(ctx: click.Context, file: Path) -> None:
    """Put the messages in FILE into the queue, which must be empty. The server must not run."""
    config = configuration(ctx)
    state = State(config.server.data)
    config.server.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.take()  # until this process ends: no server starts meanwhile
    count = put_back(file, config.server.data, map_size=config.queue.map_size)
    again = "What was delivered after the snapshot was taken is sent again once the server runs."
    click.echo(f"{tables.counted(count, 'message')} restored. {again}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Tells on a terminal how many messages there have been."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(what) as status:
        yield lambda count: status.update(f"{what} {count:,} messages")


def _records(config: Config) -> Iterator[tuple[Shard, Record]]:
    """All records of all shards, read beside the running server."""
    for number in shard_numbers(config.server.data):
        with _shard(config, number) as shard:
            for record in shard.all_records():
                yield shard, record


def _shard(config: Config, number: int) -> closing[Shard]:
    return closing(Shard(config.server.data, number, map_size=config.queue.map_size, read_only=True))


def _row(shard: Shard, record: Record) -> dict[str, Any]:
    turn = shard.turn(record.line) if record.line else None  # what stands in line goes out by itself only at the end
    due = max(record.due if turn is None else min(turn, record.due), 0.0)
    return {
        "id": str(record.id),
        "state": record.state,
        "from": record.envelope.sender or "<>",
        "to": [recipient.address for recipient in record.envelope.recipients],
        "size": record.size,
        "attempts": record.envelope.attempts,
        "due": tables.timestamp(due) if record.state == WAITING else "",
        "line": record.line,
        "reason": record.reason,
    }


def _subset(ids: tuple[str, ...], to: str, sender: str, line: str, everything: bool) -> Subset:
    if not (ids or to or sender or line or everything):
        raise click.UsageError("say which: IDs, --to, --from, --line, or --all")
    return Subset(frozenset(_identities(ids)), to, sender, line)


def _order(config: Config, order: Order, subset: Subset, *, dry_run: bool) -> None:
    found: dict[int, list[MessageId]] = {}
    for shard, record in _records(config):
        if subset.has(record):
            found.setdefault(shard.number, []).append(record.id)
    count = sum(map(len, found.values()))
    for missing in subset.ids - {identity for identities in found.values() for identity in identities}:
        click.echo(f"{missing}: no such message waits", err=True)
    if dry_run:
        click.echo(f"{tables.counted(count, 'message')} would be {_DONE[order]}.")
        return
    try:
        if order == "retry" and subset.is_line:
            for number in found:
                take_turn(config, subset.line, number)
            click.echo(f"{tables.counted(count, 'message')} in line: the first goes ahead now.")
            return
        done = sum(carried_out(config, order, number, identities) for number, identities in found.items())
    except Unanswered as error:
        fail(str(error))
    left = f" {count - done:,} are on their way already, or are held for their sender." if done < count else ""
    click.echo(f"{tables.counted(done, 'message')} {_DONE[order]}.{left}")
    if subset.ids and count < len(subset.ids):
        raise SystemExit(1)


_DONE: dict[Order, str] = {"retry": "tried now", "expire": "given up"}


def _identities(ids: tuple[str, ...]) -> dict[MessageId, str]:
    wanted = {}
    for text in ids:
        try:
            wanted[MessageId.parse(text)] = text
        except ValueError:
            raise click.BadParameter(f"{text!r} is no message id; `postroad queue list` shows them") from None
    return wanted


def _each(config: Config, ids: tuple[str, ...], decision: Decision) -> None:
    wanted = _identities(ids)
    shards = {record.id: shard.number for shard, record in _records(config) if record.id in wanted}
    server = running(config)
    for missing in wanted.keys() - shards.keys():
        click.echo(f"{missing}: there is no such message", err=True)
    done = [decided(server, decision, shard, identity) for identity, shard in shards.items()]
    if sum(done) < len(wanted):
        raise SystemExit(1)
