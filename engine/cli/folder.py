"""`postroad folder`: public folders, which belong to nobody and are seen by those who are given rights to them."""

import click

from engine.cli import opening, sharing, tables
from engine.cli.changing import changed
from engine.cli.configured import config_option, configuration, fail
from engine.cli.reading import name_of, reading
from engine.mailbox import Access
from engine.mailbox.commands import Create, Delete
from engine.mailbox.layout import PUBLIC
from engine.mailbox.names import INBOX_NAME, below
from engine.mailbox.names import PUBLIC as PREFIX


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
    answer = changed(configuration(ctx), Create(account=PUBLIC, name=name))
    sharing.check(answer, name)
    with reading(configuration(ctx)) as mailboxes:
        is_seen = Access(mailboxes).acl(PUBLIC, answer.mailbox)
    hint = "" if is_seen else f" Nobody sees it yet: postroad folder share {name} anyone lrs"
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
    with reading(configuration(ctx)) as mailboxes:
        found = mailboxes.folder(PUBLIC, name)
        rights = Access(mailboxes).acl(PUBLIC, found.number) if found is not None else []
    if found is None or not found.number:
        fail(f"there is no mailbox {name}")
    with opening.opened(ctx) as directory:
        added = directory.add_account(address, folder=found.number)
    posts = any("p" in held for _, held in rights)
    hint = "" if posts else f" Nobody may post yet: postroad folder share {name} anyone +p"
    click.echo(f"Mail for {added.address} goes to {below(PREFIX)}{name}.{hint}")


@folder.command()
@click.argument("name")
@config_option
@click.pass_context
def delete(ctx: click.Context, name: str) -> None:
    """Delete the public folder NAME with all that is in it; folders below it stay."""
    name = _name(name)
    sharing.check(changed(configuration(ctx), Delete(account=PUBLIC, name=name)), name)
    click.echo(f"Deleted {below(PREFIX)}{name}.")


@folder.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all public folders, how much is in them, and who has which rights."""
    with reading(configuration(ctx)) as mailboxes:
        access = Access(mailboxes)
        rows = [
            {
                "folder": one.name, "messages": one.status.messages, "size": one.status.size,
                "rights": [f"{who}: {rights}" for who, rights in access.acl(PUBLIC, one.number)],
            }
            for one in mailboxes.folders(PUBLIC)
            if one.status is not None and one.name != INBOX_NAME
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
    sharing.give(ctx, PUBLIC, _name(name), who, rights)


@folder.command()
@click.argument("name")
@click.argument("who")
@click.argument("rights", required=False)
@config_option
@click.pass_context
def unshare(ctx: click.Context, name: str, who: str, rights: str | None) -> None:
    """Take these RIGHTS to a public folder, or all, from WHO."""
    sharing.take(ctx, PUBLIC, _name(name), who, rights)


@folder.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def acl(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show who has which rights to a public folder."""
    sharing.show(ctx, PUBLIC, _name(name), as_json=as_json)


def _name(name: str) -> str:
    """The name within the public folders, as it is stored; it may be given as mail programs show it."""
    name = name_of(name.removeprefix(below(PREFIX)), "NAME")
    if name in ("", INBOX_NAME):
        raise click.BadParameter("a public folder has a name of its own", param_hint="NAME")
    return name
