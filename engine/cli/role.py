"""`postroad account role`: who administers what in the pages."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.operations import accounts


@click.group(name="role")
def role() -> None:
    """Roles: who administers what in the pages."""


@role.command()
@click.argument("address")
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@config_option
@click.pass_context
def add(ctx: click.Context, address: str, roles: tuple[str, ...]) -> None:
    """Give ADDRESS each ROLE: owner, auditor, administrator@example.org or helpdesk@example.org."""
    with opening.opened(ctx) as directory:
        changed = accounts.set_roles(directory, opening.operator(directory), address, added=roles)
    click.echo(_told(changed.address, changed.roles))


@role.command()
@click.argument("address")
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@config_option
@click.pass_context
def remove(ctx: click.Context, address: str, roles: tuple[str, ...]) -> None:
    """Take each ROLE from ADDRESS, at once: the next page that it asks for is refused."""
    with opening.opened(ctx) as directory:
        changed = accounts.set_roles(directory, opening.operator(directory), address, removed=roles)
    click.echo(_told(changed.address, changed.roles))


@role.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all accounts that have a role."""
    with opening.opened(ctx) as directory:
        rows = [{"address": one.address, "roles": list(one.roles)} for one in directory.accounts() if one.roles]
    tables.show(rows, ("address", "roles"), as_json=as_json)


def _told(address: str, roles: tuple[str, ...]) -> str:
    return f"{address} has the roles {', '.join(roles)}." if roles else f"{address} has no role."
