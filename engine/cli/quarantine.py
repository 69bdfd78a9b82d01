"""`postroad quarantine`: parked mail is looked for and looked at, let go on, and deleted."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import click

from engine.cli import opening, tables, workers
from engine.cli.changing import running
from engine.cli.configured import config_option, configuration, fail
from engine.cli.teaching import Kind, Lessons
from engine.config import Config, secrets_in
from engine.message import MessageId
from engine.observe.visible import visible
from engine.operations import quarantine as operations
from engine.operations.operator import Operator
from engine.operations.quarantine import Chosen, Parked, ParkedRow
from engine.operations.reading import Ask
from engine.protocols.sealed import Expired, Forged
from engine.quarantine.held import Wanted, shards
from engine.quarantine.links import Action, verify
from engine.quarantine.meant import NotParked, NotTheirs, meant
from engine.queue.store import Shard
from engine.units import Duration

_DONE: dict[Action, str] = {"release": "Released", "delete": "Deleted"}

COLUMNS = ("id", "parked", "from", "to", "subject", "score", "stage", "reason")


class _Age(click.ParamType[Duration]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        try:
            return Duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_AGE = _Age()


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((
        click.option("--to", metavar="ADDRESS", default="", help="For this recipient, or for those at this domain."),
        click.option("--from", "sender", metavar="ADDRESS", default="", help="From this sender, or this domain."),
        click.option("--reason", metavar="TEXT", default="", help="With this in the reason."),
        click.option("--stage", metavar="NAME", default="", help="Parked by this stage."),
        click.option("--older", type=_AGE, metavar="AGE", help="Parked longer ago than this, such as 12h or 7d."),
        click.option("--newer", type=_AGE, metavar="AGE", help="Parked within this time."),
        click.option("--score", type=float, metavar="NUMBER", help="With at least this scan.score."),
    )):  # fmt: skip
        function = option(function)
    return function


def _wanted(*, older: Duration | None, newer: Duration | None, **others: Any) -> Wanted:
    now = time.time()
    times: dict[str, Any] = {} if older is None else {"until": now - older}
    if newer is not None:
        times["after"] = now - newer
    return Wanted(**times, **others)


@click.group()
def quarantine() -> None:
    """Quarantine: mail that was taken and parked, until somebody decides."""


@quarantine.command(name="list")
@_filters
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, /, as_json: bool, **filters: Any) -> None:
    """Show what is parked, the oldest first."""
    config = configuration(ctx)
    with shards(config.server.data, config.queue.map_size) as found:
        rows = operations.listed(found, opening.onlooker(), _wanted(**filters))
    tables.show(map(_row, rows), COLUMNS, as_json=as_json)


@quarantine.command()
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, identity: str, as_json: bool) -> None:
    """Show a parked message: its envelope, what stages found, its header, and how its text begins."""
    config = configuration(ctx)
    with shards(config.server.data, config.queue.map_size) as opened:
        one = operations.shown(opened, opening.onlooker(), _identity(identity))
    if one is None:
        fail(f"{identity}: it is not parked")
    about = _about(one)
    if as_json:
        tables.show_json(about)
        return
    facts, field, text = about.pop("facts"), about.pop("header"), about.pop("text")
    for name, value in about.items():
        click.echo(visible(f"{name}: {', '.join(value) if isinstance(value, list) else value}"))
    click.echo("\nfacts:")
    for name, value in sorted(facts.items()):
        click.echo(visible(f"  {name} = {value}").replace("\n", "\\n"))
    click.echo(visible(f"\nheader:\n{_indented(field)}\n\ntext:\n{_indented(text)}"))


def _choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    token = click.option(
        "--token", metavar="TOKEN", default="", help="What a digest has for a message: for who got that digest."
    )
    return click.argument("ids", nargs=-1, metavar="[ID]...")(_filters(token(function)))


@quarantine.command()
@_choosing
@click.option("--train", is_flag=True, help="Teach the spam filter that they are wanted.")
@config_option
@click.pass_context
def release(ctx: click.Context, /, ids: tuple[str, ...], token: str, **filters: Any) -> None:
    """Let parked messages go on: those of these IDs, or all that the options say. The server must be running.

    With --to they go on for those recipients alone, and stay parked for the others.
    """
    _decide(ctx, "release", ids, token, filters)


@quarantine.command()
@_choosing
@click.option("--train", is_flag=True, help="Teach the spam filter that they are spam.")
@config_option
@click.pass_context
def delete(ctx: click.Context, /, ids: tuple[str, ...], token: str, **filters: Any) -> None:
    """Delete parked messages: those of these IDs, or all that the options say. Nobody is told.

    With --to they are deleted for those recipients alone. The server must be running.
    """
    _decide(ctx, "delete", ids, token, filters)


@quarantine.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--ham", "kind", flag_value="ham", help="They are mail that is wanted.")
@click.option("--spam", "kind", flag_value="spam", help="They are spam.")
@config_option
@click.pass_context
def train(ctx: click.Context, ids: tuple[str, ...], kind: Kind | None) -> None:
    """Teach the spam filter what parked messages are. They stay parked."""
    if kind is None:
        raise click.UsageError("say what the messages are: --spam or --ham")
    config = configuration(ctx)
    with Lessons(ctx, kind) as lessons, shards(config.server.data, config.queue.map_size) as opened:
        chosen = _chosen(opened, ids, {"older": None, "newer": None})
        for one in chosen:
            lessons.put_by(one.held.message)
        lessons.learn()
    if len(chosen) < len(set(ids)):
        raise SystemExit(1)


def _chosen(opened: list[Shard], ids: tuple[str, ...], filters: dict[str, Any]) -> list[Chosen]:
    """Those that are meant; of those that are not there it is said."""
    if not ids and not any(value not in ("", None) for value in filters.values()):
        raise click.UsageError(
            "name the IDs of messages, or say which by options; `postroad quarantine list` shows all"
        )
    chosen, missing = operations.choose(opened, opening.onlooker(), map(_identity, ids), _wanted(**filters))
    for identity in missing:
        _say_not_parked(identity)
    return chosen


def _say_not_parked(identity: MessageId) -> None:
    click.echo(f"{identity}: it is not parked", err=True)


def _by_token(config: Config, opened: list[Shard], token: str, function: Action) -> Iterator[Chosen]:
    """The one that a token is about. One that is no good ends the command with exit code 1."""
    settings = config.quarantine
    if settings is None or settings.secret_file is None:
        fail("[quarantine] has no secret_file: no token was made here")
    try:
        link = verify(token, secrets_in(settings.secret_file), time.time())
    except (Forged, Expired) as error:
        fail(str(error))
    if link.action != function:
        fail(f"this token is one to {link.action} a message")
    try:
        yield Chosen(meant(opened, link, settings), (link.recipient,))
    except NotParked:
        _say_not_parked(link.identity)
    except NotTheirs as error:
        fail(str(error))


def _decide(ctx: click.Context, function: Action, ids: tuple[str, ...], token: str, filters: dict[str, Any]) -> None:
    """Ask the owners of the shards. Exit code 1, if anything that was named could not be done."""
    config = configuration(ctx)
    train = filters.pop("train")
    if token and (ids or any(value not in ("", None) for value in filters.values())):
        raise click.UsageError("a token says by itself which message is meant")
    lessons = Lessons(ctx, "ham" if function == "release" else "spam") if train else None
    with ExitStack() as stack:
        if lessons:
            stack.enter_context(lessons)
        opened = stack.enter_context(shards(config.server.data, config.queue.map_size))
        chosen = list(_by_token(config, opened, token, function) if token else _chosen(opened, ids, filters))
        ask = partial(workers.ask, running(config)) if chosen else None
        done = 0
        for one in chosen:
            assert ask is not None
            done += _done(ask, opening.operator_of(config.server.data), function, one, lessons)
        if lessons:
            lessons.learn()
    if done < (len(set(ids)) or len(chosen) or bool(token)):
        raise SystemExit(1)


def _done(ask: Ask, by: Operator, function: Action, one: Chosen, lessons: Lessons | None) -> bool:
    """Whether it was done. It is learnt only then, and put by before, when it can still be read."""
    if lessons:
        lessons.put_by(one.held.message)
    said = operations.decide(ask, by, function, one)
    click.echo(visible(f"{one.id}: {said}" if said else f"{_DONE[function]} {one.id}."), err=bool(said))
    if lessons and said:
        lessons.leave_out(one.id)
    return not said


def _identity(text: str) -> MessageId:
    try:
        return MessageId.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no message id; `postroad quarantine list` shows them") from None


def _row(one: ParkedRow) -> dict[str, Any]:
    return {
        "id": one.id,
        "parked": tables.timestamp(one.parked),
        "from": one.sender or "<>",
        "to": list(one.to),
        "subject": one.subject,
        "score": "" if one.score is None else one.score,
        "stage": one.stage,
        "reason": one.reason,
        "size": one.size,
    }


def _about(one: Parked) -> dict[str, Any]:
    return {
        **_row(one),
        "arrived": tables.timestamp(one.arrived),
        "peer": one.peer,
        "helo": one.helo,
        "login": one.login,
        "attempts": one.attempts,
        "facts": one.facts,
        "header": one.header,
        "text": one.text,
    }


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
