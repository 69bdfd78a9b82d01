"""One run: the folders of a source in turn, over one connection after another, until all that is there has come."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from operator import lt

import trio

from engine.directory import DirectoryError
from engine.exchange.store import Refused, Store
from engine.links.request import Unanswered
from engine.mailbox import Folder as Mailbox
from engine.mailbox.commands import Begin
from engine.mailbox.quota import Quota
from engine.mailbox.quotas import NO_QUOTA
from engine.migration.folders import Choice, Namespaces, Place, Plan, planned
from engine.migration.pace import PATIENCE, Pace, Pauses
from engine.migration.progress import Left, Progress, State
from engine.migration.record import MOST_LEFT, Known, Record, digest_of
from engine.migration.server import Login, Server
from engine.migration.spool import Spool, as_mail
from engine.migration.talk import Denied, Ended, Lost, SignInRefused, Talk, is_for_later, talking
from engine.migration.target import Arrived, Flags, Full, Target
from engine.observe.visible import visible
from engine.protocols.imap import sets
from engine.protocols.imap_client.answers import Large, Part, Status, Streamed, Untagged
from engine.protocols.imap_client.client import quoted
from engine.protocols.imap_client.data import Fetched, Listed, fetched, listed, number_of
from engine.storage.environment import StorageError

LARGEST = 100 * 10**6
"""Octets of a message that is taken, unless it is said otherwise."""

FLOOR = 2**30
"""Octets of the disk that are left to others, whatever the source has."""

_AT_ONCE, _AT_ONCE_OCTETS = 100, 2 * 2**20
"""Messages, and octets of them, that one command asks for."""

_MOST = 5_000_000
"""Messages of one folder: more than any server's."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be taken, and how. ``into``: the mailbox below which all goes. ``flags``: those of messages that came
    earlier are brought up to date.
    """

    choice: Choice = field(default_factory=Choice)
    into: str = ""
    largest: int = LARGEST
    flags: bool = False
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder of the source, the mailbox of ours that it goes to, and how many messages it has; None: nobody knows."""

    folder: str
    to: str
    messages: int | None


class Unmade(Exception):
    """There can be no mailbox of that name."""


async def _no_quota() -> Quota:
    return NO_QUOTA


@dataclass(slots=True)
class Run:
    """``step`` is told after each batch, and whenever the state changes."""

    store: Store
    account: int
    server: Server
    login: Login
    record: Record = field(init=False)  # of what came; a look does without
    wishes: Wishes = field(default_factory=Wishes)
    pace: Pace = field(default_factory=Pace)
    quota: Callable[[], Awaitable[Quota]] = _no_quota
    step: Callable[[Progress], None] = lambda _: None
    done: Progress = field(default_factory=Progress)
    mine: Counter[bytes] = field(default_factory=Counter)  # messages of each folder that this very run has taken

    async def run(self) -> Progress:
        """To the end, whatever it is; the record says what came. Cancelled, it goes on another time where it was."""
        try:
            await self.store.do(Begin(account=self.account))
            await self._persist()
        except Full:
            self._say("full", "the account has no room for the next message")
        except SignInRefused as error:
            self._say("refused", str(error))
        except (Lost, Denied, Refused, Unanswered, StorageError, DirectoryError, OSError) as error:
            self._say("failed", str(error))
        else:
            self._say("done", "")
        return self.done

    async def looked(self) -> list[Seen]:
        """What there is, and where it would go; nothing is taken. Lost, Denied, SignInRefused, OSError."""
        async with talking(self.server, self.login, self.pace) as talk:
            plan = await self._plan(talk)
            self.done.notes += plan.notes
            return [Seen(one.name, one.to, await _count(talk, one.raw)) for one in plan.places]

    def _say(self, state: State, why: str) -> None:
        self.done.state, self.done.why = state, why
        self._told()

    def _told(self) -> None:
        self.step(self.done)

    async def _persist(self) -> None:
        """One connection after another, with growing pauses while nothing comes of them."""
        pauses = Pauses(self.wishes.patience)
        while True:
            self._begin_anew()
            before = self.done.taken
            try:
                async with talking(self.server, self.login, self.pace) as talk:
                    self._say("running", "")
                    await self._pass(talk)
                return
            except Lost as error:
                if self.done.taken > before:
                    pauses.achieved()
                if (seconds := pauses.next()) is None:
                    raise
                self._say("waiting", str(error))
                await trio.sleep(seconds)

    def _begin_anew(self) -> None:
        """What the next connection counts again."""
        done = self.done
        done.folders, done.total, done.before, done.left, done.notes = 0, 0, 0, [], []

    async def _pass(self, talk: Talk) -> None:
        plan = await self._plan(talk)
        self.done.notes += plan.notes
        self.done.places = {place.name: place.to for place in plan.places}
        self.done.of_folders = len(plan.places)
        for place in plan.places:
            self.done.folder = place.name
            self._told()
            await self._folder(talk, place)
            self.done.folders += 1
        self.done.folder = ""

    async def _plan(self, talk: Talk) -> Plan:
        found = [one for item in await talk.ask(b'LIST "" "*"') if (one := listed(item)) is not None]
        namespaces = (
            _namespaces(await talk.ask_kindly(b"NAMESPACE")) if "NAMESPACE" in talk.capabilities else Namespaces()
        )
        shown = frozenset(one.raw for one in map(_subscribed, await talk.ask_kindly(b'LSUB "" "*"')) if one is not None)
        ours = {one.use: one.name for one in self.store.mailboxes.folders(self.account) if one.use and one.number}
        return planned(found, namespaces, subscribed=shown, ours=ours, choice=self.wishes.choice, into=self.wishes.into)

    async def _folder(self, talk: Talk, place: Place) -> None:
        """What cannot be read or made is told, and others are gone on with."""
        try:
            facts = _facts(await talk.selected(place.raw))
            made = await self._made(place)
            known = self.record.folder(place.raw, facts["UIDVALIDITY"], made.number)
            before = self.done.taken
            try:
                await Folder(self, talk, place, self._target(place, known), facts).run()
            finally:
                self.mine[place.raw] += self.done.taken - before
        except (Denied, Unmade) as error:
            self.done.left.append(Left(place.name, 0, f"the folder cannot be taken: {error}"))

    async def _made(self, place: Place) -> Mailbox:
        """Unmade, StorageError, Unanswered."""
        try:
            return await self.store.made(self.account, place.to, use=place.use, subscribed=place.subscribed)
        except Refused as error:
            raise Unmade(str(error)) from error

    def _target(self, place: Place, known: Known) -> Target:
        return Target(self.store, self.account, self.record, known, self.done, self.quota, place.to, self._told)


@dataclass(slots=True)
class Listing:
    """Messages of the source: UIDs, and the sizes that it says, in as little memory as can be."""

    uids: "array[int]" = field(default_factory=lambda: array("I"))
    sizes: "array[int]" = field(default_factory=lambda: array("Q"))

    def put(self, uid: int, size: int) -> None:
        self.uids.append(uid)
        self.sizes.append(size)

    def settle(self) -> None:
        """Each once, and in their order, whatever the source has said."""
        if _ascending(self.uids) is not self.uids:
            pairs = sorted(dict(self.pairs()).items())
            self.uids, self.sizes = array("I", [uid for uid, _ in pairs]), array("Q", [size for _, size in pairs])

    def pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.uids, self.sizes, strict=True)

    def portions(self, largest: int) -> Iterator[dict[int, int]]:
        """Those of this size at most: what one command asks for."""
        some, octets = dict[int, int](), 0
        for uid, size in self.pairs():
            if size > largest:
                continue
            if some and (len(some) >= _AT_ONCE or octets + size > _AT_ONCE_OCTETS):
                yield some
                some, octets = {}, 0
            some[uid] = size
            octets += size
        if some:
            yield some


@dataclass(slots=True)
class Folder:
    """One folder that is open at the source."""

    whole: Run
    talk: Talk
    place: Place
    target: Target
    facts: Mapping[str, int]
    _asked: dict[int, int] = field(default_factory=dict)  # UIDs that are to come → what the source says of their size
    _singly: list[int] = field(default_factory=list)  # UIDs to be asked for by themselves
    _spool: Spool | None = None

    async def run(self) -> None:
        if not self.facts["EXISTS"]:
            return
        known = self.target.known
        old = len(known.uids)
        new = await self._new()
        try:
            if new.uids:
                self._remember()
                await self._fetch(new)
        except Lost:
            await self.target.flush()  # else a server that often hangs up would give the same again and again
            raise
        finally:
            self._told_left()
        if self.whole.wishes.flags and old:
            await self._flags()
        self.target.record.looked(known, self.facts["HIGHESTMODSEQ"] if not old or self.whole.wishes.flags else 0)

    def _remember(self) -> None:
        """What is there by another way."""
        record, known = self.target.record, self.target.known
        if self.place.again:
            self.target.had, self.target.anywhere = Counter(record.all_digests()), True
        elif record.renumbered(known.raw, known.validity):
            self.target.had = record.elsewhere(known)

    async def _new(self) -> Listing:
        """What has not come."""
        known, found, before = _ascending(self.target.known.uids), Listing(), 0
        async with aclosing(self.talk.each([b"UID FETCH 1:* (UID RFC822.SIZE)"])) as items:
            async for item in items:
                if isinstance(item, Ended):
                    item.check()
                elif isinstance(item, Untagged) and (one := fetched(item)) is not None and one.size is not None:
                    place = bisect_left(known, one.uid)
                    if place < len(known) and known[place] == one.uid:
                        before += 1
                    else:
                        found.put(one.uid, one.size)
                    if len(found.uids) + before > _MOST:
                        raise Lost(f"{self.place.name} has more than {_MOST:,} messages")
        found.settle()
        self.whole.done.before += before - min(before, self.whole.mine[self.place.raw])
        self.whole.done.total += before + len(found.uids)
        return found

    async def _fetch(self, new: Listing) -> None:
        largest = self.whole.wishes.largest
        for uid, size in new.pairs():
            if size > largest:
                self._leave(uid, f"it is larger than {largest:,} octets", size)
        await self._ask(new.portions(largest))
        await self.target.flush()
        singly, self._singly = self._singly, []
        for uid in singly:
            await self._ask([{uid: 0}], alone=True)
        await self.target.flush()

    async def _ask(self, portions: Iterable[dict[int, int]], *, alone: bool = False) -> None:
        """Take these, each with a command. ``alone``: what is refused is told, and not asked for again."""
        waiting: dict[int, tuple[int, ...]] = {}

        def words() -> Iterator[bytes]:
            for number, portion in enumerate(portions):
                waiting[number] = tuple(portion)
                self._asked |= portion
                yield b"UID FETCH %b (UID FLAGS INTERNALDATE BODY.PEEK[])" % sets.of(portion).render()

        try:
            async with aclosing(self.talk.each(words())) as items:
                async for item in items:
                    if isinstance(item, Ended):
                        self._ended(item.status, waiting.pop(item.number), alone=alone)
                    else:
                        await self._item(item)
        finally:
            self._drop()

    def _ended(self, status: Status, uids: Sequence[int], *, alone: bool) -> None:
        """A command has ended. What did not come of it was removed meanwhile; or it is asked for by itself."""
        missing = [uid for uid in uids if self._asked.pop(uid, None) is not None]
        if status.kind == "OK":
            return
        if is_for_later(status):
            raise Lost(visible(status.text))
        if alone:
            for uid in missing:
                self._leave(uid, f"the source does not give it: {visible(status.text)}")
        else:
            self._singly += missing

    async def _item(self, item: object) -> None:
        match item:
            case Large(size=size):
                self._drop()
                self._spool = Spool(self.target.store.path, size, self.whole.wishes.largest, FLOOR)
            case Part(octets=octets) if self._spool is not None:
                self._spool.feed(octets)
            case Untagged() if (one := fetched(item)) is not None and one.asked and one.uid in self._asked:
                said = self._asked.pop(one.uid)
                await self._message(one, said)

    async def _message(self, one: Fetched, said: int) -> None:
        match one.content:
            case bytes() as content if content:
                octets = as_mail(content)
                print_ = digest_of(octets).digest()
                await self.target.take(Arrived(one.uid, print_, one.flags or (), one.received, len(octets), octets))
            case Streamed() if self._spool is not None and self._spool.fits:
                await self.target.flush()
                name, print_ = self._spool.finish()
                size = self._spool.size
                await self.target.take(Arrived(one.uid, print_, one.flags or (), one.received, size, file=name))
                self._drop()
            case Streamed(size=size):
                self._leave(one.uid, f"it is larger than {self.whole.wishes.largest:,} octets", size, one.received)
                self._drop()
            case _:
                self._leave(one.uid, "the source gives nothing of it", said, one.received)

    def _drop(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _leave(self, uid: int, why: str, size: int = 0, received: int = 0) -> None:
        """Refused when so much cannot be taken that nobody would read of it: such a source is broken, or hostile."""
        known = self.target.known
        if len(self.whole.done.left) + len(known.left) >= MOST_LEFT and uid not in known.left:
            raise Refused(f"more than {MOST_LEFT:,} messages cannot be taken")
        self.target.record.leave(known, Left(self.place.name, uid, why, size, received))

    def _told_left(self) -> None:
        self.whole.done.left += self.target.known.left.values()
        self.whole._told()

    async def _flags(self) -> None:
        """What has changed since they were last looked at, where the source can tell (RFC 7162); else of all."""
        since, flags = self.target.known.modseq, Flags(self.target)
        words = b"UID FETCH 1:* (UID FLAGS)"
        if since and self.facts["HIGHESTMODSEQ"]:
            words += b" (CHANGEDSINCE %d)" % since
        async with aclosing(self.talk.each([words])) as items:
            async for item in items:
                if isinstance(item, Ended):
                    item.check()
                elif isinstance(item, Untagged) and (one := fetched(item)) is not None and one.flags is not None:
                    await flags.take(one.uid, one.flags)
        await flags.flush()


def _ascending(uids: "array[int]") -> "array[int]":
    """The same in their order."""
    return uids if all(map(lt, uids, uids[1:])) else array("I", sorted(uids))


def _facts(said: Iterable[Untagged | Status]) -> dict[str, int]:
    """What a folder says of itself when it is opened; 0: nothing."""
    facts = {"EXISTS": 0, "UIDVALIDITY": 0, "HIGHESTMODSEQ": 0}
    for item in said:
        if isinstance(item, Status):
            if item.code in facts and item.about.isascii() and item.about.isdecimal() and len(item.about) < 20:
                facts[item.code] = int(item.about)
        elif (count := number_of(item, "EXISTS")) is not None:
            facts["EXISTS"] = count
    return facts


async def _count(talk: Talk, raw: bytes) -> int | None:
    """How many messages a folder has (RFC 9051 6.3.11)."""
    for item in await talk.ask_kindly(b"STATUS %b (MESSAGES)" % quoted(raw)):
        match item.words:
            case (str(), _, (str(), str() as count, *_)) if count.isascii() and count.isdecimal() and len(count) < 11:
                return int(count)
    return None


def _subscribed(item: Untagged) -> Listed | None:
    """What LSUB says, which looks like LIST."""
    match item.words:
        case (str() as kind, *rest) if kind.upper() == "LSUB":
            return listed(Untagged(("LIST", *rest)))
    return None


def _namespaces(said: Sequence[Untagged]) -> Namespaces:
    """RFC 2342 5: own, others', shared; each NIL or a list of prefix and separator."""
    for item in said:
        match item.words:
            case (str() as kind, own, *others) if kind.upper() == "NAMESPACE":
                first = next(iter(_prefixes(own)), "")
                return Namespaces(first, tuple(prefix for one in others for prefix in _prefixes(one) if prefix))
    return Namespaces()


def _prefixes(value: object) -> Iterator[str]:
    for one in value if isinstance(value, tuple) else ():
        if isinstance(one, tuple) and one and isinstance(one[0], bytes):
            yield one[0].decode("latin-1")
