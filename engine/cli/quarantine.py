"""`postroad quarantine`: parked mail is looked for and looked at, let go on, and deleted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from engine.cli import tables
from engine.cli.changing import running
from engine.cli.configured import config_option, configuration, fail
from engine.cli.workers import ask
from engine.config import Config, secrets_in
from engine.lanes import MAIL
from engine.links.request import Unanswered
from engine.message import MessageId
from engine.observe.visible import visible
from engine.quarantine.held import Held, Wanted, find, held, may_release, shards
from engine.quarantine.links import Action, Expired, Forged, Link, verify
from engine.quarantine.look import beginning, header
from engine.queue.store import Shard
from engine.runtime.services import QUEUE_SERVICE
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
        click.option("--to", metavar="ADDRESS", default="", help="For this recipient, or for this domain."),
        click.option("--from", "sender", metavar="ADDRESS", default="", help="From this sender, or this domain."),
        click.option("--reason", metavar="TEXT", default="", help="With this in the reason."),
        click.option("--stage", metavar="NAME", default="", help="Parked by this stage."),
        click.option("--older", type=_AGE, metavar="AGE", help="Parked longer ago than this, such as 12h or 7d."),
        click.option("--newer", type=_AGE, metavar="AGE", help="Parked within this time."),
        click.option("--score", type=float, metavar="NUMBER", help="With at least this scan.score."),
    )):  # fmt: skip
        function = option(function)
    return function


_token = click.option("--token", default="", help="What stands in a digest: that message, for who got the digest.")


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
    with _shards(configuration(ctx)) as found:
        rows = [_row(one) for one in sorted(held(found, _wanted(**filters)), key=lambda one: one.since)]
    tables.show(rows, COLUMNS, as_json=as_json)


@quarantine.command()
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, identity: str, as_json: bool) -> None:
    """Show a parked message: its envelope, what stages found, its header, and how its text begins."""
    with _shards(configuration(ctx)) as opened:
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


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@_token
@config_option
@click.pass_context
def release(ctx: click.Context, /, ids: tuple[str, ...], token: str, **filters: Any) -> None:
    """Let parked messages go on: those of these IDs, or all that the options say. The server must be running.

    With --to ADDRESS they go on for that recipient alone, and stay parked for the others.
    """
    _decide(configuration(ctx), ids, filters, token=token, function="release", done="Released")


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@_token
@config_option
@click.pass_context
def delete(ctx: click.Context, /, ids: tuple[str, ...], token: str, **filters: Any) -> None:
    """Delete parked messages: those of these IDs, or all that the options say. Nobody is told.

    With --to ADDRESS they are deleted for that recipient alone. The server must be running.
    """
    _decide(configuration(ctx), ids, filters, token=token, function="delete", done="Deleted")


def _decide(
    config: Config, ids: tuple[str, ...], filters: dict[str, Any], *, token: str, function: Action, done: str
) -> None:
    given = any(value not in ("", None) for value in filters.values())
    if token:
        if ids or given:
            raise click.UsageError("a token says by itself which message is meant")
        link = _link(config, token, function)
        ids, filters = (str(link.identity),), {**filters, "to": link.recipient}
    elif not ids and not given:
        raise click.UsageError(
            "name the IDs of messages, or say which by options; `postroad quarantine list` shows all"
        )
    identities = {_identity(text): text for text in ids}
    wanted = _wanted(**filters)
    server = running(config)
    with _shards(config) as opened:
        if ids:
            found = {identity: find(opened, identity) for identity in identities}
            chosen = [one for one in found.values() if one is not None and wanted.fits(one)]
            if token and function == "release":
                _check_may_release(config, chosen)
        else:
            chosen = list(held(opened, wanted))
        places = [(one.record.id, one.shard.number, _those(one, wanted.to)) for one in chosen]
    failed = False
    for identity in identities.keys() - {place[0] for place in places}:
        click.echo(f"{identity}: it is not parked", err=True)
        failed = True
    for identity, shard, to in places:
        said = _ask(server, shard, function, identity, to)
        failed |= bool(said)
        click.echo(visible(f"{identity}: {said}" if said else f"{done} {identity}."), err=bool(said))
    if failed:
        raise SystemExit(1)


def _link(config: Config, token: str, function: Action) -> Link:
    settings = config.quarantine
    if settings is None or settings.secret_file is None:
        fail("[quarantine] has no secret_file: no token was made here")
    try:
        link = verify(token, secrets_in(settings.secret_file), time.time())
    except (Forged, Expired) as error:
        fail(str(error))
    if link.action != function:
        fail(f"this token is one to {link.action} a message")
    return link


def _check_may_release(config: Config, chosen: list[Held]) -> None:
    """What may be let go may have changed since the token was made."""
    patterns = config.quarantine.release if config.quarantine else ()
    for one in chosen:
        if not may_release(one.record.reason, patterns):
            fail(f"{one.record.id}: it is not for its recipients to let it go")


def _those(one: Held, wanted: str) -> list[str]:
    """The recipients that are meant; none: all."""
    if "@" not in wanted.removeprefix("@"):
        return []
    return [address for address in one.to if address.lower() == wanted.lower()]


def _ask(server: Running, shard: int, function: str, identity: MessageId, to: list[str]) -> str:
    """What the owner of the shard says: empty when it has done it."""
    try:
        said: str = ask(server, f"{MAIL}-{shard}", QUEUE_SERVICE, function, bytes(identity), *to)
    except Unanswered as error:
        return str(error)
    return said


def _identity(text: str) -> MessageId:
    try:
        return MessageId.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no message id; `postroad quarantine list` shows them") from None


@contextmanager
def _shards(config: Config) -> Iterator[list[Shard]]:
    with shards(config.server.data, config.queue.map_size) as opened:
        yield opened


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
