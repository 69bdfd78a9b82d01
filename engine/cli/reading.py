"""What the commands about mailboxes begin with: the account, a folder's name, the mailboxes to read."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from engine.cli import opening
from engine.cli.configured import fail
from engine.config import Config
from engine.directory import Account
from engine.mailbox import Mailboxes
from engine.mailbox.names import canonical


@contextmanager
def reading(config: Config) -> Iterator[Mailboxes]:
    """The mailboxes, while their owner runs or not. StorageError."""
    with closing(Mailboxes.open(config.server.data / "mailbox", map_size=config.mailboxes.map_size)) as mailboxes:
        yield mailboxes


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
