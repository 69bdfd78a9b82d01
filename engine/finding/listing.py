"""Lists of messages: a window at a time, by the keys of the store, so that a mailbox of any size opens as quickly.

The newest stand first, in the order in which they came into the mailbox: that is the order of UIDs (RFC 9051 2.3.1.1),
so a window begins at a key, and nothing before it is read. Conversations are messages of one THREADID (RFC 8474),
gathered within the window.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from engine.imap.letters import Letter, Shelf
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from engine.mailbox.layout import mailbox_key, message_key, uid_of
from engine.mailbox.records import Records
from engine.mailbox.views import keywords
from engine.mime import fields
from engine.mime.addresses import addresses
from engine.mime.part import Part
from engine.mime.words import decoded

WINDOW: Final = 50
"""Lines that are shown at once."""

SCANNED: Final = 300
"""Messages that are looked at for a window of conversations."""

AGAIN: Final = 500
"""Messages that are looked at where a list that goes further down is shown again."""

HEADERS: Final = frozenset({b"from", b"to", b"cc", b"subject", b"date"})

LAST: Final = 2**32 - 1
"""No message has this UID."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a list shows of one message."""

    uid: int
    box: str  # Box.id
    people: tuple[str, ...]  # who wrote it, or whom it is to: names, else addresses
    subject: str
    preview: str
    received: float  # Unix seconds
    size: int  # octets
    flags: int
    labels: tuple[str, ...]  # keywords
    attached: bool
    thread: str  # THREADID

    @property
    def unseen(self) -> bool:
        return not self.flags & SEEN

    @property
    def flagged(self) -> bool:
        return bool(self.flags & FLAGGED)

    @property
    def answered(self) -> bool:
        return bool(self.flags & ANSWERED)

    @property
    def draft(self) -> bool:
        return bool(self.flags & DRAFT)

    @property
    def deleted(self) -> bool:
        return bool(self.flags & DELETED)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages of one thread, the newest first; at least one."""

    lines: tuple[Line, ...]

    @property
    def newest(self) -> Line:
        return self.lines[0]

    @property
    def unseen(self) -> bool:
        return any(line.unseen for line in self.lines)

    @property
    def flagged(self) -> bool:
        return any(line.flagged for line in self.lines)

    @property
    def attached(self) -> bool:
        return any(line.attached for line in self.lines)

    @property
    def labels(self) -> tuple[str, ...]:
        """Keywords that some of them have."""
        return tuple(dict.fromkeys(name for line in self.lines for name in line.labels))

    @property
    def labels_of_all(self) -> tuple[str, ...]:
        """Keywords that each of them has."""
        return tuple(name for name in self.newest.labels if all(name in line.labels for line in self.lines))

    @property
    def people(self) -> tuple[str, ...]:
        """All who wrote, the first first."""
        return tuple(dict.fromkeys(name for line in reversed(self.lines) for name in line.people))


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a list. ``before``: where the next one begins; 0: there is none."""

    conversations: tuple[Conversation, ...]
    before: int | str = 0
    mistakes: tuple[str, ...] = ()  # of a search: what was not understood

    @property
    def last(self) -> int:
        """The lowest UID in it."""
        return min((line.uid for one in self.conversations for line in one.lines), default=0)


class Listing:
    """One mailbox as a list. ``box``: its Box.id. Every method may block; StorageError."""

    def __init__(self, mailboxes: Mailboxes, index: Index, place: tuple[int, int], box: str, *, outgoing: bool) -> None:
        self._mailboxes = mailboxes
        self._shelf = Shelf(mailboxes, index, *place)
        self._place = place
        self._box = box
        self._outgoing = outgoing

    def window(self, before: int = 0, *, threads: bool, down: int = 0) -> Window:
        """The lines before that UID, 0: the newest; as many as are shown at once, or all ``down`` to another UID."""
        most = AGAIN if down else SCANNED if threads else WINDOW
        uids, names = self._uids(before or LAST, most + 1)
        found: dict[str, list[Line]] = {}
        last = 0
        for some in _pieces(uids[:most]):
            for line in self.lines(some, names):
                found.setdefault(line.thread if threads else str(line.uid), []).append(line)
            last = some[-1]
            if last <= down or (not down and len(found) >= WINDOW):
                break
        conversations = tuple(Conversation(tuple(lines)) for lines in found.values())
        return Window(conversations, last if uids and last != uids[-1] else 0)

    def lines(self, uids: Sequence[int], names: tuple[str, ...] | None = None) -> list[Line]:
        """Those of the messages that are there, in the order of ``uids``."""
        if names is None:
            names = self._keywords()
        records, letters = self._shelf.opened(sorted(uids), digests=True, headers=HEADERS)
        found = {}
        for place, letter in enumerate(letters):
            with suppress(MessageGone):
                found[letter.uid] = self._line(letter, records, place, names)
        return [found[uid] for uid in uids if uid in found]

    def newer(self, after: int) -> list[Line]:
        """What has come behind that UID, at most WINDOW, the newest first."""
        uids = [uid for uid, _ in self._mailboxes.arrivals(*self._place, after, WINDOW)]
        return self.lines(uids[::-1])

    def uids(self, limit: int) -> list[int]:
        """So many of the newest messages."""
        return self._uids(LAST, limit)[0]

    def _uids(self, before: int, limit: int) -> tuple[list[int], tuple[str, ...]]:
        own, databases = mailbox_key(*self._place), self._mailboxes.databases
        with self._mailboxes.snapshot() as snapshot:
            keys = snapshot.backwards(databases.message, own, message_key(*self._place, before))
            uids = [uid_of(key) for key, _ in islice(keys, limit)]
            return uids, keywords(snapshot, databases, *self._place)

    def _keywords(self) -> tuple[str, ...]:
        with self._mailboxes.snapshot() as snapshot:
            return keywords(snapshot, self._mailboxes.databases, *self._place)

    def _line(self, letter: Letter, records: Records, place: int, names: tuple[str, ...]) -> Line:
        """MessageGone."""
        digest, header = letter.digest, letter.header
        values = {name.lower(): value for name, value in reversed(fields.fields(header))}
        bits = records.bits[place]
        people = _people(values.get(b"to", b"") + b"," + values.get(b"cc", b"")) if self._outgoing else ()
        return Line(
            uid=letter.uid,
            box=self._box,
            people=people or _people(values.get(b"from", b"")),
            subject=fields.text(values.get(b"subject", b"")),
            preview=digest.preview,
            received=letter.received / 1000,
            size=letter.size,
            flags=records.flags[place],
            labels=tuple(name for bit, name in enumerate(names) if bits >> bit & 1),
            attached=has_attachment(digest.message),
            thread=letter.thread_id,
        )


def has_attachment(message: Part) -> bool:
    """Whether it holds something besides what is read with it."""
    return any(map(_is_attached, message.walk()))


def _is_attached(part: Part) -> bool:
    if part.is_attachment:
        return True
    if part.parts or part.type.lower() in (b"text", b"multipart"):
        return bool(part.parts) and part.type.lower() == b"message"
    return part.details is None or not part.details.id  # an image with a Content-ID belongs to the text


def _people(value: bytes) -> tuple[str, ...]:
    """Names of an address list, else addresses; at most five."""
    found: list[str] = []
    for name, _, mailbox, host in addresses(value):
        if mailbox is None or host is None:
            continue
        address = f"{mailbox.decode(errors='replace')}@{host.decode(errors='replace')}"
        found.append(decoded(fields.text(name)).strip() if name else address)
        if len(found) == 5:
            break
    return tuple(found)


def _pieces(uids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (uids[start : start + WINDOW] for start in range(0, len(uids), WINDOW))
