"""Delivery status notifications: what became of a message, for a person and for a program (RFC 3461, 3464, 6533)."""

import base64
import hashlib
import quopri
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from typing import Literal, TypeAlias

from engine.protocols.orcpt import EMBEDDED, character, unicode_xtext
from engine.protocols.timing import UNTIMED, Timing, moment

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

Group: TypeAlias = "list[tuple[str, str]]"
"""Fields, name and value."""

ACTIONS: tuple[Action, ...] = ("failed", "delayed", "delivered", "relayed", "expanded")
"""By weight, for a report with several."""

TEXT_LIMIT = 1000
"""Characters of a remote reply that a report repeats."""

HEADERS_LIMIT = 64 * 1024
"""Octets of the original's header section that a report returns; the rest is cut at a line's end."""

NAMED_LIMIT = 50
"""Failed recipients that X-Failed-Recipients names: it is a hint for simple programs, and must not be the letter."""

DEFAULTS: Mapping[str, str] = {
    "421": "3.2", "450": "2.0", "451": "3.0", "452": "3.1", "454": "7.0", "455": "5.4",
    "500": "5.2", "501": "5.4", "502": "5.1", "503": "5.1", "504": "5.4", "521": "3.2", "530": "7.0", "534": "7.9",
    "535": "7.8", "538": "7.11", "551": "1.6", "552": "2.2", "553": "1.3", "555": "5.4", "556": "1.10",
}  # fmt: skip
"""Subject and detail of the enhanced code for a reply that has none (RFC 3463, RFC 5248, RFC 7504, by what RFC 5321 4.2
says of the code). Not of 550 and 554, which may mean anything."""

_CLASSES: Mapping[Action, str] = {
    "failed": "54", "delayed": "4", "delivered": "2", "relayed": "2", "expanded": "2",
}  # fmt: skip
"""Classes of the codes that an action may have (RFC 3464 2.3.3, RFC 3463 3.1); the first one in case of doubt."""

_LONGEST = 998  # octets of a line without its CRLF (RFC 5322 2.1.1)
_WORD = 900  # characters of ASCII that may stand in one line behind the longest name of a field
_FOLD = "\r\n "
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_STATUS = re.compile(r"([245])\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})", re.ASCII)
_HOST = re.compile(r"\[[0-9A-Fa-f.:IPv]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[!-;=?-~]{1,250}>)[ \t]*\r?$")


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What became of one recipient.

    ``status`` is an enhanced code (RFC 3463), ``reply`` the remote server's own words, ``remote`` its name, ``text``
    our own words where no remote spoke. ``original`` is ORCPT as given, in xtext ("rfc822;user@example.org").
    ``last_attempt`` and ``will_retry_until`` are Unix times in seconds, 0 where there is none.
    """

    address: str
    action: Action
    status: str
    text: str = ""
    reply: str = ""
    remote: str = ""
    original: str = ""
    last_attempt: float = 0.0
    will_retry_until: float = 0.0

    @property
    def code(self) -> str:
        """The enhanced code as it is told: of a class that the action may have, and as exact as the reply allows."""
        classes = _CLASSES[self.action]
        found = _STATUS.fullmatch(self.status)
        if found is None or found[1] not in classes:
            return f"{classes[0]}.0.0"
        detail = DEFAULTS.get(self.reply[:3], "") if self.status.endswith(".0.0") else ""
        return f"{found[1]}.{detail}" if detail and self.reply[:1] == found[1] else self.status


@dataclass(frozen=True, slots=True)
class Human:
    """What a person reads: who it is from, the subject, and the text in lines. ``language`` is a tag (RFC 5646)."""

    name: str
    subject: str
    text: str
    language: str = ""


def report(
    *,
    hostname: str,
    sender: str,
    envid: str,
    arrived: float,
    recipients: Sequence[RecipientReport],
    original_headers: bytes,
    message_id: str,
    date: float,
    human: Human,
    original: bytes | None = None,
    smtputf8: bool = False,
    received_from: str = "",
    log_id: str = "",
    timing: Timing = UNTIMED,
) -> bytes:
    """The whole report as a message (RFC 5322), the same for the same arguments.

    It goes to ``sender``, the original's reverse-path. ``arrived`` and ``date`` are Unix times in seconds,
    ``message_id`` comes without its angle brackets, ``envid`` is xtext as given. ``original`` is the whole message,
    where RET=FULL asked for it and it is small enough; else only ``original_headers`` go back. ``received_from`` is the
    name and address of the client that brought it, ``log_id`` what our log calls it, ``timing`` what was asked for.
    ``smtputf8``: the sender can do with the forms of RFC 6533, which what is not ASCII then brings; otherwise all but
    the person's part and a returned message is ASCII. The report needs SMTPUTF8 when ``sender`` is not ASCII, and
    8BITMIME when it holds octets above 127. ValueError for an empty sender (nobody gets a report on a report), no
    recipients, or an address that would break a header.
    """
    _check(sender, hostname, message_id, recipients)
    able = smtputf8 or not sender.isascii()
    utf8 = able and not (sender + "".join(one.address + one.original for one in recipients)).isascii()
    about = [
        ("Original-Envelope-Id", _decoded(envid, utf8=utf8)),
        ("Reporting-MTA", f"dns; {hostname}"),
        ("Received-From-MTA", f"dns; {received_from}" if received_from else ""),
        *_times(arrived, timing),
    ]
    status = _status([about, *(_recipient_fields(one, log_id, utf8=utf8) for one in recipients)], utf8=utf8)
    parts = [_text_part(human), status, _returned(original_headers, original, able=able)]
    head = [
        *_begun(human, hostname, sender, date),
        f"Message-ID: <{message_id}>",
        *_threading(original_headers),
        "Auto-Submitted: auto-replied",  # RFC 3834 5: no robot shall answer
        *_failed_names(recipients, utf8=able),
    ]
    return _whole(head, parts)


def _check(sender: str, hostname: str, message_id: str, recipients: Sequence[RecipientReport]) -> None:
    if not sender or not recipients:
        raise ValueError("a report needs a sender to go to, and recipients")
    for address in (sender, *(recipient.address for recipient in recipients), hostname, message_id):
        if _UNSAFE.search(address):
            raise ValueError(f"{address!r} cannot stand in a header field")


def _times(arrived: float, timing: Timing) -> Group:
    """When it came, and what its sender asked for as to time."""
    return [
        ("Arrival-Date", _date(arrived) if arrived else ""),
        ("Deliver-By-Date", _date(timing.by) if timing.by else ""),  # RFC 2852 5
        ("Future-Release-Request", f"until; {moment(timing.release)}" if timing.release else ""),  # RFC 4865 6
    ]


def _begun(human: Human, hostname: str, sender: str, date: float) -> Iterator[str]:
    """What a person sees first."""
    yield f"From: {_words(human.name, 'From')} <MAILER-DAEMON@{hostname}>"
    yield f"To: <{sender}>"
    yield f"Subject: {_words(human.subject, 'Subject')}"
    yield f"Date: {_date(date)}"


def _threading(headers: bytes) -> Iterator[str]:
    """So that mail programs show the report beside what it is about."""
    if found := _MESSAGE_ID.search(headers[:HEADERS_LIMIT]):
        yield f"In-Reply-To: {found[1].decode()}"
        yield f"References: {found[1].decode()}"


def _failed_names(recipients: Sequence[RecipientReport], *, utf8: bool) -> Iterator[str]:
    """The field of Exim that simple programs look for."""
    failed = [one.address for one in recipients if one.action == "failed" and (utf8 or one.address.isascii())]
    if failed:
        yield f"X-Failed-Recipients: {f',{_FOLD}'.join(failed[:NAMED_LIMIT])}"


def _words(text: str, name: str) -> str:
    """Text of a header field, in encoded words where it is not ASCII (RFC 2047)."""
    text = _clean(text)
    return text if text.isascii() else Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


def _whole(head: list[str], parts: list[bytes]) -> bytes:
    boundary = _boundary(parts)
    kind = f'multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"'
    head += ["MIME-Version: 1.0", f"Content-Type: {kind}"]
    if not all(part.isascii() for part in parts):
        head.append("Content-Transfer-Encoding: 8bit")
    lines = "\r\n".join(head).encode() + b"\r\n\r\nThis is a delivery report in MIME format.\r\n"
    delimiter = b"\r\n--" + boundary.encode()
    return lines + b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"


def _status(groups: Sequence[Group], *, utf8: bool) -> bytes:
    """Groups of fields, per message and per recipient, with an empty line between (RFC 3464 2.1)."""
    fields = b"\r\n".join(b"".join(_field(*field, utf8=utf8) for field in group) for group in groups)
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    return _part(kind, fields, "Delivery report")


def _text_part(human: Human) -> bytes:
    """As ASCII, whatever the language: it is the part that must be read everywhere."""
    text = "".join(f"{piece}\r\n" for line in human.text.splitlines() for piece in _cut(line)).encode()
    language = f"\r\nContent-Language: {human.language}" if human.language else ""
    kind = f"text/plain; charset=utf-8{language}"
    if text.isascii():
        return _part(kind, text, "Notification")
    mostly = sum(octet > 127 for octet in text) * 6 > len(text)
    return _part(kind, text, "Notification", "base64" if mostly else "quoted-printable")


def _part(kind: str, content: bytes, description: str, encoding: str = "") -> bytes:
    head = f"Content-Description: {description}\r\nContent-Type: {kind}\r\n"
    if encoding or not content.isascii():
        head += f"Content-Transfer-Encoding: {encoding or '8bit'}\r\n"
    return head.encode() + b"\r\n" + (_encoded(content, encoding) if encoding else content)


def _encoded(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", b"\r\n")
    return b"".join(quopri.encodestring(line).replace(b"\n", b"\r\n") + b"\r\n" for line in content.split(b"\r\n")[:-1])


def _recipient_fields(recipient: RecipientReport, log_id: str, *, utf8: bool) -> Group:
    original = _decoded(recipient.original, utf8=utf8)
    reply, told = _clean(recipient.reply), _clean(recipient.text) if recipient.action in ("failed", "delayed") else ""
    is_open = recipient.action == "delayed" and recipient.will_retry_until
    return [
        ("Original-Recipient", _typed(original, utf8=utf8) if original else ""),
        ("Final-Recipient", _typed(recipient.address, bare=True, utf8=utf8)),
        ("Action", recipient.action),
        ("Status", recipient.code),
        ("Remote-MTA", f"dns; {recipient.remote}" if _HOST.fullmatch(recipient.remote) else ""),
        ("Diagnostic-Code", f"smtp; {reply}" if reply else f"x-postroad; {told}" if told else ""),
        ("Last-Attempt-Date", _date(recipient.last_attempt) if recipient.last_attempt else ""),
        ("Final-Log-ID", log_id),
        ("Will-Retry-Until", _date(recipient.will_retry_until) if is_open else ""),
    ]


def _decoded(given: str, *, utf8: bool) -> str:
    """xtext (RFC 3461 4) as clear text, and so utf-8-addr-xtext (RFC 6533 3) where the report may hold UTF-8."""
    kind, separator, rest = given.partition(";")
    if separator and kind.lower() == "utf-8":
        address = EMBEDDED.sub(character, rest)
        return f"utf-8;{address if utf8 else unicode_xtext(address)}"
    return re.sub(r"\+([2-7][0-9A-F])", lambda match: chr(int(match[1], 16)), given)


def _typed(address: str, *, bare: bool = False, utf8: bool) -> str:
    """The address with its type: "rfc822; user@example.org", or "utf-8; …" (RFC 6533 3); empty for one too long."""
    kind, separator, rest = address.partition(";")
    if bare or not separator or not re.fullmatch(r"[A-Za-z0-9-]+", kind):
        kind, rest = "rfc822", address
    if not rest.isascii():
        kind, rest = "utf-8", rest if utf8 else unicode_xtext(rest)
    rest = _clean(rest)
    return f"{kind}; {rest}" if 0 < len(rest) <= _WORD else ""


def _field(name: str, value: str, *, utf8: bool) -> bytes:
    """One field, folded where it is long; b"" for an empty value."""
    value = _clean(value)
    if not value:
        return b""
    if not utf8:
        value = value.encode("ascii", "replace").decode()  # RFC 3464 2.1: fields are ASCII
    # The first line has room for the longest name; a word that is too long for SMTP itself is cut.
    folded = textwrap.wrap(value, 76, initial_indent=" " * len(name), break_long_words=False, break_on_hyphens=False)
    pieces = [piece for line in folded for piece in _cut(line.strip())]
    return f"{name}: {_FOLD.join(pieces)}\r\n".encode()


def _returned(headers: bytes, original: bytes | None, *, able: bool) -> bytes:
    section = _header_section(headers if original is None else original)
    international = able and not section.isascii()
    if original is not None:
        return _part("message/global" if international else "message/rfc822", _lines(original), "Your message")
    kind = "message/global-headers" if international else "text/rfc822-headers"
    encoding = "" if international or section.isascii() else "quoted-printable"  # RFC 6522 4: for broken ones
    return _part(kind, section, "The header of your message", encoding)


def _header_section(headers: bytes) -> bytes:
    """Only header lines, no body, of bounded length, and UTF-8 where they are not ASCII."""
    section = re.split(rb"\r?\n\r?\n", headers.lstrip(b"\r\n"), maxsplit=1)[0]
    if len(section) > HEADERS_LIMIT:
        section = section[:HEADERS_LIMIT].rpartition(b"\n")[0]
    return _lines(section.decode("utf-8", "replace").encode())


def _lines(content: bytes) -> bytes:
    """The content with every line ended by CRLF, and none too long for SMTP."""
    lines = re.split(rb"\r\n|\r|\n", re.sub(rb"(?:\r\n|\r|\n)\Z", b"", content.replace(b"\0", b"?")))
    return b"".join(
        line[start : start + _LONGEST] + b"\r\n" for line in lines for start in range(0, len(line) or 1, _LONGEST)
    )


def _cut(line: str) -> list[str]:
    """Pieces of at most _LONGEST octets, none splitting a character."""
    longest = _WORD if line.isascii() else _LONGEST // 4  # UTF-8 takes at most four octets a character
    return [line[start : start + longest] for start in range(0, len(line) or 1, longest)]


def _clean(text: str) -> str:
    text = _UNSAFE.sub(" ", text).strip()
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def _date(time: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(time), UTC))


def _boundary(parts: Sequence[bytes]) -> str:
    """A boundary made from the content, so that nobody who wrote the content could know it before."""
    number = 0
    while True:
        digest = hashlib.sha256(b"%d" % number + b"".join(parts)).hexdigest()[:32]
        if not any(digest.encode() in part for part in parts):
            return f"=_{digest}"
        number += 1
