"""Bringing back what was expunged and is still kept."""

from collections.abc import Iterator
from itertools import islice

from engine.mailbox.commands import Answer, Undelete
from engine.mailbox.flags import DELETED
from engine.mailbox.layout import account_key, kept_key
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rows import KeptRow
from engine.mailbox.snapshot import Snapshot


def undelete(account: OpenAccount, command: Undelete, limit: int) -> Answer:
    """Bring up to ``limit`` messages back; less than that: there are no more."""
    uids = []
    for key, row in list(islice(_kept(account, command), limit)):
        mailbox = account.mailbox(int.from_bytes(key[16:20], "big")) or account.made(row.name)
        bits = 0
        for keyword in row.keywords:
            bits |= mailbox.bits((keyword,)) or 0
        account.unkeep(key, row)
        uids.append(mailbox.add(row.message._replace(flags=row.message.flags & ~DELETED, keywords=bits)))
    return Answer(uids=tuple(uids), modseq=account.modseq)


def _kept(account: OpenAccount, command: Undelete) -> Iterator[tuple[bytes, KeptRow]]:
    snapshot = Snapshot(account.batch.transaction)
    start = kept_key(account.id, command.since)
    for key, value in snapshot.scan(account.databases.kept, account_key(account.id), start):
        row = KeptRow.parse(value)
        if command.name in ("", row.name):
            yield key, row
