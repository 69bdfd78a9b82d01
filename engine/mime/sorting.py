"""SORT on plain records (RFC 5256 3, RFC 5957), and the collation i;unicode-casemap (RFC 5051)."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from engine.mime.addresses import Address, addresses
from engine.mime.dates import sent_or
from engine.mime.fields import Fields, text
from engine.mime.subjects import base_subject

KEY_LIMIT = 1_000
"""Characters of a text that are compared."""


class SortKeys(Struct, frozen=True, array_like=True, gc=False):
    """What a message is sorted by; texts are casemapped."""

    sent: float  # Unix seconds, INTERNALDATE where Date has none
    subject: str = ""  # base subject
    is_reply: bool = False  # or a forward
    sender: str = ""  # mailbox of the first address of From
    to: str = ""
    cc: str = ""
    display_from: str = ""
    display_to: str = ""


class Sortable(Protocol):
    """A message of a mailbox."""

    @property
    def keys(self) -> SortKeys: ...

    @property
    def received(self) -> float:
        """INTERNALDATE in Unix seconds."""
        ...

    @property
    def size(self) -> int:
        """RFC822.SIZE."""
        ...


Mail = TypeVar("Mail", bound=Sortable)

_CRITERIA: dict[str, Callable[[Sortable], float | str]] = {
    "ARRIVAL": lambda mail: mail.received,
    "CC": lambda mail: mail.keys.cc,
    "DATE": lambda mail: mail.keys.sent,
    "FROM": lambda mail: mail.keys.sender,
    "SIZE": lambda mail: mail.size,
    "SUBJECT": lambda mail: mail.keys.subject,
    "TO": lambda mail: mail.keys.to,
    "DISPLAYFROM": lambda mail: mail.keys.display_from,
    "DISPLAYTO": lambda mail: mail.keys.display_to,
}

CRITERIA = frozenset(_CRITERIA)
"""What SORT can be asked for, REVERSE left out."""


def ordered(mails: Iterable[Mail], criteria: Sequence[tuple[str, bool]]) -> list[Mail]:
    """The messages, which come in sequence, by the criteria: a name of CRITERIA, and whether it is reversed.

    Those that are equal stay in sequence, reversed or not. KeyError for a name that is none.
    """
    found = list(mails)
    for name, is_reversed in reversed(criteria):
        found.sort(key=_CRITERIA[name], reverse=is_reversed)  # stable, reversed as well
    return found


def sort_keys(found: Fields, received: float) -> SortKeys:
    """What the header fields of a message say."""
    values: dict[bytes, bytes] = {}
    for name, value in found:
        key = name.lower()
        if key in {b"date", b"subject", b"from", b"to", b"cc"}:
            values.setdefault(key, value)
    subject = base_subject(text(values.get(b"subject", b"")))
    author, to, cc = (_first(values.get(name, b"")) for name in (b"from", b"to", b"cc"))
    return SortKeys(
        sent_or(values.get(b"date"), received), casemap(subject.text), subject.is_reply,
        _mailbox(author), _mailbox(to), _mailbox(cc), _display(author), _display(to),
    )  # fmt: skip


def casemap(value: str) -> str:
    """The text in the form that i;unicode-casemap compares octet by octet: titlecase, decomposed (RFC 5051 2)."""
    value = value[:KEY_LIMIT]
    if value.isascii():
        return value.upper()
    return unicodedata.normalize("NFKD", "".join([_title(character) for character in value]))


def _title(character: str) -> str:
    title = character.title()
    return title if len(title) == 1 else character  # the simple mapping only


def _first(value: bytes) -> Address | None:
    found = addresses(value[:4096]) if value else []
    return found[0] if found else None


def _mailbox(address: Address | None) -> str:
    return casemap((address.mailbox or b"").decode("utf-8", "replace")) if address else ""


def _display(address: Address | None) -> str:
    """The name of the first address or group, else its address (RFC 5957 3)."""
    if address is None:
        return ""
    if address.name:
        return casemap(text(address.name))
    mailbox = text(address.mailbox or b"")
    return casemap(f"{mailbox}@{text(address.host)}" if address.host else mailbox)
