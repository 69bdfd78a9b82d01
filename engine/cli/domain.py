"""`postroad domain`: the domains whose mail stays here."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option


@click.group()
def domain() -> None:
    """Domains whose mail stays here."""


@domain.command()
@click.argument("name", metavar="DOMAIN")
@config_option
@click.pass_context
def add(ctx: click.Context, name: str) -> None:
    """Make DOMAIN local: mail for it is kept here."""
    with opening.opened(ctx) as directory:
        added = directory.add_domain(name)
    click.echo(f"Added the domain {added.name}.")


@domain.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all local domains, and what made each local."""
    with opening.opened(ctx) as directory:
        rows = [
            {"domain": found.name, "source": "pipeline.toml" if found.configured else "added"}
            for found in directory.domains()
        ]
    tables.show(rows, ("domain", "source"), as_json=as_json)


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--force", is_flag=True, help="Also when it has accounts: they are kept, but closed.")
@config_option
@click.pass_context
def remove(ctx: click.Context, name: str, force: bool) -> None:
    """Take back `domain add DOMAIN`.

    With --force its accounts and aliases are kept, but get no mail and cannot log in until it is added again.
    """
    with opening.opened(ctx) as directory:
        removed = directory.remove_domain(name, force=force)
    click.echo(f"Removed the domain {removed.name}{'; it stays local by pipeline.toml' if removed.configured else ''}.")
