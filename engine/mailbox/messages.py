"""Changes to the messages of one mailbox that a client asks for: append, flags, expunge."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.mailbox.commands import Answer, Append, Appended, Expunge, Problem, Store
from engine.mailbox.content import bring
from engine.mailbox.flags import DELETED, Mode
from engine.mailbox.large import Staged
from engine.mailbox.opened import OpenAccount
from engine.mailbox.records import Items, uids_of
from engine.mailbox.rows import MessageRow, State, modseq_in
from engine.mailbox.transfer import present


@dataclass(frozen=True, slots=True)
class Ready:
    """A message to append whose content can be referred to."""

    asked: Appended
    key: bytes
    staged: Staged


def append(account: OpenAccount, command: Append, ready: Sequence[Ready]) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    sizes = [one.staged.size for one in ready]
    if not account.fits(command.quota, sizes):
        return Answer(Problem.OVERQUOTA)
    rows = []
    for one, size in zip(ready, sizes, strict=True):
        bits = mailbox.bits(one.asked.keywords)
        if bits is None:
            return Answer(Problem.LIMIT)
        received = one.asked.received or account.now
        rows.append(MessageRow(one.key, one.asked.flags, bits, 0, size, received, 0, b""))
    uids = [mailbox.add(row) for row in rows]
    for one in ready:
        bring(account.batch, account.databases, one.key, 1, one.staged)
    return Answer(None, mailbox.number, mailbox.uidvalidity, uids=tuple(uids), modseq=account.modseq)


def expunge(account: OpenAccount, command: Expunge) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    gone = [
        (uid, row) for uid, row in present(mailbox, command.uids) if row.flags & DELETED or not command.deleted_only
    ]
    for uid, row in gone:
        mailbox.expunge(uid, row)
    return Answer(sources=tuple(uid for uid, _ in gone), modseq=account.modseq)


def store(account: OpenAccount, command: Store) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    bits = mailbox.bits(command.keywords, make=command.mode is not Mode.REMOVE)
    if bits is None:
        return Answer(Problem.LIMIT)
    found: Items = mailbox.stored(_ascending(command.uids))
    failed: Items = ()
    if command.unchanged_since is not None:
        found, failed = _parted(found, command.unchanged_since)
    changed, uids = mailbox.restate(
        found, lambda state: State(command.mode(state.flags, command.flags), command.mode(state.keywords, bits))
    )
    unknown: Items = ()
    if 0 < command.known < mailbox.modseq:
        _, unknown = _parted(changed, command.known)
    return Answer(
        sources=tuple(uids), failed=tuple(uids_of(failed)), unknown=tuple(uids_of(unknown)),
        since=mailbox.modseq, modseq=account.modseq,
    )  # fmt: skip


def _ascending(uids: tuple[int, ...]) -> Sequence[int]:
    """Each once, in its order."""
    if uids and uids[-1] - uids[0] == len(uids) - 1:
        run = range(uids[0], uids[-1] + 1)
        if uids == tuple(run):  # as they are where all messages are named
            return run
    return sorted(set(uids))


def _parted(items: Items, modseq: int) -> tuple[Items, Items]:
    """Messages that have not changed since that MODSEQ, and those that have."""
    old = [item for item in items if modseq_in(item[1]) <= modseq]
    return old, [item for item in items if modseq_in(item[1]) > modseq] if len(old) < len(items) else ()
