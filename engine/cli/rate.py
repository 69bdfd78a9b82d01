"""`postroad rate`: who has sent how much lately, and may send no more for now."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.units import spelled


@click.group()
def rate() -> None:
    """Rates: how much accounts, and networks without a login, have sent lately."""


@rate.command(name="list")
@click.option("--limited", is_flag=True, help="Only those who were refused because they had sent too much.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, limited: bool, as_json: bool) -> None:
    """Show what counts, for each span of time that is limited."""
    with opening.translated(), opening.open_rates(ctx) as rates:
        rows = [
            {
                "kind": sent.kind,
                "name": sent.name,
                "sent": tables.counted(sent.count, sent.what.removesuffix("s")),
                "within": spelled(sent.period),
                "until": tables.timestamp(sent.until),
                "state": "limited" if sent.limited else "",
                "what": sent.what,
                "count": sent.count,
                "seconds": sent.period,
            }
            for sent in rates.sent()
            if sent.limited or not limited
        ]
    tables.show(rows, ("kind", "name", "sent", "within", "until", "state"), as_json=as_json)


@rate.command()
@click.argument("who", nargs=-1, required=True, metavar="WHO...")
@config_option
@click.pass_context
def lift(ctx: click.Context, who: tuple[str, ...]) -> None:
    """Forget what accounts or networks have sent, so that they may send on at once."""
    import trio

    from engine.operations.abuse import lift_rates

    config, failed = opening.configured(ctx), False
    with opening.translated(), opening.open_rates(ctx) as rates:
        for one in who:
            if trio.run(lift_rates, config, rates, opening.operator(rates), one):
                click.echo(f"{one} may send again.")
            else:
                click.echo(f"nothing counts for {one}; postroad rate list shows for whom something does", err=True)
                failed = True
    if failed:
        raise SystemExit(1)
