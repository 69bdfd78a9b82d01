"""Puts the messages of a source into the mailboxes of an account; broken off, it goes on where it was."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from engine.exchange.journal import Journal, digest
from engine.exchange.letters import Broken, Found
from engine.exchange.sources import Source
from engine.exchange.store import Store
from engine.mailbox.commands import Append, Appended, Begin, Subscribe
from engine.mailbox.flags import MOST_KEYWORDS
from engine.mailbox.layout import INLINE
from engine.mailbox.names import SEPARATOR, canonical

MESSAGES, OCTETS = 500, 4 * 2**20
"""What is appended in one change at most: one sync serves many, and deliveries do not wait long behind it."""


@dataclass(slots=True)
class Imported:
    """What became of a source."""

    taken: int = 0
    before: int = 0  # were taken in an earlier run
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Target:
    """A mailbox that messages go into."""

    name: str
    number: int
    keywords: set[str]  # which it knows, in small letters


@dataclass(slots=True)
class Import:
    """One run. ``into``: the mailbox below which all goes; empty: where it was. ``step`` is told after each message."""

    store: Store
    account: int
    journal: Journal
    into: str = ""
    step: Callable[[Imported], None] = lambda _: None
    done: Imported = field(default_factory=Imported)
    _targets: dict[str, _Target | None] = field(default_factory=dict)
    _batch: list[tuple[bytes, Appended]] = field(default_factory=list)
    _octets: int = 0
    _to: _Target | None = None

    async def run(self, source: Source, only: Collection[str] = ()) -> Imported:
        """Take all that is in the source, or in these folders of it. Refused, StorageError, Unanswered, OSError."""
        await self.store.do(Begin(account=self.account))
        for name, _ in source.folders:  # empty ones too
            if not only or name in only:
                await self._target(source, name)
        for found in source.letters(only):
            if isinstance(found, Broken):
                self.done.broken.append(found)
                continue
            target = await self._target(source, found.folder)
            if target is None:
                self.done.broken.append(Broken(found.where, f"no mailbox can be named {found.folder!r}"))
                continue
            try:
                await self._take(target, found)
            except Unreadable as error:
                self.done.broken.append(Broken(found.where, str(error)))
            self.step(self.done)
        await self._flush()
        if not only and not self.into:
            for name in source.subscribed:
                await self.store.change(Subscribe(account=self.account, name=name))
        return self.done

    async def _take(self, target: _Target, found: Found) -> None:
        if target is not self._to or len(self._batch) >= MESSAGES or self._octets >= OCTETS:
            await self._flush()
            self._to = target
        print_ = digest(target.name)
        octets, pieces = bytearray(), _readable(found.letter.pieces)
        for piece in pieces:
            print_.update(piece)
            octets += piece
            if len(octets) > INLINE:
                break
        letter = found.letter
        if len(octets) <= INLINE:
            if self._known(print_.digest()):
                return
            words = self._words(target, found)
            appended = Appended(bytes(octets), flags=letter.flags, keywords=words, received=letter.received)
            self._batch.append((print_.digest(), appended))
            self._octets += len(octets)
            return
        with self.store.handed(chain((bytes(octets),), _fed(print_.update, pieces))) as name:
            if not self._known(print_.digest()):
                await self._flush()
                words = self._words(target, found)
                appended = Appended(file=name, flags=letter.flags, keywords=words, received=letter.received)
                self._batch.append((print_.digest(), appended))
                await self._flush()

    def _known(self, fingerprint: bytes) -> bool:
        known = self.journal.taken(fingerprint)
        self.done.before += known
        return known

    async def _flush(self) -> None:
        """Append what has gathered, between two notes in the journal."""
        if self._batch and self._to is not None:
            self.journal.before(self._to.name, self._to.number, [print_ for print_, _ in self._batch])
            messages = tuple(message for _, message in self._batch)
            await self.store.do(Append(account=self.account, mailbox=self._to.number, messages=messages))
            self.journal.after()
            self.done.taken += len(messages)
        self._batch, self._octets = [], 0

    def _words(self, target: _Target, found: Found) -> tuple[str, ...]:
        """The keywords for which the mailbox has room (docs/decisions/0017)."""
        words = []
        for word in found.letter.keywords:
            if word.casefold() in target.keywords or len(target.keywords) < MOST_KEYWORDS:
                target.keywords.add(word.casefold())
                words.append(word)
            else:
                self.done.notes.append(f"{found.where}: {target.name} has no room for the keyword {word}")
        return tuple(words)

    async def _target(self, source: Source, folder: str) -> _Target | None:
        """Where a folder's messages go; None: it can be no mailbox's name."""
        if folder in self._targets:
            return self._targets[folder]
        target = None
        try:
            name = canonical(
                folder if not self.into else self.into if source.single else self.into + SEPARATOR + folder
            )
        except ValueError:
            name = ""
        if name:
            use = "" if self.into else source.uses().get(name, "")
            listed = bool(source.subscribed) and not self.into  # else people would not see what has come
            made = await self.store.made(
                self.account, name, use=use, subscribed=not listed or name in source.subscribed
            )
            view = self.store.mailboxes.select(self.account, made.number)
            target = _Target(name, made.number, {word.casefold() for word in view.keywords} if view else set())
        self._targets[folder] = target
        return target


class Unreadable(Exception):
    """A source cannot be read, and why."""


def _readable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Errors of the source, told from those of the store."""
    try:
        yield from pieces
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def _fed(update: Callable[[bytes], None], pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece
