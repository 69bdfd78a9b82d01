"""What operations are given in a web process: the mailboxes that it has open, and ways to the other workers.

All of it is for threads: what is asked of another worker goes by way of the loop.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import trio

from engine.index import Index
from engine.mailbox import Mailboxes
from engine.mailbox.commands import Answer, AnyCommand
from engine.operations.sharing import Mail
from engine.web.context import Context

PATIENCE = 60.0
"""Seconds that another process of the server has to do something."""


def reading(context: Context) -> Callable[[], AbstractContextManager[Mailboxes]]:
    """The mailboxes of this process, which stay open."""
    return lambda: nullcontext(context.mailboxes())


def index(context: Context) -> Index:
    """The index of this process, which stays open."""
    return context.one(_index)


def _index(context: Context) -> Index:
    return Index.open(context.data / "index")


def change(context: Context) -> Callable[[AnyCommand], Answer]:
    """Has the owner of the mailboxes do something."""
    return lambda command: trio.from_thread.run(context.change, command)


def ask(context: Context) -> Callable[..., Any]:
    """Asks a worker."""
    return lambda *question: trio.from_thread.run(partial(context.ask, *question, seconds=PATIENCE))


def mail(context: Context) -> Mail:
    """The mailboxes, and who there is."""
    return Mail(context.directory(), reading(context), change(context))
