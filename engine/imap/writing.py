"""FETCH responses: each item of many messages as a column, the columns side by side as lines."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, Final, NamedTuple, cast

from engine.imap import octets
from engine.imap.flags import FlagTexts
from engine.imap.letters import Letter, Shelf
from engine.imap.octets import Unknown
from engine.mailbox import MessageGone, StorageError, View
from engine.mailbox.records import Records, email_id
from engine.mime import bodystructure
from engine.protocols.imap.dates import utc
from engine.protocols.imap.fetch import Attribute, Binary, BinarySize, Body, Item, Preview
from engine.protocols.imap.strings import NIL, literal_head, nstring

AT_ONCE: Final = 500
"""Messages of one piece that are read from the store."""

READY: Final = 2_000
"""Messages of one piece of which all that is wanted is in memory: some 64 KiB."""

SOME: Final = 1024 * 1024
"""Octets of messages that are written in one piece; a larger one goes piece by piece."""

__all__ = ["Unknown", "Writing"]


class Piece(NamedTuple):
    """Messages that are written together."""

    numbers: Sequence[int]
    records: Records
    letters: Sequence[Letter]  # none where nothing of their content is wanted

    def part(self, start: int, stop: int) -> "Piece":
        return Piece(self.numbers[start:stop], self.records.at(range(start, stop)), self.letters[start:stop])


class Column(NamedTuple):
    """An item: what is written of each message, with the place of its value, and the values.

    Of literals the values are octets, and the template has the place of what stands before them; None is NIL.
    """

    template: bytes
    values: Callable[[Piece], Sequence[Any]]
    is_literal: bool = False


class Writing:
    """Writes items of messages. ``missed`` counts messages that were gone; ``is_over`` says that no piece follows.

    To be used in threads, unless it is ready.

    Unknown where BINARY meets a content transfer encoding that nobody knows (RFC 3516 4.3).
    """

    def __init__(
        self, shelf: Shelf, items: Sequence[Item], flags: FlagTexts, *, uid_only: bool = False, utf8: bool = False
    ) -> None:
        self.missed = 0
        self.is_over = False
        self.view: View | None = None  # what is wanted can be taken from there
        self._shelf = shelf
        self._items = [item for item in items if not (uid_only and item == Attribute("UID"))]
        self._flags = flags
        self._uid_only = uid_only
        self._utf8 = utf8
        self._wants = octets.Wants.of(self._items)
        self._columns = [self._column(item) for item in self._items]
        self._head = b"* %%d %b (" % (b"UIDFETCH" if uid_only else b"FETCH")

    @property
    def needs_records(self) -> bool:
        """Whether it wants nothing but what a View has."""
        return all(isinstance(item, Attribute) and item.name in _OF_RECORDS for item in self._items)

    def pieces(self, numbers: Sequence[int], uids: Sequence[int]) -> Iterator[bytes]:
        """The responses for messages, which ascend."""
        step = AT_ONCE if self.view is None else READY
        for start in range(0, len(uids), step):
            waiting = self._known(numbers[start : start + step], uids[start : start + step])
            while waiting.records:
                count = self._fitting(waiting)
                taken, rest = waiting.part(0, count), waiting.part(count, len(waiting.records))
                if self._wants.content and count == 1 and taken.letters[0].size > SOME:
                    yield from self._large(taken)
                else:
                    try:
                        piece = self._written(taken)
                    except MessageGone:  # which are there is found out anew
                        waiting = self._known(waiting.numbers, waiting.records.uids)
                        continue
                    self.is_over = not rest.records and start + step >= len(uids)
                    yield piece
                waiting = rest

    def _known(self, numbers: Sequence[int], uids: Sequence[int]) -> Piece:
        """Those of the messages that are there."""
        wants, letters = self._wants, list[Letter]()
        if self.view is not None:
            records = self.view.some(uids)
        elif wants.letters:
            records, letters = self._shelf.opened(uids, digests=wants.digests, headers=wants.headers)
        else:
            records = self._shelf.records(uids)
        if len(records) < len(uids):
            self.missed += len(uids) - len(records)
            there = set(records.uids)
            numbers = [number for number, uid in zip(numbers, uids, strict=True) if uid in there]
        return Piece(numbers, records, letters)

    def _fitting(self, waiting: Piece) -> int:
        """How many of them make a piece."""
        size = 0
        if self._wants.content:
            for count, letter in enumerate(waiting.letters):
                size += letter.size
                if count and size > SOME:
                    return count
        return len(waiting.records)

    def _written(self, piece: Piece) -> bytes:
        """The lines of all, put together once: what is long is copied once."""
        if self._wants.content:
            self._shelf.read(piece.letters)
        parts: list[Iterable[bytes]] = []
        template = self._head
        values: list[Iterable[object]] = [piece.records.uids if self._uid_only else piece.numbers]
        for place, column in enumerate(self._columns):
            template += (b" " if place else b"") + column.template
            found = column.values(piece)
            if not column.is_literal:
                values.append(found)
            else:
                values.append([literal_head(len(octets)) if octets is not None else NIL for octets in found])
                parts += map(template.__mod__, zip(*values, strict=True)), (octets or b"" for octets in found)
                template, values = b"", []
        template += b")\r\n"
        if not parts:  # all lines in one go: it takes a fifth less than one by one
            return template * len(piece.records) % tuple(chain.from_iterable(zip(*values, strict=True)))
        parts.append(map(template.__mod__, zip(*values, strict=True)) if values else repeat(template))
        return b"".join(chain.from_iterable(zip(*parts, strict=False)))

    def _large(self, piece: Piece) -> Iterator[bytes]:
        """One message item by item. Where it goes away amid a literal the connection must end: the octets are owed."""
        (letter,) = piece.letters
        head = self._head % (letter.uid if self._uid_only else piece.numbers[0])
        try:
            for item, column in zip(self._items, self._columns, strict=True):
                if isinstance(item, Body):
                    yield head + _label(item) + b" "
                    yield from map(_without_nul, octets.pieces(letter, item))
                else:
                    yield head + column.template % (column.values(piece)[0],)
                head = b" "
        except StorageError as error:
            raise MessageGone(f"a message cannot be read: {error}") from error
        yield b")\r\n"

    # One function a kind of item: messages in, values out.

    def _column(self, item: Item) -> Column:
        label = _label(item).replace(b"%", b"%%")
        match item:
            case Attribute(name) if name in _OF_RECORDS:
                place, of_records = _OF_RECORDS[name]
                return Column(label + place, lambda piece: of_records(self, piece.records))
            case Attribute(name):
                return Column(label + b" %b", partial(_OF_MESSAGES[name], self))
            case Preview(lazy):
                return Column(label + b" %b", self._lazy_previews if lazy else self._previews)
            case Body():
                return Column(label + b" %b", lambda piece: self._octets(item, piece), True)
            case Binary():
                return Column(label + b" %b", lambda piece: [octets.binary(one, item) for one in piece.letters])
            case BinarySize():
                return Column(label + b" %d", lambda piece: [octets.binary_size(one, item) for one in piece.letters])

    def _octets(self, item: Body, piece: Piece) -> list[bytes | None]:
        found = [octets.body(one, item) for one in piece.letters]
        return [_without_nul(one) if one is not None else None for one in found]

    def _flag_texts(self, records: Records) -> list[bytes]:
        return self._flags.all_of(records.flags, records.bits)

    def _uids(self, records: Records) -> Sequence[int]:
        return records.uids

    def _sizes(self, records: Records) -> Sequence[int]:
        return records.sizes

    def _modseqs(self, records: Records) -> Sequence[int]:
        return records.modseqs

    def _received(self, records: Records) -> list[bytes]:
        return [utc(moment // 1000) for moment in records.received]

    def _saved(self, records: Records) -> list[bytes]:
        return [utc(moment // 1000) for moment in records.saved]

    def _email_ids(self, records: Records) -> list[bytes]:
        return [email_id(key).encode() for key in records.content_keys()]

    def _envelopes(self, piece: Piece) -> list[bytes]:
        return self._known_or(self._shelf.index.envelopes, lambda letter: letter.message.envelope, piece)

    def _structures(self, piece: Piece) -> list[bytes]:
        made = bodystructure.bodystructure
        return self._known_or(self._shelf.index.structures, lambda letter: made(letter.message), piece)

    def _bodies(self, piece: Piece) -> list[bytes]:
        return self._known_or(self._shelf.index.bodies, lambda letter: bodystructure.body(letter.message), piece)

    def _known_or(
        self, known: Callable[[Sequence[bytes]], list[bytes | None]], made: Callable[[Letter], bytes], piece: Piece
    ) -> list[bytes]:
        """What the index knows of them; of others it is made from the message. MessageGone."""
        found = known(piece.records.content_keys())
        lacking = array("I", [uid for uid, value in zip(piece.records.uids, found, strict=True) if value is None])
        if not lacking:
            return cast("list[bytes]", found)
        letters = {letter.uid: letter for letter in piece.letters or self._shelf.letters(lacking)}
        if any(uid not in letters for uid in lacking):
            raise MessageGone("the message was removed before it was read")
        return [
            value if value is not None else made(letters[uid])
            for uid, value in zip(piece.records.uids, found, strict=True)
        ]

    def _thread_ids(self, piece: Piece) -> list[bytes]:
        return [b"(%b)" % letter.thread_id.encode() for letter in piece.letters]

    def _previews(self, piece: Piece) -> list[bytes]:
        return [nstring(letter.digest.preview.encode(), utf8=self._utf8) for letter in piece.letters]

    def _lazy_previews(self, piece: Piece) -> list[bytes]:
        known = self._shelf.index.digests(piece.records.content_keys())
        return [nstring(digest.preview.encode() if digest else None, utf8=self._utf8) for digest in known]


_OF_RECORDS: Final[dict[str, tuple[bytes, Callable[[Writing, Records], Sequence[object]]]]] = {
    "FLAGS": (b" (%b)", Writing._flag_texts),
    "UID": (b" %d", Writing._uids),
    "RFC822.SIZE": (b" %d", Writing._sizes),
    "MODSEQ": (b" (%d)", Writing._modseqs),
    "INTERNALDATE": (b" %b", Writing._received),
    "SAVEDATE": (b" %b", Writing._saved),
    "EMAILID": (b" (%b)", Writing._email_ids),
}
_OF_MESSAGES: Final[dict[str, Callable[[Writing, Piece], Sequence[object]]]] = {
    "ENVELOPE": Writing._envelopes,
    "THREADID": Writing._thread_ids,
    "BODYSTRUCTURE": Writing._structures,
    "BODY": Writing._bodies,
}


def _without_nul(text: bytes) -> bytes:
    """NUL may stand in no literal (RFC 9051 9, CHAR8). So many octets as before: BINARY has them as they are."""
    return text.replace(b"\0", b"\x80")


def _label(item: Item) -> bytes:
    """What the response names the item by."""
    match item:
        case Attribute(name):
            return name.encode()
        case Preview():
            return b"PREVIEW"
        case _:
            return item.label
