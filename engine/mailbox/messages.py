"""Changes to the messages of one mailbox that a client asks for: append, flags, expunge."""

from array import array
from collections.abc import Sequence
from operator import lt
from typing import NamedTuple

from engine.mailbox.commands import Answer, Append, Appended, Expunge, Problem, Store
from engine.mailbox.content import bring_all
from engine.mailbox.flags import DELETED, Mode
from engine.mailbox.large import Staged
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rows import MessageRow, State
from engine.mailbox.transfer import present


class Ready(NamedTuple):
    """A message to append whose content can be referred to."""

    asked: Appended
    key: bytes
    staged: Staged
    size: int  # octets of it


def append(account: OpenAccount, command: Append, ready: Sequence[Ready]) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    if not account.fits(command.quota, [one.size for one in ready]):
        return Answer(Problem.OVERQUOTA)
    rows = []
    for asked, key, _, size in ready:
        bits = mailbox.bits(asked.keywords) if asked.keywords else 0
        if bits is None:
            return Answer(Problem.LIMIT)
        rows.append(MessageRow(key, asked.flags, bits, 0, size, asked.received or account.now, 0, b""))
    uids = mailbox.add_all(rows)
    bring_all(account.batch, account.databases, [(one.key, one.staged) for one in ready])
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
    before, known = mailbox.modseq, command.known
    done = mailbox.restate(
        _ascending(command.uids),
        lambda state: State(command.mode(state.flags, command.flags), command.mode(state.keywords, bits)),
        unchanged_since=command.unchanged_since, known=known if 0 < known < before else None,
    )  # fmt: skip
    return Answer(
        sources=tuple(done.changed), failed=tuple(done.failed), unknown=tuple(done.unknown),
        since=before, modseq=account.modseq, steps=((len(done.changed), account.modseq),) if done.changed else (),
    )  # fmt: skip


def _ascending(uids: tuple[int, ...]) -> "array[int]":
    """Each once, in its order."""
    if all(map(lt, uids, uids[1:])):
        return array("I", uids)
    return array("I", sorted(set(uids)))
