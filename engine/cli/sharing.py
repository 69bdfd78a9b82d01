"""`postroad mailbox share`, `unshare` and `acl`: who may do what with the mailboxes of an account (RFC 4314)."""

import click

from engine.cli import opening, tables
from engine.cli.changing import changed
from engine.cli.configured import config_option, configuration, fail
from engine.cli.reading import account_of, name_of, reading
from engine.directory import Account, Alias
from engine.mailbox import Access
from engine.mailbox.commands import Answer, Begin, DeleteAcl, Problem, SetAcl
from engine.mailbox.rights import GROUP, MINUS, identifier, plain

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
    account = account_of(ctx, address)
    give(ctx, account.id, folder, who, rights, owner=account.address)


@click.command(epilog=OF_AN_ACCOUNT)
@click.argument("address")
@click.argument("folder")
@click.argument("who")
@click.argument("rights", required=False)
@config_option
@click.pass_context
def unshare(ctx: click.Context, address: str, folder: str, who: str, rights: str | None) -> None:
    """Take these RIGHTS to a mailbox of ADDRESS, or all, from WHO."""
    take(ctx, account_of(ctx, address).id, folder, who, rights)


@click.command(epilog=OF_AN_ACCOUNT)
@click.argument("address")
@click.argument("folder")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def acl(ctx: click.Context, address: str, folder: str, as_json: bool) -> None:
    """Show who has which rights to a mailbox of ADDRESS. The account itself has all."""
    show(ctx, account_of(ctx, address).id, folder, as_json=as_json)


def give(ctx: click.Context, account: int, folder: str, who: str, rights: str, *, owner: str = "") -> None:
    """Do it for a folder of any account. ``owner``: the account's address."""
    operation, letters = ("+", rights[1:]) if rights.startswith("+") else ("", rights)
    name, letters = _identifier(who), _plain(letters)
    grantee = _grantee(ctx, name)
    if account and grantee == account:
        fail(f"{owner} has all rights to its own mailboxes")
    command = SetAcl(
        account=account, mailbox=_number(ctx, account, folder), identifier=name, rights=letters, operation=operation,
        grantee=grantee, owner=owner,
    )  # fmt: skip
    check(changed(configuration(ctx), command), folder)
    click.echo(f"{name} has {_held(ctx, account, command.mailbox, name)} on {folder}.")


def take(ctx: click.Context, account: int, folder: str, who: str, rights: str | None) -> None:
    """Do it for a folder of any account."""
    name, mailbox = _identifier(who), _number(ctx, account, folder)
    if not _held(ctx, account, mailbox, name, none=""):
        fail(f"{name} has no rights on {folder}")
    command: SetAcl | DeleteAcl = DeleteAcl(account=account, mailbox=mailbox, identifier=name)
    if rights is not None:
        command = SetAcl(
            account=account, mailbox=mailbox, identifier=name, rights=_plain(rights), operation=MINUS,
            grantee=_grantee(ctx, name),
        )  # fmt: skip
    check(changed(configuration(ctx), command), folder)
    click.echo(f"{name} has {_held(ctx, account, mailbox, name)} on {folder}.")


def show(ctx: click.Context, account: int, folder: str, *, as_json: bool) -> None:
    """Do it for a folder of any account."""
    mailbox = _number(ctx, account, folder)
    with reading(configuration(ctx)) as mailboxes:
        rows = [{"who": who, "rights": rights} for who, rights in Access(mailboxes).acl(account, mailbox)]
    tables.show(rows, ("who", "rights"), as_json=as_json)


def check(answer: Answer, folder: str) -> None:
    """End the command where the owner of the mailboxes has a problem with it."""
    reasons = {
        Problem.NONEXISTENT: f"there is no mailbox {folder}",
        Problem.ALREADYEXISTS: f"there is a mailbox {folder} already",
        Problem.CANNOT: f"no mailbox can be called {folder}, or nobody that",
        Problem.HASCHILDREN: f"there are mailboxes below {folder}, and none of that name",
        Problem.LIMIT: "too many have rights on it; make a group of them",
        Problem.GONE: "the account was removed",
    }
    if answer.problem is not None:
        fail(reasons.get(answer.problem, answer.problem.value))


def _number(ctx: click.Context, account: int, folder: str) -> int:
    """The mailbox of that name. An account that has none yet gets its first ones."""
    name = name_of(folder, "FOLDER")
    with reading(configuration(ctx)) as mailboxes:
        found = mailboxes.folder(account, name)
        known = mailboxes.folders(account)
    if found is None and not known:
        check(changed(configuration(ctx), Begin(account=account)), folder)
        return _number(ctx, account, folder)
    if found is None or not found.number:
        fail(f"there is no mailbox {folder}")
    return found.number


def _held(ctx: click.Context, account: int, mailbox: int, name: str, none: str = "no rights") -> str:
    with reading(configuration(ctx)) as mailboxes:
        return dict(Access(mailboxes).acl(account, mailbox)).get(name, none)


def _grantee(ctx: click.Context, name: str) -> int:
    """The account that an identifier means; 0: many. What is not there is refused."""
    address = name.removeprefix(MINUS)
    if "@" not in address:
        return 0
    with opening.whichever(ctx) as directory:
        found = directory.find(address.removeprefix(GROUP), subaddress="")
    if address.startswith(GROUP):
        if not isinstance(found, Alias) or GROUP + found.address != address:
            fail(f"there is no group {address.removeprefix(GROUP)}")
        return 0
    if not isinstance(found, Account) or found.address != address:
        fail(f"there is no account {address}")
    return found.id


def _identifier(who: str) -> str:
    try:
        return identifier(who)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="WHO") from None


def _plain(rights: str) -> str:
    try:
        return plain(rights)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="RIGHTS") from None
