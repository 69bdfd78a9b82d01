"""What the commands about mailboxes begin with: the account, and a folder's name."""

import click

from engine.cli import opening
from engine.cli.configured import fail
from engine.directory import Account
from engine.mailbox.names import canonical


def account_of(ctx: click.Context, address: str) -> Account:
    """The account of that address; the command ends with exit code 1 when there is none."""
    with opening.whichever(ctx) as directory:
        account = directory.account(address)
    if account is None:
        fail(f"there is no account {address}; `postroad account list` shows those there are")
    return account


def name_of(folder: str, option: str) -> str:
    """A folder's name as it is stored; empty stays empty. A wrong one is wrong usage of the option."""
    try:
        return canonical(folder) if folder else ""
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
