"""A message as a script sees it, read by the standard library: the one place to change for another reader."""

import email
import email.policy
import html
import re
from collections.abc import Iterator, Sequence
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses

from engine.message import Message as Mail
from engine.message import end_of_header
from engine.sieve.world import Part

_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_ADDRESS = re.compile(r'(?:[^\s@<>"]+|"(?:[^"\\]|\\.)*+")@[^\s@<>"]+')
_TAG = re.compile(r"<([^<>]*)>")
_HIDING = re.compile(r"(/?)(?:script|style)\b", re.IGNORECASE)

VALUE_LIMIT = 32 * 1024
"""Octets of one header field that are read: what reads them may take time that grows with their square."""

PARSED_LIMIT = 8 * 1024 * 1024
"""Octets of a message in which parts are looked for."""


class Octets:
    """A message with CRLF; ``size`` is that of the whole, where ``octets`` are only its beginning."""

    def __init__(self, octets: bytes, size: int | None = None) -> None:
        end = end_of_header(octets, len(octets))
        self._octets = octets
        self._header = octets if end is None else octets[:end]
        self._body_begins = len(octets) if end is None else end + 2
        self._size = len(octets) if size is None else size
        self._parts: list[Part] | None = None

    def with_header(self, header: bytes) -> "Octets":
        """The same with another header section, which lacks the empty line."""
        grown = len(header) - self._body_begins + 2
        return Octets(header + b"\r\n" + self._octets[self._body_begins :], self._size + grown)

    @property
    def size(self) -> int:
        return self._size

    def fields(self) -> Sequence[bytes]:
        whole = self._header if self._header.endswith(b"\n") else self._header + b"\r\n"
        return [] if whole == b"\r\n" else _FIELD.findall(whole)

    def body(self, limit: int) -> str:
        return self._octets[self._body_begins : self._body_begins + limit].decode("utf-8", "replace")

    def parts(self, limit: int) -> Iterator[Part]:
        if self._parts is None:
            self._parts = _parts(self._octets[:PARSED_LIMIT])
        for part in self._parts:
            yield Part(part.type, part.text[:limit])
            limit = max(0, limit - len(part.text))

    def value(self, field: bytes) -> str:
        text = _unfolded(field)
        if "=?" not in text:
            return text
        try:
            words = [_text(word, charset) if isinstance(word, bytes) else word for word, charset in decode_header(text)]
        except (ValueError, MessageError):  # broken base64: as it came
            return text
        return re.sub(r"[\r\n]", "", "".join(words))

    def addresses(self, field: bytes) -> Sequence[str]:
        try:
            found = [address for _, address in getaddresses([_unfolded(field)])]
        except (RecursionError, IndexError):  # hundreds of comments in one another, or what the library trips over
            return []
        return [address for address in found if _ADDRESS.fullmatch(address)]


def of_message(message: Mail) -> Octets:
    """The message as a stage has it; of a large one, no more than ``PARSED_LIMIT`` octets are read."""
    gathered = bytearray()
    for chunk in message.chunks():
        gathered += chunk
        if len(gathered) >= PARSED_LIMIT:
            break
    return Octets(bytes(gathered[:PARSED_LIMIT]), message.size)


def _unfolded(field: bytes) -> str:
    return _FOLD.sub(b"", field[:VALUE_LIMIT].partition(b":")[2]).strip().decode("utf-8", "replace")


def _parts(octets: bytes) -> list[Part]:
    try:
        return list(_walk(email.message_from_bytes(octets, policy=email.policy.compat32)))
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, MessageError):
        return []  # the library trips over it: then no part can be judged


def _walk(message: "Message[str, str]") -> Iterator[Part]:
    kind = message.get_content_type()
    payload = message.get_payload()
    if not isinstance(payload, list):
        decoded = message.get_payload(decode=True)
        yield Part(kind, _text(decoded if isinstance(decoded, bytes) else b"", message.get_content_charset()))
        return
    children = [child for child in payload if isinstance(child, Message)]
    if kind.startswith("message/"):
        yield Part(kind, "".join(f"{name}: {value}\r\n" for child in children[:1] for name, value in child.items()))
    else:
        yield Part(kind, f"{message.preamble or ''}{message.epilogue or ''}")
    for child in children:
        yield from _walk(child)


def _text(octets: bytes, charset: str | None) -> str:
    try:
        return octets.decode(charset or "utf-8", "replace")
    except (LookupError, UnicodeError):  # no charset at all, or a codec that decodes no text
        return octets.decode("utf-8", "replace")


def words_of_html(page: str) -> str:
    """The text of a page, without its tags, scripts and styles."""
    text, *others = _TAG.split(page)
    words, hidden = [text], False
    for tag, after in zip(others[::2], others[1::2], strict=True):
        if match := _HIDING.match(tag):
            hidden = not match[1]
        if not hidden:
            words.append(after)
    return html.unescape("".join(words))
