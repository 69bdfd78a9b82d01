"""The owner of the mailboxes: the one process that changes them."""

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import lmdb
import trio

from engine.mailbox.changes import Condemn, Deliver, Delivered, Erase, Forget, Outcome, Remove, Removed
from engine.mailbox.large import LargeFiles, Staged, is_large, our_files, stage_inline
from engine.mailbox.layout import (
    FORMAT,
    LARGE,
    MAP_SIZE,
    MAX_DATABASES,
    NO_FILE,
    ContentRow,
    Databases,
    content_key,
    file_name,
)
from engine.mailbox.reader import Mailboxes
from engine.message import Message
from engine.observe.events import event
from engine.storage.environment import Full, StorageError, open_environment, translated
from engine.storage.ownership import held
from engine.storage.room import Room
from engine.storage.writer import Writer

RESERVE = 64 * 2**20
"""Octets of disk that deliveries leave free, so that removals, which write too, still find room."""

REMEMBER = 30 * 86400.0
"""Seconds for which a delivery is remembered: far longer than the queue tries to hand a message on."""

STEP = 500
"""Records in one change of a long task, so that deliveries never wait long behind it."""

ROUND = 3600.0
"""Seconds between two rounds of ``tend``."""

log = logging.getLogger(__name__)

_LINE_BREAKS = dict.fromkeys(map(ord, "\r\n\0"))


class MailboxOwner:
    """The store in ``path``, open for changes. Use it inside ``trio.run``, as a context manager or with ``close``.

    StorageError when another process owns it, or it cannot be opened. What a method answers is on disk, synced.
    """

    def __init__(
        self,
        path: Path,
        *,
        map_size: int = MAP_SIZE,
        reserve: int = RESERVE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.reserve = reserve  # may be changed at any time
        self._clock = clock
        self._environment = open_environment(path, map_size=map_size, databases=MAX_DATABASES)
        self._lock = -1
        try:
            self._lock = held(path)
            self.databases = Databases(self._environment, create=True)
            _check_format(self._environment, self.databases)
            self._large = LargeFiles(path / LARGE)
            self.reader = Mailboxes(self._environment, self.databases, path)
            self._clean()
        except (OSError, lmdb.Error) as error:
            self._release()
            raise StorageError(f"cannot open the mailboxes in {path}: {error}") from error
        except StorageError:
            self._release()
            raise
        self._room = Room()
        self._copiers = trio.CapacityLimiter(4)
        self.writer = Writer(self._environment, name="mailboxes")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what has arrived and close. Blocks for that one commit."""
        self.writer.close()
        self._release()

    async def deliver(self, message: Message, recipients: Mapping[int, str]) -> Mapping[int, Outcome]:
        """Put ``message`` into the INBOX of each account, in one change; what became of it for each.

        ``recipients`` maps an account's number to the address that the sender wrote to. StorageError (Full when there
        is no room) when nothing at all was stored. A delivery that has begun is not cancelled.
        """
        if not self._room.above(self.reserve, self.path):
            raise Full("no room in the store: the disk is nearly full")
        if not is_large(message):
            return (await self.writer.apply(self._change(message, recipients, stage_inline(message)))).outcomes
        if await trio.to_thread.run_sync(self._has_all, message, recipients):
            return dict.fromkeys(recipients, Outcome.ALREADY)
        return await self._deliver_large(message, recipients)

    async def remove(self, account_id: int, uids: Collection[int]) -> int:
        """Remove messages from an account's INBOX, all in one change; how many were there. StorageError: none was."""
        with trio.CancelScope(shield=True):
            removed = await self.writer.apply(Remove(self.databases, account_id, tuple(uids)))
            await self._discard(removed)
        return removed.messages

    async def erase(self, account_id: int) -> int:
        """Remove all that an account had, and refuse every later delivery to it; how many messages went.

        Done in steps. One that was broken off is taken up again by ``tend``.
        """
        await self.writer.apply(Condemn(self.databases, account_id))
        total = 0
        while True:
            with trio.CancelScope(shield=True):
                removed = await self.writer.apply(Erase(self.databases, account_id, STEP))
                await self._discard(removed)
            total += removed.messages
            if not removed.messages:
                return total

    async def forget(self, before: float) -> int:
        """Forget the deliveries of messages whose id is older than ``before``, Unix time in seconds; how many."""
        total = 0
        while True:
            dropped = await self.writer.apply(Forget(self.databases, before, STEP))
            total += dropped
            if dropped < STEP:
                return total

    async def tend(self) -> NoReturn:
        """Now and every hour: finish erasures that were broken off, forget deliveries older than REMEMBER, and free
        what readers that were killed still hold. A failure is logged, and tried again in the next round."""
        while True:
            try:
                await self._round()
            except StorageError:
                log.exception("mailboxes: the hourly round failed")
            await trio.sleep(ROUND)

    async def _round(self) -> None:
        self._environment.reader_check()
        for account_id in await trio.to_thread.run_sync(self._unfinished):
            await self.erase(account_id)
        await self.forget(self._clock() - REMEMBER)

    def _change(self, message: Message, recipients: Mapping[int, str], staged: Staged) -> Deliver:
        now = int(self._clock() * 1000)
        return Deliver(
            databases=self.databases,
            message_id=message.id,
            content=content_key(message),
            staged=staged,
            headings={account: _heading(message.sender, address) for account, address in recipients.items()},
            received=int(message.envelope.arrived * 1000) or now,
            now=now,
        )

    async def _deliver_large(self, message: Message, recipients: Mapping[int, str]) -> Mapping[int, Outcome]:
        done = Delivered({}, file_used=False)
        with trio.CancelScope(shield=True):  # the file must end up either referred to or removed
            try:
                staged = await trio.to_thread.run_sync(self._large.stage, message, limiter=self._copiers)
            except OSError as error:
                raise _storage_error(error) from error
            try:
                done = await self.writer.apply(self._change(message, recipients, staged))
            finally:
                if not done.file_used:
                    await trio.to_thread.run_sync(self._large.discard, [file_name(content_key(message), staged.token)])
        return done.outcomes

    async def _discard(self, removed: Removed) -> None:
        if removed.files:
            await trio.to_thread.run_sync(self._large.discard, removed.files)

    def _has_all(self, message: Message, recipients: Mapping[int, str]) -> bool:
        return all(self.reader.delivered(message.id, account) for account in recipients)

    def _unfinished(self) -> list[int]:
        with self.reader.snapshot() as snapshot:
            marks = snapshot.scan(self.databases.meta, b"erasing")
            return [int.from_bytes(key[-8:], "big") for key, _ in marks]

    def _clean(self) -> None:
        """Remove files that no record refers to: a crash came between the file and its commit."""
        found = our_files(self.path / LARGE)
        if not found:
            return
        with self.reader.snapshot() as snapshot:
            for key, value in snapshot.scan(self.databases.content):
                content = ContentRow.parse(value)
                if content.token != NO_FILE:
                    found.discard(file_name(key, content.token))
        if found:
            self._large.discard(found)
            event("leftovers-removed", files=len(found), why="content that no message in a mailbox refers to")

    def _release(self) -> None:
        self._environment.close()
        if self._lock >= 0:
            os.close(self._lock)


def _check_format(environment: lmdb.Environment, databases: Databases) -> None:
    with environment.begin(write=True) as transaction:
        found = transaction.get(b"format", db=databases.meta)
        if found is None:
            transaction.put(b"format", bytes([FORMAT]), db=databases.meta)
        elif found != bytes([FORMAT]):
            raise StorageError(f"the mailboxes have format {found[0]}; this Postroad knows format {FORMAT}")


def _heading(sender: str, address: str) -> bytes:
    """The header fields of one delivery: RFC 5321 4.4, and the address that it was for, whatever To says."""
    fields = f"Return-Path: <{_one_line(sender)}>\r\nDelivered-To: {_one_line(address)}\r\n"
    return fields.encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.translate(_LINE_BREAKS)  # which nearly always finds nothing, in 1.5 µs


def _storage_error(error: OSError) -> StorageError:
    known = translated(error)
    return known if isinstance(known, StorageError) else StorageError(f"cannot write the message: {error}")
