"""`postroad ban`: who is kept out for guessing passwords."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.durations import seconds


@click.group()
def ban() -> None:
    """Bans: networks, and accounts for networks that they are not known from."""


@ban.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all bans that are in force."""
    with opening.translated(), opening.open_guard(ctx) as guard:
        rows = [
            {"kind": ban.kind, "name": ban.name, "guesses": ban.guesses, "until": tables.timestamp(ban.until)}
            for ban in guard.bans()
        ]
    tables.show(rows, ("kind", "name", "guesses", "until"), as_json=as_json)


@ban.command()
@click.argument("who", nargs=-1, required=True, metavar="WHO...")
@click.option("--for", "lasts", metavar="TIME", default="1d", show_default=True, help="How long.")
@config_option
@click.pass_context
def add(ctx: click.Context, who: tuple[str, ...], lasts: str) -> None:
    """Keep IP addresses, networks or accounts out for a time, whatever they have guessed.

    An account is kept from networks that it is not known from. Of a network that is wider than what counts as one, all
    parts are kept out: 256 at most.
    """
    from engine.operations import abuse

    with opening.translated(), opening.open_guard(ctx) as guard:
        for one in who:
            try:
                made = abuse.ban(guard, opening.operator(guard), one, seconds(lasts, "--for"))
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="WHO") from error
            click.echo(f"{one} is kept out until {tables.timestamp(made[0].until)}.")


@ban.command()
@click.argument("who", nargs=-1, required=True, metavar="WHO...")
@config_option
@click.pass_context
def lift(ctx: click.Context, who: tuple[str, ...]) -> None:
    """End the bans of IP addresses, networks or accounts at once."""
    from engine.operations.abuse import lift_bans

    failed = False
    with opening.translated(), opening.open_guard(ctx) as guard:
        for one in who:
            lifted = lift_bans(guard, opening.operator(guard), one)
            for ended in lifted:
                click.echo(f"Lifted the ban of the {ended.kind} {ended.name}.")
            if not lifted:
                click.echo(f"{one} is not banned; postroad ban list shows who is", err=True)
            failed |= not lifted
    if failed:
        raise SystemExit(1)
