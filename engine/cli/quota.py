"""`postroad quota`: how much mailboxes may hold, how much they do, and who says so."""

from functools import partial
from typing import Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Unusable
from engine.directory import UNSAID, Limit
from engine.growth import LEAST, Growth
from engine.growth.series import FOLDER
from engine.operations import filling, quotas
from engine.operations.filling import FillingRow
from engine.operations.quotas import QuotaPart, QuotaRow
from engine.operations.reading import reading
from engine.units import Size, measured

UNLIMITED = "unlimited"

COLUMNS = ("address", "share", "size", "of", "messages", "of_messages")


def _most(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """A limit: a size or a number, or "unlimited"."""
    try:
        return None if text is None else 0 if text == UNLIMITED else int(Size(text))
    except ValueError as error:
        raise click.BadParameter(f'{error}, or "{UNLIMITED}"') from None


@click.group()
def quota() -> None:
    """Quotas: how much mailboxes may hold, how much they do, and who says so."""


@quota.command(name="set")
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@click.option("--size", metavar="SIZE", callback=_most, help="Such as 5GB or 500MiB; unlimited: as much as it likes.")
@click.option("--messages", metavar="NUMBER", callback=_most, help="How many messages.")
@click.option(
    "--total-size", metavar="SIZE", callback=_most, help="Of a domain: what all its accounts may hold together."
)
@click.option("--total-messages", metavar="NUMBER", callback=_most, help="The same for messages.")
@config_option
@click.pass_context
def set_(
    ctx: click.Context,
    name: str,
    *,
    size: int | None,
    messages: int | None,
    total_size: int | None,
    total_messages: int | None,
) -> None:
    """Say how much an account, each member of a group, or each account of a domain may hold.

    What is not given stays as it is. An account's own limit counts first, then its groups', then its domain's, then
    [quota] of pipeline.toml.
    """
    each, total = Limit(size, messages), Limit(total_size, total_messages)
    if (each, total) == (UNSAID, UNSAID):
        raise Unusable("say how much: --size, --messages")
    with opening.opened(ctx) as directory:
        quotas.say(directory, opening.operator(directory), name, each, total)
    click.echo(f"Set the quota of {name}.")


@quota.command()
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@config_option
@click.pass_context
def unset(ctx: click.Context, name: str) -> None:
    """Take back what was set; what is said elsewhere counts again."""
    with opening.opened(ctx) as directory:
        quotas.unset(directory, opening.operator(directory), name)
    click.echo(f"{name} has no quota of its own any more.")


@quota.command()
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what an account holds, what it may hold, and who says so; or what was set for a group or a domain."""
    config = configuration(ctx)
    with opening.whichever(ctx) as directory:
        parts = quotas.shown(directory, partial(reading, config), config.quota, opening.onlooker(), name)
    tables.show(map(_part, parts), ("what", "used", "limit", "share", "from"), as_json=as_json)


@quota.command(name="list")
@click.option(
    "--over", type=click.IntRange(min=0), default=None, metavar="PERCENT", help="Only those so full or fuller."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, over: int | None, as_json: bool) -> None:
    """Show what all accounts hold, the fullest first. Share is in per cent of size or messages, whichever is more."""
    config = configuration(ctx)
    with opening.opened(ctx) as directory:
        found = quotas.listed(directory, partial(reading, config), config.quota, opening.onlooker(), over)
    rows = list(map(_row, found))
    shown = rows if as_json else [{**row, "share": "" if row["share"] is None else f"{row['share']} %"} for row in rows]
    tables.show(shown, COLUMNS, as_json=as_json)


@quota.command()
@click.option(
    "--within",
    type=click.IntRange(min=0),
    default=int(filling.SOON),
    metavar="DAYS",
    help=f"Who will be full in so many days; {filling.SOON:g} where nothing is said.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def forecast(ctx: click.Context, within: int, as_json: bool) -> None:
    """Show who will be full, and when, if it goes on as in the last weeks: by a straight line through them.

    It rests on what a web process has written down day by day, and says nothing of accounts of which less than a week
    is known.
    """
    config, found = configuration(ctx), list[FillingRow]()
    is_known = (config.server.data / FOLDER).exists()  # else opening it would make it, and perhaps as root
    if is_known:
        with opening.opened(ctx) as directory, Growth.open(config.server.data) as growth:
            found = filling.soon(directory, growth, config.quota, opening.onlooker(), within)
    elif not as_json:
        click.echo(f"Nothing is known yet: a process of [listen] web writes it down, and {LEAST} days are needed.")
        return
    rows = [{"address": one.address, "days": round(one.days, 1), "rests_on": one.rests_on} for one in found]
    tables.show(rows, ("address", "days", "rests_on"), as_json=as_json)


def _row(one: QuotaRow) -> dict[str, Any]:
    return {
        "address": one.address,
        "share": one.share,
        "size": measured(one.octets),
        "of": _sized(one.limit_octets),
        "messages": one.messages,
        "of_messages": one.limit_messages or UNLIMITED,
        "octets": one.octets,
        "limit_octets": one.limit_octets,
        "limit_messages": one.limit_messages,
    }


def _part(one: QuotaPart) -> dict[str, Any]:
    is_size, used = one.what == "size", one.used or 0
    shown = measured(used) if is_size else used
    return {
        "what": f"{one.what} of {one.of}" if one.of else one.what,
        "used": "" if one.used is None else shown,
        "limit": _sized(one.limit) if is_size else one.limit or UNLIMITED,
        "share": f"{used * 100 // one.limit} %" if one.limit and one.used is not None else "",
        "from": one.by,
        "used_exactly": used,
        "limit_exactly": one.limit,
    }


def _sized(limit: int) -> str:
    return measured(limit) if limit else UNLIMITED
