"""`postroad suspect`: accounts whose mail is parked because they send unlike themselves."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option


@click.group()
def suspect() -> None:
    """Accounts whose mail is parked because they send unlike themselves."""


@suspect.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show the accounts, since when, and why."""
    from engine.operations.abuse import suspects

    with opening.translated(), opening.open_tables(ctx) as opened:
        found = suspects(opened)
    rows = [
        {"account": one.account, "since": tables.timestamp(one.since), "peer": one.peer, "reasons": one.reasons}
        for one in found
    ]
    tables.show(rows, ("account", "since", "peer", "reasons"), as_json=as_json)


@suspect.command()
@click.argument("accounts", nargs=-1, required=True, metavar="ACCOUNT...")
@config_option
@click.pass_context
def lift(ctx: click.Context, accounts: tuple[str, ...]) -> None:
    """Let accounts send again. What is parked stays so: postroad queue release ID."""
    import trio

    from engine.operations.abuse import let_send

    failed = False
    by = opening.operator_of(opening.configured(ctx).server.data)
    with opening.translated(), opening.open_tables(ctx) as opened:
        for account in accounts:
            if trio.run(let_send, opened, by, account):
                click.echo(f"{account} may send again.")
            else:
                click.echo(f"{account} is not suspected; postroad suspect list shows who is", err=True)
                failed = True
    if failed:
        raise SystemExit(1)
