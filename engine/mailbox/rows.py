"""The records of the mailbox store as values and as octets. Every number is big endian."""

import struct
from typing import NamedTuple, Self

import msgpack

NO_FILE = bytes(8)

_ACCOUNT = struct.Struct(">BIQQQQQ")
_MAILBOX = struct.Struct(">IIQQIIIQQIB")
_ENTRY = struct.Struct(">IB")
_MESSAGE = struct.Struct(">24sIQQQQQ")
_STATE = struct.Struct(">IQ")
_MODSEQ = struct.Struct(">Q")
_CONTENT = struct.Struct(">IIQQ8s")
_GRANT = struct.Struct(">Q")
_METADATA = struct.Struct(">QB")

STATE, MODSEQ = slice(24, 36), slice(36, 44)
"""Where a MessageRow in octets has its State, and its MODSEQ."""

IN_HEADING = frozenset({b"return-path", b"delivered-to"})
"""The header fields of a delivery, in lower case, of which ``MessageRow.heading`` is made (``deliver``)."""

# For deliveries and APPEND, which write these without making a record first: its fields in their order, the last
# text left out.
pack_account, pack_mailbox, pack_message, pack_content = _ACCOUNT.pack, _MAILBOX.pack, _MESSAGE.pack, _CONTENT.pack


class AccountRow(NamedTuple):
    """What is known of one account of the directory, and what it uses. What is kept after an expunge counts apart."""

    erased: int = 0  # 1: for ever: account numbers are never used again
    newest: int = 0  # the highest mailbox number that was given out
    modseq: int = 1  # the highest that was given out in any of its mailboxes
    messages: int = 0
    size: int = 0  # octets of all messages
    kept: int = 0  # messages that were expunged and can be brought back
    kept_size: int = 0

    def octets(self) -> bytes:
        return _ACCOUNT.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make(_ACCOUNT.unpack(octets))


class MailboxRow(NamedTuple):
    """One mailbox: its place in IMAP's order of things (RFC 9051 2.3.1, RFC 7162 3.1), its sums and its name."""

    uidvalidity: int
    uidnext: int = 1
    modseq: int = 1  # the highest that was given out
    lowest: int = 1  # changes after this one are all in the log; of those before it some are not
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0  # octets of all messages
    deleted_size: int = 0  # octets of those with \Deleted (RFC 9208 5.3)
    logged: int = 0  # records in the log
    gone: int = 0  # 1: it was deleted, its messages are being taken away
    name: str = ""

    def octets(self) -> bytes:
        return _MAILBOX.pack(*self[:-1]) + self.name.encode()

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make((*_MAILBOX.unpack_from(octets), octets[_MAILBOX.size :].decode()))


class EntryRow(NamedTuple):
    r"""What a name stands for."""

    mailbox: int = 0  # 0: a level of the hierarchy that holds no mail, \Noselect
    use: int = 0  # which special use; 0: none

    def octets(self) -> bytes:
        return _ENTRY.pack(*self)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls(*_ENTRY.unpack(octets))


class MessageRow(NamedTuple):
    """One message in one mailbox. All but the heading has a fixed size, so that a mailbox is read in one quick scan.

    As it is stored it has the state with which the message came; what was changed since is in ``states``.
    """

    content: bytes  # key of its content
    flags: int
    keywords: int  # one bit for each keyword of the mailbox
    modseq: int
    size: int  # octets, heading included
    received: int  # Unix milliseconds: IMAP's internal date
    saved: int  # Unix milliseconds: when it came into this mailbox (RFC 8514)
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


class State(NamedTuple):
    """What STORE changes of a message."""

    flags: int
    keywords: int

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Of a MessageRow's STATE."""
        return cls._make(_STATE.unpack(octets))

    def octets(self) -> bytes:
        """As it stands in a MessageRow."""
        return _STATE.pack(*self)


def restated(octets: bytes, state: bytes, modseq: int) -> bytes:
    """A MessageRow in octets with another State and MODSEQ."""
    return octets[: STATE.start] + state + _MODSEQ.pack(modseq) + octets[MODSEQ.stop :]


def modseq_in(octets: bytes) -> int:
    """Of a MessageRow in octets."""
    modseq: int = _MODSEQ.unpack_from(octets, MODSEQ.start)[0]
    return modseq


class KeptRow(NamedTuple):
    """A message that was expunged: what brings it back, though its mailbox may be gone by then."""

    name: str  # of its mailbox, when it was expunged
    keywords: tuple[str, ...]
    message: MessageRow

    def octets(self) -> bytes:
        octets: bytes = msgpack.packb([self.name, self.keywords, self.message.octets()])
        return octets

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        name, keywords, message = msgpack.unpackb(octets)
        return cls(name, tuple(keywords), MessageRow.parse(message))


class GrantRow(NamedTuple):
    """Rights to a mailbox that somebody was given."""

    who: int  # account; 0: nobody knows, or many
    rights: str

    def octets(self) -> bytes:
        return _GRANT.pack(self.who) + self.rights.encode()

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make((*_GRANT.unpack_from(octets), octets[_GRANT.size :].decode()))


class MetadataRow(NamedTuple):
    """The value of an entry (RFC 5464)."""

    modseq: int = 0  # of the account, when it was set or removed
    value: bytes | None = None  # None: it was removed

    def octets(self) -> bytes:
        return _METADATA.pack(self.modseq, self.value is not None) + (self.value or b"")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        modseq, there = _METADATA.unpack_from(octets)
        return cls(modseq, octets[_METADATA.size :] if there else None)


class ContentRow(NamedTuple):
    """The octets that the messages of one or many mailboxes share: chunks first, then what is in the file."""

    references: int  # messages that have this content, kept ones too
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


class ScriptRow(NamedTuple):
    """A Sieve script of an account."""

    name: str
    content: bytes

    def octets(self) -> bytes:
        octets: bytes = msgpack.packb([self.name, self.content])
        return octets

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        return cls._make(msgpack.unpackb(octets))
