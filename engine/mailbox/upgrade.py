"""A store that an older Postroad made is brought to the format of today, in steps that any crash may part.

Format 1 knew INBOX alone, and no flags. Its records are shorter than those of today: so a store in the midst of the
upgrade says what is still to be done, and a mark that it is. Format 2 kept the flags of today in the records of
messages: these are now the flags with which they came (``states``), so there is nothing to be written but the number.
"""

import struct
import time

import lmdb

from engine.mailbox.layout import (
    FORMAT,
    FORMAT_KEY,
    INBOX,
    UPGRADING_KEY,
    Databases,
    account_key,
    mailbox_key,
    name_key,
)
from engine.mailbox.names import INBOX_NAME
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rows import AccountRow, EntryRow, MailboxRow
from engine.mailbox.snapshot import Snapshot
from engine.observe.events import event
from engine.storage.batch import Batch, committed
from engine.storage.environment import StorageError

STEP = 500
"""Accounts in one commit."""

_OLD = (b"\x01", b"\x02")
"""Formats that can be brought up."""

_ACCOUNT_1 = struct.Struct(">BI")  # erased, newest
_MAILBOX_1 = struct.Struct(">IIQIQ")  # uidvalidity, uidnext, modseq, messages, size


def bring_up(environment: lmdb.Environment, databases: Databases) -> None:
    """Make the format that of today. StorageError for a format that is not known."""
    found, begun = _begun(environment, databases)
    accounts = _accounts(environment, databases) if begun else 0
    if begun or found in _OLD:
        event("mailboxes-upgraded", format=FORMAT, accounts=accounts)


def check(snapshot: Snapshot, databases: Databases) -> None:
    """StorageError when a reader would not understand the store."""
    found = snapshot.get(databases.meta, FORMAT_KEY)
    if found != bytes([FORMAT]):
        raise _unknown(found)
    if snapshot.get(databases.meta, UPGRADING_KEY) is not None:
        raise StorageError("the mailboxes are being upgraded; try again when the server has started")


def _begun(environment: lmdb.Environment, databases: Databases) -> tuple[bytes | None, bool]:
    """Which format it was, and whether records of format 1 are to be upgraded.

    An older Postroad refuses the store from the first step on.
    """
    with committed(environment) as batch:
        found = batch.get(databases.meta, FORMAT_KEY)
        if found is not None and found not in (*_OLD, bytes([FORMAT])):
            raise _unknown(found)
        if found == b"\x01":
            batch.put(databases.meta, UPGRADING_KEY, b"")
        batch.put(databases.meta, FORMAT_KEY, bytes([FORMAT]))
        return found, batch.get(databases.meta, UPGRADING_KEY) is not None


def _accounts(environment: lmdb.Environment, databases: Databases) -> int:
    """Upgrade those that have records of format 1; how many."""
    accounts, start = 0, b""
    while True:
        with committed(environment) as batch:
            keys = _old(batch, databases, start)
            for key in keys:
                _account(batch, databases, int.from_bytes(key, "big"))
            if not keys:
                batch.delete(databases.meta, UPGRADING_KEY)
        if not keys:
            return accounts
        accounts, start = accounts + len(keys), keys[-1]


def _old(batch: Batch, databases: Databases, start: bytes) -> list[bytes]:
    """The next accounts whose record is an old one."""
    found: list[bytes] = []
    for key, value in Snapshot(batch.transaction).scan(databases.account, start=start):
        if len(value) == _ACCOUNT_1.size:
            found.append(key)
            if len(found) == STEP:
                break
    return found


def _account(batch: Batch, databases: Databases, account: int) -> None:
    erased, _ = _ACCOUNT_1.unpack(batch.get(databases.account, account_key(account)) or b"")
    row = AccountRow(erased)
    inbox = batch.get(databases.mailbox, mailbox_key(account, INBOX))
    if inbox is not None:
        uidvalidity, uidnext, modseq, messages, size = _MAILBOX_1.unpack(inbox)
        mailbox = MailboxRow(
            uidvalidity, uidnext, modseq, lowest=modseq, messages=messages, unseen=messages, size=size, name=INBOX_NAME
        )
        batch.put(databases.mailbox, mailbox_key(account, INBOX), mailbox.octets())
        batch.put(databases.entry, name_key(account, INBOX_NAME), EntryRow(INBOX).octets())
        row = AccountRow(erased, INBOX, modseq, messages, size)
    opened = OpenAccount(batch, databases, account, row, now=int(time.time() * 1000), keep=False)
    if not erased:
        opened.begin()
    opened.save()


def _unknown(found: bytes | None) -> StorageError:
    number = found[0] if found else "of nobody"
    return StorageError(f"the mailboxes have format {number}; this Postroad knows format {FORMAT}")
