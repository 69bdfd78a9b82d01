"""`postroad folder`: public folders, which belong to nobody and are seen by those who are given rights to them."""

from functools import partial

import click

from engine.cli import opening, sharing, tables
from engine.cli.configured import config_option, configuration
from engine.cli.reading import name_of
from engine.mailbox.names import INBOX_NAME, below
from engine.mailbox.names import PUBLIC as PREFIX
from engine.operations import sharing as operations
from engine.operations.reading import reading


@click.group()
def folder() -> None:
    """Public folders. Mail programs show them below Public to those who have rights to them."""


@folder.command()
@click.argument("name")
@config_option
@click.pass_context
def create(ctx: click.Context, name: str) -> None:
    """Make the public folder NAME, and those above it. It has the rights of the one above it, else none."""
    name = _name(name)
    with sharing.mail_of(ctx) as mail:
        made = operations.create(mail, opening.operator_of(configuration(ctx).server.data), name)
    hint = "" if made.rights else f" Nobody sees it yet: postroad folder share {name} anyone lrs"
    click.echo(f"Made {below(PREFIX)}{name}.{hint}")


@folder.command()
@click.argument("name")
@click.argument("address")
@config_option
@click.pass_context
def address(ctx: click.Context, name: str, address: str) -> None:
    """Let mail for ADDRESS go to the public folder NAME, from those who have the right p to it.

    ADDRESS becomes an account without a password; `postroad account remove` takes it away.
    """
    name = _name(name)
    read = partial(reading, configuration(ctx))
    with opening.opened(ctx) as directory:
        by = opening.operator(directory)
        added, posts = operations.give_address(directory, read, by, name, address)
    hint = "" if posts else f" Nobody may post yet: postroad folder share {name} anyone +p"
    click.echo(f"Mail for {added} goes to {below(PREFIX)}{name}.{hint}")


@folder.command()
@click.argument("name")
@config_option
@click.pass_context
def delete(ctx: click.Context, name: str) -> None:
    """Delete the public folder NAME with all that is in it; folders below it stay."""
    name = _name(name)
    with sharing.mail_of(ctx) as mail:
        operations.delete(mail, opening.operator_of(configuration(ctx).server.data), name)
    click.echo(f"Deleted {below(PREFIX)}{name}.")


@folder.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all public folders, how much is in them, and who has which rights."""
    rows = [
        {
            "folder": one.name, "messages": one.messages, "size": one.size,
            "rights": [f"{right.who}: {right.rights}" for right in one.rights],
        }
        for one in operations.folders(partial(reading, configuration(ctx)), opening.onlooker())
    ]  # fmt: skip
    tables.show(rows, ("folder", "messages", "size", "rights"), as_json=as_json)


@folder.command()
@click.argument("name")
@click.argument("who")
@click.argument("rights")
@config_option
@click.pass_context
def share(ctx: click.Context, name: str, who: str, rights: str) -> None:
    """Give WHO these RIGHTS to a public folder, as `postroad mailbox share` does."""
    sharing.give(ctx, None, _name(name), who, rights)


@folder.command()
@click.argument("name")
@click.argument("who")
@click.argument("rights", required=False)
@config_option
@click.pass_context
def unshare(ctx: click.Context, name: str, who: str, rights: str | None) -> None:
    """Take these RIGHTS to a public folder, or all, from WHO."""
    sharing.take(ctx, None, _name(name), who, rights)


@folder.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def acl(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show who has which rights to a public folder."""
    sharing.show(ctx, None, _name(name), as_json=as_json)


def _name(name: str) -> str:
    """The name within the public folders, as it is stored; it may be given as mail programs show it."""
    name = name_of(name.removeprefix(below(PREFIX)), "NAME")
    if name in ("", INBOX_NAME):
        raise click.BadParameter("a public folder has a name of its own", param_hint="NAME")
    return name
