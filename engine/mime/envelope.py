"""The ENVELOPE of a message, ready to be sent (RFC 9051 7.5.2)."""

from engine.mime.addresses import Address, addresses
from engine.mime.fields import Fields, unfolded
from engine.mime.rendering import nstring, string

_NAMES = {
    b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id",
}  # fmt: skip
_LISTS = {b"to", b"cc", b"bcc"}


def envelope(found: Fields) -> bytes:
    """Encoded words are left as they are. Sender and Reply-To that are missing or empty are those of From."""
    values: dict[bytes, bytes] = {}
    for name, value in found:
        key = name.lower()
        if key in _NAMES:
            if key not in values:
                values[key] = value
            elif key in _LISTS:  # what comes twice is one list, RFC 5322 4.5.3
                values[key] += b"," + value
    get = values.get
    senders = _list(get(b"from")) or b"NIL"
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(get(b"date")),
        _text(get(b"subject")),
        senders,
        _list(get(b"sender")) or senders,
        _list(get(b"reply-to")) or senders,
        _list(get(b"to")) or b"NIL",
        _list(get(b"cc")) or b"NIL",
        _list(get(b"bcc")) or b"NIL",
        _text(get(b"in-reply-to")),
        _text(get(b"message-id")),
    )


def _text(value: bytes | None) -> bytes:
    return b"NIL" if value is None else string(unfolded(value))


def _list(value: bytes | None) -> bytes:
    """The addresses in parentheses; empty where there is none."""
    if not value:
        return b""
    return b"(%b)" % b"".join([_address(address) for address in found]) if (found := addresses(value)) else b""


def _address(address: Address) -> bytes:
    name, route, mailbox, host = address
    return b"(%b %b %b %b)" % (
        nstring(unfolded(name) if name else name),
        nstring(route),
        b"NIL" if mailbox is None else string(mailbox),
        b"NIL" if host is None else string(host),
    )
