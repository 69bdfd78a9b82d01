"""What a reader of mailboxes asks their owner to change, and the answer, as they travel between processes.

All that a command does has happened or not when the answer comes; an error that is raised instead means that nobody
knows. UIDs that are not there are ignored, as RFC 9051 wants it of UID commands. Times are Unix milliseconds.
"""

import enum
from typing import TypeAlias

import msgspec

from engine.mailbox.flags import Mode
from engine.mailbox.quota import Quota


class Problem(enum.Enum):
    """Why nothing was done: response codes of RFC 9051 7.1, RFC 6154, RFC 9208 and RFC 5804, and one of our own."""

    NONEXISTENT = "NONEXISTENT"  # of COPY, MOVE and APPEND: TRYCREATE
    ALREADYEXISTS = "ALREADYEXISTS"
    CANNOT = "CANNOT"  # no such name can be, or not with INBOX
    HASCHILDREN = "HASCHILDREN"
    USEATTR = "USEATTR"
    OVERQUOTA = "OVERQUOTA"
    LIMIT = "LIMIT"  # of keywords, or of scripts
    ACTIVE = "ACTIVE"  # the active script is not deleted (RFC 5804 1.3)
    GONE = "GONE"  # the account was removed
    HELD = "HELD"  # the account is erased once it is held no longer
    TOO_BIG = "METADATA MAXSIZE"  # RFC 5464 4.3; the number to be said with it is metadata.LARGEST
    TOO_MANY = "METADATA TOOMANY"


class Command(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What all have in common."""

    account: int


class Begin(Command, frozen=True, tag=True, kw_only=True):
    """Make the mailboxes that every account has, if this is its first use."""


class Create(Command, frozen=True, tag=True, kw_only=True):
    """Make a mailbox, and those above it that are missing (RFC 9051 6.3.4)."""

    name: str
    use: str = ""  # "\\Sent" and so on (RFC 6154 section 3)


class Delete(Command, frozen=True, tag=True, kw_only=True):
    """Delete a mailbox; the name stays while there are names below it (RFC 9051 6.3.5)."""

    name: str


class Rename(Command, frozen=True, tag=True, kw_only=True):
    """Rename a mailbox and those below it; of INBOX, move its messages to a new mailbox (RFC 9051 6.3.6)."""

    name: str
    to: str


class Subscribe(Command, frozen=True, tag=True, kw_only=True):
    """Subscribe to a name, or not any longer; there need be no such mailbox (RFC 9051 6.3.7)."""

    name: str
    on: bool = True


class Appended(msgspec.Struct, frozen=True):
    """One message of APPEND: its octets, or the name of a file in the folder ``incoming`` that holds them."""

    content: bytes = b""
    file: str = ""
    flags: int = 0
    keywords: tuple[str, ...] = ()
    received: int = 0  # 0: now


class Append(Command, frozen=True, tag=True, kw_only=True):
    """Put messages into a mailbox, all or none (RFC 9051 6.3.12, RFC 3502)."""

    mailbox: int
    messages: tuple[Appended, ...]
    quota: Quota = Quota()


class Copy(Command, frozen=True, tag=True, kw_only=True):
    """Copy messages to another mailbox or the same, all or none (RFC 9051 6.4.7)."""

    mailbox: int
    uids: tuple[int, ...]
    to: int
    to_account: int | None = None  # whose mailbox ``to`` is; None: of the same account
    quota: Quota = Quota()  # of that account


class Move(Command, frozen=True, tag=True, kw_only=True):
    """Move messages to another mailbox (RFC 6851)."""

    mailbox: int
    uids: tuple[int, ...]
    to: int
    to_account: int | None = None  # whose mailbox ``to`` is; None: of the same account
    quota: Quota = Quota()  # of that account, if it is another one


class Expunge(Command, frozen=True, tag=True, kw_only=True):
    r"""Remove those of the messages that have \Deleted (RFC 9051 6.4.9), or all."""

    mailbox: int
    uids: tuple[int, ...]
    deleted_only: bool = True


class Store(Command, frozen=True, tag=True, kw_only=True):
    """Change flags; of messages whose MODSEQ is greater than ``unchanged_since``, none (RFC 7162 3.1.3).

    ``known`` is the MODSEQ up to which the flags are known to the one who asks.
    """

    mailbox: int
    uids: tuple[int, ...]
    mode: Mode
    flags: int = 0
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None
    known: int = 0


class Undelete(Command, frozen=True, tag=True, kw_only=True):
    """Bring back what was expunged since then, with new UIDs; all, or what was in the mailbox of that name."""

    since: int = 0
    name: str = ""


class SetAcl(Command, frozen=True, tag=True, kw_only=True):
    """Give or take rights to a mailbox (RFC 4314 3.1). Whoever asks for it must hold the right ``a``."""

    mailbox: int
    identifier: str  # "-" before it: negative rights
    rights: str
    operation: str = ""  # "+", "-", or empty to replace them
    grantee: int = 0  # the account that the identifier means; 0: none, or as is known already
    owner: str = ""  # the address of ``account``, by which others see the mailbox; empty: as they see it already


class DeleteAcl(Command, frozen=True, tag=True, kw_only=True):
    """Take all rights of one identifier away (RFC 4314 3.2)."""

    mailbox: int
    identifier: str


class SetMetadata(Command, frozen=True, tag=True, kw_only=True):
    """Set or remove entries, all or none (RFC 5464 4.3)."""

    mailbox: int  # 0: of the server; those that all share are then of the account PUBLIC
    values: tuple[tuple[str, bytes | None], ...]  # None: remove it
    me: int = 0  # the account that asks, whose private entries are meant; 0: ``account``


class PutScript(Command, frozen=True, tag=True, kw_only=True):
    """Keep a Sieve script under a name, in place of one that has it (RFC 5804 2.6). Nobody looks into it here."""

    name: str
    content: bytes
    most: int  # scripts that the account may have
    room: int  # octets that all of them may have together


class ActivateScript(Command, frozen=True, tag=True, kw_only=True):
    """Let this script be the active one; an empty name: none (RFC 5804 2.8)."""

    name: str


class DeleteScript(Command, frozen=True, tag=True, kw_only=True):
    """Delete a script that is not the active one (RFC 5804 2.10)."""

    name: str


class RenameScript(Command, frozen=True, tag=True, kw_only=True):
    """Give a script another name, which must be free; it stays active if it was (RFC 5804 2.11.1)."""

    name: str
    to: str


class EraseAccount(Command, frozen=True, tag=True, kw_only=True):
    """Take all that an account has away for ever, and refuse every later delivery to it."""


class Hold(Command, frozen=True, tag=True, kw_only=True):
    """Let nothing of an account be removed for good, neither what it expunges nor all of it; or let it again."""

    on: bool


class Offered(msgspec.Struct, frozen=True):
    """One content under the key that it has in a backup: its octets, or the name of a file in ``incoming``."""

    key: bytes
    content: bytes = b""
    file: str = ""


class Offer(Command, frozen=True, tag=True, kw_only=True):
    """Store content that ``PutBack`` or ``Restore`` will refer to; what nobody refers to goes at the next start."""

    contents: tuple[Offered, ...]


class Returned(msgspec.Struct, frozen=True):
    """One message of ``PutBack``: as ``MessageRow`` has it, but for what is the mailbox's to give."""

    content: bytes
    flags: int
    keywords: tuple[str, ...]
    size: int
    received: int
    heading: bytes = b""


class PutBack(Command, frozen=True, tag=True, kw_only=True):
    """Put messages of a backup into a mailbox, with new UIDs, all or none. It fails where a content is missing."""

    mailbox: int
    messages: tuple[Returned, ...]


class Restore(Command, frozen=True, tag=True, kw_only=True):
    """Put an account back whole that has not been used yet, from the rows in a file in ``incoming``."""

    file: str
    owner: str = ""  # the address of ``account``, by which others see what is shared with them


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a command. Fields that it has no use for are empty."""

    problem: Problem | None = None
    mailbox: int = 0  # where messages came to, or which was made
    uidvalidity: int = 0  # of that mailbox
    sources: tuple[int, ...] = ()  # UIDs that were copied, moved, removed or changed
    uids: tuple[int, ...] = ()  # UIDs in ``mailbox``, in the order of ``sources`` or of the messages appended
    failed: tuple[int, ...] = ()  # UIDs that were changed since ``unchanged_since``
    unknown: tuple[int, ...] = ()  # those of ``sources`` that somebody else had changed since ``known``
    since: int = 0  # the mailbox's MODSEQ before a STORE; 0: something else has happened between its steps
    modseq: int = 0  # the MODSEQ of the last change
    steps: tuple[tuple[int, int], ...] = ()  # of a STORE: of so many of ``sources``, in their order, the MODSEQ

    def __add__(self, more: "Answer") -> "Answer":
        """The answer to a command that was done in two parts."""
        since = self.since if more.since == (self.modseq or self.since) else 0
        return Answer(
            more.problem, more.mailbox, more.uidvalidity, self.sources + more.sources, self.uids + more.uids,
            self.failed + more.failed, self.unknown + more.unknown, since, max(self.modseq, more.modseq),
            self.steps + more.steps,
        )  # fmt: skip


AnyCommand: TypeAlias = (
    Begin | Create | Delete | Rename | Subscribe | Append | Copy | Move | Expunge | Store | Undelete
    | SetAcl | DeleteAcl | SetMetadata
    | PutScript | ActivateScript | DeleteScript | RenameScript | Offer | PutBack | Restore | EraseAccount
    | Hold
)  # fmt: skip

_commands: msgspec.msgpack.Decoder[AnyCommand] = msgspec.msgpack.Decoder(AnyCommand)
_answers = msgspec.msgpack.Decoder(Answer)
packed = msgspec.msgpack.Encoder().encode
"""A command or an answer as octets."""


def unpack_command(octets: bytes | memoryview) -> AnyCommand:
    """ValueError for what is none."""
    return _commands.decode(octets)


_APPEND = packed(Append(account=0, mailbox=0, messages=()))[1:13]


def is_append(octets: bytes | memoryview) -> bool:
    """What ``unpack_command`` would give, for a look at its name alone: others may be long lists."""
    return octets[1:13] == _APPEND


def unpack_answer(octets: bytes) -> Answer:
    """ValueError for what is none."""
    return _answers.decode(octets)
