"""`postroad retention`: how long mail is kept, and what goes next."""

from functools import partial

import click
import msgspec

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.operations import retaining
from engine.operations.reading import reading
from engine.units import spelled


@click.group()
def retention() -> None:
    """Retention: how long mail is kept, by the tables [retention.NAME] of pipeline.toml."""


@retention.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show the rules, in their order: of all that are about an account and a folder, the first one counts."""
    rows = [
        {
            "rule": name,
            "who": rule.who,
            "folders": rule.folders,
            "keep": spelled(rule.keep) if rule.keep else "for ever",
            "age": rule.age,
            "seconds": float(rule.keep),
        }
        for name, rule in configuration(ctx).retention.items()
    ]
    tables.show(rows, ("rule", "who", "folders", "keep", "age"), as_json=as_json)


@retention.command()
@click.argument("address", default="")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def preview(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show what goes in the next round by the rules in the file, of all accounts or of ADDRESS.

    Look before you reload. Of accounts that are held nothing goes.
    """
    config = configuration(ctx)
    with opening.whichever(ctx) as directory:
        found = retaining.preview(
            directory, partial(reading, config), opening.onlooker(), config.retention, address.lower()
        )
        rows = [msgspec.to_builtins(one) for one in found]
    tables.show(rows, ("address", "folder", "rule", "messages"), as_json=as_json)
