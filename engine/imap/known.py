"""The folders of accounts that were looked at lately: mail programs ask for the same ones all day, changed or not."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from engine.mailbox import Folder, Mailboxes
from engine.protocols.imap.intake import Repeat
from engine.protocols.imap.mailboxes import List

MOST: Final = 20_000
"""Folders of all accounts that are kept, and answers: some 500 octets each."""

_ONE: Final = 500
"""Octets of a long answer, and of what was asked, that count as one."""

Answers: TypeAlias = dict[bytes, Repeat]
"""By what was asked."""


@dataclass(slots=True)
class _Known:
    """What has been read of an account since its last change."""

    mark: bytes | None
    named: dict[str, Folder] = field(default_factory=dict)
    whole: bool = False  # ``named`` has all of them, by name
    answers: dict[frozenset[str], Answers] = field(default_factory=dict)  # by what the client has enabled
    lists: dict[tuple[frozenset[str], List], bytes] = field(default_factory=dict)  # the same of LIST
    count: int = 0  # of all that is in it


class Folders:
    """What ``Mailboxes`` says of folders, read again only where something has changed in the account. StorageError."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._kept: OrderedDict[int, _Known] = OrderedDict()
        self._count = 0

    def named(self, account: int, name: str) -> Folder | None:
        """As ``Mailboxes.folder``."""
        known = self._now(account)
        folder = known.named.get(name)
        if folder is None:
            folder = self._mailboxes.folder(account, name)
            if folder is not None:
                self._keep(account, known, [folder])
        return folder if folder is not None and folder.exists else None

    async def all(self, account: int) -> list[Folder]:
        """As ``Mailboxes.folders``."""
        known = self._now(account)
        if not known.whole:
            found = await trio.to_thread.run_sync(self._mailboxes.folders, account)
            known = self._begin(account, _Known(known.mark, whole=True))  # anew: by name
            self._keep(account, known, found)
        return list(known.named.values())

    def answers(self, account: int, features: frozenset[str]) -> Mapping[bytes, Repeat]:
        """What was answered to clients that have enabled these, by ``answered``, if nothing has changed since."""
        return self._now(account).answers.get(features, {})

    def answered(self, account: int, features: frozenset[str], asked: bytes, answer: Repeat) -> None:
        """This was answered by what ``named`` has said last, of folders of the account alone."""
        known = self._kept.get(account)
        if known is None or known.count >= MOST:
            return
        answers = known.answers.setdefault(features, {})
        if asked not in answers:
            answers[asked] = answer
            self._counted(account, known, 1)

    def told(self, account: int, features: frozenset[str], command: List) -> bytes | None:
        """What LIST told clients that have enabled these, by ``keep_told``, if nothing has changed since."""
        return self._now(account).lists.get((features, command))

    def keep_told(self, account: int, features: frozenset[str], command: List, responses: bytes) -> None:
        """LIST has told this, by what ``all`` has said last, of folders of the account alone."""
        asked = sum(map(len, (command.reference, *command.patterns, *command.status)))
        known, more = self._kept.get(account), 1 + (asked + len(responses)) // _ONE
        if known is not None and known.count + more <= MOST and (features, command) not in known.lists:
            known.lists[features, command] = responses
            self._counted(account, known, more)

    def _now(self, account: int) -> _Known:
        mark = self._mailboxes.mark(account)
        known = self._kept.get(account)
        if known is not None and mark is not None and known.mark == mark:
            self._kept.move_to_end(account)
            return known
        return self._begin(account, _Known(mark))

    def _begin(self, account: int, known: _Known) -> _Known:
        self._forget(account)
        self._kept[account] = known
        return known

    def _keep(self, account: int, known: _Known, folders: Iterable[Folder]) -> None:
        before = len(known.named)
        known.named.update((folder.name, folder) for folder in folders)
        self._counted(account, known, len(known.named) - before)

    def _counted(self, account: int, known: _Known, more: int) -> None:
        known.count += more
        if self._kept.get(account) is known:
            self._count += more
        while self._count > MOST and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, account: int) -> None:
        known = self._kept.pop(account, None)
        if known is not None:
            self._count -= known.count
