"""`postroad shaping actions`, `lift` and `suspend`: what is done, for a time, about mail for a site."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.durations import seconds
from engine.cli.errors import Refused, Unusable

if TYPE_CHECKING:
    from engine.shaping.actions import Action, ActionStore


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def actions(ctx: click.Context, as_json: bool) -> None:
    """Show the actions in force: what replies have led to, and what was set by hand."""
    with _open(ctx) as store:
        rows = [_row(one) for one in store.all()]
    tables.show(rows, ("id", "action", "site", "source", "tenant", "until", "name", "reply"), as_json=as_json)


@click.command()
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@config_option
@click.pass_context
def lift(ctx: click.Context, identities: tuple[str, ...]) -> None:
    """End each action at once; `postroad shaping actions` shows their ids."""
    from engine.operations import shaping as operations

    with _open(ctx) as store:
        by = opening.operator(store)
        gone = [(identity, operations.lift(store, by, identity)) for identity in identities]
    for identity, action in gone:
        if action is None:
            click.echo(f"no action {identity} is in force", err=True)
        else:
            click.echo(f"Lifted {identity}: {action.act} {action.site}.")
    if not all(action for _, action in gone):
        raise SystemExit(1)


@click.command()
@click.argument("site")
@click.option("--for", "lasts", metavar="TIME", default="1h", show_default=True, help="How long.")
@click.option("--source", metavar="NAME", default="", help="Only mail that leaves from this source.")
@click.option("--tenant", metavar="NAME", default="", help="Only mail of this tenant.")
@config_option
@click.pass_context
def suspend(ctx: click.Context, site: str, lasts: str, source: str, tenant: str) -> None:
    """Send nothing to SITE for a time: the name of a site, or a pattern of its hosts or of domains ("*.example.net").

    What is for it waits.
    """
    from engine.operations import shaping as operations

    try:
        action = operations.suspension(site, seconds(lasts, "--for"), source=source, tenant=tenant)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="SITE") from error
    with _open(ctx) as store:
        operations.suspend(store, opening.operator(store), action)
    click.echo(f"Suspended {site} until {tables.timestamp(action.until)}: {action.id}")


@contextmanager
def _open(ctx: click.Context) -> "Iterator[ActionStore]":
    """The actions, open; their errors become those of the command."""
    from engine.config import ConfigError, load
    from engine.shaping.actions import FOLDER, ActionStore
    from engine.storage.environment import StorageError
    from engine.storage.files import give_to

    try:
        data = load(ctx.obj).server.data
    except ConfigError as error:
        raise Unusable(str(error)) from error
    try:
        with opening.translated(), ActionStore.open(data) as store:
            give_to(data.stat(), data / FOLDER)
            yield store
    except StorageError as error:
        raise Refused(str(error)) from error


def _row(one: "Action") -> dict[str, object]:
    return {
        "id": one.id,
        "action": one.act,
        "site": one.site,
        "source": one.source,
        "tenant": one.tenant,
        "since": tables.timestamp(one.since),
        "until": tables.timestamp(one.until),
        "name": one.name,
        "rate": one.rate,
        "connections": one.connections,
        "use": one.use,
        "reply": one.reply,
    }
