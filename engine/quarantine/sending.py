"""Tells people once a day what was parked for them: each letter once, whatever crashes."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import msgspec
import trio

from engine.config import Quarantine, secrets_in
from engine.directory import Directory, Unavailable
from engine.message import Envelope, Message, MessageId, Octets, Recipient, Session
from engine.observe.events import event
from engine.quarantine import links
from engine.quarantine.digest import DIGEST, Gathered, Parked, gathered
from engine.quarantine.held import may_release
from engine.quarantine.letter import About, Line, letter
from engine.queue.store import Shard
from engine.storage.environment import StorageError
from engine.storage.files import write
from engine.units import spelled
from engine.verdict import Defer, Discard, Reject, Verdict
from engine.wording.letters import LanguageOf, english, letters

LOOK = 20.0
"""Seconds between two looks at the clock."""

SETTLED = 10.0
"""Seconds after the time of the letters until which what was parked before may still be on its way to the disk."""

FOR_EVER = 30 * 86_400.0
"""Seconds that links are good for where parked mail does not expire."""


class _State(msgspec.Struct):
    told: float = 0.0  # Unix time up to which people have been told of what was parked


@dataclass(frozen=True, slots=True)
class Post:
    """What the sender of the letters needs of the process that it runs in."""

    settings: Callable[[], Quarantine | None]
    shards: Callable[[], Sequence[Shard]]
    directory: Directory
    submit: Callable[[Message], Awaitable[Verdict]]  # takes a message to the queue
    is_queued: Callable[[MessageId], bool]  # whether that has it still
    language: LanguageOf = english  # of whom a letter is for


class Digests:
    """Sends the letters. One in the whole server.

    A letter has an id that follows from whom it is for and from its day. So one that a crash has made uncertain is sent
    again, and the queue or the mailbox, which know the id, see that it is there.
    """

    def __init__(self, post: Post, file: Path, clock: Callable[[], float] = time.time) -> None:
        """``file``: where it is kept up to when people have been told."""
        self._post = post
        self._file = file
        self._clock = clock
        self._done: tuple[float, set[int]] = (0.0, set())  # until when, and the accounts that have been told

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.send()
            except (StorageError, Unavailable, OSError) as error:
                event("digests-failed", error=str(error))
            except Exception as error:  # it must not stop the mail of this process
                event.bug("digests", error)
            await trio.sleep(LOOK)

    async def send(self) -> None:
        """Send the letters that are due. StorageError, Unavailable, OSError."""
        settings = self._post.settings()
        if settings is None or settings.digest == "off" or settings.secret_file is None:
            return
        now = self._clock()
        until = last_time(settings.digest, now - SETTLED)
        told = await trio.to_thread.run_sync(self._told)
        if told > now:  # the clock was ahead, and people were told of all that there was
            await trio.to_thread.run_sync(self._tell, until)
        if told >= until:
            return
        secrets = await trio.to_thread.run_sync(secrets_in, settings.secret_file)
        found = await trio.to_thread.run_sync(gathered, self._post.shards(), self._post.directory, told, until)
        if self._done[0] != until:
            self._done = until, set()
        all_sent = True
        for one in found:
            all_sent &= one.account.id in self._done[1] or await self._sent(one, settings, secrets, until)
        if all_sent:
            await trio.to_thread.run_sync(self._tell, until)

    async def _sent(self, one: Gathered, settings: Quarantine, secrets: Sequence[bytes], until: float) -> bool:
        """Whether the letter is in the queue, or will never be."""
        identity = letter_id(one.account.id, until)
        address = one.account.address
        if not self._post.is_queued(identity):
            write_it = partial(_octets, one, identity, settings, secrets, until)
            octets = await trio.to_thread.run_sync(lambda: write_it(language=self._language(one)))
            verdict = await self._post.submit(_message(octets, identity, address, self._clock()))
            if isinstance(verdict, Defer):
                event("digest-put-off", to=address, text=verdict.text)
                return False
            if isinstance(verdict, Reject | Discard):
                event("digest-dropped", to=address, reason=f"a stage refused it: {verdict}")
            else:
                event("digest-sent", id=identity, to=address, messages=len(one.parked) + one.more)
        self._done[1].add(one.account.id)
        return True

    def _language(self, one: Gathered) -> str:
        return self._post.language(one.account.domain, one.account.id)

    def _told(self) -> float:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_State).told
        except (FileNotFoundError, msgspec.MsgspecError):  # of a damaged one too: people are told once more
            return 0.0

    def _tell(self, until: float) -> None:
        write(self._file, msgspec.json.encode(_State(until)))


def last_time(clock: str, now: float) -> float:
    """The last Unix time, not later than ``now``, at which a clock here showed "HH:MM"."""
    hour, minute = map(int, clock.split(":"))
    today = datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=0, microsecond=0)
    found = today.timestamp()
    return found if found <= now else (today - timedelta(days=1)).timestamp()


def letter_id(account: int, until: float) -> MessageId:
    """The id of the letter to an account about what was parked until then: always the same."""
    milliseconds = int(until * 1000)
    unique = hashlib.blake2b(f"{account} {milliseconds}".encode(), digest_size=10, person=b"quarantine").digest()
    return MessageId(milliseconds.to_bytes(6, "big") + unique)


def _octets(
    one: Gathered, identity: MessageId, settings: Quarantine, secrets: Sequence[bytes], until: float, *, language: str
) -> bytes:
    domain = one.account.domain
    about = About(
        identity,
        settings.digest_from or f"postmaster@{domain}",
        one.account.address,
        more=one.more,
        expire=spelled(settings.expire) if settings.expire else "",
        linked=bool(settings.url),
        language=language,
    )
    expires = int(until + (settings.expire or FOR_EVER))
    return letter(about, [_line(parked, settings, secrets, expires, language) for parked in one.parked])


def _line(parked: Parked, settings: Quarantine, secrets: Sequence[bytes], expires: int, language: str) -> Line:
    def link(action: links.Action) -> str:
        token = links.sign(links.Link(action, parked.identity, parked.recipient, expires), secrets)
        return f"{settings.url}?token={quote(token)}" if settings.url else token

    return Line(
        parked.sender,
        parked.subject,
        letters(language).day(parked.arrived) or formatdate(parked.arrived, localtime=True),
        parked.reason,
        parked.score,
        release=link("release") if may_release(parked.reason, settings.release) else "",
        delete=link("delete"),
    )


def _message(octets: bytes, identity: MessageId, address: str, now: float) -> Message:
    # From the null sender (RFC 5321 4.5.5): what cannot be delivered comes back to nobody, and nobody answers.
    session, to = Session(protocol="", trusted=True), (Recipient(address, notify="NEVER"),)
    envelope = Envelope("", to, session, {DIGEST: True}, arrived=now, smtputf8=not octets.isascii())
    return Message(identity, envelope, Octets(octets))
