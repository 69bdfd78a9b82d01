"""Sends what was counted: once a day, each report once, by our own queue or to a page. It knows no kind of report."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, NamedTuple, Protocol

import trio

from engine.config import Reports
from engine.message import Envelope, Message, MessageId, Octets, Recipient, Session
from engine.net.dns import side_by_side
from engine.observe.events import event
from engine.reports.counts import Key, date, today
from engine.reports.destinations import Destination
from engine.storage.environment import StorageError
from engine.verdict import Defer, Discard, Reject, Verdict

LOOK = 300.0
"""Seconds between two looks for what is due."""

SETTLED = 600.0
"""Seconds after midnight (UTC) until which the last counts of a day may still be written."""

AT_ONCE = 8
"""Reports that are sent at a time: a page that says nothing holds up few others."""

KEPT = 3
"""Days after which a report that could not be sent is given up."""


@dataclass(frozen=True, slots=True)
class Office:
    """Who reports: the settings in force, and the name of this host."""

    settings: Reports
    hostname: str

    @property
    def domain(self) -> str:
        """In whose name reports go out."""
        return self.settings.email.rpartition("@")[2]


class Post(NamedTuple):
    """A page that a report goes to. ``send`` says what went wrong; empty: nothing."""

    page: str
    send: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A report, and who is to get it. ``letter`` makes the whole message to some of them; it takes its time.

    ``unsure``: the DNS may name more of them later. It counts as sent when one of them has it.
    """

    domain: str
    to: Sequence[Destination]
    unsure: bool
    letter: Callable[[Sequence[str]], bytes]
    rows: int
    messages: int  # or sessions
    posts: Sequence[Post] = ()


class Kind(Protocol):
    """One kind of report, and the store of its counts. All may raise StorageError; all but ``draft`` block.

    ``spread``: seconds over which reports are spread, so that not all servers' come to the same place at once.
    """

    name: ClassVar[str]
    spread: ClassVar[float]

    def due(self, today: int) -> list[Key]: ...

    async def draft(self, office: Office, key: Key) -> Draft | None: ...

    def claim(self, key: Key) -> None: ...

    def unclaim(self, key: Key) -> None: ...

    def drop(self, key: Key) -> None: ...

    def claimed(self) -> list[tuple[Key, str]]: ...


class Sender:
    """Sends the reports of one kind about days that are over. One in the whole server."""

    def __init__(
        self,
        kind: Kind,
        office: Callable[[], Office | None],
        submit: Callable[[Message], Awaitable[Verdict]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``office`` gives None while reports are off. ``submit`` takes a message to the queue."""
        self._kind = kind
        self._office = office
        self._submit = submit
        self._clock = clock
        self._looked_back = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.send()
            except StorageError as error:
                event("reports-failed", error=str(error))
            await trio.sleep(LOOK)

    async def send(self) -> None:
        """Send what is due. StorageError."""
        office = self._office()
        if office is None:
            return
        if not self._looked_back:
            await trio.to_thread.run_sync(self._forget_uncertain)
            self._looked_back = True
        due = await trio.to_thread.run_sync(self._kind.due, today(self._clock() - SETTLED))
        keys = [key for key in due if self._is_time(office, key)]
        for start in range(0, len(keys), AT_ONCE):
            some = [partial(self._try, office, key) for key in keys[start : start + AT_ONCE]]
            if error := next(filter(None, await side_by_side(some)), None):
                raise error

    async def _try(self, office: Office, key: Key) -> StorageError | None:
        """Send one; what went wrong with the store."""
        try:
            draft = await self._kind.draft(office, key)
            if draft is not None:
                await self._send_one(key, draft)
        except StorageError as error:
            return error
        except Exception as error:  # one report's trouble must not stop the others, nor the mail of this process
            event.bug("report", error)
            await trio.to_thread.run_sync(self._kind.drop, key)
        return None

    def _is_time(self, office: Office, key: Key) -> bool:
        """Each report has a moment of its own, which is the same after a restart."""
        wait = SETTLED + _share(office.hostname.encode() + key.digest) * self._kind.spread
        return today(self._clock() - wait) > key.day

    def _forget_uncertain(self) -> None:
        """What the process before us had in hand when it died may be in the queue: it is not sent again."""
        for key, domain in self._kind.claimed():
            event("report-dropped", domain=domain, day=date(key.day), reason="it may have been sent before a crash")
            self._kind.drop(key)

    async def _send_one(self, key: Key, draft: Draft) -> None:
        about = {"kind": self._kind.name, "domain": draft.domain, "day": date(key.day)}
        may_wait = today(self._clock()) - key.day < KEPT
        if draft.unsure and may_wait:
            return
        to, octets = await trio.to_thread.run_sync(_fitting, draft)
        if not to and not draft.posts:
            event("report-dropped", **about, reason="it is too large for them" if draft.to else "nobody may have it")
            await trio.to_thread.run_sync(self._kind.drop, key)
            return
        await trio.to_thread.run_sync(self._kind.claim, key)
        done = await self._hand_on(draft, to, octets)
        if done.reached:
            event("report-sent", **about, id=done.id, to=done.reached, rows=draft.rows, messages=draft.messages)
        elif may_wait and not done.refused:
            await trio.to_thread.run_sync(self._kind.unclaim, key)
            event("report-put-off", **about, text="; ".join(done.troubles))
            return
        else:
            event("report-dropped", **about, reason="; ".join(done.troubles))
        await trio.to_thread.run_sync(self._kind.drop, key)

    async def _hand_on(self, draft: Draft, to: Sequence[str], octets: bytes) -> "_Done":
        done = _Done()
        troubles = await side_by_side([post.send for post in draft.posts])
        for post, trouble in zip(draft.posts, troubles, strict=True):
            if trouble:
                done.troubles.append(f"{post.page}: {trouble}")
            else:
                done.reached.append(post.page)
        if not to:
            return done
        message = _message(octets, to, self._clock())
        match await self._submit(message):
            case Defer(text=text):
                done.troubles.append(text)
            case (Reject() | Discard()) as verdict:
                done.troubles.append(f"a stage refused it: {verdict}")
                done.refused = not draft.posts
            case _:
                done.id, done.reached = message.id, [*to, *done.reached]
        return done


@dataclass
class _Done:
    """What became of one report."""

    id: MessageId | None = None
    reached: list[str] = field(default_factory=list)  # addresses, and pages
    troubles: list[str] = field(default_factory=list)
    refused: bool = False  # for good


def _fitting(draft: Draft) -> tuple[list[str], bytes]:
    """Those who take a message of that size, and the message to them (RFC 9990 2.6)."""
    if not draft.to:
        return [], b""
    octets = draft.letter([one.address for one in draft.to])
    to = [one.address for one in draft.to if one.limit is None or len(octets) <= one.limit]
    return to, octets if len(to) == len(draft.to) or not to else draft.letter(to)


def _message(octets: bytes, to: Sequence[str], now: float) -> Message:
    # From the null sender (RFC 5321 4.5.5): what cannot be delivered comes back to nobody, and nobody answers.
    recipients = tuple(Recipient(address, notify="NEVER") for address in to)
    envelope = Envelope("", recipients, Session(protocol="", trusted=True), arrived=now)
    return Message(MessageId.new(now), envelope, Octets(octets))


def _share(name: bytes) -> float:
    """A number from 0 to 1 that is a name's own."""
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") / 2**32
