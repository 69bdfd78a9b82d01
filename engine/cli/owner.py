"""How a command has mailboxes changed: by the running server, or, when none runs, as their owner."""

from typing import TypeVar

import click
import trio

from engine.cli.configured import configuration, fail
from engine.exchange.backup_file import Damaged
from engine.exchange.store import Refused
from engine.links.request import Unanswered
from engine.operations.owning import Work, done

T = TypeVar("T")


def with_mailboxes(ctx: click.Context, work: Work[T]) -> T:
    """Do the work; what it fails at ends the command with exit code 1."""
    try:
        return trio.run(done, configuration(ctx), work)
    except (Damaged, Refused, Unanswered, LookupError) as error:
        fail(str(error))
