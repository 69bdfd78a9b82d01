"""The text of a message as SEARCH looks for it (RFC 9051 6.4.4): decoded, streamed."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator

from engine.mime.addresses import addresses
from engine.mime.charsets import decoder
from engine.mime.fields import Fields, text
from engine.mime.markup import Text
from engine.mime.part import Part
from engine.mime.transfer import decoded, is_known

ADDRESSES = {
    b"from", b"to", b"cc", b"bcc", b"sender", b"reply-to", b"resent-from", b"resent-to", b"resent-cc", b"resent-sender",
}  # fmt: skip
"""Header fields, in lower case, that hold addresses."""

UNREADABLE = frozenset({
    "dkim-signature", "domainkey-signature", "arc-seal", "arc-message-signature", "x-google-dkim-signature",
    "x-gm-message-state", "x-ms-exchange-antispam-messagedata", "x-microsoft-antispam-message-info",
})  # fmt: skip
"""Header fields that have no words, but letters and digits that are different in each message."""


def folded(text: str) -> str:
    """In one case and one form: so texts are compared."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def header_texts(found: Fields) -> Iterator[tuple[str, str]]:
    """Name in lower case and decoded value of each field. Of fields with addresses: their names and addresses."""
    for name, value in found:
        key = name.lower()
        yield key.decode("ascii"), ", ".join(address_texts(value)) if key in ADDRESSES else text(value)


def header_lines(found: Fields) -> Iterator[str]:
    """What TEXT looks for in a header section: names and values; of signatures the names alone."""
    for name, value in header_texts(found):
        yield f"{name}: {'' if name in UNREADABLE else value}"


def address_texts(value: bytes) -> Iterator[str]:
    """Each address of a list as ``name <mailbox@host>``, decoded; a group by its name."""
    for name, _, mailbox, host in addresses(value):
        if mailbox is None:
            continue
        address = text(mailbox + b"@" + host if host else mailbox)
        yield f"{text(name)} <{address}>" if name else address


def body_texts(message: Part, read: Callable[[int, int], Iterable[bytes]]) -> Iterator[str]:
    """The text of all text parts, in pieces; a line end between parts. ``read`` gives octets of the message."""
    for part in message.walk():
        if not part.parts and part.type.lower() == b"text":
            yield from text_of(part, read(part.body, part.end))
            yield "\n"


def text_of(part: Part, body: Iterable[bytes]) -> Iterator[str]:
    """The text of a part's body, of HTML what is read in it; nothing of a body in an unknown encoding."""
    if not is_known(part.encoding):
        return
    characters = decoder(part.charset)
    markup = Text() if part.subtype.lower() in {b"html", b"xhtml"} else None
    for octets in decoded(body, part.encoding):
        piece = characters.decode(octets)
        yield markup.feed(piece) if markup else piece
    rest = characters.decode(b"", final=True)
    yield markup.feed(rest) + markup.end() if markup else rest
