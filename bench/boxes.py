"""The mailboxes that are read: many messages, in Maildirs and in Postroad's own store, each the same for all users."""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import trio

from bench.maildirs import made
from bench.servers.base import DOMAIN
from engine import Envelope, Message, MessageId, Recipient
from engine.directory import Embedded
from engine.mailbox import MailboxOwner
from engine.message import Octets

PASSWORD = "for the benchmarks"

_FIRST = 1_700_000_000
"""When the first message arrived; the others follow, ten minutes apart."""

_AT_ONCE = 500
"""Messages that are put into Postroad's store together: it commits once for all that come meanwhile."""

_WORDS = ("an", "of", "mail", "message", "server", "reply", "address", "letter", "box", "queue", "from", "was", "read")


@dataclass(frozen=True, slots=True)
class Boxes:
    """So many mailboxes with so many messages of about so many octets: from half to one and a half times as many.

    They differ in size as real ones do: Dovecot's table of file names, which hold the size, is slow when all are alike.
    """

    boxes: int
    messages: int
    size: int
    domain: str = DOMAIN

    def users(self) -> list[str]:
        """The names to log in with."""
        return [f"u{number:02d}@{self.domain}" for number in range(self.boxes)]

    def contents(self) -> Iterator[bytes]:
        """The messages, with the line ends of the net; always the same ones."""
        chance = random.Random(self.messages)
        for number in range(self.messages):
            yield _message(number, chance.randrange(self.size // 2, self.size * 3 // 2 + 1), chance)


def _message(number: int, size: int, chance: random.Random) -> bytes:
    """A plain message as it lies in a mailbox, with the fields that servers look at."""
    sender, date = f"sender{number % 97}@source.test", datetime.fromtimestamp(_FIRST + 600 * number, UTC)
    head = (
        f"Return-Path: <{sender}>\r\nDelivered-To: all@{DOMAIN}\r\n"
        f"Received: from relay{number % 7}.source.test (relay{number % 7}.source.test [192.0.2.{number % 250}])\r\n"
        f"\tby mx.{DOMAIN} with ESMTP id {number:010X};\r\n\t{format_datetime(date)}\r\n"
        f"From: Sender Number {number % 97} <{sender}>\r\nTo: All <all@{DOMAIN}>\r\n"
        f"Subject: Message {number} about {chance.choice(_WORDS)}\r\nDate: {format_datetime(date)}\r\n"
        f"Message-ID: <{number}.{chance.getrandbits(60):x}@source.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    lines, left = [head], size - len(head)
    while left > 0:
        lines.append(f"{' '.join(chance.choices(_WORDS, k=11))}\r\n".encode())
        left -= len(lines[-1])
    return b"".join(lines)


# -- Maildirs


def maildirs(folder: Path, boxes: Boxes, owner: str) -> None:
    """A Maildir for each user. Each message is one file with a name in every box, so that all fit the disk."""
    first, *others = made(folder, boxes.boxes, owner)
    for number, content in enumerate(boxes.contents()):
        stored = content.replace(b"\r\n", b"\n")
        name = f"{_FIRST + 600 * number}.M{number}P1.mx,S={len(stored)},W={len(content)}:2,S"
        path = first / "cur" / name
        path.write_bytes(stored)
        shutil.chown(path, owner)
        for other in others:
            os.link(path, other / "cur" / name)


# -- Postroad's store


async def store(folder: Path, boxes: Boxes) -> None:
    """``directory`` and ``mailbox`` in the data folder of a server that does not run: accounts, and their messages."""
    with Embedded.open(folder / "directory", [boxes.domain]) as directory:
        accounts = {directory.add_account(user, PASSWORD).id: user for user in boxes.users()}
    with MailboxOwner(folder / "mailbox") as owner:
        limit = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for number, content in enumerate(boxes.contents()):
                await limit.acquire_on_behalf_of(number)
                nursery.start_soon(_put, owner, accounts, number, content, limit)


async def _put(
    owner: MailboxOwner, accounts: dict[int, str], number: int, content: bytes, limit: trio.CapacityLimiter
) -> None:
    arrived = float(_FIRST + 600 * number)
    recipients = tuple(Recipient(address) for address in accounts.values())
    envelope = Envelope("sender@source.test", recipients, arrived=arrived)
    try:
        await owner.deliver(Message(MessageId.new(arrived), envelope, Octets(content)), accounts)
    finally:
        limit.release_on_behalf_of(number)
