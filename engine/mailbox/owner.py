"""The owner of the mailboxes: the one process that changes them."""

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

import lmdb
import msgspec
import trio

from engine.mailbox import holds
from engine.mailbox.changes import COMMANDS, Applied, Change
from engine.mailbox.commands import (
    ActivateScript,
    Answer,
    AnyCommand,
    Append,
    Delete,
    EraseAccount,
    Expunge,
    Hold,
    Move,
    Offer,
    Problem,
    Restore,
    Store,
    Undelete,
    is_append,
    packed,
    unpack_command,
)
from engine.mailbox.content import files_in_use
from engine.mailbox.deliver import Deliver, Delivered, Outcome, Recipient, Variant, part_for
from engine.mailbox.incoming import clear, filed, ready
from engine.mailbox.large import LargeFiles, Staged, is_large, our_files, stage_inline
from engine.mailbox.layout import INBOX, INLINE, LARGE, MAP_SIZE, MAX_DATABASES, Databases, content_key
from engine.mailbox.messages import Ready, append
from engine.mailbox.opened import Effects, News
from engine.mailbox.putback import Rows, files_of, offer, restore, staged, sweep
from engine.mailbox.reader import Mailboxes
from engine.mailbox.remembered import ForgetKeys, over
from engine.mailbox.removal import Condemn, Drop, Erase, Forget, Purge, Step, accounts_with_kept, half_done
from engine.mailbox.restored import Jump
from engine.mailbox.scripts import accounts
from engine.mailbox.undelete import undelete
from engine.mailbox.upgrade import bring_up
from engine.message import Message
from engine.observe.events import event
from engine.storage.batch import Batch
from engine.storage.environment import Full, StorageError, open_environment, reason, translated
from engine.storage.ownership import held
from engine.storage.room import Room
from engine.storage.writer import Writer

RESERVE = 64 * 2**20
"""Octets of disk that deliveries leave free, so that removals, which write too, still find room."""

REMEMBER = 30 * 86400.0
"""Seconds for which a delivery is remembered: far longer than the queue tries to hand a message on."""

STEP = 500
"""Records in one change of a long task, so that deliveries never wait long behind it."""

FLAGS_STEP = 50_000
"""The same where only flags are changed: half a microsecond each the first time, then much less."""

SHORT = 1024 * 1024
"""Octets of an APPEND that is done at once where it can be: at most two milliseconds of work, and a sync."""

ROUND = 3600.0
"""Seconds between two rounds of ``tend``."""

STEADY = 60.0
"""Seconds by which the clock may differ, after a round, from the time that has passed: more is a jump."""

log = logging.getLogger(__name__)

E = TypeVar("E", bound=Effects)


class MailboxOwner:
    """The store in ``path``, open for changes. Use it inside ``trio.run``, as a context manager or with ``close``.

    StorageError when another process owns it, or it cannot be opened. What a method answers is on disk, synced. What
    has begun is not cancelled.
    """

    def __init__(
        self,
        path: Path,
        *,
        map_size: int = MAP_SIZE,
        reserve: int = RESERVE,
        keep_expunged: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.reserve = reserve  # may be changed at any time, as may the next three
        self.keep_expunged = keep_expunged  # seconds for which what was expunged can be brought back
        self.tell: Callable[[News], None] = lambda _: None  # is called after each commit with what has changed
        self.fuller: Callable[[], None] = lambda: None  # is called when somebody is to be told that a mailbox fills up
        self._clock = clock
        self.environment = open_environment(path, map_size=map_size, databases=MAX_DATABASES)
        self._lock = -1
        try:
            self._lock = held(path)
            self.databases = Databases(self.environment, create=True)
            bring_up(self.environment, self.databases)
            self._large = LargeFiles(path / LARGE)
            self.reader = Mailboxes(self.environment, self.databases, path)
            self._clean()
            with self.reader.snapshot() as snapshot:
                self.scripted = accounts(snapshot, self.databases)  # that have an active script
        except (OSError, lmdb.Error) as error:
            self._release()
            raise StorageError(f"cannot open the mailboxes in {path}: {error}") from error
        except StorageError:
            self._release()
            raise
        self._room = Room()
        self._copiers = trio.CapacityLimiter(4)
        self.writer = Writer(self.environment, name="mailbox")

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

    async def deliver(
        self, message: Message, recipients: Mapping[int, str | Recipient], variants: Sequence[Message] = ()
    ) -> Mapping[int, Outcome]:
        """Put ``message`` into the mailboxes of each account, in one change; what became of it for each.

        ``recipients`` maps an account's number to the address that the sender wrote to, which means its INBOX, or to
        more than that. ``variants`` are the same message with other header sections; a place says which one it gets.
        StorageError (Full when there is no room) when nothing at all was stored.
        """
        self._check_room()
        if not is_large(message):
            contents = tuple([Variant(content_key(one), stage_inline(one)) for one in (message, *variants)])
            return (await self._apply(self._delivery(message, recipients, contents))).outcomes
        if await trio.to_thread.run_sync(self._has_all, message, recipients):
            return dict.fromkeys(recipients, Outcome.ALREADY)
        return await self._deliver_large(message, recipients, variants)

    async def remove(self, account_id: int, uids: Collection[int]) -> int:
        """Remove messages from an account's INBOX; how many were there. StorageError: perhaps not all were removed."""
        answer = await self.change(Expunge(account=account_id, mailbox=INBOX, uids=tuple(uids), deleted_only=False))
        return len(answer.sources)

    async def change(self, command: AnyCommand) -> Answer:
        """Do what a client asks for. StorageError (Full when there is no room) when it may be half done, or not at all.

        Changes to very many messages are done in steps, so that deliveries never wait long behind them; COPY and
        APPEND, which have to be done whole, in one.
        """
        match command:
            case Append():
                return await self._append(command)
            case Undelete():
                return await self._undelete(command)
            case Offer():
                return await self._offer(command)
            case Restore():
                return await self._restore(command)
            case EraseAccount():
                await self.erase(command.account)
                return Answer(Problem.HELD if self.reader.is_held(command.account) else None)
            case Hold():
                await self._apply(holds.SetHold(self.databases, command.account, command.on))
                return Answer()
            case Store() | Expunge() | Move():
                step = FLAGS_STEP if isinstance(command, Store) else STEP
                if len(command.uids) <= step:
                    return await self._do(command)
                answer: Answer | None = None
                for start in range(0, len(command.uids), step):
                    part = command.uids[start : start + step]
                    done = await self._do(msgspec.structs.replace(command, uids=part))
                    answer = done if answer is None else answer + done
                assert answer is not None
                return answer
            case _:
                answer = await self._do(command)
                if isinstance(command, ActivateScript) and answer.problem is None:
                    self._note_script(command.account)
                if isinstance(command, Delete) and answer.problem is None:
                    await self._drop(command.account, answer.mailbox)
                return answer

    async def answer(self, octets: bytes | memoryview) -> bytes:
        """``change``, asked for by another process."""
        return packed(await self.change(unpack_command(octets)))

    def answer_at_once(self, octets: bytes | memoryview) -> bytes | None:
        """The same for a short APPEND that waits for nobody; None: ``answer`` has to do it. Blocks for one commit."""
        if len(octets) > SHORT or not is_append(octets) or not self.writer.is_free:
            return None
        command = unpack_command(octets)
        assert isinstance(command, Append)
        if any(one.file or len(one.content) > INLINE for one in command.messages):
            return None
        self._check_room()
        done = list(ready(command.messages, self.path, self._large))
        effects = self.writer.apply_here(self._change(command.account, partial(append, command=command, ready=done)))
        self._tell(effects)
        return packed(effects.answer)

    async def erase(self, account_id: int) -> int:
        """Remove all that an account had, and refuse every later delivery to it; how many messages went.

        Done in steps. One that was broken off is taken up again by ``tend``, as is that of an account which is held
        until then.
        """
        await self.writer.apply(Condemn(self.databases, account_id))
        self.scripted.discard(account_id)
        count = await self._steps(Erase(self.databases, account_id, STEP))
        if not self.reader.is_held(account_id):
            event("account-erased", account=account_id, messages=count)
        return count

    async def forget(self, before: float) -> int:
        """Forget the deliveries of messages whose id is older than ``before``, Unix time in seconds; how many."""
        return await self._steps(Forget(self.databases, before, STEP))

    async def purge(self, before: float) -> int:
        """Let messages go that were expunged before ``before``, Unix time in seconds; how many."""
        end, total = int(before * 1000), 0
        for account_id in await trio.to_thread.run_sync(self._keeping, end):
            total += await self._steps(Purge(self.databases, account_id, end, STEP))
        return total

    async def forget_keys(self) -> int:
        """Let go what accounts remember no longer; how many keys."""
        now = self._now()
        found = await trio.to_thread.run_sync(self._over, now)
        for start in range(0, len(found), STEP):
            await self._apply(ForgetKeys(self.databases, found[start : start + STEP], now))
        return len(found)

    async def restored(self) -> int:
        """Never again give out what was given out after this copy of the store was made; for how many accounts.

        Do it once the store was put back from a backup, before anyone uses it. Done in steps: if it is broken off, do
        it again.
        """
        total, after = 0, b""
        while True:
            jumped = await self._apply(Jump(self.databases, after, STEP))
            total, after = total + jumped.count, jumped.last
            if jumped.count < STEP:
                return total

    async def tend(self) -> NoReturn:
        """Now and every hour: finish removals that were broken off.

        Every hour without a jump of the clock: forget deliveries older than REMEMBER, and purge what was expunged long
        enough ago. A failure is logged, and tried again in the next round.
        """
        steady = False  # nobody knows what the clock did before
        while True:
            set_at = self._clock() - trio.current_time()
            try:
                await self._round(forget=steady)
            except StorageError:
                log.exception("mailboxes: the hourly round failed")
            await trio.sleep(ROUND)
            steady = abs(self._clock() - trio.current_time() - set_at) <= STEADY

    async def _round(self, *, forget: bool) -> None:
        erasing, dropping = await trio.to_thread.run_sync(self._half_done)
        for account_id in erasing:
            await self.erase(account_id)
        for account_id, mailbox in dropping:
            await self._drop(account_id, mailbox)
        if forget:
            await self.forget(self._clock() - REMEMBER)
            await self.purge(self._clock() - self.keep_expunged)
            await self.forget_keys()

    async def _apply(self, change: Callable[[Batch], E]) -> E:
        """Have a change committed, tell what is new, and remove the files that nobody refers to any more."""
        effects = await self.writer.apply(change, to_the_end=True)
        self._tell(effects)
        if effects.files:
            with trio.CancelScope(shield=True):
                await self._discard(effects.files)
        return effects

    def _tell(self, effects: Effects) -> None:
        for news in effects.news:
            self.tell(news)
        if effects.fuller:
            self.fuller()

    async def _steps(self, step: Callable[[Batch], Step]) -> int:
        """Do it until there is no more; to how many it was done."""
        total = 0
        while True:
            done = await self._apply(step)
            total += done.count
            if not done.more:
                return total

    async def _work(self, account: int, work: Applied) -> Answer:
        return (await self._apply(self._change(account, work))).answer

    def _change(self, account: int, work: Applied) -> Change:
        return Change(self.databases, account, work, now=self._now(), keep=self.keep_expunged > 0)

    async def _do(self, command: AnyCommand) -> Answer:
        function = COMMANDS[type(command)]
        return await self._work(command.account, lambda account: function(account, command))

    async def _drop(self, account: int, mailbox: int) -> None:
        keep = self.keep_expunged > 0
        await self._steps(Drop(self.databases, account, mailbox, STEP, now=self._now(), keep=keep))

    async def _undelete(self, command: Undelete) -> Answer:
        answer = Answer()
        while True:
            more = await self._work(command.account, partial(undelete, command=command, limit=STEP))
            answer += more
            if len(more.uids) < STEP:
                return answer

    async def _append(self, command: Append) -> Answer:
        self._check_room()
        with trio.CancelScope(shield=True):  # the files must end up either referred to or removed
            done: list[Ready] = []
            used = False
            try:
                work = ready(command.messages, self.path, self._large)
                if any(asked.file for asked in command.messages):
                    await trio.to_thread.run_sync(done.extend, work)  # one hop for all: each costs more than the work
                else:
                    done.extend(work)  # in memory all that there is to do is to cut them
                answer = await self._work(command.account, partial(append, command=command, ready=done))
                used = answer.problem is None
            except OSError as error:
                raise _storage_error(error) from error
            finally:
                if not used:
                    await self._discard(files_of((one.key, one.staged) for one in done))
        return answer

    async def _offer(self, command: Offer) -> Answer:
        self._check_room()
        with trio.CancelScope(shield=True):  # the files must end up either referred to or removed
            done: list[tuple[bytes, Staged]] = []
            unused: list[str] | None = None
            try:
                work = ((one.key, staged(one, self.path, self._large)) for one in command.contents)
                await trio.to_thread.run_sync(done.extend, work)
                unused = await self.writer.apply(partial(offer, databases=self.databases, contents=done))
            except OSError as error:
                raise _storage_error(error) from error
            finally:
                await self._discard(files_of(done) if unused is None else unused)
        return Answer()

    async def _restore(self, command: Restore) -> Answer:
        self._check_room()
        try:
            rows = Rows(filed(self.path, command.file).path)
        except OSError as error:
            raise _storage_error(error) from error
        change = partial(restore, databases=self.databases, account=command.account, found=rows, owner=command.owner)
        return await self.writer.apply(change)

    def _delivery(
        self, message: Message, recipients: Mapping[int, str | Recipient], contents: tuple[Variant, ...]
    ) -> Deliver:
        now = self._now()
        return Deliver(
            databases=self.databases,
            message_id=message.id,
            contents=contents,
            parts={account: part_for(message.sender, recipient) for account, recipient in recipients.items()},
            received=int(message.envelope.arrived * 1000) or now,
            now=now,
        )

    async def _deliver_large(
        self, message: Message, recipients: Mapping[int, str | Recipient], variants: Sequence[Message]
    ) -> Mapping[int, Outcome]:
        done = Delivered()
        staged: list[Variant] = []
        with trio.CancelScope(shield=True):  # the files must end up either referred to or removed
            try:
                for one in (message, *variants):
                    found = await trio.to_thread.run_sync(self._large.stage, one, limiter=self._copiers)
                    staged.append(Variant(content_key(one), found))
                done = await self._apply(self._delivery(message, recipients, tuple(staged)))
            except OSError as error:
                raise _storage_error(error) from error
            finally:
                await self._discard(files_of(one for one in staged if one.key not in done.used))
        return done.outcomes

    async def _discard(self, files: Collection[str]) -> None:
        if files:
            await trio.to_thread.run_sync(self._large.discard, files)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _check_room(self) -> None:
        if not self._room.above(self.reserve, self.path):
            raise Full("no room in the store: the disk is nearly full")

    def _has_all(self, message: Message, recipients: Collection[int]) -> bool:
        return all(self.reader.delivered(message.id, account) for account in recipients)

    def _half_done(self) -> tuple[list[int], list[tuple[int, int]]]:
        with self.reader.snapshot() as snapshot:
            return half_done(snapshot, self.databases)

    def _keeping(self, before: int) -> list[int]:
        with self.reader.snapshot() as snapshot:
            keeping = holds.held(snapshot, self.databases)
            return [one for one in accounts_with_kept(snapshot, self.databases, before) if one not in keeping]

    def _note_script(self, account: int) -> None:
        if self.reader.active_scripts([account]):
            self.scripted.add(account)
        else:
            self.scripted.discard(account)

    def _over(self, now: int) -> list[bytes]:
        with self.reader.snapshot() as snapshot:
            return over(snapshot, self.databases, now=now)

    def _clean(self) -> None:
        """Remove files that no record refers to: a crash came between the file and its commit."""
        clear(self.path)
        sweep(self.environment, self.databases)
        found = our_files(self.path / LARGE)
        if found:
            with self.reader.snapshot() as snapshot:
                found -= files_in_use(snapshot, self.databases)
        if found:
            self._large.discard(found)
            event("leftovers-removed", files=len(found), why="content that no message in a mailbox refers to")

    def _release(self) -> None:
        self.environment.close()
        if self._lock >= 0:
            os.close(self._lock)


def _storage_error(error: OSError) -> StorageError:
    known = translated(error)
    return known if isinstance(known, StorageError) else StorageError(f"cannot write the message: {reason(error)}")
