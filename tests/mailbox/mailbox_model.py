"""What the mailboxes of one account should be, in the plainest way: dictionaries, and no thought of speed."""

from dataclasses import dataclass, field, replace
from typing import Any

from engine.mailbox import Access, Mailboxes
from engine.mailbox.commands import (
    Answer,
    AnyCommand,
    Append,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    Expunge,
    Move,
    Problem,
    Rename,
    SetAcl,
    SetMetadata,
    Store,
    Subscribe,
    Undelete,
)
from engine.mailbox.flags import DELETED
from engine.mailbox.names import AT_FIRST
from engine.mailbox.rights import RIGHTS

INBOX = 1
ENTRIES = ["/private/comment", "/shared/comment"]


@dataclass(frozen=True)
class Mail:
    """A message in a mailbox."""

    body: bytes
    flags: int = 0
    keywords: frozenset[str] = frozenset()
    modseq: int = 0


@dataclass
class Box:
    """A mailbox."""

    number: int
    uidnext: int = 1
    modseq: int = 0
    mails: dict[int, Mail] = field(default_factory=dict)
    grants: dict[str, str] = field(default_factory=dict)  # rights by identifier
    metadata: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Kept:
    """What was expunged, in the order in which it comes back."""

    time: int
    number: int
    uid: int
    name: str
    mail: Mail = field(compare=False)


class Model:
    """One account, from its first use on. ``now`` is Unix milliseconds."""

    def __init__(self) -> None:
        self.names: dict[str, Box | None] = {}  # None: \\Noselect
        self.subscribed = {name for name, _ in AT_FIRST}
        self.kept: list[Kept] = []
        self.newest = 0
        self.modseq = 1
        self.now = 0
        for name, _ in AT_FIRST:
            self._create(name)
        self._touch(*self.boxes.values())

    @property
    def boxes(self) -> dict[int, Box]:
        return {box.number: box for box in self.names.values() if box}

    def deliver(self, name: str, body: bytes, flags: int, keywords: frozenset[str]) -> None:
        box = self.names.get(name) or self.boxes[INBOX]
        self._add(box, Mail(body, flags, keywords))
        self._touch(box)

    def apply(self, command: AnyCommand) -> Answer:
        """What the command should answer, MODSEQ and UIDVALIDITY left out."""
        return getattr(self, type(command).__name__.lower())(command)

    def append(self, command: Append) -> Answer:
        box = self.boxes.get(command.mailbox)
        if box is None:
            return Answer(Problem.NONEXISTENT)
        uids = [self._add(box, Mail(one.content, one.flags, frozenset(one.keywords))) for one in command.messages]
        self._touch(box)
        return Answer(mailbox=box.number, uids=tuple(uids))

    def copy(self, command: Copy) -> Answer:
        return self._transfer(command, keep=True)

    def move(self, command: Move) -> Answer:
        return self._transfer(command, keep=False)

    def expunge(self, command: Expunge) -> Answer:
        box = self.boxes.get(command.mailbox)
        if box is None:
            return Answer(Problem.NONEXISTENT)
        gone = tuple(
            uid
            for uid in self._present(box, command.uids)
            if box.mails[uid].flags & DELETED or not command.deleted_only
        )
        self._keep(box, gone)
        return Answer(sources=gone)

    def store(self, command: Store) -> Answer:
        box = self.boxes.get(command.mailbox)
        if box is None:
            return Answer(Problem.NONEXISTENT)
        changed, failed = {}, []
        for uid in self._present(box, command.uids):
            mail, named = box.mails[uid], frozenset(command.keywords)
            if command.unchanged_since is not None and mail.modseq > command.unchanged_since:
                failed.append(uid)
                continue
            flags, keywords = {
                "+": (mail.flags | command.flags, mail.keywords | named),
                "-": (mail.flags & ~command.flags, mail.keywords - named),
                "=": (command.flags, named),
            }[command.mode.value]
            if (flags, keywords) != (mail.flags, mail.keywords):
                changed[uid] = replace(mail, flags=flags, keywords=keywords, modseq=self.modseq + 1)
        box.mails.update(changed)
        if changed:
            self._touch(box)
        return Answer(sources=tuple(changed), failed=tuple(failed))

    def undelete(self, command: Undelete) -> Answer:
        back = sorted(one for one in self.kept if one.time >= command.since and command.name in ("", one.name))
        uids, touched = [], []
        for one in back:
            self.kept.remove(one)
            box = self.boxes.get(one.number) or self._made(one.name, touched)
            uids.append(self._add(box, replace(one.mail, flags=one.mail.flags & ~DELETED)))
            touched.append(box)
        if touched:
            self._touch(*touched)
        return Answer(uids=tuple(uids))

    def create(self, command: Create) -> Answer:
        if self.names.get(command.name):
            return Answer(Problem.ALREADYEXISTS)
        touched: list[Box] = []
        box = self._made(command.name, touched)
        self._touch(*touched)
        return Answer(mailbox=box.number)

    def delete(self, command: Delete) -> Answer:
        name = command.name
        if name not in self.names:
            return Answer(Problem.NONEXISTENT)
        if name == "INBOX":
            return Answer(Problem.CANNOT)
        box = self.names[name]
        if box is None:
            return Answer(Problem.HASCHILDREN)
        self.modseq += 1
        self._keep(box, tuple(box.mails))
        if self._below(name):
            self.names[name] = None
        else:
            del self.names[name]
        self._tidy(name)
        return Answer(mailbox=box.number)

    def rename(self, command: Rename) -> Answer:
        name, to = command.name, command.to
        if name not in self.names:
            return Answer(Problem.NONEXISTENT)
        if to.startswith(f"{name}/") and name != "INBOX":
            return Answer(Problem.CANNOT)
        if to in self.names:
            return Answer(Problem.ALREADYEXISTS)
        touched: list[Box] = []
        if name == "INBOX":
            box = self._made(to, touched)
            uids = tuple(self.boxes[INBOX].mails)
            answer = self._transfer(Move(account=0, mailbox=INBOX, uids=uids, to=box.number), keep=False)
            for other in touched:
                other.modseq = self.modseq
            return answer
        self._make_above(to, touched)
        for old in [name, *self._below(name)]:
            box_or_none = self.names.pop(old)
            self.names[to + old[len(name) :]] = box_or_none
            touched += [box_or_none] if box_or_none else []
        self._tidy(name)
        self._touch(*touched)
        return Answer()

    def subscribe(self, command: Subscribe) -> Answer:
        (self.subscribed.add if command.on else self.subscribed.discard)(command.name)
        self._touch()
        return Answer()

    def setacl(self, command: SetAcl) -> Answer:
        box = self.boxes.get(command.mailbox)
        if box is None:
            return Answer(Problem.NONEXISTENT)
        held, named = set(box.grants.get(command.identifier, "")), set(command.rights)
        rights = {"": named, "+": held | named, "-": held - named}[command.operation]
        return self._grant(box, command.identifier, "".join(letter for letter in RIGHTS if letter in rights))

    def deleteacl(self, command: DeleteAcl) -> Answer:
        box = self.boxes.get(command.mailbox)
        return self._grant(box, command.identifier, "") if box else Answer(Problem.NONEXISTENT)

    def setmetadata(self, command: SetMetadata) -> Answer:
        box = self.boxes.get(command.mailbox)
        if box is None:
            return Answer(Problem.NONEXISTENT)
        before = dict(box.metadata)
        for name, value in command.values:
            if value is None:
                box.metadata.pop(name, None)
            else:
                box.metadata[name] = value
        if box.metadata != before:
            self._touch(box)
        return Answer()

    def state(self) -> dict[str, Any]:
        """All that can be compared with a store."""
        return {
            "names": {name: box.number if box else 0 for name, box in self.names.items()},
            "subscribed": self.subscribed,
            "boxes": {box.number: (box.uidnext, box.modseq, box.mails) for box in self.boxes.values()},
            "grants": {box.number: box.grants for box in self.boxes.values() if box.grants},
            "metadata": {box.number: box.metadata for box in self.boxes.values() if box.metadata},
            "kept": len(self.kept),
        }

    def _grant(self, box: Box, identifier: str, rights: str) -> Answer:
        before = box.grants.pop(identifier, "")
        if rights:
            box.grants[identifier] = rights
        if rights != before:
            self._touch(box)
        return Answer()

    def _transfer(self, command: Copy | Move, *, keep: bool) -> Answer:
        box, to = self.boxes.get(command.mailbox), self.boxes.get(command.to)
        if box is None or to is None:
            return Answer(Problem.NONEXISTENT)
        sources = self._present(box, command.uids)
        mails = [box.mails[uid] if keep else box.mails.pop(uid) for uid in sources]
        uids = tuple(self._add(to, mail) for mail in mails)
        if sources or not to.modseq:  # new
            self._touch(to, *([box] if sources and not keep else []))
        return Answer(mailbox=to.number, sources=tuple(sources), uids=uids)

    @staticmethod
    def _present(box: Box, uids: tuple[int, ...]) -> list[int]:
        return [uid for uid in sorted(set(uids)) if uid in box.mails]

    def _add(self, box: Box, mail: Mail) -> int:
        uid, box.uidnext = box.uidnext, box.uidnext + 1
        box.mails[uid] = replace(mail, modseq=self.modseq + 1)
        return uid

    def _keep(self, box: Box, uids: tuple[int, ...]) -> None:
        name = next(name for name, other in self.names.items() if other is box)
        self.kept += [Kept(self.now, box.number, uid, name, box.mails.pop(uid)) for uid in uids]
        if uids:
            self._touch(box)

    def _touch(self, *boxes: Box) -> None:
        self.modseq += 1
        for box in boxes:
            box.modseq = self.modseq

    def _create(self, name: str) -> Box:
        self.newest += 1
        box = self.names[name] = Box(self.newest)
        parent = self.names.get(name.rpartition("/")[0])
        if parent is not None:
            box.grants = dict(parent.grants)
        return box

    def _made(self, name: str, touched: list[Box]) -> Box:
        box = self.names.get(name)
        if box is None:
            self._make_above(name, touched)
            box = self._create(name)
            touched.append(box)
        return box

    def _make_above(self, name: str, touched: list[Box]) -> None:
        parts = name.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent not in self.names:
                touched.append(self._create(parent))

    def _below(self, name: str) -> list[str]:
        return [other for other in self.names if other.startswith(f"{name}/")]

    def _tidy(self, name: str) -> None:
        while "/" in name:
            name = name.rpartition("/")[0]
            if name not in self.names or self.names[name] or self._below(name):
                return
            del self.names[name]


def state_of(reader: Mailboxes, account: int) -> dict[str, Any]:
    """The same of a store."""
    folders = reader.folders(account)
    boxes, grants, metadata = {}, {}, {}
    for folder in folders:
        if folder.number:
            view = reader.select(account, folder.number)
            assert view is not None
            mails = {}
            for index, uid in enumerate(view.uids):
                names = (name for bit, name in enumerate(view.keywords) if view.bits[index] >> bit & 1)
                body = b"".join(reader.chunks(account, uid, folder.number)).rpartition(b"\r\n")[2]
                mails[uid] = Mail(body, view.flags[index], frozenset(names), view.modseqs[index])
            boxes[folder.number] = (view.status.uidnext, view.status.modseq, mails)
            grants[folder.number] = dict(Access(reader).acl(account, folder.number))
            metadata[folder.number] = dict(reader.metadata(account, folder.number, ENTRIES))
    return {
        "names": {folder.name: folder.number for folder in folders if folder.exists},
        "subscribed": {folder.name for folder in folders if folder.subscribed},
        "boxes": boxes,
        "grants": {number: found for number, found in grants.items() if found},
        "metadata": {number: found for number, found in metadata.items() if found},
        "kept": reader.usage(account).kept,
    }
