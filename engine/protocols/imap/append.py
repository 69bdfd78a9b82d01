"""APPEND (RFC 9051 6.3.12, 3502, 4469, 6855) and REPLACE (RFC 8508): what stands between the literals.

What comes before a literal is read when the literal is announced. Content that is large, or that the client asks for
leave to send, is never gathered.
"""

import enum
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.dates import parse_date_time
from engine.protocols.imap.sets import SequenceSet


class Kind(enum.Enum):
    APPEND = "APPEND"
    REPLACE = "REPLACE"
    UID_REPLACE = "UID REPLACE"


class Literal(Struct, frozen=True):
    """A literal that is announced (RFC 9051 4.3, RFC 7888, RFC 3516)."""

    size: int
    binary: bool
    synchronizing: bool  # the client waits for ``+``


class AppendBegin(Struct, frozen=True):
    """*Decide*: messages are to be put into this mailbox. ``go_on`` or ``no``."""

    tag: bytes
    mailbox: str
    replaces: SequenceSet | None = None  # one message that goes when the new one has come
    uid: bool = False  # it is meant by its UID


class MessageBegin(Struct, frozen=True):
    """One message: ``ContentBegin`` and its parts follow, in a CATENATE also ``ContentUrl``, then ``MessageEnd``."""

    flags: tuple[str, ...]
    date: datetime | None
    catenated: bool = False
    utf8: bool = False  # its header is in UTF-8 (RFC 6855 4)


class ContentBegin(Struct, frozen=True):
    """*Decide*: so many octets come. ``go_on`` or ``no``, which a client that waits hears before it sends them."""

    size: int
    binary: bool


class MessageWhole(Struct, frozen=True):
    """One message of which the client has sent all: in place of the events from ``MessageBegin`` to ``MessageEnd``.

    ``no`` may be said here.
    """

    flags: tuple[str, ...]
    date: datetime | None
    octets: bytes
    binary: bool


class ContentUrl(Struct, frozen=True):
    """*Decide*: octets of another message (RFC 4469 3, RFC 5092). ``go_on`` once they are taken, or ``no``."""

    url: bytes


class MessageEnd(Struct, frozen=True):
    """The message is whole."""


class AppendEnd(Struct, frozen=True):
    """*Decide*: all messages are whole; store all or none. ``ok`` or ``no``."""


AppendEvent: TypeAlias = (
    AppendBegin | MessageBegin | ContentBegin | ContentUrl | MessageEnd | MessageWhole | AppendEnd
)  # fmt: skip


_HEAD: Final = re.compile(rb' (\([^()\r\n]{0,200}\) )?("[^"\r\n]{26}" )?')

ANNOUNCED: Final = re.compile(_HEAD.pattern + rb"(~?)\{([0-9]{1,9})\+\}\r\n")
"""What stands before a message that comes unasked behind another one: flags, date, whether it is binary, its octets."""


def begun(octets: bytes) -> MessageBegin | None:
    """The message that begins so, up to its literal, read in one go. None: it is to be read word by word."""
    found = _HEAD.fullmatch(octets)
    return _begun(found[1], found[2]) if found is not None else None


def whole(announced: re.Match[bytes], octets: bytes) -> MessageWhole | None:
    """The message of these octets behind what ``ANNOUNCED`` has found. None: that is to be read word by word."""
    begin = _begun(announced[1], announced[2])
    return MessageWhole(begin.flags, begin.date, octets, bool(announced[3])) if begin is not None else None


def _begun(named: bytes | None, dated: bytes | None) -> MessageBegin | None:
    flags = _flags(named) if named else ()
    date = parse_date_time(dated[1:-2]) if dated else None
    return None if flags is None or (dated and date is None) else MessageBegin(flags, date)


@lru_cache(maxsize=1024)
def _flags(octets: bytes) -> tuple[str, ...] | None:
    cursor = Cursor(octets)
    try:
        flags = tuple(dict.fromkeys(cursor.flags()))
        cursor.space()
    except Malformed:
        return None
    return flags if cursor.at_end else None


class _Where(enum.Enum):
    START = "behind the command's name"
    MESSAGE = "before a message"
    NEXT = "behind a message"
    CONTENT = "behind the literal of a message"
    UTF8 = "behind the literal in UTF8 ()"
    TEXT = "behind a literal in CATENATE ()"
    PART = "before a part in CATENATE ()"
    NEXT_PART = "behind a part in CATENATE ()"
    END = "the command is over"


_STOPS: Final = frozenset({_Where.CONTENT, _Where.UTF8, _Where.TEXT, _Where.END})


class Appending:
    """One APPEND or REPLACE under way."""

    __slots__ = ("_cursor", "_events", "_kind", "_literal", "_tag", "_where")

    def __init__(self, kind: Kind, tag: bytes) -> None:
        self._kind = kind
        self._tag = tag
        self._where = _Where.START
        self._cursor = Cursor(b"")
        self._literal: Literal | None = None
        self._events: list[AppendEvent] = []

    def next(self, octets: bytes) -> MessageBegin | None:
        """The message that follows one whose literal is over, by all up to its own; None: ``read`` has to tell."""
        return begun(octets) if self.has_more else None

    @property
    def has_more(self) -> bool:
        """Whether a message has come, and others may follow it at once."""
        return self._where is _Where.CONTENT and self._kind is Kind.APPEND

    def read(self, cursor: Cursor, literal: Literal | None) -> list[AppendEvent]:
        """What the octets before ``literal`` say, or those before the end of the command.

        Malformed; Incomplete where the literal is an argument: take it in, and read again from where this one began.
        """
        self._cursor, self._literal, self._events = cursor, literal, []
        where = _STEPS[self._where](self)
        while where not in _STOPS:
            where = _STEPS[where](self)
        self._where = where
        return self._events

    # One function a place: reads on, and returns where that leads to.

    def _start(self) -> _Where:
        replaces: SequenceSet | None = None
        if self._kind is not Kind.APPEND:
            self._cursor.space()
            replaces = self._cursor.sequence_set(uid=self._kind is Kind.UID_REPLACE)
            if replaces.saved or len(replaces.ranges) != 1 or replaces.ranges[0][0] != replaces.ranges[0][1]:
                raise Malformed("REPLACE takes one message")
        self._cursor.space()
        mailbox = self._cursor.mailbox()
        self._events.append(AppendBegin(self._tag, mailbox, replaces, self._kind is Kind.UID_REPLACE))
        return _Where.MESSAGE

    def _message(self) -> _Where:
        cursor = self._cursor
        cursor.space()
        flags: tuple[str, ...] = ()
        date: datetime | None = None
        if cursor.sees(b"("):
            flags = tuple(dict.fromkeys(cursor.flags()))
            cursor.space()
        if cursor.sees(b'"'):
            date = cursor.date_time()
            cursor.space()
        if cursor.accept_word(b"CATENATE ("):
            self._events.append(MessageBegin(flags, date, catenated=True))
            return _Where.PART
        utf8 = cursor.accept_word(b"UTF8 (")
        if utf8:
            cursor.require("UTF8=ACCEPT")
        self._events.append(MessageBegin(flags, date, utf8=utf8))
        self._content()
        return _Where.UTF8 if utf8 else _Where.CONTENT

    def _next(self) -> _Where:
        if self._cursor.at_end and self._literal is None:
            self._events.append(AppendEnd())
            return _Where.END
        if self._kind is not Kind.APPEND:
            raise Malformed("REPLACE takes one message")
        return _Where.MESSAGE

    def _after_content(self) -> _Where:
        self._events.append(MessageEnd())
        return _Where.NEXT

    def _after_utf8(self) -> _Where:
        self._cursor.expect(b")")
        return self._after_content()

    def _part(self) -> _Where:
        if self._cursor.accept_word(b"URL "):
            self._events.append(ContentUrl(self._cursor.astring("A URL")))
            return _Where.NEXT_PART
        if not self._cursor.accept_word(b"TEXT "):
            raise Malformed("CATENATE takes parts of TEXT and URL")
        self._content()
        return _Where.TEXT

    def _next_part(self) -> _Where:
        if self._cursor.accept(b")"):
            return self._after_content()
        self._cursor.space()
        return _Where.PART

    def _content(self) -> None:
        if self._literal is None or not self._cursor.at_end:
            raise Malformed("A message comes as a literal")
        self._events.append(ContentBegin(self._literal.size, self._literal.binary))


_STEPS: Mapping[_Where, Callable[[Appending], _Where]] = {
    _Where.START: Appending._start,
    _Where.MESSAGE: Appending._message,
    _Where.NEXT: Appending._next,
    _Where.CONTENT: Appending._after_content,
    _Where.UTF8: Appending._after_utf8,
    _Where.TEXT: Appending._next_part,
    _Where.PART: Appending._part,
    _Where.NEXT_PART: Appending._next_part,
}
