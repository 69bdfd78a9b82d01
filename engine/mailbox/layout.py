"""The mailbox store on disk: its databases and the keys in them. The values are in ``rows``.

    database    key                                              value
    meta        a name                                           "format", "uidvalidity", and what is half done
                "held", account u64                              nothing: what goes from the account is kept (``holds``)
    account     account u64                                      AccountRow
    mailbox     account u64, mailbox u32                         MailboxRow
    entry       account u64, name                                EntryRow: the mailbox of that name
    subscribed  account u64, name                                nothing
    keyword     account u64, mailbox u32, bit u8                 the keyword that has this bit
    message     account u64, mailbox u32, uid u32                MessageRow, as it came: fixed size, then the heading
    state       account u64, mailbox u32, uid / 256 u32          what was changed of these messages since (``states``)
    log         account u64, mailbox u32, modseq u64, part u16   what was changed, and the UIDs (``log``)
    kept        account u64, time u64, mailbox u32, uid u32      KeptRow: a message that was expunged then
    content     message id 16, variant 8                         ContentRow
    chunk       message id 16, variant 8, number u32             octets
    delivered   message id 16, account u64                       mailbox u32, uid u32; zeros: into none
    said        message id 16, account u64                       what was answered, where it was more than that
    script      account u64                                      the active script: digest of its name, and of its text
                account u64, digest of the name 16               ScriptRow
    remembered  account u64, digest of a key 16                  until when u64, how often u32
    acl         account u64, mailbox u32, identifier             GrantRow: the rights that it holds (RFC 4314)
    shared      identifier, 0, account u64, mailbox u32          nothing: the same, by who holds them
    sharer      "#", account u64; or "@", address                the address by which others see its mailboxes; and back
    metadata    account u64, mailbox u32, viewer u64, name       MetadataRow (RFC 5464); viewer 0: all may see it
    quota       "told", account u64                              the share of its quota of which it has been told, u8
                "tell", account u64                              TellRow (``quota``): what it is still to be told
                "total", domain                                  what its accounts have together (``totals``)

Every number is big endian, so that keys sort as numbers do: a mailbox is one range of ``message``, an account is one
range of all that begins with its number, and content lies in the order of its arrival.
"""

import hashlib
import struct
from collections.abc import Iterable
from functools import lru_cache

import lmdb

from engine.message import CHANGED, Message, MessageId
from engine.storage.batch import Database

FORMAT = 3

MAP_SIZE = 2**40
"""Octets of address space, not of disk: more than one machine's mail, because a shared map must not be resized."""

INLINE = 128 * 1024
"""Content up to this many octets lives in LMDB, larger content in a file of its own."""

CHUNK = 4096 - 16
"""Octets in one value of ``chunk``: they fill a page of LMDB, which begins with a head of 16 octets. A longer value
needs adjoining free pages, and those are seldom in an old store (docs/decisions/0011-one-page-a-chunk.md)."""

INBOX = 1
"""The mailbox number of an account's INBOX (RFC 9051 5.1). Numbers of an account are never used again."""

PUBLIC = 0
"""The account that public folders belong to. No directory gives this number to anybody."""

LARGE = "large"
"""The folder, beside the LMDB files, of content that has a file of its own."""

INCOMING = "incoming"
"""The folder, beside the LMDB files, in which other processes put large content that is to be appended."""

MAX_DATABASES = 32

FORMAT_KEY, UIDVALIDITY_KEY, UPGRADING_KEY = b"format", b"uidvalidity", b"upgrading"
ERASING, DROPPING = b"erasing", b"dropping"
TOLD, TELL, TOTAL = b"told", b"tell", b"total"
HELD = b"held"
OFFERED = b"offered"
"""Content came that nobody refers to yet: ``putback.sweep`` is to look for it."""

_PLACE = struct.Struct(">II")

_account_key = struct.Struct(">Q").pack
_mailbox_key = struct.Struct(">QI").pack
_message_key = struct.Struct(">QII").pack
_keyword_key = struct.Struct(">QIB").pack
_log_key = struct.Struct(">QIQH").pack
_kept_key = struct.Struct(">QQII").pack
_number = struct.Struct(">I")
_NUMBERS = [_number.pack(number) for number in range(-(-INLINE // CHUNK) + 1)]


class Databases:
    """Handles of the named databases. lmdb.Error when they cannot be opened."""

    def __init__(self, environment: lmdb.Environment, *, create: bool) -> None:
        def opened(name: bytes) -> Database:
            return environment.open_db(name, create=create)

        self.meta = opened(b"meta")
        self.account = opened(b"account")
        self.mailbox = opened(b"mailbox")
        self.entry = opened(b"entry")
        self.subscribed = opened(b"subscribed")
        self.keyword = opened(b"keyword")
        self.message = opened(b"message")
        self.state = opened(b"state")
        self.log = opened(b"log")
        self.kept = opened(b"kept")
        self.content = opened(b"content")
        self.chunk = opened(b"chunk")
        self.delivered = opened(b"delivered")
        self.acl = opened(b"acl")
        self.shared = opened(b"shared")
        self.sharer = opened(b"sharer")
        self.metadata = opened(b"metadata")
        self.quota = opened(b"quota")
        self.said = opened(b"said")
        self.script = opened(b"script")
        self.remembered = opened(b"remembered")


def account_key(account_id: int) -> bytes:
    return _account_key(account_id)


def mailbox_key(account_id: int, mailbox: int) -> bytes:
    return _mailbox_key(account_id, mailbox)


def name_key(account_id: int, name: str) -> bytes:
    """The key of ``entry`` and ``subscribed``."""
    return _account_key(account_id) + name.encode()


def keyword_key(account_id: int, mailbox: int, bit: int) -> bytes:
    return _keyword_key(account_id, mailbox, bit)


def message_key(account_id: int, mailbox: int, uid: int) -> bytes:
    return _message_key(account_id, mailbox, uid)


def uid_of(key: bytes) -> int:
    """The UID at the end of a key of ``message``, or the number of the block at that of a key of ``state``."""
    return int.from_bytes(key[-4:], "big")


def state_key(account_id: int, mailbox: int, block: int) -> bytes:
    """``block``: the UIDs of its messages without their last octet."""
    return _message_key(account_id, mailbox, block)


def log_key(account_id: int, mailbox: int, modseq: int, part: int = 0) -> bytes:
    return _log_key(account_id, mailbox, modseq, part)


def kept_key(account_id: int, expunged: int, mailbox: int = 0, uid: int = 0) -> bytes:
    """``expunged``: Unix milliseconds."""
    return _kept_key(account_id, expunged, mailbox, uid)


def content_key(message: Message) -> bytes:
    """The content that this message has. One message id may have several: a late filter changes it for some."""
    variant = hashlib.blake2b(message.envelope.prepended, digest_size=8, salt=message.content.size.to_bytes(8, "big"))
    for start, end in message.envelope.left_out:
        variant.update(b"%d-%d;" % (start, end))
    variant.update(str(message.fact(CHANGED, "")).encode())
    return bytes(message.id) + variant.digest()


def new_content_keys(sizes: Iterable[int]) -> list[bytes]:
    """The keys of contents of so many octets that come together, without message ids of their own: new ones.

    They are in the order of the contents, so that these lie side by side.
    """
    first = int.from_bytes(MessageId.new(), "big")
    return [(first + more).to_bytes(16, "big") + _plain_variant(size) for more, size in enumerate(sizes)]


@lru_cache(maxsize=4096)
def _plain_variant(size: int) -> bytes:
    """What ``content_key`` ends with where nothing is prepended, left out or changed."""
    return hashlib.blake2b(digest_size=8, salt=size.to_bytes(8, "big")).digest()


def chunk_key(content: bytes, number: int) -> bytes:
    return content + _number.pack(number)


def chunk_keys(content: bytes, count: int) -> list[bytes]:
    """Those of all its chunks."""
    numbers = _NUMBERS[:count] if count <= len(_NUMBERS) else map(_number.pack, range(count))
    return [content + number for number in numbers]


def digest_key(account_id: int, text: str) -> bytes:
    """The key of ``remembered`` and, by its name, of ``script``: names are longer than keys can be."""
    return _account_key(account_id) + digest(text.encode())


def digest(octets: bytes) -> bytes:
    return hashlib.blake2b(octets, digest_size=16).digest()


def delivered_key(message_id: MessageId, account_id: int) -> bytes:
    """The key of ``delivered`` and ``said``."""
    return bytes(message_id) + _account_key(account_id)


def acl_key(account_id: int, mailbox: int, identifier: str) -> bytes:
    return _mailbox_key(account_id, mailbox) + identifier.encode()


def identifier_of(key: bytes) -> str:
    """The identifier at the end of a key of ``acl``."""
    return key[12:].decode()


def shared_prefix(identifier: str) -> bytes:
    return identifier.encode() + b"\0"


def shared_key(identifier: str, account_id: int, mailbox: int) -> bytes:
    return shared_prefix(identifier) + _mailbox_key(account_id, mailbox)


def sharer_key(account_id: int) -> bytes:
    return b"#" + _account_key(account_id)


def sharer_name_key(address: str) -> bytes:
    return b"@" + address.encode(errors="surrogatepass")  # a client may ask for anything


def metadata_prefix(account_id: int, mailbox: int, viewer: int) -> bytes:
    return _mailbox_key(account_id, mailbox) + _account_key(viewer)


def metadata_key(account_id: int, mailbox: int, viewer: int, name: str) -> bytes:
    return metadata_prefix(account_id, mailbox, viewer) + name.encode()


def viewer_of(key: bytes) -> int:
    """To whom an entry is private, by its key in ``metadata``; 0: to nobody."""
    return int.from_bytes(key[12:20], "big")


def place(mailbox: int, uid: int) -> bytes:
    """The value of ``delivered``: where the message was put."""
    return _PLACE.pack(mailbox, uid)


def erasing_key(account_id: int) -> bytes:
    return ERASING + _account_key(account_id)


def dropping_key(account_id: int, mailbox: int) -> bytes:
    return DROPPING + _mailbox_key(account_id, mailbox)


def held_key(account_id: int) -> bytes:
    return HELD + _account_key(account_id)


def told_key(account_id: int) -> bytes:
    return TOLD + _account_key(account_id)


def tell_key(account_id: int) -> bytes:
    return TELL + _account_key(account_id)


def total_key(domain: str) -> bytes:
    return TOTAL + domain.encode()


def file_name(content: bytes, token: bytes) -> str:
    """The name of a content's file. The token is new for each file, so a name is never used again."""
    return f"{MessageId(content[:16])}-{token.hex()}"
