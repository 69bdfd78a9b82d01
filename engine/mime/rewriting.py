"""Changes to the parts of a message in memory (RFC 2045, RFC 2046): text added, parts put in the place of others.

All take the octets of a whole message and give others, or the same where there was nothing to change. What is not
touched keeps its octets, and with them the signatures over it. For `Message.with_content`.
"""

import binascii
import re
from collections.abc import Callable, Iterator

from engine.mime.charsets import codec, decode
from engine.mime.parameters import values_of
from engine.mime.part import Part
from engine.mime.structure import structure
from engine.mime.transfer import decoded, is_known

LINE_LIMIT = 998
"""Octets of a line without its line end (RFC 5322 2.1.1)."""

_SEALED = {
    b"multipart/signed", b"multipart/encrypted", b"application/pkcs7-mime", b"application/x-pkcs7-mime",
    b"application/pgp-encrypted",
}  # fmt: skip
_PGP = (b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP MESSAGE-----")
_END_OF_BODY = re.compile(rb"</body\b", re.IGNORECASE)
_END_OF_HTML = re.compile(rb"</html\b", re.IGNORECASE)
_CONTENT_FIELD = re.compile(rb"^Content-[^\s:]*+[ \t]*+:.*+(?>(?:\n[ \t].*+)*)(?:\n|\Z)", re.IGNORECASE | re.MULTILINE)
_CONTENT_TYPE = re.compile(rb"^Content-Type[ \t]*+:(.*+(?>(?:\n[ \t].*+)*))(?:\n|\Z)", re.IGNORECASE | re.MULTILINE)
_TRANSFER_ENCODING = re.compile(
    rb"^Content-Transfer-Encoding[ \t]*+:.*+(?>(?:\n[ \t].*+)*)(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
)
_CHARSET = re.compile(rb"""\bcharset\*?\s*+=\s*+(?:"[^"]*+"|[^\s;]++)""", re.IGNORECASE)
_MIME_VERSION = re.compile(rb"^MIME-Version[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"(?:\A|(?<=\n))\r?\n\Z")
_SOFT = re.compile(rb"(?<!\r)\n")

Edit = tuple[int, int, bytes]
"""Octets from, to, and what stands there instead."""


def content(octets: bytes, part: Part) -> bytes:
    """The octets that the body of a part stands for."""
    return b"".join(decoded([octets[part.body : part.end]], part.encoding))


def text(octets: bytes, part: Part) -> str:
    """The text of a part."""
    return decode(content(octets, part), part.charset)


def name(part: Part) -> str:
    """The name of the file that a part is, decoded; empty where it has none (RFC 2183 2.3, RFC 2231)."""
    return next(names(part), "")


def names(part: Part) -> Iterator[str]:
    """All names that a part gives to its file, that of `name` first: by which a reader keeps it, is for the reader."""
    if part.details:
        yield from values_of(part.details.disposition_parameters, b"filename")
    yield from values_of(part.parameters, b"name")


def is_sealed(part: Part) -> bool:
    """Whether the message is signed or encrypted, so that a change breaks its author's seal (RFC 1847, RFC 8551).

    What is sealed in a message that is attached to it does not count.
    """
    return part.media in _SEALED or (part.is_multipart and any(map(is_sealed, part.parts)))


def bodies(part: Part) -> Iterator[Part]:
    """The texts that a reader is shown first, each form of them: plain, HTML. No attachments, no messages inside."""
    if part.is_attachment:
        return
    if part.media in {b"text/plain", b"text/html"} and not name(part):
        yield part
    elif part.media == b"multipart/alternative":
        for one in part.parts:
            yield from bodies(one)
    elif part.is_multipart:
        yield from next(filter(None, ([*bodies(one)] for one in part.parts)), ())


def with_footer(octets: bytes, plain: str, html: str) -> bytes:
    """With a text below each form of what a reader is shown first. ``html`` is markup, for those in HTML.

    The same octets where the message is signed or encrypted, or shows no text. Text that a charset does not have is
    written as a character reference in HTML; plain text then becomes UTF-8.
    """
    root = structure([octets])
    if is_sealed(root):
        return octets
    edits = []
    for part in bodies(root):
        body = content(octets, part)
        if not is_known(part.encoding) or any(mark in body for mark in _PGP):
            return octets
        is_html = part.media == b"text/html"
        made = _with_html(body, part.charset, html) if is_html else _with_plain(body, part.charset, plain)
        if made is None:
            return octets
        edits.append(_encoded(octets, part, *made))
    return _edited(octets, edits)


def replaced(octets: bytes, note: Callable[[Part], str | None]) -> bytes:
    """With a text in the place of every part for which ``note`` has one, in whatever container it is.

    ``note`` is asked about the parts that have no parts themselves. A signature around such a part breaks: that is for
    the caller to weigh (`is_sealed`).
    """
    root = structure([octets])
    edits = []
    for part in root.walk():
        said = None if part.parts else note(part)
        if said is not None:
            lines = re.sub(r"\r?\n", "\r\n", f"{said.rstrip()}\n").encode()
            fields = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
            head = _head(octets, part) if part is root else b""
            new = _section(_CONTENT_FIELD.sub(b"", head), fields, part) + _quoted_printable(lines)
            edits.append((part.start, part.end, new))
    return _edited(octets, edits)


def _edited(octets: bytes, edits: list[Edit]) -> bytes:
    pieces, place = [], 0
    for start, end, new in sorted(edits):
        pieces += [octets[place:start], new]
        place = end
    return b"".join([*pieces, octets[place:]]) if edits else octets


def _head(octets: bytes, part: Part) -> bytes:
    """The header fields of a part, each with its line end."""
    head = _EMPTY_LINE.sub(b"", octets[part.start : part.body])
    return head if not head or head.endswith(b"\n") else head + b"\r\n"


def _section(head: bytes, fields: bytes, part: Part) -> bytes:
    """A header section with more fields; what stands on top stays there, as it is where servers write."""
    if part.start == 0 and not _MIME_VERSION.search(head):
        fields = b"MIME-Version: 1.0\r\n" + fields
    return head + fields + b"\r\n"


def _with_plain(body: bytes, charset: str, footer: str) -> tuple[bytes, str] | None:
    """The body with the footer, and its charset if it is another one now; None where that cannot be done."""
    footer = re.sub(r"\r?\n", "\r\n", f"\n{footer.rstrip()}\n")
    known = _superset_of_ascii(charset)
    if known is None:
        return None
    start = body if body.endswith(b"\n") or not body else body + b"\r\n"
    try:
        return start + footer.encode(known), ""
    except UnicodeEncodeError:
        pass
    try:
        return (start.decode("utf-8" if known == "ascii" else known) + footer).encode(), "utf-8"
    except UnicodeDecodeError:  # it is in no charset at all: leave it as it is, and write what can be written
        return start + footer.encode(known, "replace"), ""


def _with_html(body: bytes, charset: str, footer: str) -> tuple[bytes, str] | None:
    known = _superset_of_ascii(charset)
    if known is None:
        return None
    made = re.sub(r"\r?\n", "\r\n", f"{footer.strip()}\n").encode(known, "xmlcharrefreplace")
    ends = [[found.start() for found in pattern.finditer(body)] for pattern in (_END_OF_BODY, _END_OF_HTML)]
    place = next((places[-1] for places in ends if places), len(body))
    before = body[:place]
    return before + (b"" if not before or before.endswith(b"\n") else b"\r\n") + made + body[place:], ""


def _superset_of_ascii(charset: str) -> str | None:
    """The codec, if ASCII octets stand for themselves in it; that of a part that names none is ASCII."""
    found = codec(charset) if charset else "ascii"
    return found if found and "<A>\r\n".encode(found) == b"<A>\r\n" else None


def _encoded(octets: bytes, part: Part, body: bytes, charset: str) -> Edit:
    """The part with another body, in the transfer encoding that it has as far as that will do."""
    encoding = part.encoding.lower()
    if encoding == b"base64":
        return _with_body(octets, part, _base64(body), charset, "")
    if encoding == b"quoted-printable":
        return _with_body(octets, part, _quoted_printable(body), charset, "")
    if _fits(body, encoding) or not _fits(octets[part.body : part.end], encoding):
        return _with_body(octets, part, body, charset, "")
    return _with_body(octets, part, _quoted_printable(body), charset, "quoted-printable")


def _fits(body: bytes, encoding: bytes) -> bool:
    return (encoding != b"7bit" or body.isascii()) and max(map(len, body.split(b"\r\n"))) <= LINE_LIMIT


def _with_body(octets: bytes, part: Part, body: bytes, charset: str, encoding: str) -> Edit:
    """With another body as it goes onto the wire; Content fields say so where they said something else."""
    if not charset and not encoding:
        return part.body, part.end, body
    head, fields = _head(octets, part), b""
    if charset:
        found = _CONTENT_TYPE.search(head)
        kind = (found[1].rstrip() if found else b"text/plain").rstrip(b";")
        named, count = _CHARSET.subn(b"charset=" + charset.encode(), kind)
        fields += b"Content-Type: " + (named if count else kind + b"; charset=" + charset.encode()).strip() + b"\r\n"
        head = _CONTENT_TYPE.sub(b"", head)
    if encoding:
        fields += f"Content-Transfer-Encoding: {encoding}\r\n".encode()
        head = _TRANSFER_ENCODING.sub(b"", head)
    return part.start, part.end, _section(head, fields, part) + body


def _base64(body: bytes) -> bytes:
    return b"".join(binascii.b2a_base64(body[start : start + 57])[:-1] + b"\r\n" for start in range(0, len(body), 57))


def _quoted_printable(body: bytes) -> bytes:
    return _SOFT.sub(b"\r\n", binascii.b2a_qp(body, istext=True))
