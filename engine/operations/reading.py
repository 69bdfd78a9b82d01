"""How operations get at what other processes own: mailboxes to be read and changed, and workers to be asked."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, TypeAlias

from engine.config import Config
from engine.mailbox import Mailboxes
from engine.mailbox.commands import Answer, AnyCommand

Reading: TypeAlias = Callable[[], AbstractContextManager[Mailboxes]]
"""Opens the mailboxes to be read, or gives those that are open in this process. StorageError."""

Ask: TypeAlias = Callable[..., Any]
"""Asks a service of a worker of the running server: takes their names, that of the question, and its arguments; blocks
until there is an answer. Unanswered."""

Change: TypeAlias = Callable[[AnyCommand], Answer]
"""Has their owner change them, and blocks until it has. Unanswered, StorageError."""


@contextmanager
def reading(config: Config) -> Iterator[Mailboxes]:
    """The mailboxes, while their owner runs or not. StorageError."""
    with closing(Mailboxes.open(config.server.data / "mailbox", map_size=config.mailboxes.map_size)) as mailboxes:
        yield mailboxes
