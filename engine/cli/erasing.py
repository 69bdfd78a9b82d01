"""What `postroad account remove` and `postroad mailbox erase` share: all that an account has goes for ever."""

import sys
from contextlib import suppress

import click

from engine.cli import tables
from engine.cli.configured import configuration
from engine.cli.owner import with_mailboxes
from engine.cli.reading import reading
from engine.cli.workers import ask
from engine.config import Config
from engine.links.request import Unanswered
from engine.mailbox import Usage
from engine.mailbox.commands import EraseAccount
from engine.runtime.places import INDEX
from engine.runtime.services import REBUILD
from engine.runtime.state import State


def confirm(ctx: click.Context, account: int, whose: str) -> None:
    """On a terminal, ask whether it is to go; the command ends where it is not."""
    if is_terminal():
        click.confirm(f"Erase {_messages(_usage(configuration(ctx), account))} of {whose} for ever?", abort=True)


def is_terminal() -> bool:
    return sys.stdin.isatty()


def erase(ctx: click.Context, account: int) -> str:
    """Erase it; what it was, in words. What cannot be done ends the command with exit code 1.

    What has begun is finished by the server, if we are broken off.
    """
    config = configuration(ctx)
    usage = _usage(config, account)
    if _is_there(config):
        with_mailboxes(ctx, lambda store: store.do(EraseAccount(account=account)))
        _forget_words(config, account)
    return _messages(usage)


def _usage(config: Config, account: int) -> Usage:
    if not _is_there(config):
        return Usage()
    with reading(config) as mailboxes:
        return mailboxes.usage(account)


def _is_there(config: Config) -> bool:
    """Whether there are mailboxes at all: the server makes them, as its own user, when it first starts."""
    return (config.server.data / "mailbox").exists()


def _forget_words(config: Config, account: int) -> None:
    """At once, if the server can: else it does within the hour, or when it starts."""
    running = State(config.server.data).running()
    if running is not None and INDEX in running.lives:
        with suppress(Unanswered):
            ask(running, INDEX, REBUILD, REBUILD, account)


def _messages(usage: Usage) -> str:
    return f"{tables.counted(usage.messages, 'message')} ({usage.size:,} octets)"
