"""`postroad queue verify`, `snapshot` and `restore`: whether all of it is there, and a copy of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from engine.cli import tables
from engine.cli.configured import basis, config_option, fail
from engine.config import Basis
from engine.operations.operator import user
from engine.operations.shards import opened
from engine.queue.snapshot import restore as put_back
from engine.queue.snapshot import take
from engine.queue.store import shard_numbers
from engine.queue.verify import Verification
from engine.runtime.state import State
from engine.units import measured

_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command()
@_JSON
@config_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Check every message against every index and its content, beside the running server or without it."""
    config = basis(ctx)
    numbers = shard_numbers(config.server.data)
    messages = 0
    found: list[dict[str, object]] = []
    with _progress("Looked at") as told:
        for number in numbers:
            with opened(config, number) as shard:
                verification = Verification(shard)
                for problem in verification.problems(lambda seen, before=messages: told(before + seen)):  # type: ignore[misc]
                    found.append({"shard": number, "problem": problem})
                    if not as_json:
                        click.echo(f"shard {number}: {problem}", err=True)
                messages += verification.messages
    if as_json:
        tables.show_json({"messages": messages, "shards": len(numbers), "problems": found})
        raise SystemExit(bool(found))
    about = f"{tables.counted(messages, 'message')} in {tables.counted(len(numbers), 'shard')}"
    if found:
        contradictions = tables.counted(len(found), "contradiction")
        fail(f"{about}: {contradictions}; stop the server, and keep a copy of its data folder")
    click.echo(f"{about}: no contradiction.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_JSON
@config_option
@click.pass_context
def snapshot(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Write all messages to FILE, beside the running server. A name that ends in .gz is compressed."""
    config = basis(ctx)
    if file.exists():
        fail(f"{file} exists already")
    with _progress("Written") as told:
        count = take(config.server.data, file, map_size=config.queue.map_size, told=told)
    if as_json:
        tables.show_json({"messages": count, "file": str(file)})
        return
    click.echo(f"{tables.counted(count, 'message')} in {file}.")


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--held", is_flag=True, help="Put back, and hold, what is not in the queue; the server may run.")
@_JSON
@config_option
@click.pass_context
def restore(ctx: click.Context, file: Path, held: bool, as_json: bool) -> None:
    """Put the messages in FILE into the queue, which must be empty. The server must not run.

    With --held neither must be: what is in FILE and not in the queue is put back, and what waited is held, for much of
    it may have been delivered since. `postroad queue release` lets it go.
    """
    config = basis(ctx)
    if held:
        _put_back(config, file, as_json=as_json)
        return
    state = State(config.server.data)
    config.server.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.take()  # until this process ends: no server starts meanwhile
    with _progress("Unpacked", measured) as told:
        count = put_back(file, config.server.data, map_size=config.queue.map_size, told=told)
    if as_json:
        tables.show_json({"messages": count, "file": str(file)})
        return
    again = "What was delivered after the snapshot was taken is sent again once the server runs."
    click.echo(f"{tables.counted(count, 'message')} restored. {again}")


def _put_back(config: Basis, file: Path, *, as_json: bool) -> None:
    """Beside the running server, or without it."""
    from engine.operations.snapshots import restored

    with _progress("Put back") as told:
        found = restored(config, file, user(), lambda done, _: told(done))
    if as_json:
        tables.show_json({"messages": found.messages, "present": found.present, "put_back": found.put_back})
        return
    there = tables.counted(found.present, "message")
    click.echo(f"{tables.counted(found.put_back, 'message')} put back; {there} in the queue already.")


def _messages(count: int) -> str:
    return tables.counted(count, "message")


@contextmanager
def _progress(what: str, said: Callable[[int], str] = _messages) -> Iterator[Callable[[int], None]]:
    """Tells on a terminal how many there have been."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(what) as status:
        yield lambda count: status.update(f"{what} {said(count)}")
