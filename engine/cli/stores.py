"""How a command gets at the mailboxes: it reads them itself, and changes them by their owner if the server runs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import click
import trio

from engine.cli import opening
from engine.cli.configured import fail
from engine.cli.workers import ask
from engine.config import Config
from engine.directory import Account
from engine.links.request import Unanswered
from engine.mailbox import Mailboxes, MailboxOwner, StorageError
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.runtime.places import MAILBOXES
from engine.runtime.roles import CHANGE, REMOVE
from engine.runtime.state import State


@contextmanager
def reading(config: Config) -> Iterator[Mailboxes]:
    """The mailboxes, to be looked at. A store that cannot be read ends the command."""
    try:
        with closing(Mailboxes.open(config.server.data / "mailbox", map_size=config.mailboxes.map_size)) as mailboxes:
            yield mailboxes
    except StorageError as error:
        fail(str(error))


def account_of(ctx: click.Context, address: str) -> Account:
    """The account of that address; that there is none ends the command."""
    with opening.whichever(ctx) as directory:
        account = directory.account(address)
    if account is None:
        fail(f"there is no account {address}")
    return account


def change(config: Config, command: AnyCommand) -> Answer:
    """Have it done by the running server, or do it if none runs. What goes wrong ends the command."""
    state = State(config.server.data)
    running = state.running()
    try:
        if running is not None:
            return unpack_answer(ask(running, MAILBOXES, REMOVE, CHANGE, packed(command)))
        config.server.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.take()  # no server starts meanwhile
        try:
            return trio.run(_changed, config, command)
        finally:
            state.release()
    except (OSError, StorageError, Unanswered) as error:
        fail(str(error))


async def _changed(config: Config, command: AnyCommand) -> Answer:
    with MailboxOwner(config.server.data / "mailbox", map_size=config.mailboxes.map_size) as owner:
        return await owner.change(command)
