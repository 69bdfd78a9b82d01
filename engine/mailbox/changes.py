"""The changes that a client asks for: each command is applied whole, inside one transaction of the writer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.mailbox import folders, messages, metadata, putback, scripts, sharing, transfer
from engine.mailbox.commands import (
    ActivateScript,
    Answer,
    Begin,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    DeleteScript,
    Expunge,
    Move,
    Problem,
    PutBack,
    PutScript,
    Rename,
    RenameScript,
    SetAcl,
    SetMetadata,
    Store,
    Subscribe,
)
from engine.mailbox.layout import INBOX, Databases
from engine.mailbox.opened import Effects, OpenAccount
from engine.storage.batch import Batch

Applied = Callable[[OpenAccount], Answer]


def begin(account: OpenAccount, _: Begin) -> Answer:
    inbox = account.mailbox(INBOX)
    assert inbox is not None  # it cannot be deleted
    return Answer(None, inbox.number, inbox.uidvalidity, modseq=inbox.modseq)


COMMANDS: dict[type, Callable[[OpenAccount, Any], Answer]] = {
    Begin: begin,
    Create: folders.create,
    Delete: folders.delete,
    Rename: folders.rename,
    Subscribe: folders.subscribe,
    Copy: transfer.copy,
    Move: transfer.move,
    Expunge: messages.expunge,
    Store: messages.store,
    SetAcl: sharing.set_acl,
    DeleteAcl: sharing.delete_acl,
    SetMetadata: metadata.set_metadata,
    PutScript: scripts.put,
    ActivateScript: scripts.activate,
    DeleteScript: scripts.delete,
    RenameScript: scripts.rename,
    PutBack: putback.put_back,
}
"""How each command is done, but for those that need more than the command itself."""


@dataclass(slots=True)
class Changed(Effects):
    """The result of ``Change``."""

    answer: Answer = Answer()


@dataclass(frozen=True, slots=True)
class Change:
    """Work on one account, and write down what it counted."""

    databases: Databases
    account: int
    work: Applied
    now: int  # Unix milliseconds
    keep: bool  # whether what is expunged can be brought back

    def __call__(self, batch: Batch) -> Changed:
        account = OpenAccount.open(batch, self.databases, self.account, now=self.now, keep=self.keep)
        if account is None:
            return Changed(answer=Answer(Problem.GONE))
        answer = self.work(account)
        news = account.save()
        if not news:  # then no MODSEQ was given out
            answer = msgspec.structs.replace(answer, modseq=0)
        return Changed(account.files, news, account.fuller, answer)
