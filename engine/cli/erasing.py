"""What `postroad account remove` and `postroad mailbox erase` share: all that an account has goes for ever."""

import sys
from functools import partial

import click

from engine.cli import tables
from engine.cli.configured import configuration
from engine.cli.owner import with_mailboxes
from engine.cli.workers import ask
from engine.mailbox import Usage
from engine.mailbox.commands import Answer, AnyCommand
from engine.operations import mailboxes
from engine.operations.mailboxes import Erased
from engine.operations.reading import reading
from engine.runtime.places import INDEX
from engine.runtime.state import State


def confirm(ctx: click.Context, account: int, whose: str) -> None:
    """On a terminal, ask whether it is to go; the command ends where it is not."""
    if is_terminal():
        config = configuration(ctx)
        usage = mailboxes.held(config.server.data, partial(reading, config), account)
        click.confirm(f"Erase {_messages(usage)} of {whose} for ever?", abort=True)


def is_terminal() -> bool:
    return sys.stdin.isatty()


def erase(ctx: click.Context, account: int) -> str:
    """Erase it; what came of it, in a sentence. What cannot be done ends the command with exit code 1.

    What has begun is finished by the server, if we are broken off.
    """
    config = configuration(ctx)

    def change(command: AnyCommand) -> Answer:
        return with_mailboxes(ctx, lambda store: store.change(command))

    running = State(config.server.data).running()
    asked = partial(ask, running) if running is not None and INDEX in running.lives else None
    erased = mailboxes.erase(config.server.data, partial(reading, config), change, asked, account)
    if erased.held:
        return f"A hold keeps {_messages(erased)}: the server erases them within an hour of its end."
    return f"Erased {_messages(erased)}."


def _messages(usage: Usage | Erased) -> str:
    return f"{tables.counted(usage.messages, 'message')} ({usage.size:,} octets)"
