"""Who holds which rights to which mailbox, and how a holder finds it: the databases that say so, kept in step."""

from engine.mailbox.content import keys
from engine.mailbox.layout import (
    Databases,
    account_key,
    acl_key,
    identifier_of,
    mailbox_key,
    shared_key,
    sharer_key,
    sharer_name_key,
)
from engine.mailbox.rights import Grant
from engine.mailbox.rows import GrantRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch


def grants(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> list[Grant]:
    """A mailbox's list of rights, by identifier."""
    found = snapshot.scan(databases.acl, mailbox_key(account, mailbox))
    return [_grant(key, value) for key, value in found]


def put(batch: Batch, databases: Databases, account: int, mailbox: int, grant: Grant) -> None:
    row = GrantRow(grant.who, grant.rights)
    batch.put(databases.acl, acl_key(account, mailbox, grant.identifier), row.octets())
    batch.put(databases.shared, shared_key(grant.identifier, account, mailbox), b"")


def take(batch: Batch, databases: Databases, account: int, mailbox: int, identifier: str) -> None:
    batch.delete(databases.acl, acl_key(account, mailbox, identifier))
    batch.delete(databases.shared, shared_key(identifier, account, mailbox))


def take_all(batch: Batch, databases: Databases, prefix: bytes, limit: int | None = None) -> int:
    """Take grants away, all or up to ``limit``, of a mailbox or an account as ``prefix`` says; how many there were."""
    found = keys(batch, databases.acl, prefix, limit)
    for key in found:
        take(batch, databases, *_mailbox_of(key), identifier_of(key))
    return len(found)


def take_from(batch: Batch, databases: Databases, who: int, limit: int) -> int:
    """Take up to ``limit`` grants away that an account holds. It looks at all there are: only for removing one."""
    found = []
    for key, value in Snapshot(batch.transaction).scan(databases.acl):
        if GrantRow.parse(value).who == who:
            found.append(key)
            if len(found) == limit:
                break
    for key in found:
        take(batch, databases, *_mailbox_of(key), identifier_of(key))
    return len(found)


def introduce(batch: Batch, databases: Databases, account: int, address: str) -> None:
    """Let others see the account's mailboxes by this address. An earlier account of the address loses it."""
    before = batch.get(databases.sharer, sharer_key(account))
    if before == address.encode():
        return
    forget_sharer(batch, databases, account)
    earlier = batch.get(databases.sharer, sharer_name_key(address))
    if earlier is not None:
        forget_sharer(batch, databases, int.from_bytes(earlier, "big"))
    batch.put(databases.sharer, sharer_key(account), address.encode())
    batch.put(databases.sharer, sharer_name_key(address), account_key(account))


def forget_sharer(batch: Batch, databases: Databases, account: int) -> None:
    address = batch.get(databases.sharer, sharer_key(account))
    if address is not None:
        batch.delete(databases.sharer, sharer_key(account))
        batch.delete(databases.sharer, sharer_name_key(address.decode()))


def _grant(key: bytes, value: bytes) -> Grant:
    row = GrantRow.parse(value)
    return Grant(identifier_of(key), row.rights, row.who)


def _mailbox_of(key: bytes) -> tuple[int, int]:
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[8:12], "big")
