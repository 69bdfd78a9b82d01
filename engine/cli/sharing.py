"""`postroad mailbox share`, `unshare` and `acl`: who may do what with the mailboxes of an account (RFC 4314)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from engine.cli import opening, tables
from engine.cli.changing import changed
from engine.cli.configured import config_option, configuration, failing
from engine.cli.reading import account_of, name_of
from engine.directory import Account
from engine.mailbox.rights import identifier, plain
from engine.operations import sharing
from engine.operations.reading import reading
from engine.operations.sharing import Mail, Place, Right

OF_AN_ACCOUNT = "FOLDER is as the account calls it: INBOX, Work/2026."


@click.command(epilog=OF_AN_ACCOUNT)
@click.argument("address")
@click.argument("folder")
@click.argument("who")
@click.argument("rights")
@config_option
@click.pass_context
def share(ctx: click.Context, address: str, folder: str, who: str, rights: str) -> None:
    """Give WHO these RIGHTS to a mailbox of ADDRESS, in place of those that they had; with + before them, besides.

    WHO is an account, a group (group:sales@example.org), or anyone; with - before it (and -- before all), the RIGHTS
    are kept from them. RIGHTS are letters: l see it, r read, s mark as seen, w set other flags, i put mail in, p post
    to a public folder that has an address, k make folders below it, x delete it, t mark as deleted, e expunge, a change
    rights.
    """
    give(ctx, account_of(ctx, address), folder, who, rights)


@click.command(epilog=OF_AN_ACCOUNT)
@click.argument("address")
@click.argument("folder")
@click.argument("who")
@click.argument("rights", required=False)
@config_option
@click.pass_context
def unshare(ctx: click.Context, address: str, folder: str, who: str, rights: str | None) -> None:
    """Take these RIGHTS to a mailbox of ADDRESS, or all, from WHO."""
    take(ctx, account_of(ctx, address), folder, who, rights)


@click.command(epilog=OF_AN_ACCOUNT)
@click.argument("address")
@click.argument("folder")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def acl(ctx: click.Context, address: str, folder: str, as_json: bool) -> None:
    """Show who has which rights to a mailbox of ADDRESS. The account itself has all."""
    show(ctx, account_of(ctx, address), folder, as_json=as_json)


def give(ctx: click.Context, account: Account | None, folder: str, who: str, rights: str) -> None:
    """Do it for a folder of any account, or (None) for a public one."""
    _check(folder, who, rights.removeprefix("+"))
    by = opening.operator_of(configuration(ctx).server.data)
    with mail_of(ctx) as mail:
        _say(sharing.give(mail, by, Place(account, folder), who, rights), folder)


def take(ctx: click.Context, account: Account | None, folder: str, who: str, rights: str | None) -> None:
    """Do it for a folder of any account, or (None) for a public one."""
    _check(folder, who, rights or "")
    by = opening.operator_of(configuration(ctx).server.data)
    with mail_of(ctx) as mail:
        _say(sharing.take(mail, by, Place(account, folder), who, rights), folder)


def show(ctx: click.Context, account: Account | None, folder: str, *, as_json: bool) -> None:
    """Do it for a folder of any account, or (None) for a public one."""
    name_of(folder, "FOLDER")
    with mail_of(ctx) as mail:
        found = sharing.acl(mail, opening.onlooker(), Place(account, folder))
    tables.show([{"who": one.who, "rights": one.rights} for one in found], ("who", "rights"), as_json=as_json)


@contextmanager
def mail_of(ctx: click.Context) -> Iterator[Mail]:
    """The mailboxes, changed by the running server; what is refused ends the command."""
    config = configuration(ctx)
    with opening.whichever(ctx) as directory, failing():
        yield Mail(directory, partial(reading, config), partial(changed, config))


def _say(right: Right, folder: str) -> None:
    click.echo(f"{right.who} has {right.rights or 'no rights'} on {folder}.")


def _check(folder: str, who: str, rights: str) -> None:
    """What cannot be read is wrong usage of its argument."""
    try:
        identifier(who)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="WHO") from None
    try:
        plain(rights)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="RIGHTS") from None
    name_of(folder, "FOLDER")
