"""Delivery status notifications: what became of a message, for a person and for a program (RFC 3461, 3464, 6533)."""

import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, TypeAlias

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

TEXT_LIMIT = 1000
"""Characters of a remote reply that a report repeats."""

HEADERS_LIMIT = 64 * 1024
"""Octets of the original's header section that a report returns; the rest is cut at a line's end."""

_LONGEST = 998  # octets of a line without its CRLF (RFC 5322 2.1.1)
_FOLD = "\r\n "
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


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


_SUBJECTS: dict[str, str] = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "delivered": "Your message was delivered",
    "relayed": "Your message was passed on",
    "expanded": "Your message was passed on to a list",
}
"""Subject by action; the order is that of weight, for a report with several."""

_HAPPENED: dict[str, str] = {
    "failed": "could not be delivered to:",
    "delayed": "could not be delivered yet to:",
    "delivered": "was delivered to:",
    "relayed": "was passed on to a server that sends no confirmations, for:",
    "expanded": "was passed on to the members of:",
}

_ADVICE: dict[str, str] = {
    "failed": "Nothing more will be tried. Please check the address, or ask the recipient another way, and send the\n"
    "message again.",
    "delayed": "You need not do anything: we keep trying, and tell you if it fails for good.",
    "delivered": "You asked to be told. You need not do anything.",
    "relayed": "You asked to be told. Whether the message reaches its recipient, we will not hear.",
    "expanded": "You asked to be told. Further confirmations may come from the members.",
}


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
    original: bytes | None = None,
) -> bytes:
    """The whole report as a message (RFC 5322), the same for the same arguments.

    It goes to ``sender``, the original's reverse-path. ``arrived`` and ``date`` are Unix times in seconds,
    ``message_id`` comes without its angle brackets, ``envid`` is xtext as given. ``original`` is the whole message,
    where RET=FULL asked for it and it is small enough; else only ``original_headers`` go back. Addresses that are not
    ASCII bring the forms of RFC 6533. The report needs SMTPUTF8 when ``sender`` is not ASCII, and 8BITMIME when it
    holds octets above 127. ValueError for an empty sender (nobody gets a report on a report), no recipients, or an
    address that would break a header.
    """
    if not sender or not recipients:
        raise ValueError("a report needs a sender to go to, and recipients")
    for address in (sender, *(recipient.address for recipient in recipients), hostname, message_id):
        if _UNSAFE.search(address):
            raise ValueError(f"{address!r} cannot stand in a header field")
    names = (sender, *(name for recipient in recipients for name in (recipient.address, recipient.original)))
    utf8 = not all(name.isascii() for name in names)
    parts = [
        _part("text/plain; charset=utf-8", _human(hostname, arrived, recipients).encode(), "Notification"),
        _status(_machine(hostname, envid, arrived, recipients, utf8=utf8), utf8=utf8),
        _returned(original_headers, original),
    ]
    boundary = _boundary(parts)
    action = min((recipient.action for recipient in recipients), key=list(_SUBJECTS).index)
    head = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{sender}>",
        f"Subject: {_SUBJECTS[action]}",
        f"Date: {_date(date)}",
        f"Message-ID: <{message_id}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 5: no robot shall answer
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    return _whole(head, parts, boundary)


def _whole(head: list[str], parts: list[bytes], boundary: str) -> bytes:
    if not all(part.isascii() for part in parts):
        head.append("Content-Transfer-Encoding: 8bit")
    lines = "\r\n".join(head).encode() + b"\r\n\r\nThis is a delivery report in MIME format.\r\n"
    delimiter = b"\r\n--" + boundary.encode()
    return lines + b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"


def _status(fields: bytes, *, utf8: bool) -> bytes:
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    return _part(kind, fields, "Delivery report")


def _part(kind: str, content: bytes, description: str) -> bytes:
    head = f"Content-Description: {description}\r\nContent-Type: {kind}\r\n"
    if not content.isascii():
        head += "Content-Transfer-Encoding: 8bit\r\n"
    return head.encode() + b"\r\n" + content


def _human(hostname: str, arrived: float, recipients: Sequence[RecipientReport]) -> str:
    lines = [f"This is the mail server {hostname}.", ""]
    when = f" of {_date(arrived)}" if arrived else ""
    for action, happened in _HAPPENED.items():
        concerned = [recipient for recipient in recipients if recipient.action == action]
        if concerned:
            lines += [f"Your message{when} {happened}", ""]
            for recipient in concerned:
                lines += [*_what_happened(recipient), ""]
            lines += [*_ADVICE[action].split("\n"), ""]
    return "".join(f"{piece}\r\n" for line in lines for piece in _cut(line))


def _what_happened(recipient: RecipientReport) -> list[str]:
    lines = [f"    {recipient.address}"]
    if recipient.text:
        lines += _indented(recipient.text)
    if recipient.reply:
        speaker = f"The server {recipient.remote}" if recipient.remote else "The other server"
        lines += [*_indented(f"{speaker} said:"), *_indented(recipient.reply)]
    if recipient.action == "delayed" and recipient.will_retry_until:
        lines.append(f"      We keep trying until {_date(recipient.will_retry_until)}.")
    return lines


def _indented(text: str) -> list[str]:
    margin = " " * 6
    return textwrap.wrap(_clean(text), 76, initial_indent=margin, subsequent_indent=margin, break_long_words=False)


def _machine(hostname: str, envid: str, arrived: float, recipients: Sequence[RecipientReport], *, utf8: bool) -> bytes:
    """Groups of fields, per message and per recipient, with an empty line between (RFC 3464 2.1)."""
    message = [("Original-Envelope-Id", _decoded(envid, utf8=utf8)), ("Reporting-MTA", f"dns; {hostname}")]
    if arrived:
        message.append(("Arrival-Date", _date(arrived)))
    groups = [message, *(_recipient_fields(recipient, utf8=utf8) for recipient in recipients)]
    return b"\r\n".join(b"".join(_field(name, value, utf8=utf8) for name, value in group) for group in groups)


def _recipient_fields(recipient: RecipientReport, *, utf8: bool) -> list[tuple[str, str]]:
    fields = [
        ("Original-Recipient", _typed(_decoded(recipient.original, utf8=utf8)) if recipient.original else ""),
        ("Final-Recipient", _typed(recipient.address, bare=True)),
        ("Action", recipient.action),
        ("Status", recipient.status),
        ("Remote-MTA", f"dns; {recipient.remote}" if recipient.remote else ""),
        ("Diagnostic-Code", f"smtp; {recipient.reply}" if recipient.reply else ""),
    ]
    if recipient.last_attempt:
        fields.append(("Last-Attempt-Date", _date(recipient.last_attempt)))
    if recipient.will_retry_until and recipient.action == "delayed":
        fields.append(("Will-Retry-Until", _date(recipient.will_retry_until)))
    return fields


def _decoded(given: str, *, utf8: bool) -> str:
    """xtext (RFC 3461 4) as clear text, and so utf-8-addr-xtext (RFC 6533 3) where the report may hold UTF-8."""
    if given.lower().startswith("utf-8;"):
        if not utf8:
            return given
        return re.sub(r"\\x\{([0-9A-F]{2,5}|10[0-9A-F]{4})\}", lambda match: chr(int(match[1], 16)), given)
    return re.sub(r"\+([2-7][0-9A-F])", lambda match: chr(int(match[1], 16)), given)


def _typed(address: str, *, bare: bool = False) -> str:
    """The address with its type: "rfc822; user@example.org", or "utf-8; …" (RFC 6533 3)."""
    kind, separator, rest = address.partition(";")
    if bare or not separator or not re.fullmatch(r"[A-Za-z0-9-]+", kind):
        kind, rest = "rfc822", address
    if not rest.isascii():
        kind = "utf-8"
    return f"{kind}; {rest.strip()}"


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


def _returned(headers: bytes, original: bytes | None) -> bytes:
    section = _header_section(headers if original is None else original)
    international = not section.isascii()
    if original is not None:
        return _part("message/global" if international else "message/rfc822", _lines(original), "Your message")
    kind = "message/global-headers" if international else "text/rfc822-headers"
    return _part(kind, section, "The header of your message")


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
    longest = _LONGEST // 4  # UTF-8 takes at most four octets a character
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
