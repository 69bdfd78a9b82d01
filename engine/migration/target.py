"""Our side: messages are appended in batches, each between two notes in the record, as far as the quota goes."""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import trio

from engine.exchange.letters import is_keyword
from engine.exchange.store import Refused
from engine.exchange.store import Store as Mailboxes
from engine.mailbox.commands import Append, Appended, Problem, Store
from engine.mailbox.flags import MOST_KEYWORDS, SYSTEM, Mode
from engine.mailbox.quota import Quota
from engine.migration.progress import Progress
from engine.migration.record import Known, Record

MESSAGES, OCTETS = 500, 4 * 2**20
"""What is appended in one change at most: one sync serves many, and deliveries do not wait long behind it."""

_SYSTEM = {name.casefold(): bit for name, bit in SYSTEM.items()}


class Full(Exception):
    """The account has no room for the next message."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the source, ready to be appended."""

    uid: int
    digest: bytes
    flags: tuple[str, ...]
    received: int
    size: int
    content: bytes = b""
    file: str = ""


@dataclass(slots=True)
class Target:
    """One mailbox of ours, and the folder whose messages go into it."""

    store: Mailboxes
    account: int
    record: Record
    known: Known
    done: Progress
    quota: Callable[[], Awaitable[Quota]]
    name: str
    told: Callable[[], None]
    had: Counter[bytes] | None = None  # digests of what is there by another way
    anywhere: bool = False  # these count as often as one likes
    _batch: list[Arrived] = field(default_factory=list)
    _octets: int = 0
    _keywords: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        view = self.store.mailboxes.select(self.account, self.known.mailbox)
        self._keywords = {word.casefold() for word in view.keywords} if view else set()

    async def take(self, message: Arrived) -> None:
        """Full, Refused, StorageError, Unanswered."""
        if self.had is not None and self.had[message.digest]:
            self.had[message.digest] -= not self.anywhere
            self.record.there(self.known, [message.uid], [message.digest])
            self.done.before += 1
            return
        self._batch.append(message)
        self._octets += len(message.content)
        if message.file or len(self._batch) >= MESSAGES or self._octets >= OCTETS:
            await self.flush()

    async def flush(self) -> None:
        """Append what has gathered."""
        batch, self._batch, self._octets = self._batch, [], 0
        if batch:
            await self._append(batch)

    async def _append(self, batch: list[Arrived]) -> None:
        """All of them, or as many as there is room for: then Full."""
        if await self._appended(batch):
            self.done.taken += len(batch)
            self.done.size += sum(one.size for one in batch)
            self.told()
            return
        if len(batch) == 1:
            raise Full
        half = len(batch) // 2
        await self._append(batch[:half])
        await self._append(batch[half:])

    async def _appended(self, batch: list[Arrived]) -> bool:
        """Whether there was room."""
        quota = await self.quota()
        messages = tuple(self._message(one) for one in batch)
        command = Append(account=self.account, mailbox=self.known.mailbox, messages=messages, quota=quota)
        with trio.CancelScope(shield=True):  # or nobody would know what came of it
            uids, digests = [one.uid for one in batch], [one.digest for one in batch]
            await trio.to_thread.run_sync(self.record.before, self.known, uids, digests)
            answer = await self.store.change(command)
            self.record.after(answer.uids if answer.problem is None else ())
        if answer.problem not in (None, Problem.OVERQUOTA):
            raise Refused(f"append to {self.name}: {answer.problem.value}")
        return answer.problem is None

    def _message(self, one: Arrived) -> Appended:
        flags, words = self.translated(one.flags)
        return Appended(one.content, one.file, flags, words, one.received)

    def translated(self, flags: Iterable[str]) -> tuple[int, tuple[str, ...]]:
        r"""The system flags as bits, and the keywords for which the mailbox has room. \Recent is the source's own."""
        bits, words = 0, dict[str, str]()
        for flag in flags:
            low = flag.casefold()
            bits |= _SYSTEM.get(low, 0)
            if is_keyword(flag) and not flag.startswith("\\") and low not in words and self._has_room(flag):
                words[low] = flag
        return bits, tuple(words.values())

    def _has_room(self, word: str) -> bool:
        low = word.casefold()
        if low not in self._keywords and len(self._keywords) >= MOST_KEYWORDS:
            note = f"{self.name} has no room for the keyword {word}"
            if note not in self.done.notes and len(self.done.notes) < MOST_KEYWORDS:
                self.done.notes.append(note)
            return False
        self._keywords.add(low)
        return True


@dataclass(slots=True)
class Flags:
    """Brings the flags of messages that came earlier up to date: what the source says of them now, they get."""

    target: Target
    _wanted: dict[tuple[int, tuple[str, ...]], "array[int]"] = field(default_factory=lambda: defaultdict(_numbers))
    _places: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        known = self.target.known
        self._places = {uid: to for uid, to in zip(known.uids, known.targets, strict=True) if to}

    async def take(self, uid: int, flags: Iterable[str]) -> None:
        if (to := self._places.get(uid)) is not None:
            bits, words = self.target.translated(flags)
            self._wanted[bits, tuple(sorted(words, key=str.casefold))].append(to)
            self._count += 1
            if self._count >= MESSAGES * 10:
                await self.flush()

    async def flush(self) -> None:
        """Change those that are otherwise now. Refused, StorageError, Unanswered."""
        target, wanted = self.target, dict(self._wanted)
        self._wanted.clear()
        self._count = 0
        view = target.store.mailboxes.select(target.account, target.known.mailbox) if wanted else None
        if view is None:
            return
        for (bits, words), uids in wanted.items():
            mask = sum(1 << bit for bit, word in enumerate(view.keywords) if word.casefold() in _folded(words))
            known = {word.casefold() for word in view.keywords}
            changed = []
            for uid in sorted(uids):
                place = bisect_left(view.uids, uid)
                if place < len(view.uids) and view.uids[place] == uid:
                    same = view.flags[place] == bits and view.bits[place] == mask and _folded(words) <= known
                    changed += [] if same else [uid]
            if changed:
                await target.store.do(
                    Store(
                        account=target.account, mailbox=target.known.mailbox, uids=tuple(changed), mode=Mode.REPLACE,
                        flags=bits, keywords=words,
                    )
                )  # fmt: skip
                target.done.flags += len(changed)
        target.told()


def _numbers() -> "array[int]":
    return array("I")


def _folded(words: Iterable[str]) -> set[str]:
    return {word.casefold() for word in words}
