"""Accounts that are held: whatever is removed from them is kept, and nothing that is kept goes, until that ends."""

from dataclasses import dataclass

from engine.mailbox.layout import HELD, Databases, held_key
from engine.mailbox.opened import Effects
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch


@dataclass(frozen=True, slots=True)
class SetHold:
    """Hold an account, or no longer; whether it was removed, or has no mailboxes yet, makes no difference."""

    databases: Databases
    account: int
    on: bool

    def __call__(self, batch: Batch) -> Effects:
        if self.on:
            batch.put(self.databases.meta, held_key(self.account), b"")
        else:
            batch.delete(self.databases.meta, held_key(self.account))
        return Effects()


def is_held(batch: Batch, databases: Databases, account: int) -> bool:
    return batch.get(databases.meta, held_key(account)) is not None


def held(snapshot: Snapshot, databases: Databases) -> set[int]:
    """All that are held."""
    return {int.from_bytes(key[-8:], "big") for key, _ in snapshot.scan(databases.meta, HELD)}
