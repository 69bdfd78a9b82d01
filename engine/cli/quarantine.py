"""`postroad quarantine`: parked mail is looked for and looked at, let go on, and deleted."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import click

from engine.cli import tables
from engine.cli.changing import running
from engine.cli.configured import config_option, configuration, fail
from engine.cli.deciding import decided
from engine.cli.teaching import Kind, Lessons
from engine.config import Config, secrets_in
from engine.message import MessageId
from engine.observe.visible import visible
from engine.quarantine.held import Held, Wanted, find, held, is_at, may_release, shards
from engine.quarantine.links import Action, Expired, Forged, verify
from engine.quarantine.look import beginning, header
from engine.queue.store import Shard
from engine.runtime.state import Running
from engine.units import Duration

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
        rows = [_row(one) for one in sorted(held(found, _wanted(**filters)), key=lambda one: one.since)]
    tables.show(rows, COLUMNS, as_json=as_json)


@quarantine.command()
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, identity: str, as_json: bool) -> None:
    """Show a parked message: its envelope, what stages found, its header, and how its text begins."""
    config = configuration(ctx)
    with shards(config.server.data, config.queue.map_size) as opened:
        one = find(opened, _identity(identity))
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
        chosen = list(_chosen(opened, ids, {"older": None, "newer": None}))
        for one in chosen:
            lessons.put_by(one.held.message)
        lessons.learn()
    if len(chosen) < len(set(ids)):
        raise SystemExit(1)


class _Chosen(NamedTuple):
    """A parked message that is to be decided about, for some of its recipients; without any named, for all."""

    held: Held
    to: list[str]


def _chosen(opened: list[Shard], ids: tuple[str, ...], filters: dict[str, Any]) -> Iterator[_Chosen]:
    """Those that are meant; of those that are not there it is said."""
    if not ids and not any(value not in ("", None) for value in filters.values()):
        raise click.UsageError(
            "name the IDs of messages, or say which by options; `postroad quarantine list` shows all"
        )
    wanted = _wanted(**filters)
    if not ids:
        for one in held(opened, wanted):
            yield _Chosen(one, _those(one, wanted.to))
    for identity in dict.fromkeys(map(_identity, ids)):
        found = find(opened, identity)
        if found is not None and wanted.fits(found):
            yield _Chosen(found, _those(found, wanted.to))
        else:
            _say_not_parked(identity)


def _say_not_parked(identity: MessageId) -> None:
    click.echo(f"{identity}: it is not parked", err=True)


def _those(one: Held, wanted: str) -> list[str]:
    """The recipients that are meant; none: all."""
    return [address for address in one.to if is_at(wanted, address)] if wanted else []


def _by_token(config: Config, opened: list[Shard], token: str, function: Action) -> Iterator[_Chosen]:
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
    one = find(opened, link.identity)
    if one is None:
        _say_not_parked(link.identity)
    elif function == "release" and not may_release(one.record.reason, settings.release):
        fail(f"{link.identity}: it is not for its recipients to let it go")  # the setting may be newer than the token
    else:
        yield _Chosen(one, [link.recipient])


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
        server = running(config) if chosen else None
        done = 0
        for one in chosen:
            assert server is not None
            done += _done(server, function, one, lessons)
        if lessons:
            lessons.learn()
    if done < (len(set(ids)) or len(chosen) or bool(token)):
        raise SystemExit(1)


def _done(server: Running, function: Action, one: _Chosen, lessons: Lessons | None) -> bool:
    """Whether it was done. It is learnt only then, and put by before, when it can still be read."""
    identity = one.held.record.id
    if lessons:
        lessons.put_by(one.held.message)
    done = decided(server, function, one.held.shard.number, identity, one.to)
    if lessons and not done:
        lessons.leave_out(identity)
    return done


def _identity(text: str) -> MessageId:
    try:
        return MessageId.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no message id; `postroad quarantine list` shows them") from None


def _row(one: Held) -> dict[str, Any]:
    return {
        "id": str(one.record.id),
        "parked": tables.timestamp(one.since),
        "from": one.record.envelope.sender or "<>",
        "to": one.to,
        "subject": one.message.header("Subject") or "",
        "score": "" if one.score is None else one.score,
        "stage": one.stage,
        "reason": one.record.reason,
        "size": one.record.size,
    }


def _about(one: Held) -> dict[str, Any]:
    envelope, session = one.record.envelope, one.record.envelope.session
    message = one.message
    return {
        **_row(one),
        "arrived": tables.timestamp(envelope.arrived),
        "peer": session.peer,
        "helo": session.helo,
        "login": session.login,
        "attempts": envelope.attempts,
        "facts": dict(envelope.facts),
        "header": header(message),
        "text": beginning(message),
    }


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
