"""Long removals, done in steps: an account, a deleted mailbox, what was kept long enough, old keys of deliveries."""

from dataclasses import dataclass

from engine.mailbox import grants, metadata
from engine.mailbox.content import keys
from engine.mailbox.holds import is_held
from engine.mailbox.layout import (
    DROPPING,
    ERASING,
    Databases,
    account_key,
    dropping_key,
    erasing_key,
    kept_key,
    mailbox_key,
    tell_key,
    told_key,
)
from engine.mailbox.opened import Effects, OpenAccount, OpenMailbox
from engine.mailbox.rows import AccountRow, KeptRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch


@dataclass(slots=True)
class Step(Effects):
    """What one step has done."""

    count: int = 0
    more: bool = True


@dataclass(frozen=True, slots=True)
class Condemn:
    """Mark an account as erased for ever, so that nothing is delivered to it any more."""

    databases: Databases
    account: int

    def __call__(self, batch: Batch) -> None:
        octets = batch.get(self.databases.account, account_key(self.account))
        row = AccountRow.parse(octets) if octets is not None else AccountRow()
        batch.put(self.databases.account, account_key(self.account), row._replace(erased=1).octets())
        batch.put(self.databases.meta, erasing_key(self.account), b"")


@dataclass(frozen=True, slots=True)
class Erase:
    """Take up to ``limit`` records of a condemned account away: messages, what was kept of them, then the rest.

    Of one that is held only what others see of it.
    """

    databases: Databases
    account: int
    limit: int

    def __call__(self, batch: Batch) -> Step:
        account = _reopened(batch, self.databases, self.account)
        if account is None:
            return Step(more=False)
        step = self._shared(batch) or self._held(batch)
        step = step or self._messages(account) or self._kept(account) or self._rest(batch)
        account.save()
        step.files = account.files
        return step

    def _shared(self, batch: Batch) -> Step | None:
        """First of all, so that nobody else sees what is being taken away."""
        databases = self.databases
        grants.forget_sharer(batch, databases, self.account)
        return Step() if grants.take_all(batch, databases, account_key(self.account), self.limit) else None

    def _held(self, batch: Batch) -> Step | None:
        return Step(more=False) if is_held(batch, self.databases, self.account) else None

    def _messages(self, account: OpenAccount) -> Step | None:
        found = keys(account.batch, self.databases.message, account_key(self.account), self.limit)
        mailbox = account.mailbox(int.from_bytes(found[0][8:12], "big"), gone=True) if found else None
        return Step(count=_empty(mailbox, self.limit)) if mailbox is not None else None

    def _kept(self, account: OpenAccount) -> Step | None:
        found = keys(account.batch, self.databases.kept, account_key(self.account), self.limit)
        for key in found:
            _forget_kept(account, key)
        return Step() if found else None

    def _rest(self, batch: Batch) -> Step:
        databases = self.databases
        for database in (
            databases.log, databases.state, databases.keyword, databases.metadata, databases.subscribed,
            databases.entry, databases.mailbox, databases.script, databases.remembered,
        ):  # fmt: skip
            found = keys(batch, database, account_key(self.account), self.limit)
            for key in found:
                batch.delete(database, key)
            if found:
                return Step()
        for take in (grants.take_from, metadata.forget_viewer):
            if take(batch, databases, self.account, self.limit):
                return Step()
        for key in (told_key(self.account), tell_key(self.account)):
            batch.delete(databases.quota, key)
        batch.delete(databases.meta, erasing_key(self.account))
        return Step(more=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Take up to ``limit`` messages of a deleted mailbox away, and with the last of them its record."""

    databases: Databases
    account: int
    mailbox: int
    limit: int
    now: int  # Unix milliseconds
    keep: bool

    def __call__(self, batch: Batch) -> Step:
        account = _reopened(batch, self.databases, self.account, now=self.now, keep=self.keep)
        mailbox = account.mailbox(self.mailbox, gone=True) if account is not None else None
        if account is None or mailbox is None:
            batch.delete(self.databases.meta, dropping_key(self.account, self.mailbox))
            return Step(more=False)
        step = Step(count=_empty(mailbox, self.limit))
        step.news, step.files = account.save(), account.files
        if not step.count:
            step.more = self._finish(batch)
        return step

    def _finish(self, batch: Batch) -> bool:
        databases, own = self.databases, mailbox_key(self.account, self.mailbox)
        if grants.take_all(batch, databases, own, self.limit):
            return True
        for database in (databases.log, databases.state, databases.keyword, databases.metadata):
            found = keys(batch, database, own, self.limit)
            for key in found:
                batch.delete(database, key)
            if found:
                return True
        batch.delete(databases.mailbox, own)
        batch.delete(databases.meta, dropping_key(self.account, self.mailbox))
        return False


@dataclass(frozen=True, slots=True)
class Purge:
    """Let go up to ``limit`` messages of an account that were expunged before ``before`` (Unix milliseconds)."""

    databases: Databases
    account: int
    before: int
    limit: int

    def __call__(self, batch: Batch) -> Step:
        account = _reopened(batch, self.databases, self.account)
        if account is None or account.held:
            return Step(more=False)
        end = kept_key(self.account, self.before)
        found = keys(batch, self.databases.kept, account_key(self.account), self.limit)
        old = [key for key in found if key < end]
        for key in old:
            _forget_kept(account, key)
        account.save()
        return Step(account.files, count=len(old), more=len(old) == self.limit)


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop up to ``limit`` keys of deliveries whose message id was made before ``before`` (Unix time in seconds)."""

    databases: Databases
    before: float
    limit: int

    def __call__(self, batch: Batch) -> Step:
        end = max(0, int(self.before * 1000)).to_bytes(6, "big")
        old = [key for key in keys(batch, self.databases.delivered, b"", self.limit) if key < end]
        for key in old:
            batch.delete(self.databases.delivered, key)
            batch.delete(self.databases.said, key)
        return Step(count=len(old), more=len(old) == self.limit)


def half_done(snapshot: Snapshot, databases: Databases) -> tuple[list[int], list[tuple[int, int]]]:
    """The accounts, and the mailboxes of accounts, whose removal has begun and has not ended."""
    erasing = [int.from_bytes(key[-8:], "big") for key, _ in snapshot.scan(databases.meta, ERASING)]
    dropping = [
        (int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big"))
        for key, _ in snapshot.scan(databases.meta, DROPPING)
    ]
    return erasing, dropping


def accounts_with_kept(snapshot: Snapshot, databases: Databases, before: int) -> list[int]:
    """The accounts that have something to purge: one look at each that keeps anything."""
    found, start = [], b""
    while (item := next(snapshot.scan(databases.kept, start=start), None)) is not None:
        account = int.from_bytes(item[0][:8], "big")
        if item[0] < kept_key(account, before):
            found.append(account)
        start = account_key(account + 1)
    return found


def _reopened(
    batch: Batch, databases: Databases, account: int, *, now: int = 0, keep: bool = False
) -> OpenAccount | None:
    """The account as it is, an erased one too."""
    octets = batch.get(databases.account, account_key(account))
    if octets is None:
        return None
    return OpenAccount(batch, databases, account, AccountRow.parse(octets), now=now, keep=keep)


def _empty(mailbox: OpenMailbox, limit: int) -> int:
    """Remove up to ``limit`` messages; how many there were."""
    uids = mailbox.uids(limit)
    for uid in uids:
        row = mailbox.get(uid)
        assert row is not None
        mailbox.expunge(uid, row)
    return len(uids)


def _forget_kept(account: OpenAccount, key: bytes) -> None:
    octets = account.batch.get(account.databases.kept, key)
    assert octets is not None
    row = KeptRow.parse(octets)
    account.unkeep(key, row)
    account.release(row.message)
