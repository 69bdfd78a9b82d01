"""`postroad shaping`: how mail leaves for a destination, and which rule says so."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration
from engine.cli.shaping_actions import actions, lift, suspend
from engine.units import spelled

if TYPE_CHECKING:
    from engine.net.dns import Ask


@click.group()
def shaping() -> None:
    """Shaping: how much mail goes to which sites, and in what manner."""


for command in (actions, lift, suspend):
    shaping.add_command(command)


@shaping.command()
@click.argument("domain")
@click.option("--source", metavar="NAME", default="", help="As for mail that leaves from this source.")
@click.option("--mx", multiple=True, metavar="HOST", help="The domain's mail host, in place of a look into the DNS.")
@click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def explain(
    ctx: click.Context, domain: str, *, source: str, mx: tuple[str, ...], dns: str | None, as_json: bool
) -> None:
    """Tell each value that holds for mail to DOMAIN, and the rule that gives it, with its file and line."""
    from engine.operations import shaping as operations

    config = configuration(ctx)

    async def look(ask: "Ask") -> operations.Explained:
        return await operations.explained(config, domain, mx, source, ask)

    found = answered(dns, look, config.dns.servers)
    if as_json:
        tables.show_json(found._asdict())
        return
    told = f"; provider: {', '.join(found.providers)}" if found.providers else ""
    click.echo(f"{found.domain}, by {', '.join(found.hosts)}{told}")
    shown = [{**row, "value": _spelled(row["name"], row["value"])} for row in found.values]
    tables.show(shown, ("name", "value", "rule", "place"), as_json=False)


def _spelled(name: str, value: Any) -> str:
    """For people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_spelled(name, one) for one in value) or "-"
    if name == "pause":
        return f"until {tables.timestamp(value)}" if value else "no"
    if isinstance(value, float):
        return spelled(value)
    return str(value) if value not in (None, "") else "-"
