"""FETCH responses: each item of many messages as a column, the columns side by side as lines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from engine.imap import octets
from engine.imap.flags import FlagTexts
from engine.imap.letters import Letter, Shelf
from engine.imap.octets import Unknown
from engine.mailbox import MessageGone, StorageError
from engine.mailbox.views import email_id
from engine.mime import bodystructure
from engine.protocols.imap.dates import utc
from engine.protocols.imap.fetch import Attribute, Binary, BinarySize, Body, Item, Preview
from engine.protocols.imap.strings import nstring

AT_ONCE: Final = 500
"""Messages of one piece, where only what is ready is wanted of them."""

SOME: Final = 256 * 1024
"""Octets of messages that are written in one piece; a larger one goes piece by piece."""

Column = Iterable[object]

__all__ = ["Unknown", "Writing"]


class Writing:
    """Writes items of messages. ``missed`` counts messages that were gone. Blocks: to be used in threads.

    Unknown where BINARY meets a content transfer encoding that nobody knows (RFC 3516 4.3).
    """

    def __init__(
        self, shelf: Shelf, items: Sequence[Item], flags: FlagTexts, *, uid_only: bool = False, utf8: bool = False
    ) -> None:
        self.missed = 0
        self._shelf = shelf
        self._items = [item for item in items if not (uid_only and item == Attribute("UID"))]
        self._flags = flags
        self._uid_only = uid_only
        self._utf8 = utf8
        self._wants = octets.Wants.of(self._items)
        self._columns = [self._column(item) for item in self._items]
        said = b"UIDFETCH" if uid_only else b"FETCH"
        self._template = b"* %%d %b (%b)\r\n" % (said, b" ".join(_label(item) + b" %b" for item in self._items))

    def pieces(self, some: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """The responses for messages by number and UID."""
        for start in range(0, len(some), AT_ONCE):
            letters = self._known(some[start : start + AT_ONCE])
            while letters:
                taken = self._fitting(letters)
                if len(taken) == 1 and self._wants.content and taken[0][1].row.size > SOME:
                    yield from self._large(*taken[0])
                else:
                    try:
                        piece = self._written(taken)
                    except MessageGone:  # which are there is found out anew
                        letters = self._known([(number, letter.uid) for number, letter in letters])
                        continue
                    yield piece
                letters = letters[len(taken) :]

    def _known(self, waiting: Sequence[tuple[int, int]]) -> list[tuple[int, Letter]]:
        """Those of the messages that are there, by their numbers."""
        wants = self._wants
        found = self._shelf.letters([uid for _, uid in waiting], digests=wants.digests, headers=wants.headers)
        self.missed += len(waiting) - len(found)
        if len(found) == len(waiting):
            return [(number, letter) for (number, _), letter in zip(waiting, found, strict=True)]
        there = {letter.uid: letter for letter in found}
        return [(number, there[uid]) for number, uid in waiting if uid in there]

    def _fitting(self, letters: Sequence[tuple[int, Letter]]) -> Sequence[tuple[int, Letter]]:
        """The first of them, as many as make a piece."""
        if not self._wants.content:
            return letters
        size = 0
        for count, (_, letter) in enumerate(letters):
            size += letter.row.size
            if count and size > SOME:
                return letters[:count]
        return letters

    def _written(self, numbered: Sequence[tuple[int, Letter]]) -> bytes:
        letters = [letter for _, letter in numbered]
        if self._wants.content:
            self._shelf.open(letters)
        numbers = [letter.uid for letter in letters] if self._uid_only else [number for number, _ in numbered]
        columns = [column(letters) for column in self._columns]
        return b"".join(map(self._template.__mod__, zip(numbers, *columns, strict=True)))

    def _large(self, number: int, letter: Letter) -> Iterator[bytes]:
        """One message item by item. Where it goes away amid a literal the connection must end: the octets are owed."""
        said = b"UIDFETCH" if self._uid_only else b"FETCH"
        before = b"* %d %b (" % (letter.uid if self._uid_only else number, said)
        try:
            for item, column in zip(self._items, self._columns, strict=True):
                head = before + _label(item) + b" "
                if isinstance(item, Body):
                    yield from chain([head], octets.pieces(letter, item))
                else:
                    yield head + b"".join(bytes(value) for value in column([letter]))
                before = b" "
        except StorageError as error:
            raise MessageGone(f"a message cannot be read: {error}") from error
        yield b")\r\n"

    # One function a kind of item: letters in, values out.

    def _column(self, item: Item) -> Callable[[Sequence[Letter]], Sequence[bytes]]:
        match item:
            case Attribute(name):
                return partial(_ATTRIBUTES[name], self)
            case Preview(lazy):
                return self._lazy_previews if lazy else self._previews
            case Body():
                return lambda letters: [octets.body(letter, item) for letter in letters]
            case Binary():
                return lambda letters: [octets.binary(letter, item) for letter in letters]
            case BinarySize():
                return lambda letters: [b"%d" % octets.binary_size(letter, item) for letter in letters]

    def _flag_texts(self, letters: Sequence[Letter]) -> list[bytes]:
        of = self._flags.of
        return [b"(%b)" % of(letter.row.flags, letter.row.keywords) for letter in letters]

    def _uids(self, letters: Sequence[Letter]) -> list[bytes]:
        return [b"%d" % letter.uid for letter in letters]

    def _sizes(self, letters: Sequence[Letter]) -> list[bytes]:
        return [b"%d" % letter.row.size for letter in letters]

    def _modseqs(self, letters: Sequence[Letter]) -> list[bytes]:
        return [b"(%d)" % letter.row.modseq for letter in letters]

    def _received(self, letters: Sequence[Letter]) -> list[bytes]:
        return [utc(letter.row.received // 1000) for letter in letters]

    def _saved(self, letters: Sequence[Letter]) -> list[bytes]:
        return [utc(letter.row.saved // 1000) for letter in letters]

    def _email_ids(self, letters: Sequence[Letter]) -> list[bytes]:
        return [b"(%b)" % email_id(letter.row.content).encode() for letter in letters]

    def _thread_ids(self, letters: Sequence[Letter]) -> list[bytes]:
        return [b"(%b)" % letter.thread_id.encode() for letter in letters]

    def _envelopes(self, letters: Sequence[Letter]) -> list[bytes]:
        known = self._shelf.index.envelopes([letter.row.content for letter in letters])
        return [
            value if value is not None else letter.message.envelope
            for letter, value in zip(letters, known, strict=True)
        ]

    def _structures(self, letters: Sequence[Letter]) -> list[bytes]:
        known = self._shelf.index.structures([letter.row.content for letter in letters])
        return [
            value if value is not None else bodystructure.bodystructure(letter.message)
            for letter, value in zip(letters, known, strict=True)
        ]

    def _bodies(self, letters: Sequence[Letter]) -> list[bytes]:
        known = self._shelf.index.bodies([letter.row.content for letter in letters])
        return [
            value if value is not None else bodystructure.body(letter.message)
            for letter, value in zip(letters, known, strict=True)
        ]

    def _previews(self, letters: Sequence[Letter]) -> list[bytes]:
        return [nstring(letter.digest.preview.encode(), utf8=self._utf8) for letter in letters]

    def _lazy_previews(self, letters: Sequence[Letter]) -> list[bytes]:
        known = self._shelf.index.digests([letter.row.content for letter in letters])
        return [nstring(digest.preview.encode() if digest else None, utf8=self._utf8) for digest in known]


_ATTRIBUTES = {
    "FLAGS": Writing._flag_texts,
    "UID": Writing._uids,
    "RFC822.SIZE": Writing._sizes,
    "MODSEQ": Writing._modseqs,
    "INTERNALDATE": Writing._received,
    "SAVEDATE": Writing._saved,
    "EMAILID": Writing._email_ids,
    "THREADID": Writing._thread_ids,
    "ENVELOPE": Writing._envelopes,
    "BODYSTRUCTURE": Writing._structures,
    "BODY": Writing._bodies,
}


def _label(item: Item) -> bytes:
    """What the response names the item by, as a part of a template."""
    match item:
        case Attribute(name):
            return name.encode()
        case Preview():
            return b"PREVIEW"
        case _:
            return item.label.replace(b"%", b"%%")
