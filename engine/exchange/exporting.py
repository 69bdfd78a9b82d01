"""Writes the mailboxes of an account out, while they are in use; broken off, it goes on where it was."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from engine.exchange import eml, maildir, mbox
from engine.exchange.files import LONGEST, replacing, safe
from engine.exchange.letters import Letter
from engine.exchange.maildir import KEYWORDS, SUBSCRIPTIONS_FILE
from engine.exchange.tree import Entry, Tree
from engine.mailbox import Folder, Mailboxes, MessageGone, View
from engine.mailbox.names import INBOX_NAME, SEPARATOR

FORMATS = ("mbox", "maildir", "eml")

AT_ONCE = 500
"""Messages in one round of the threads, so that few are in hand."""

THREADS = 8
"""Each file is synced, and syncs that come together share the disk's work."""


class Mailbox(Protocol):
    """Where one mailbox goes."""

    def put(self, uid: int, letter: Letter) -> None: ...


Opened: TypeAlias = AbstractContextManager[Mailbox]


@dataclass(slots=True)
class Export:
    """One run. ``step`` is told of messages done, and of all; ``notes`` is what could not be said in the format."""

    mailboxes: Mailboxes
    account: int
    address: str
    kind: str  # of FORMATS
    step: Callable[[int, int], None]
    notes: list[str] = field(default_factory=list)
    messages: int = 0
    _total: int = 0

    def tree(self, root: Path, only: Collection[str] = ()) -> None:
        """All mailboxes, or those of these names, into folders and files below ``root``. OSError, StorageError.

        What is there from an earlier run stays; a mailbox that has not changed since is passed over.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = Tree.read(root)
        tree = Tree(self.address, dict(before.folders) if only else {})
        found = [one for one in self.mailboxes.folders(self.account) if not only or one.name in only]
        self._total = sum(one.status.messages for one in found if one.status)
        paths = before.names()
        for one in found:
            path = self._path(one.name, paths) if one.number else ""
            paths[path] = one.name
            last = before.folders.get(one.name)
            there = last is not None and last.path == path and (root / path).exists()
            done = (last.uidvalidity, last.modseq) if there and last is not None else (0, 0)
            tree.folders[one.name] = Entry(one.name, path, one.use, one.subscribed, *done)
        tree.write(root)
        if self.kind == "maildir":
            _subscriptions(root, found)
        for one in found:
            entry = tree.folders[one.name]
            if one.status is None:
                continue
            if (entry.uidvalidity, entry.modseq) == (one.status.uidvalidity, one.status.modseq):
                self._advance(one.status.messages)
                continue
            uidvalidity, modseq = self._folder(one, root / entry.path)
            tree.folders[one.name] = msgspec.structs.replace(entry, uidvalidity=uidvalidity, modseq=modseq)
            tree.write(root)

    def file(self, path: Path, folder: Folder) -> None:
        """One mailbox into an mbox. OSError, StorageError."""
        self._total = folder.status.messages if folder.status else 0
        self._folder(folder, path)

    def _folder(self, folder: Folder, path: Path) -> tuple[int, int]:
        """UIDVALIDITY and MODSEQ of what was written."""
        view = self.mailboxes.select(self.account, folder.number)
        if view is None:
            return 0, 0
        with self._opened(path, view, folder.name) as mailbox:
            if self.kind == "mbox":
                for index in range(len(view.uids)):
                    self._put(mailbox, folder.number, view, index)
                    self._advance(1)
            else:
                put = partial(self._put, mailbox, folder.number, view)
                with ThreadPoolExecutor(THREADS) as pool:
                    for start in range(0, len(view.uids), AT_ONCE):
                        for _ in pool.map(put, range(start, min(start + AT_ONCE, len(view.uids)))):
                            self._advance(1)
        return view.status.uidvalidity, view.status.modseq

    def _opened(self, path: Path, view: View, name: str) -> Opened:
        validity, uidnext, words = view.status.uidvalidity, view.status.uidnext, view.keywords
        if self.kind == "maildir":
            if any(bits >> len(KEYWORDS) for bits in view.bits):
                left = " ".join(words[len(KEYWORDS) :])
                self.notes.append(f"{name}: Maildir has {len(KEYWORDS)} keywords a folder; left off: {left}")
            return maildir.Mailbox(path, validity, uidnext, words)
        if self.kind == "eml":
            return eml.Mailbox(path, validity)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return mbox.Mailbox(path, validity, uidnext, words)

    def _put(self, mailbox: Mailbox, number: int, view: View, index: int) -> None:
        uid = view.uids[index]
        words = tuple(word for bit, word in enumerate(view.keywords) if view.bits[index] >> bit & 1)
        pieces = self.mailboxes.chunks(self.account, uid, number)
        with suppress(MessageGone):  # expunged since the mailbox was looked at
            mailbox.put(uid, Letter(pieces, view.flags[index], words, view.received[index]))

    def _advance(self, messages: int) -> None:
        self.messages += messages
        self.step(self.messages, self._total)

    def _path(self, name: str, taken: Mapping[str, str]) -> str:
        """Where a mailbox goes, relative to the root; two names that a file system takes for one get two places."""
        if self.kind == "maildir":
            stem, suffix = maildir.subfolder(name)[:LONGEST], ""
            if not stem:
                return "."
        else:
            stem, suffix = "/".join(map(safe, name.split(SEPARATOR))), ".mbox" if self.kind == "mbox" else ""
        owners = {path.lower(): owner for path, owner in taken.items()}
        candidates = (f"{stem}{f'~{number}' if number else ''}{suffix}" for number in count())
        return next(path for path in candidates if owners.get(path.lower(), name) == name)


def _subscriptions(root: Path, found: list[Folder]) -> None:
    """In Dovecot's first kind, which all its versions read."""
    lines = (maildir.subfolder(one.name)[1:] or INBOX_NAME for one in found if one.subscribed)
    with replacing(root / SUBSCRIPTIONS_FILE) as file:
        file.writelines(f"{line}\n".encode() for line in lines)
