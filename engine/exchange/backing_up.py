"""Makes the backup of one mailbox: its records at one moment, then the contents that they refer to."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgpack

from engine.exchange.backup_file import Writer
from engine.exchange.files import replacing
from engine.mailbox import Mailboxes, MessageGone
from engine.mailbox.putback import FORMAT, SECTIONS, Row, content_of

PIECE = 2**20
"""Octets of content in one item."""

SPOOL = 16 * 2**20
"""Octets of records held in memory; more go to a temporary file, for a backup must not grow with the mailbox."""


def back_up(
    mailboxes: Mailboxes, account: int, address: str, path: Path, *, step: Callable[[int, int], None]
) -> tuple[int, int]:
    """Write the file, whole or not at all; how many contents it has, and how many went meanwhile.

    The records are read in one transaction, the contents in short ones after it. What is removed for good in between is
    left out: it was expunged when the backup began, or the owner keeps nothing. ``step`` is told of contents done, and
    of all. OSError, StorageError.
    """
    with tempfile.SpooledTemporaryFile(SPOOL, dir=str(path.parent)) as spool:
        contents: dict[bytes, None] = {}

        def put(row: Row) -> None:
            spool.write(msgpack.packb(row))
            if content := content_of(row):
                contents[content] = None

        mailboxes.records(account, put)
        made = int(time.time())
        spool.seek(0)
        with replacing(path) as file:
            writer = Writer(file)
            writer.put("about", {"format": FORMAT, "address": address, "made": made, "sections": SECTIONS}, 0)
            for section, key, value in msgpack.Unpacker(spool):
                writer.put(section, [key, value], len(key) + len(value))
            gone = []
            for number, content in enumerate(contents):
                if not _content(mailboxes, writer, content):
                    gone.append(content)
                step(number + 1, len(contents))
            writer.end(gone)
    return len(contents) - len(gone), len(gone)


def _content(mailboxes: Mailboxes, writer: Writer, key: bytes) -> bool:
    """Whether it was still there."""
    held = bytearray()
    try:
        for piece in mailboxes.content(key):
            held += piece
            while len(held) > PIECE:
                writer.put("content", [key, bytes(held[:PIECE]), True], PIECE)
                del held[:PIECE]
    except MessageGone:
        return False
    writer.put("content", [key, bytes(held), False], len(held))
    return True
