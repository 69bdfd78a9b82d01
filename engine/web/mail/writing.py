"""What somebody has written, as a message (RFC 5322, 2045, 2387): made anew whenever it is kept.

Text is quoted-printable in UTF-8, so that no server on the way has to change it. HTML that was written in the browser
goes through the same cleaning as HTML that comes in: what was pasted from elsewhere is not passed on to others.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from html.parser import HTMLParser
from itertools import pairwise
from typing import Final, NamedTuple

from engine.mime.addresses import addresses
from engine.mime.fields import text as field_text
from engine.net.dns import a_labels
from engine.web.mail.cleaning import TooDeep, cleaned
from engine.web.mail.opened import Opened, Person, file_name, persons
from engine.web.text import N_, Text

RECIPIENTS: Final = 1000
"""Of one message: as many as the server takes from a mail program."""

REFERENCES: Final = 50
"""Message IDs that are referred to: the first and the nearest (RFC 5322 3.6.4 sets no bound, lines do)."""

SUBJECT: Final = 2000
"""Characters of a subject."""

TEXT: Final = 2 * 1024 * 1024
"""Characters that somebody may write."""

_ID = re.compile(r"<[^<>\s]{1,900}>")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MEDIA = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_REPLY = re.compile(r"\s*(?:re|aw|sv|antw|tr|trả lời)\s*(?:\[\d+\])?\s*:\s*", re.IGNORECASE)
_FORWARD = re.compile(r"\s*(?:fwd?|wg|i)\s*:\s*", re.IGNORECASE)


class Mistake(ValueError):
    """What was written cannot be sent so. The text is for whoever wrote it."""

    def __init__(self, text: Text) -> None:
        super().__init__(text)
        self.text = text


class Piece(NamedTuple):
    """A file that is attached. ``cid``: the text shows it."""

    name: str
    media: str
    octets: bytes
    cid: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """All of it."""

    sender: Person
    to: tuple[Person, ...] = ()
    cc: tuple[Person, ...] = ()
    bcc: tuple[Person, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""  # empty: it is plain text
    in_reply_to: str = ""
    references: str = ""
    pieces: tuple[Piece, ...] = ()
    agent: Person | None = None  # who has written it on behalf of the sender (RFC 5322 3.6.2)
    reply: str = ""  # a calendar of METHOD REPLY, which stands for the text (RFC 6047)
    fields: Mapping[str, str] = field(default_factory=dict)


def people(text: str) -> tuple[Person, ...]:
    """Those of a field as people write it: commas or semicolons between them. Mistake."""
    found = tuple(persons(text.replace(";", ",").encode()))
    asked = [one for one in addresses(text.replace(";", ",").encode()) if one.mailbox]
    if len(found) < len(asked):
        wrong = next(one for one in asked if not one.host)
        raise Mistake(N_("%(what)s is no address", what=field_text(wrong.mailbox or b"")))
    if not found and text.strip(" \t\r\n,;"):
        raise Mistake(N_("%(what)s is no address", what=text[:100]))
    if len(found) > RECIPIENTS:
        raise Mistake(N_("at most %(most)s recipients", most=RECIPIENTS))
    return tuple(Person(one.name, address(one.address)) for one in found)


def address(text: str) -> str:
    """With its domain as an A-label. Mistake."""
    local, _, domain = text.rpartition("@")
    try:
        domain = a_labels(domain)
    except ValueError as error:
        raise Mistake(N_("%(what)s is no address", what=text[:100])) from error
    if not local.isascii():
        raise Mistake(N_("%(what)s: only letters of ASCII may stand before the @", what=text[:100]))
    if not _ADDRESS.fullmatch(f"{local}@{domain}"):
        raise Mistake(N_("%(what)s is no address", what=text[:100]))
    return f"{local}@{domain}"


def message(written: Written, *, message_id: str, now: float, bcc: bool) -> bytes:
    """The message as octets, with CRLF. ``bcc``: with the field that only its writer may see."""
    found = EmailMessage(policy=SMTP)
    found["From"] = _listed((written.sender,))
    if written.agent is not None:
        found["Sender"] = _listed((written.agent,))[0]
    for name, some in (("To", written.to), ("Cc", written.cc), ("Bcc", written.bcc if bcc else ())):
        if some:
            found[name] = _listed(some)
    found["Subject"] = _line(written.subject)[:SUBJECT]
    found["Date"] = formatdate(now, localtime=True)
    found["Message-ID"] = message_id
    ids = _ID.findall(written.references)
    if answered := _ID.findall(written.in_reply_to):
        found["In-Reply-To"] = answered[0]
    if ids:
        found["References"] = " ".join(ids if len(ids) <= REFERENCES else [ids[0], *ids[1 - REFERENCES :]])
    for name, value in written.fields.items():
        found[name] = value
    _fill(found, written)
    return found.as_bytes()


def _listed(some: Sequence[Person]) -> tuple[Address, ...]:
    """Mistake."""
    try:
        return tuple(Address(_line(one.name), addr_spec=one.address) for one in some)
    except (ValueError, IndexError) as error:
        raise Mistake(N_("%(what)s is no address", what=some[0].address[:100])) from error


def _line(text: str) -> str:
    """Text of a header field: no controls, and so no second field."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _fill(found: EmailMessage, written: Written) -> None:
    shown = [piece for piece in written.pieces if piece.cid]
    if written.html:
        found.set_content(plain_of(written.html), cte="quoted-printable")
        found.add_alternative(written.html, subtype="html", cte="quoted-printable")
        html = found.get_payload()[1]  # type: ignore[index]
        assert isinstance(html, EmailMessage)
        for piece in shown:
            kind, _, subtype = _media(piece.media).partition("/")
            html.add_related(
                piece.octets, kind, subtype, cid=f"<{piece.cid}>", filename=_name(piece), disposition="inline"
            )
    else:
        found.set_content(written.text.replace("\r\n", "\n"), cte="quoted-printable")
    if written.reply:
        found.add_alternative(written.reply, "calendar", cte="quoted-printable", params={"method": "REPLY"})
    for piece in written.pieces:
        if piece.cid and written.html:
            continue
        media = _media(piece.media)
        if media == "message/rfc822":  # it keeps its octets (RFC 2046 5.2.1), so signatures in it stay true
            _attach_message(found, piece)
            continue
        kind, _, subtype = media.partition("/")
        found.add_attachment(piece.octets, kind, subtype, filename=_name(piece))


def _attach_message(found: EmailMessage, piece: Piece) -> None:
    part = EmailMessage(policy=SMTP)
    part["Content-Type"] = "application/octet-stream" if not _is_7bit(piece.octets) else "message/rfc822"
    if _is_7bit(piece.octets):
        part.set_payload(piece.octets.decode("ascii"))
        part["Content-Transfer-Encoding"] = "7bit"
    else:
        part.set_payload(base64.encodebytes(piece.octets).decode())
        part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=_name(piece))
    if not found.is_multipart() or found.get_content_subtype() != "mixed":
        found.make_mixed()
    found.attach(part)


def _is_7bit(octets: bytes) -> bool:
    return octets.isascii() and max(map(len, octets.split(b"\n"))) < 998 and b"\0" not in octets


def _name(piece: Piece) -> str:
    return file_name(piece.name) or "file"


def _media(text: str) -> str:
    """A media type; what is none, or would be taken apart again, is octets."""
    text = text.partition(";")[0].strip().lower()
    is_whole = text.startswith(("multipart/", "message/")) and text != "message/rfc822"
    if not _MEDIA.fullmatch(text) or is_whole:
        return "application/octet-stream"
    return text


_BLOCKS = frozenset({
    "p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "table", "hr",
})  # fmt: skip


class _Plain(HTMLParser):
    """The text of HTML that is clean, with its lines, quotes and lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._quotes = 0
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br" or (tag in _BLOCKS and self.lines[-1].strip("> ")):
            self._break()
        if tag == "blockquote":
            self._quotes += 1
            self._begin()
        elif tag == "li":
            self.lines[-1] += "- "
        elif tag == "a":
            self._link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._link.startswith("http") and not self.lines[-1].endswith(self._link):
            self.lines[-1] += f" <{self._link}>"
        if tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
            self._break()
            if not self._quotes:
                self._break()
        elif tag in _BLOCKS and self.lines[-1].strip("> "):
            self._break()
            if tag in ("p", "h1", "h2", "h3", "ul", "ol", "table"):
                self._break()

    def handle_data(self, data: str) -> None:
        joined = re.sub(r"\s+", " ", data)
        self.lines[-1] += joined.lstrip() if not self.lines[-1].strip("> ") else joined

    def _break(self) -> None:
        self.lines.append("")
        self._begin()

    def _begin(self) -> None:
        if not self.lines[-1].strip("> "):
            self.lines[-1] = "> " * self._quotes


def plain_of(html: str) -> str:
    """The plain text that goes with HTML."""
    parser = _Plain()
    parser.feed(html)
    parser.close()
    lines = [line.rstrip().replace("\xa0", " ") for line in parser.lines]
    lines = [line for line, after in pairwise([*lines, ""]) if line != ">" or after.startswith(">")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def clean(html: str, shown: Mapping[str, str]) -> str:
    """HTML of the editor as it may go out. ``shown``: the Content-ID of each picture by the id of its file. Mistake."""
    try:
        return cleaned(html[:TEXT], inline=lambda name: f"cid:{shown[name]}" if name in shown else None).html
    except TooDeep as error:
        raise Mistake(N_("the text is too deeply nested")) from error


def reply_subject(subject: str) -> str:
    """``Re: `` before it, once."""
    return "Re: " + _stripped(subject, _REPLY)


def forward_subject(subject: str) -> str:
    return "Fwd: " + _stripped(subject, _FORWARD)


def _stripped(subject: str, prefix: re.Pattern[str]) -> str:
    while found := prefix.match(subject):
        subject = subject[found.end() :]
    return subject.strip()


def reply_to(opened: Opened, own: frozenset[str], *, everybody: bool) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
    """To whom a reply goes, and who gets a copy (RFC 5322 3.6.3). What one wrote oneself is answered to its readers."""
    to = opened.reply_to or opened.senders
    if to and all(one.address.lower() in own for one in to):
        to = opened.to
    if not everybody:
        return to, ()
    known = {one.address.lower() for one in to} | own
    cc: list[Person] = []
    for one in (*opened.to, *opened.cc):
        if one.address.lower() not in known:
            known.add(one.address.lower())
            cc.append(one)
    return to, tuple(cc)


def thread_of(opened: Opened) -> tuple[str, str]:
    """In-Reply-To and References of a reply (RFC 5322 3.6.4)."""
    own = _ID.findall(opened.message_id)
    before = _ID.findall(opened.references)
    return " ".join(own[:1]), " ".join([*before, *(one for one in own[:1] if one not in before)])


def quoted(text: str) -> str:
    """Plain text as it stands in a reply."""
    return "".join(f">{'' if line.startswith('>') else ' '}{line}\n" for line in text.rstrip().splitlines())
