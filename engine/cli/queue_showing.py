"""`postroad queue show`: a single message, and what is in it."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from engine.cli import tables
from engine.cli.configured import basis, config_option, fail
from engine.config import Basis
from engine.message import MessageId
from engine.observe.visible import on_one_line
from engine.operations import parts
from engine.operations import queue as operations
from engine.queue.store import HELD, WAITING
from engine.storage.environment import StorageError
from engine.units import measured, spelled


@click.command()
@click.argument("identity", metavar="ID")
@click.option("--content", "whole", is_flag=True, help="Print the message itself, as it would go out.")
@click.option("--part", metavar="N", default="", help="Print one of its parts, decoded: 1, or 2.1 for one in another.")
@click.option("--raw", is_flag=True, help="With --part: as it stands in the message.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, *, identity: str, whole: bool, part: str, raw: bool, as_json: bool) -> None:
    """Show a message: its envelope, what stages found, what its last attempt met, its parts, and what happens next."""
    if raw and not part:
        raise click.UsageError("--raw goes with --part")
    config = basis(ctx)
    try:
        wanted = MessageId.parse(identity)
    except ValueError:
        raise click.BadParameter(f"{identity!r} is no message id; `postroad queue list` shows them") from None
    if whole or part:
        _print_content(_chunks(config, wanted, part, raw=raw), identity)
        return
    about = operations.about(config, wanted)
    if about is None:
        fail(f"{identity}: there is no such message")
    about["parts"] = [msgspec.structs.asdict(one) for one in _parts(config, wanted)]
    if as_json:
        tables.show_json(about)
        return
    for line in _told(about, time.time()):
        click.echo(on_one_line(line))


def _chunks(config: Basis, wanted: MessageId, part: str, *, raw: bool) -> Iterator[bytes] | None:
    if not part:
        return operations.content(config, wanted)
    try:
        return parts.part(config, wanted, part, raw=raw)
    except parts.NoSuchPart as error:
        fail(str(error))


def _parts(config: Basis, wanted: MessageId) -> Sequence[parts.PartRow]:
    """Nothing where the content cannot be read, which its header says."""
    with contextlib.suppress(StorageError):
        return parts.parts(config, wanted) or ()
    return ()


def _print_content(chunks: Iterator[bytes] | None, identity: str) -> None:
    if chunks is None:
        fail(f"{identity}: there is no such message")
    stream = sys.stdout.buffer
    for chunk in chunks:
        stream.write(chunk)
    stream.flush()


def _told(about: dict[str, Any], now: float) -> Iterator[str]:
    """Line by line, for people."""
    session = {name: value for name, value in about["session"].items() if value}
    yield f"id: {about['id']}"
    yield f"state: {about['state']}"
    yield f"from: {about['sender'] or '<>'}"
    for one in about["recipients"]:
        asked = "".join(f", {name} {one[name]}" for name in ("lane", "notify", "original") if one[name])
        yield f"to: {one['address']}{asked}"
    yield f"arrived: {tables.timestamp(about['arrived'])}, {spelled(max(now - about['arrived'], 0))} ago"
    yield f"by: {', '.join(f'{name} {value}' for name, value in session.items())}"
    yield f"size: {measured(about['size'])}"
    yield f"lane: {about['lane']}"
    if about["tenant"]:
        yield f"tenant: {about['tenant']}"
    if any(about["timing"].values()):
        yield f"asked for: {', '.join(f'{name} {value}' for name, value in about['timing'].items() if value)}"
    yield f"attempts: {about['attempts']}"
    if about["sites"]:
        yield f"site: {', '.join(about['sites'])}"
    if about["reply"]:
        yield f"last: {about['reply']}"
    yield f"next: {_next(about, now)}"
    yield from ("", "facts:")
    yield from (f"  {name} = {value}" for name, value in sorted(about["facts"].items()))
    yield from ("", "parts:")
    for part in about["parts"]:
        yield "  " + " ".join(filter(None, (part["number"], part["type"], part["name"], measured(part["size"]))))
    yield from ("", "header:")
    yield from (f"  {line}" for line in about["header"].expandtabs().split("\n"))


def _next(about: dict[str, Any], now: float) -> str:
    """What happens to it by itself."""
    since = tables.timestamp(about["decided"])
    if about["state"] == HELD:
        where = f", then it stands in the line {about['line']} again" if about["line"] else ""
        return f"nothing: held since {since}; `postroad queue release {about['id']}` lets it go{where}"
    if about["state"] != WAITING:
        return f"nothing: parked since {since}; `postroad queue release {about['id']}` lets it go on"
    when = "now" if about["due"] <= now else f"in {spelled(about['due'] - now)}, at {tables.timestamp(about['due'])}"
    given_up = f"given up at {tables.timestamp(about['expires'])}"
    if about["line"]:
        return f"its line {about['line']} has its turn {when}; {given_up}"
    return f"tried {when}; {given_up}"
