"""The mailboxes as import and restore use them: read here, changed by their owner, wherever that runs."""

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.mailbox import Folder, Mailboxes
from engine.mailbox.commands import Answer, AnyCommand, Create, Problem, Subscribe
from engine.mailbox.incoming import IncomingFile
from engine.mailbox.layout import INCOMING
from engine.storage.files import give_to


class Refused(Exception):
    """The owner did not do it, and why."""


@dataclass(frozen=True)
class Store:
    """``path``: the folder of the mailboxes. ``change`` asks their owner, and raises StorageError or Unanswered."""

    mailboxes: Mailboxes
    path: Path
    change: Callable[[AnyCommand], Awaitable[Answer]]

    async def do(self, command: AnyCommand) -> Answer:
        """Refused when it was not done."""
        answer = await self.change(command)
        if answer.problem is not None:
            raise Refused(f"{type(command).__name__.lower()}: {answer.problem.value}")
        return answer

    async def made(self, account: int, name: str, *, use: str = "", subscribed: bool = True) -> Folder:
        """The mailbox of that name, which is made, and subscribed to, if it is missing. Refused."""
        found = self.mailboxes.folder(account, name)
        if found is None or not found.number:
            answer = await self.change(Create(account=account, name=name, use=use))
            if answer.problem is Problem.USEATTR:  # another one has that use
                answer = await self.change(Create(account=account, name=name))
            if answer.problem not in (None, Problem.ALREADYEXISTS):
                raise Refused(f"the mailbox {name} cannot be made: {answer.problem.value}")
            if subscribed:
                await self.do(Subscribe(account=account, name=name))
            found = self.mailboxes.folder(account, name)
        if found is None or not found.number:
            raise Refused(f"the mailbox {name} is not there")
        return found

    @contextmanager
    def handed(self, pieces: Iterable[bytes]) -> Iterator[str]:
        """The name of a file in ``incoming`` that has these octets, for as long as the block. OSError."""
        with IncomingFile(self.path) as file:
            for piece in pieces:
                file.write(piece)
            name = file.finish()
            if os.geteuid() == 0:  # its owner may be another user
                give_to(self.path.stat(), self.path / INCOMING)
            yield name
