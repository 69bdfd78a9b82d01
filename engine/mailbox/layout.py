"""The mailbox store on disk: its databases, the keys in them, and the records as octets.

    database   key                                       value
    meta       a name                                    "format", "uidvalidity", "erasing" + account
    account    account u64                               AccountRow
    mailbox    account u64, mailbox u32                  MailboxRow
    message    account u64, mailbox u32, uid u32         MessageRow: fixed size, then the heading
    content    message id 16, variant 8                  ContentRow
    chunk      message id 16, variant 8, number u32      octets
    delivered  message id 16, account u64                mailbox u32, uid u32

Every number is big endian, so that keys sort as numbers do: a mailbox is one range of ``message``, an account is one
range of ``mailbox`` and of ``message``, and content lies in the order of its arrival.
"""

import hashlib
import struct
from typing import NamedTuple, Self

import lmdb

from engine.message import Message, MessageId
from engine.storage.writer import Database

FORMAT = 1

MAP_SIZE = 2**40
"""Octets of address space, not of disk: more than one machine's mail, because a shared map must not be resized."""

INLINE = 128 * 1024
"""Content up to this many octets lives in LMDB, larger content in a file of its own."""

CHUNK = 4096 - 16
"""Octets in one value of ``chunk``: they fill a page of LMDB, which begins with a head of 16 octets. A longer value
needs adjoining free pages, and those are seldom in an old store (docs/decisions/0011-one-page-a-chunk.md)."""

INBOX = 1
"""The mailbox number of an account's INBOX (RFC 9051 5.1). Numbers of an account are never used again."""

LARGE = "large"
"""The folder, beside the LMDB files, of content that has a file of its own."""

MAX_DATABASES = 16

_ACCOUNT = struct.Struct(">BI")
_MAILBOX = struct.Struct(">IIQIQ")
_MESSAGE = struct.Struct(">24sIQQQQQ")
_CONTENT = struct.Struct(">IIQQ8s")
_PLACE = struct.Struct(">II")

_account_key = struct.Struct(">Q").pack
_mailbox_key = struct.Struct(">QI").pack
_message_key = struct.Struct(">QII").pack
_number = struct.Struct(">I")

NO_FILE = bytes(8)


class AccountRow(NamedTuple):
    """What is known of one account of the directory."""

    erased: bool = False  # for ever: account numbers are never used again
    newest: int = INBOX  # the highest mailbox number that was given out

    def octets(self) -> bytes:
        return _ACCOUNT.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        erased, newest = _ACCOUNT.unpack(octets)
        return cls(bool(erased), newest)


class MailboxRow(NamedTuple):
    """One mailbox: its place in IMAP's order of things (RFC 9051 2.3.1, RFC 7162 3.1) and its sums."""

    uidvalidity: int
    uidnext: int = 1
    modseq: int = 1  # the highest that was given out
    messages: int = 0
    size: int = 0  # octets of all messages

    def octets(self) -> bytes:
        return _MAILBOX.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls(*_MAILBOX.unpack(octets))


class MessageRow(NamedTuple):
    """One message in one mailbox. All but the heading has a fixed size, so that a mailbox is read in one quick scan."""

    content: bytes  # key of its content
    flags: int
    keywords: int  # one bit for each keyword of the mailbox
    modseq: int
    size: int  # octets, heading included
    received: int  # Unix milliseconds: IMAP's internal date
    saved: int  # Unix milliseconds: when it came into this mailbox
    heading: bytes  # header fields of this delivery alone, put before the content

    def octets(self) -> bytes:
        return _MESSAGE.pack(*self[:-1]) + self.heading

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make((*_MESSAGE.unpack_from(octets), octets[_MESSAGE.size :]))

    @staticmethod
    def size_in(octets: bytes) -> int:
        """The size alone, for a listing of many."""
        size: int = _MESSAGE.unpack_from(octets)[4]
        return size


class ContentRow(NamedTuple):
    """The octets that the messages of one or many mailboxes share: chunks first, then what is in the file."""

    references: int  # messages that have this content
    chunks: int
    inline: int  # octets in chunks
    filed: int  # octets in the file
    token: bytes  # makes the name of the file; NO_FILE: there is none

    @property
    def size(self) -> int:
        return self.inline + self.filed

    def octets(self) -> bytes:
        return _CONTENT.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls(*_CONTENT.unpack(octets))


class Databases:
    """Handles of the named databases. lmdb.Error when they cannot be opened."""

    def __init__(self, environment: lmdb.Environment, *, create: bool) -> None:
        def opened(name: bytes) -> Database:
            return environment.open_db(name, create=create)

        self.meta = opened(b"meta")
        self.account = opened(b"account")
        self.mailbox = opened(b"mailbox")
        self.message = opened(b"message")
        self.content = opened(b"content")
        self.chunk = opened(b"chunk")
        self.delivered = opened(b"delivered")


def account_key(account_id: int) -> bytes:
    return _account_key(account_id)


def mailbox_key(account_id: int, mailbox: int) -> bytes:
    return _mailbox_key(account_id, mailbox)


def message_key(account_id: int, mailbox: int, uid: int) -> bytes:
    return _message_key(account_id, mailbox, uid)


def uid_of(key: bytes) -> int:
    """The UID at the end of a key of ``message``."""
    return int.from_bytes(key[-4:], "big")


def content_key(message: Message) -> bytes:
    """The content that this message has. One message id may have several: a late filter changes the header for some."""
    variant = hashlib.blake2b(message.envelope.prepended, digest_size=8, salt=message.content.size.to_bytes(8, "big"))
    for start, end in message.envelope.left_out:
        variant.update(b"%d-%d;" % (start, end))
    return bytes(message.id) + variant.digest()


def chunk_key(content: bytes, number: int) -> bytes:
    return content + _number.pack(number)


def delivered_key(message_id: MessageId, account_id: int) -> bytes:
    return bytes(message_id) + _account_key(account_id)


def place(mailbox: int, uid: int) -> bytes:
    """The value of ``delivered``: where the message was put."""
    return _PLACE.pack(mailbox, uid)


def erasing_key(account_id: int) -> bytes:
    return b"erasing" + _account_key(account_id)


def file_name(content: bytes, token: bytes) -> str:
    """The name of a content's file. The token is new for each file, so a name is never used again."""
    return f"{MessageId(content[:16])}-{token.hex()}"
