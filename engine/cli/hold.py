"""`postroad hold`: accounts of which nothing is removed for good, whoever removes it."""

from functools import partial

import click

from engine.cli import opening, tables
from engine.cli.audit import opened
from engine.cli.configured import config_option, configuration, fail
from engine.cli.owner import with_mailboxes
from engine.cli.reading import account_of
from engine.mailbox.commands import Answer, AnyCommand
from engine.operations import holding
from engine.operations.reading import reading
from engine.oversight import Refusal, Whose

_COLUMNS = ("account", "address", "kind", "accounts", "since", "by", "reason", "kept", "kept_size")

_reason = click.option("--reason", metavar="TEXT", required=True, help="Why; it stands in the audit log for good.")


@click.group()
def hold() -> None:
    """Holds: nothing of an account is removed for good, until the hold is lifted.

    What its user deletes is kept, no retention rule touches it, and its mail stays if the account is removed.
    """


@hold.command()
@click.argument("which", metavar="ADDRESS|GROUP|DOMAIN...", nargs=-1, required=True)
@_reason
@config_option
@click.pass_context
def add(ctx: click.Context, which: tuple[str, ...], reason: str) -> None:
    """Hold each account, from now on. Its user is not told.

    A group or a domain stands for all accounts that it leads to or has, and for those that come to it later; who
    leaves it stays held.
    """
    with opening.whichever(ctx) as directory, opening.translated():
        wide = [one for one in which if holding.is_wide(directory, one)]
    whose = [Whose(found.id, found.address) for found in (account_of(ctx, one) for one in which if one not in wide)]
    by = opening.operator_of(configuration(ctx).server.data)
    with opened(ctx) as store:
        for one in whose:
            holding.hold(store, partial(_change, ctx), by, one, reason)
            click.echo(f"Held: nothing of {one.address}, number {one.account}, is removed for good.")
        for name in wide:
            with opening.whichever(ctx) as directory, opening.translated():
                count = holding.hold_wide(store, directory, partial(_change, ctx), by, name, reason=reason)
            now = tables.counted(count, "account")
            click.echo(f"Held: nothing of {name} is removed for good: {now} now, and all that come.")


@hold.command()
@click.argument("which", metavar="ADDRESS|NUMBER|GROUP|DOMAIN")
@_reason
@config_option
@click.pass_context
def lift(ctx: click.Context, which: str, reason: str) -> None:
    """End a hold. What it kept goes as if it had been removed when it was: within the hour, if that is long ago."""
    config = configuration(ctx)
    by = opening.operator_of(config.server.data)
    with opened(ctx) as store:
        account = holding.found(store, which) or (int(which) if which.isascii() and which.isdigit() else 0)
        if isinstance(account, str):
            free = holding.lift_wide(store, partial(_change, ctx), by, account, reason)
            click.echo(f"Lifted the hold on {account}; {tables.counted(len(free), 'account')} not held any more.")
            return
        try:
            held = holding.lift(
                store, holding.Ways(partial(reading, config), partial(_change, ctx)), by, account, reason
            )
        except Refusal:
            fail(f"{which} is not held; `postroad hold list` shows what is")
    click.echo(f"Lifted the hold on {held.address if held else f'account {account}'}.")


@hold.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show what is held, since when and why, and how much removed mail that keeps. Sizes are octets."""
    with opened(ctx) as store:
        found = holding.listed(store, partial(reading, configuration(ctx)), opening.onlooker())
    rows = [
        {
            "account": one.account or None,
            "address": one.address,
            "kind": one.kind,
            "accounts": one.accounts,
            "since": tables.timestamp(one.since),
            "by": one.by,
            "reason": one.reason,
            "kept": one.kept,
            "kept_size": one.kept_size,
        }
        for one in found
    ]
    tables.show(rows, _COLUMNS, as_json=as_json)


def _change(ctx: click.Context, command: AnyCommand) -> Answer:
    return with_mailboxes(ctx, lambda store: store.change(command))
