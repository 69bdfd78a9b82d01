"""`postroad queue`: what waits, what is parked, and what becomes of that."""

from collections.abc import Iterator
from typing import Any

import click
import trio
import zmq

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail
from engine.config import Config
from engine.lanes import MAIL
from engine.links.request import Asker, Unanswered
from engine.message import MessageId
from engine.queue.store import QUARANTINED, WAITING, Record, Shard
from engine.runtime.places import between
from engine.runtime.roles import QUEUE_SERVICE
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
    _each(configuration(ctx), ids, "release", "Released")


@queue.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@config_option
@click.pass_context
def delete(ctx: click.Context, ids: tuple[str, ...]) -> None:
    """Delete parked messages; nobody is told. The server must be running."""
    _each(configuration(ctx), ids, "delete", "Deleted")


def _records(config: Config) -> Iterator[tuple[Shard, Record]]:
    """All records of all shards, read beside the running server."""
    for path in sorted((config.server.data / "queue").glob("*/data.mdb")):
        shard = Shard(config.server.data, int(path.parent.name), map_size=config.queue.map_size, read_only=True)
        try:
            for record in shard.all_records():
                yield shard, record
        finally:
            shard.close()


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
        "reason": record.reason,
    }


def _each(config: Config, ids: tuple[str, ...], function: str, done: str) -> None:
    wanted = {}
    for text in ids:
        try:
            wanted[MessageId.parse(text)] = text
        except ValueError:
            raise click.BadParameter(f"{text!r} is no message id; `postroad queue list` shows them") from None
    shards = {record.id: shard.number for shard, record in _records(config) if record.id in wanted}
    running = State(config.server.data).running()
    if running is None:
        fail(f"no server runs on {config.server.data}; start it first")
    failed = False
    for identity, text in wanted.items():
        said = "there is no such message" if identity not in shards else None
        if said is None:
            said = trio.run(_ask, running.folder, running.lives, shards[identity], function, identity)
        failed |= bool(said)
        click.echo(f"{text}: {said}" if said else f"{done} {text}.", err=bool(said))
    if failed:
        raise SystemExit(1)


async def _ask(folder: str, lives: dict[str, int], shard: int, function: str, identity: MessageId) -> str:
    """What the owner of the shard says: empty when it has done it."""
    worker = f"{MAIL}-{shard}"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    said = f"{worker} does not answer"
    try:
        async with trio.open_nursery() as nursery:
            asker = Asker(context)
            nursery.start_soon(asker.serve, between(folder, worker, lives.get(worker, 0), QUEUE_SERVICE))
            with trio.move_on_after(10):
                try:
                    said = await asker.ask(function, bytes(identity))
                except Unanswered as error:
                    said = str(error)
            nursery.cancel_scope.cancel()
    finally:
        context.destroy(linger=0)
    return said
