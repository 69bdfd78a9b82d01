"""One message to be read: its header, the parts that are shown, those that are attached, and how each is had."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import unquote

from engine.imap.letters import Letter, Shelf
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.mime import fields
from engine.mime.addresses import addresses
from engine.mime.charsets import beginning
from engine.mime.parameters import value_of
from engine.mime.part import Part
from engine.mime.sections import numbered
from engine.mime.transfer import decoded
from engine.unsubscribe import Offer, offer
from engine.web.mail.cleaning import LONGEST

Numbers = tuple[int, ...]
"""Of a part, as IMAP counts them (RFC 9051 6.4.5.1)."""

PIECES: Final = 64
"""Parts of text that are shown one below the other; what follows is attached."""

_LIST: Final = (b"list-unsubscribe", b"list-unsubscribe-post", b"dkim-signature")

NAME: Final = 150
"""Characters of the name of a file."""


class Person(NamedTuple):
    """One of an address field."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


class File(NamedTuple):
    """A part that is not shown with the text."""

    numbers: Numbers
    name: str
    media: str  # type/subtype, as the message says: never what it is served as, but for pictures
    size: int  # octets, about
    cid: str  # Content-ID without brackets; empty: it has none

    @property
    def section(self) -> str:
        return ".".join(map(str, self.numbers))


class Text(NamedTuple):
    """A part that is shown."""

    numbers: Numbers
    html: bool

    @property
    def section(self) -> str:
        return ".".join(map(str, self.numbers))


@dataclass(frozen=True, slots=True)
class Opened:
    """What is shown of a message."""

    uid: int
    subject: str
    senders: tuple[Person, ...]
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    bcc: tuple[Person, ...]
    reply_to: tuple[Person, ...]
    sent: float  # Unix seconds, of the sender's clock
    received: float  # Unix seconds
    message_id: str  # with brackets, as it stands there
    references: str
    size: int
    texts: tuple[Text, ...]
    files: tuple[File, ...]
    inline: tuple[File, ...]  # pictures that the text may refer to
    agents: tuple[Person, ...] = ()  # who has sent it on behalf of its senders
    offer: Offer = Offer()  # by which one leaves the list that it is of


def _offer(header: bytes) -> Offer:
    values = [[fields.unfolded(value) for _, value in fields.named(header, name)] for name in _LIST]
    return offer(*([value.decode("ascii", "replace") for value in some] for some in values))


class Opener:
    """Reads messages of one mailbox. Every method may block; StorageError, and MessageGone."""

    def __init__(self, mailboxes: Mailboxes, index: Index, place: tuple[int, int]) -> None:
        self._shelf = Shelf(mailboxes, index, *place)

    def open(self, uid: int, *, plain: bool = False) -> Opened:
        """``plain``: of alternatives the one that is plain text is wanted."""
        letter = self._letter(uid)
        digest = letter.digest
        values = {name.lower(): value for name, value in reversed(fields.fields(letter.header))}
        sorter = _Sorter(plain)
        sorter.sort(digest.message, (), top=True)

        def people(name: bytes) -> tuple[Person, ...]:
            return tuple(persons(values.get(name, b"")))

        senders = people(b"from")
        known = {one.address.lower() for one in senders}
        return Opened(
            uid=uid,
            subject=fields.text(values.get(b"subject", b"")),
            senders=senders,
            to=people(b"to"),
            cc=people(b"cc"),
            bcc=people(b"bcc"),
            reply_to=people(b"reply-to"),
            sent=digest.keys.sent,
            received=letter.received / 1000,
            message_id=fields.unfolded(values.get(b"message-id", b"")).decode("ascii", "ignore"),
            references=fields.unfolded(values.get(b"references", b"")).decode("ascii", "ignore"),
            size=letter.size,
            texts=tuple(sorter.texts),
            files=tuple(sorter.files),
            inline=tuple(sorter.inline),
            offer=_offer(letter.header),
            agents=tuple(one for one in people(b"sender") if one.address.lower() not in known),
        )

    def text(self, uid: int, numbers: Numbers) -> str:
        """A part as text, of HTML its source; LONGEST characters at most."""
        letter = self._letter(uid)
        part = _part(letter, numbers)
        return beginning(decoded(letter.content(part.body, part.end), part.encoding), part.charset, LONGEST)

    def octets(self, uid: int, numbers: Numbers) -> tuple[File, Iterator[bytes]]:
        """A part without its transfer encoding, in pieces that are read as they are taken."""
        letter = self._letter(uid)
        part = _part(letter, numbers)
        return _file(part, numbers), decoded(letter.content(part.body, part.end), part.encoding)

    def source(self, uid: int) -> tuple[int, Iterator[bytes]]:
        """The message as it came: octets, and all of them in pieces."""
        letter = self._letter(uid)
        return letter.size, letter.pieces(0, letter.size)

    def headers(self, uid: int) -> bytes:
        """Its header section."""
        return self._letter(uid).header

    def _letter(self, uid: int) -> Letter:
        for letter in self._shelf.letters([uid], digests=True):
            return letter
        raise MessageGone(f"there is no message {uid}")


def persons(value: bytes) -> Iterator[Person]:
    """Those of an address field; groups are opened, what has no address is left out. At most 1,000."""
    found = (
        Person(fields.text(name).strip() if name else "", f"{_text(mailbox)}@{_text(host)}")
        for name, _, mailbox, host in addresses(value)
        if mailbox and host
    )
    return islice(found, 1000)


def section_of(text: str) -> Numbers | None:
    """``1.2`` as numbers; None: it is nothing of that kind."""
    numbers = text.split(".")
    if len(numbers) > 60 or not all(number.isascii() and number.isdigit() and len(number) < 6 for number in numbers):
        return None
    return tuple(map(int, numbers))


def sorted_parts(message: Part) -> tuple[list[Text], list[File]]:
    """The parts of a message that are shown, and those that are attached; the tree is that of all of it."""
    sorter = _Sorter(plain=False)
    sorter.sort(message, (), top=True)
    return sorter.texts, [*sorter.files, *sorter.inline]


class _Sorter:
    """Walks through the parts of a message: what is shown, what is attached."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self.texts: list[Text] = []
        self.files: list[File] = []
        self.inline: list[File] = []

    def sort(self, part: Part, numbers: Numbers, *, top: bool = False) -> None:
        if part.is_multipart and part.parts:
            inner = [(each, (*numbers, place)) for place, each in enumerate(part.parts, 1)]
            if part.subtype.lower() == b"alternative":
                inner = self._best(inner)
            for each, at in inner:
                self.sort(each, at)
            return
        numbers = (1,) if top else numbers
        if _is_text(part) and len(self.texts) < PIECES:
            self.texts.append(Text(numbers, part.subtype.lower() == b"html"))
            return
        file = _file(part, numbers)
        is_inline = bool(file.cid) and file.media.startswith("image/") and not part.is_attachment
        (self.inline if is_inline else self.files).append(file)

    def _best(self, inner: list[tuple[Part, Numbers]]) -> list[tuple[Part, Numbers]]:
        """Of alternatives the one that is shown, and those that are no text, such as an invitation."""

        def rank(one: tuple[Part, Numbers]) -> int:
            media = {each.media for each in one[0].walk()}
            wanted, other = (b"text/plain", b"text/html") if self._plain else (b"text/html", b"text/plain")
            return 0 if wanted in media else 1 if other in media else 2

        ranked = sorted(inner, key=rank)
        return [one for place, one in enumerate(ranked) if not place or rank(one) == 2]


def _is_text(part: Part) -> bool:
    return part.media in (b"text/plain", b"text/html") and not part.is_attachment


def _part(letter: Letter, numbers: Numbers) -> Part:
    part = numbered(letter.digest.message, numbers)
    if part is None or part.is_multipart:
        raise MessageGone("there is no such part")
    return part


def _file(part: Part, numbers: Numbers) -> File:
    details = part.details
    name = ""
    if details is not None:
        name = value_of(details.disposition_parameters, b"filename")
    name = name or value_of(part.parameters, b"name")
    size = part.size * 3 // 4 if part.encoding.lower() == b"base64" else part.size
    cid = details.id.strip().strip(b"<>").decode("utf-8", "replace") if details is not None else ""
    media = part.media.decode("ascii", "replace")
    return File(numbers, file_name(name) or _default(media), media, size, cid)


def file_name(name: str) -> str:
    """A name that leads nowhere and can be read: no folders, no controls, nor what turns the direction of writing."""
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(one for one in name if one.isprintable() and one not in "\u202a\u202b\u202c\u202d\u202e\u200e\u200f")
    return name.strip(" .")[:NAME]


def _default(media: str) -> str:
    return {"message/rfc822": "message.eml", "text/calendar": "invite.ics", "text/plain": "text.txt"}.get(media, "file")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def same_id(cid: str, other: str) -> bool:
    """Whether an address ``cid:`` (RFC 2392) means the part that has this Content-ID."""
    with suppress(ValueError):
        return unquote(cid).strip().strip("<>") == other
    return False
