"""Commands out of lines and literals: the whole ones are read, announced literals judged, wrong ones read past."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap import names
from engine.protocols.imap.append import (
    ANNOUNCED,
    AppendBegin,
    AppendEnd,
    AppendEvent,
    Appending,
    ContentBegin,
    Kind,
    MessageBegin,
    MessageWhole,
    whole,
)
from engine.protocols.imap.cursor import Cursor, Incomplete, Limits, Malformed
from engine.protocols.imap.events import ContentPart
from engine.protocols.imap.reader import Item, Line, Part, Pause, RawLine, Reader, Skipped, TooLong
from engine.protocols.imap.table import COMMANDS, Command, Row, State

_TAGGED = rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,200}'
_TAG = re.compile(_TAGGED + rb"(?![^ ])")
_NAME = re.compile(rb" ((?:UID )?[A-Z]++)", re.IGNORECASE)

_REPEATABLE = re.compile(rb"(" + _TAGGED + rb") (STATUS [^\r\n]{1,200})\r\n", re.IGNORECASE)
"""A whole command of a kind that mail programs say for each of their folders: its tag, and all that follows that."""

_APPEND = re.compile(rb"(" + _TAGGED + rb') APPEND (?:([\w./-]{1,200})|"([\w ./-]{1,200})")', re.IGNORECASE)
"""How an APPEND begins: its tag, and a mailbox whose name is the same in every spelling, with quotes or without."""

NO_TAG = b"*"

_REPEATED: Final = 200
"""Octets of arguments up to which what they mean is remembered: mail programs say the same things all day."""


class Whole(Struct, frozen=True):
    """A command that has been read."""

    command: Command
    condstore: bool  # it enables CONDSTORE


class Appended(Struct, frozen=True):
    """What an APPEND or REPLACE says up to its next literal, or its end."""

    events: tuple[AppendEvent, ...]


class Refused(Struct, frozen=True):
    """A command that is malformed or out of place. ``appending``: events of it have been given out before."""

    error: Malformed
    appending: bool = False


class Repeat(Struct, frozen=True):
    """What was answered to a command, and would be again."""

    responses: bytes  # untagged, whole lines
    ending: bytes  # of the last line, behind the tag


Taken: TypeAlias = Whole | Appended | ContentPart | RawLine | Refused


class Intake:
    """What one client says. ``send`` takes what is to be said to it; ``offered`` are our capabilities."""

    __slots__ = (
        "_announced", "_appending", "_coming", "_features", "_limits", "_octets", "_offered", "_reader", "_send",
        "_state", "_verdict", "_was_whole", "row", "tag",
    )  # fmt: skip

    def __init__(self, offered: frozenset[str], limits: Limits, send: Callable[[bytes], None]) -> None:
        self.tag = NO_TAG
        self.row: Row | None = None  # of the command under way
        self._offered = offered
        self._limits = limits
        self._send = send
        self._reader = Reader(limits)
        self._state = State.NOT_AUTHENTICATED
        self._features: frozenset[str] = frozenset()
        self._appending: Appending | None = None  # its events have been given out
        self._announced: Pause | None = None  # the literal that ``content`` lets come
        self._coming: tuple[MessageBegin, bool] | None = None  # a message that is to come whole, and whether binary
        self._was_whole = False  # the message before it: its end has been told
        self._octets = b""  # of the command under way, as far as it has been read
        self._verdict = b""  # said when the rest of a command has been read past

    @property
    def is_appending(self) -> bool:
        """Whether an APPEND or REPLACE is under way, of which events have been given out."""
        return self._appending is not None

    def receive(self, data: bytes) -> None:
        self._reader.receive(data)

    def clear(self) -> None:
        """Forgets all that has been received and not been read."""
        self._reader.clear()

    def expect_line(self, limit: int) -> None:
        """The next line, of so many octets at most, is a ``RawLine``."""
        self._reader.expect_line(limit)

    def next(self, state: State, features: frozenset[str]) -> Taken | None:
        """What comes next of a client in this state, that has enabled these; None until more is received."""
        self._state, self._features = state, features
        if self._coming is not None and self._announced is not None:  # what came before it has been decided
            self._collect()
        appended = self._whole_append()
        if appended is not None:
            return appended
        while (item := self._reader.next()) is not None:
            taken = self._take(item)
            if taken is not None:
                return taken
        return None

    @property
    def may_repeat(self) -> bool:
        """Whether a command comes next to which the answer may be known."""
        return self._reader.ahead(_REPEATABLE) is not None

    def repeat(self, known: Mapping[bytes, Repeat], room: int) -> int:
        """Answer the commands that come next as long as they are known, by all that follows the tag.

        Stops once so many octets are said; how many those of untagged responses are.
        """
        reader, send, at, said = self._reader, self._send, 0, 0
        while said <= room and (command := reader.ahead(_REPEATABLE, at)) is not None:
            tag, rest = command.groups()
            answer = known.get(rest)
            if answer is None:
                break
            send(answer.responses)
            send(tag + answer.ending)
            said += len(answer.responses)
            at = command.end()
        reader.pass_by(at)
        return said

    @property
    def rest(self) -> bytes:
        """What follows the tag of the command under way; empty where ``repeat`` does not look for such a one."""
        return self._octets[len(self.tag) + 1 :] if _REPEATABLE.fullmatch(self._octets + b"\r\n") else b""

    def content(self) -> None:
        """The literal that was announced last may come, in parts."""
        announced, self._announced = self._announced, None
        if announced is None:
            raise RuntimeError("no content is announced")
        self._reader.stream()
        self._continue(announced)

    def finish(self, line: bytes) -> None:
        """The last word on the command under way; said once all of it has been read past."""
        self.row = self._appending = self._announced = self._coming = None
        self._was_whole = False
        if self._reader.within:
            self._verdict = line
            self._reader.skip()
        else:
            self._send(line)

    def flush(self) -> None:
        """Says now what waits for the end of a command."""
        verdict, self._verdict = self._verdict, b""
        self._send(verdict)

    def _whole_append(self) -> Appended | None:
        """An APPEND of one message, all of which has come: read in one go. None: it is to be read word by word."""
        reader, row = self._reader, COMMANDS[b"APPEND"]
        said = reader.ahead(_APPEND) if self._state in row.states else None
        head = reader.behind(ANNOUNCED, said.end()) if said is not None else None
        if said is None or head is None or head.end() > self._limits.line:
            return None
        start, end = head.end(), head.end() + int(head[4])
        if end - start >= self._limits.whole or reader.peek(end, 2) != b"\r\n":
            return None
        octets, mailbox = reader.peek(start, end - start), names.decode(said[2] or said[3], utf8=False)
        message = whole(head, octets) if octets is not None else None
        if message is None or mailbox is None:
            return None
        self._octets, self.tag, self.row = said[0], said[1], row
        self._appending = Appending(Kind.APPEND, self.tag)
        reader.pass_by(end + 2)  # last: what was found is looked up in what goes by that
        return Appended((AppendBegin(self.tag, mailbox), message, AppendEnd()))

    def _take(self, item: Item) -> Taken | None:
        match item:
            case Part(octets) if self._coming is not None:
                (begun, binary), self._coming, self._was_whole = self._coming, None, True
                first = MessageWhole(begun.flags, begun.date, octets, binary)
                return Appended((first, *self._together()))
            case Part(octets):
                return ContentPart(octets)
            case RawLine():
                return item
            case Skipped():
                self.flush()
                return None
            case TooLong(octets):
                self.tag = self.tag if self.is_appending else _tag_of(octets)
                return Refused(Malformed("The command is too long", code=b"TOOBIG"), self.is_appending)
            case Line() | Pause():
                try:
                    return self._read(item)
                except Malformed as error:
                    return Refused(error, self.is_appending)

    def _read(self, item: Line | Pause) -> Taken | None:
        """Raises Malformed."""
        if self._appending is not None:
            if self._was_whole and self._follows(self._appending, item):
                return None
            cursor = Cursor(item.octets, features=self._features, limits=self._limits)
            return self._append(self._appending, cursor, item)
        row, position = self._begin(item.octets)
        if row.append is not None:
            cursor = Cursor(item.octets, position, features=self._features, limits=self._limits)
            return self._append(Appending(row.append, self.tag), cursor, item)
        if isinstance(item, Pause):
            self._gather(item)
            return None
        assert row.read is not None
        arguments = item.octets[position:]
        if len(arguments) > _REPEATED or State.NOT_AUTHENTICATED in row.states:  # passwords are not remembered
            return _whole(row.read, arguments, self._features, self._limits)
        return _remembered(row.read, arguments, self._features, self._limits)

    def _begin(self, octets: bytes) -> tuple[Row, int]:
        """The row of a command, and the place behind its name. Malformed where it may not be said."""
        self._octets = octets
        self.tag = _tag_of(octets)
        if self.tag == NO_TAG:
            raise Malformed("A command begins with a tag")
        named = _NAME.match(octets, len(self.tag))
        row = COMMANDS.get(named[1].upper()) if named else None
        if named is None or row is None or (row.offered and row.offered not in self._offered):
            raise Malformed("Unknown command")
        if self._state not in row.states:
            done = State.NOT_AUTHENTICATED in row.states
            raise Malformed(f"Not now: {'you have logged in' if done else self._state.value}")
        self.row = row
        return row, named.end()

    def _append(self, appending: Appending, cursor: Cursor, item: Line | Pause) -> Taken | None:
        """The events up to a literal of content; an argument is taken in, and all since the last content read again."""
        pause = item if isinstance(item, Pause) else None
        try:
            events = appending.read(cursor, pause.literal if pause else None)
        except Incomplete:
            if pause is None:
                raise
            self._gather(pause)
            return None
        self._appending, self._announced = appending, pause
        if self._was_whole:
            self._was_whole = False
            del events[0]  # MessageEnd
        if pause is not None and not pause.literal.synchronizing and pause.literal.size < self._limits.whole:
            events = self._before_whole(events)
        if not events:
            self._collect()
            return None
        return Appended(tuple(events))

    def _follows(self, appending: Appending, item: Line | Pause) -> bool:
        """Whether another message that comes whole follows one, as they do where there are many."""
        if not isinstance(item, Pause) or item.literal.synchronizing or item.literal.size >= self._limits.whole:
            return False
        begun = appending.next(item.octets)
        if begun is None:
            return False
        self._coming = begun, item.literal.binary
        self._reader.collect()
        return True

    def _together(self) -> list[MessageWhole]:
        """The messages that follow one which came whole, as far as these too are there."""
        reader, found, at = self._reader, list[MessageWhole](), 0
        if self._appending is None or not self._appending.has_more:
            return found
        while (head := reader.behind(ANNOUNCED, at)) is not None:
            start, size = head.end(), int(head[4])
            octets = reader.peek(start, size) if size < self._limits.whole else None
            message = whole(head, octets) if octets is not None else None
            if message is None:
                break
            found.append(message)
            at = start + size
        reader.pass_by(at)
        return found

    def _before_whole(self, events: list[AppendEvent]) -> list[AppendEvent]:
        """Of the events up to a literal that may come whole, those that are given out before it."""
        match events:
            case [*before, MessageBegin(catenated=False) as begun, ContentBegin() as content]:
                self._coming = begun, content.binary
                return before
        return events

    def _collect(self) -> None:
        self._announced = None
        self._reader.collect()

    def _gather(self, pause: Pause) -> None:
        if not self._reader.fits(pause.literal):
            raise Malformed("The literal is too large", code=b"TOOBIG")
        self._reader.gather()
        self._continue(pause)

    def _continue(self, pause: Pause) -> None:
        if pause.literal.synchronizing:
            self._send(b"+ Ready for the literal\r\n")


def _whole(read: Callable[[Cursor], Command], arguments: bytes, features: frozenset[str], limits: Limits) -> Whole:
    """Raises Malformed."""
    cursor = Cursor(arguments, features=features, limits=limits)
    command = read(cursor)
    cursor.end()
    return Whole(command, cursor.condstore)


_remembered = lru_cache(maxsize=2048)(_whole)


def _tag_of(octets: bytes) -> bytes:
    found = _TAG.match(octets)
    return found[0] if found else NO_TAG
