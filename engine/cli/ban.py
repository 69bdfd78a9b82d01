"""`postroad ban`: who is kept out for guessing passwords."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option


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
@config_option
@click.pass_context
def lift(ctx: click.Context, who: tuple[str, ...]) -> None:
    """End the bans of IP addresses, networks or accounts at once."""
    failed = False
    with opening.translated(), opening.open_guard(ctx) as guard:
        for one in who:
            lifted = guard.lift(one)
            for ended in lifted:
                click.echo(f"Lifted the ban of the {ended.kind} {ended.name}.")
            if not lifted:
                click.echo(f"{one} is not banned; postroad ban list shows who is", err=True)
            failed |= not lifted
    if failed:
        raise SystemExit(1)
