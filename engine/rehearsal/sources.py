"""Where the messages of a rehearsal come from: the queue, what is parked, a mailbox, or files."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import getaddresses
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from engine.exchange.letters import Broken, Letter
from engine.exchange.messages import messages
from engine.mailbox import Mailboxes, MessageGone
from engine.message import (
    Content,
    Envelope,
    Message,
    MessageId,
    Octets,
    Recipient,
    Session,
    end_of_header,
)
from engine.quarantine.held import held
from engine.queue.store import WAITING, Record, Shard
from engine.storage.environment import StorageError

LARGEST = 100 * 2**20
"""Octets of a message that is rehearsed: as much as that is held in memory."""

AT_THE_DOOR = ("door.early_talker",)
"""Facts that are no stage's: who lets mail in has them from the connection."""

_LIMIT = 100
"""Recipients of a message that is only a file: its fields may name anybody."""

Broke: TypeAlias = Callable[[str, str], None]
"""Hears of what cannot be read: where it is, and why."""

_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_PEER = re.compile(r"from\s+(\S+)\s+\(.{0,255}?\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A message, and from where on it is to be taken along. ``where`` is its id, or the file that it is in."""

    where: str
    message: Message
    lane: str
    behind_queue: bool


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the envelope of a file shall be: by options, or in a file NAME.json beside it. Empty: its fields say it."""

    sender: str | None = None  # "": nobody, as of a bounce
    recipients: tuple[str, ...] = ()
    peer: str = ""
    helo: str = ""
    login: str = ""
    tls: str = ""
    trusted: bool = False
    lane: str = ""

    def over(self, other: "Told") -> "Told":
        """With what this one says, and what the other one says beside."""
        said = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) or name == "sender"}
        if said["sender"] is None:
            del said["sender"]
        return replace(other, **said)


_sidecar = msgspec.json.Decoder(Told).decode


def queued(shards: Iterable[Shard], every: int = 1) -> Iterator[Asked]:
    """What waits, or each so many-th of it, from behind `queue`, as the next attempt would have it."""
    waiting = ((shard, one) for shard in shards for one in shard.all_records() if one.state == WAITING)
    for shard, record in islice(waiting, None, None, every):
        if found := _held(shard, record):
            yield Asked(str(record.id), found, record.lane, behind_queue=True)


def parked(shards: Iterable[Shard]) -> Iterator[Asked]:
    """What is parked, from the head of its lane."""
    for one in held(shards):
        if found := _held(one.shard, one.record):
            yield Asked(str(one.record.id), as_it_came(found), one.record.lane, behind_queue=False)


def _held(shard: Shard, record: Record) -> Message | None:
    """In memory, for it may leave the queue meanwhile; None where it has done that already, or is too large."""
    message = shard.message(record)
    content = _octets(message.content.chunks)
    return None if content is None else replace(message, content=content)


def _octets(chunks: Callable[[], Iterable[bytes]]) -> Octets | None:
    found, size = [], 0
    try:
        for chunk in chunks():
            found.append(chunk)
            size += len(chunk)
            if size > LARGEST:
                return None
    except (LookupError, StorageError, MessageGone):
        return None
    return Octets(b"".join(found))


def as_it_came(message: Message) -> Message:
    """The message as it was before any stage saw it: without facts, and without what stages have put on top of it.

    What a stage has made of the content it keeps, for nobody has what it was before.
    """
    envelope = message.envelope
    first = _RECEIVED.search(envelope.prepended)
    facts = {name: value for name, value in envelope.facts.items() if name in AT_THE_DOOR}
    return replace(
        message,
        envelope=replace(
            envelope,
            recipients=tuple(replace(one, lane="") for one in envelope.recipients),
            facts=facts,
            prepended=envelope.prepended[first.start() :] if first else b"",
            left_out=(),
            attempts=0,
        ),
    )


def told(path: Path, options: Told, broken: Broke) -> Iterator[Asked]:
    """The messages of a file or folder: mbox, Maildir, .eml. ``broken`` hears of what cannot be read, and why."""
    for found in messages(path):
        if isinstance(found, Broken):
            broken(found.where, found.why)
            continue
        try:
            beside = _beside(Path(found.where))
            yield of_letter(found.where, found.letter, options.over(beside))
        except (OSError, ValueError) as error:
            broken(found.where, str(error))


def _beside(path: Path) -> Told:
    """What the file beside it says. OSError, ValueError."""
    file = path.with_suffix(".json")
    if path.suffix != ".eml" or not file.is_file():
        return Told()
    try:
        return _sidecar(file.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{file}: {error}") from error


def of_letter(where: str, letter: Letter, said: Told) -> Asked:
    """A letter with an envelope. ValueError where nobody says who it is for, and for what is too large."""
    octets = _octets(lambda: letter.pieces)
    if octets is None:
        raise ValueError(f"it has more than {LARGEST:,} octets")
    recipients = tuple(map(Recipient, said.recipients or _recipients(octets)))
    if not recipients:
        raise ValueError("it names no recipient; say one by --recipient")
    sender = _sender(octets) if said.sender is None else said.sender
    session = Session(
        peer=said.peer, helo=said.helo, tls=said.tls, login=said.login, trusted=said.trusted or bool(said.login)
    )
    arrived = letter.received / 1000 or time.time()
    body = "7BIT" if octets.isascii() else "8BITMIME"
    envelope = Envelope(sender, recipients, session, arrived=arrived, body=body)
    return Asked(where, Message(MessageId.new(arrived), envelope, octets), said.lane, behind_queue=False)


def in_mailbox(
    mailboxes: Mailboxes, account: int, options: Told, broken: Broke, last: int | None = None
) -> Iterator[Asked]:
    """What lies in the mailboxes of an account, as it came: by its Return-Path, and by our own topmost Received.

    ``last``: so many of each folder, the latest.
    """
    for where, octets, received in stored(mailboxes, account, last):
        try:
            letter = Letter([as_stored(octets)], received=received)
            yield of_letter(where, letter, options.over(_came_from(octets)))
        except ValueError as error:
            broken(where, str(error))


def stored(mailboxes: Mailboxes, account: int, last: int | None = None) -> Iterator[tuple[str, Octets, int]]:
    """Each message of an account: where it lies, all of it, and when it came, in milliseconds."""
    for folder in mailboxes.folders(account):
        view = mailboxes.select(account, folder.number) if folder.number else None
        if view is None:
            continue
        for uid, received in list(zip(view.uids, view.received, strict=True))[-last if last else None :]:
            octets = _octets(partial(mailboxes.chunks, account, uid, folder.number))
            if octets is not None:
                yield f"{folder.name}/{uid}", octets, received


def as_stored(octets: Octets) -> bytes:
    """A message without what was put on top of it here: all above our own Received."""
    first = _RECEIVED.search(octets, 0, end_of_header(octets) or 0)
    return octets[first.start() :] if first else octets


def _came_from(octets: Octets) -> Told:
    """What the fields on top of it say, which are our own: who sent it, and which client brought it."""
    found = _PEER.match(_field(octets, "Received"))
    helo, peer = (found[1], found[2]) if found else ("", "")
    return Told(sender=_sender(octets), helo=helo, peer=peer)


def _sender(octets: Octets) -> str:
    """By its Return-Path, else by who wrote it."""
    path = _field(octets, "Return-Path").strip()
    if path.startswith("<"):
        return path.strip("<> ")
    return next(iter(_addresses(octets, "From")), "")


def _recipients(octets: Octets) -> list[str]:
    """By what servers note of that, else by who it is addressed to."""
    for names in (("Delivered-To",), ("X-Original-To",), ("Envelope-To",), ("To", "Cc")):
        if found := _addresses(octets, *names):
            return found[:_LIMIT]
    return []


def _addresses(octets: Octets, *names: str) -> list[str]:
    found = getaddresses([_field(octets, name) for name in names])
    return list(dict.fromkeys(address for _, address in found if "@" in address.strip("@")))


def _field(content: Content, name: str) -> str:
    message = Message(MessageId(bytes(16)), Envelope("", ()), content)
    return message.header(name) or ""
