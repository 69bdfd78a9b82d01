"""Reading a message as a complaint."""

import re
from collections.abc import Iterable, Iterator, Sequence

from engine.delivery_status.notice import address, clean
from engine.feedback.complaint import MOST, Form, Report, is_redacted
from engine.mime.fields import end_of_header, fields, text, unfolded
from engine.mime.part import Part
from engine.mime.rewriting import content
from engine.mime.structure import structure

LIMIT = 2**20
"""Octets of a message that are looked at: of what is complained about, the header section alone is read."""

PART_LIMIT = 64 * 1024
"""Octets of the part for programs, and of that header section, that are."""

FIELDS = 500
"""Fields of each."""

OUTLOOK = "x-hmxmroriginalrecipient"
"""The field of Outlook.com's programme (JMRP) that names who complains."""

_REPORT = b"message/feedback-report"
_WHOLE = (b"message/rfc822", b"message/global")
_HEADERS = (b"text/rfc822-headers", b"message/rfc822-headers", b"message/global-headers", b"text/global-headers")
_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SAYS_SO = re.compile(r"complaint about message from|(?:spam|abuse) (?:report|complaint)", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_RECEIVED = re.compile(r"\bby[ \t]+(\S{1,255})(?:[ \t][^;]{0,500}?)??[ \t]id[ \t]+([0-9A-Za-z]{1,64})\b")
_IP = re.compile(r"[0-9a-fA-F:.]{2,45}")
_INSIDE = re.compile(r"<([^<>\s]{1,320})>")

# What names the original recipient, the best first; those of the message behind those of the report.
_NAMES = ("original-rcpt-to", "removal-recipient", "original-recipient")
_COPIED = (OUTLOOK, "x-original-to", "delivered-to", "x-delivered-to", "envelope-to", "x-envelope-to", "x-rcpt-to")

Values = dict[str, list[str]]
"""By name in lower case."""


def read(octets: bytes) -> Report | None:
    """The complaint in a message; None where it is none that we can read."""
    octets = octets[:LIMIT]
    whole = structure([octets])
    parts = list(_walk(whole))
    head = octets[whole.start : whole.body][:PART_LIMIT]
    machine = next((part for part in parts if part.media == _REPORT), None)
    # A message is never encoded (RFC 2046 5.2.1); some encode it, and then it cannot be told from a file.
    copy = _copy(octets, parts, (*_WHOLE, *_HEADERS, *([b"application/octet-stream"] if machine else [])))
    if machine is not None:
        said = content(octets, machine)[:PART_LIMIT]
        return _report("arf", said, copy)
    for section in (copy, head):
        if OUTLOOK in _values(section):
            return _report("jmrp", b"", section)
    subject = " ".join(_values(head).get("subject", ()))
    if copy and ("scomp" in _values(head).get("x-loop", ()) or _SAYS_SO.search(subject)):
        return _report("forwarded", b"", copy)
    return None


def _walk(part: Part) -> Iterator[Part]:
    """The parts of the complaint, but not those of the message that it is about."""
    yield part
    if part.is_multipart:
        for inside in part.parts:
            yield from _walk(inside)


def _copy(octets: bytes, parts: Sequence[Part], kinds: Sequence[bytes]) -> bytes:
    """The header section of the message that it is about; empty where it has none."""
    for part in parts:
        if part.media in kinds:
            inside = octets[part.body : part.end] if part.media in _WHOLE else content(octets, part)
            end = end_of_header(inside[:PART_LIMIT])
            return inside[: end if end >= 0 else PART_LIMIT]
    return b""


def _report(form: Form, said: bytes, copy: bytes) -> Report | None:
    """Of the part for programs and of the copy's header section."""
    machine, copied = _values(said.lstrip(b"\r\n") + b"\n"), _values(copy)
    kind = _first(machine, "feedback-type").lower() if form == "arf" else "abuse"
    if not _TYPE.fullmatch(kind):
        return None
    named = [address_in(value) for value in (*_all(machine, _NAMES), *_all(copied, _COPIED))]
    only = copied.get("to", ())
    if len(only) == 1 and "," not in only[0]:
        named.append(address_in(only[0]))
    known = [one for one in {one.lower(): one for one in reversed(named)}.values() if one][::-1]
    hidden = [one for one in known if is_redacted(one)]
    return Report(
        form=form,
        kind=kind,
        recipients=tuple(one for one in known if one not in hidden)[:MOST],
        redacted=bool(hidden) or bool(machine.get("redacted-address")) or "redacted" in " ".join(_all(machine, _NAMES)),
        sender=address_in(_first(machine, "original-mail-from") or _first(copied, "return-path")),
        agent=_first(machine, "user-agent")[:200],
        reporter=_behind_type(_first(machine, "reporting-mta"))[:255],
        source=_ip(_first(machine, "source-ip")),
        incidents=_count(_first(machine, "incidents")),
        domains=tuple(value[:255].lower() for value in machine.get("reported-domain", ())[:MOST]),
        message_id=next(iter(_MESSAGE_ID.findall(_first(copied, "message-id"))), ""),
        unsubscribe=tuple(copied.get("list-unsubscribe", ())[:MOST]),
        received=tuple(_received(copied.get("received", ()))),
        text=(said + b"\n" + copy).decode("utf-8", "replace"),
    )


def _values(section: bytes) -> Values:
    found: Values = {}
    for name, value in fields(section[:PART_LIMIT])[:FIELDS]:
        found.setdefault(name.decode("ascii").lower(), []).append(clean(text(unfolded(value))))
    return found


def _first(values: Values, name: str) -> str:
    return next(iter(values.get(name, ())), "")


def _all(values: Values, names: Iterable[str]) -> list[str]:
    return [value for name in names for value in values.get(name, ())]


def address_in(value: str) -> str:
    """The address in "rfc822; ann@example.org", "<ann@example.org>" or "Ann <ann@example.org>"; empty without one."""
    value = _behind_type(value)
    inside = _INSIDE.search(value)
    return address(inside[1] if inside else value)


def _behind_type(value: str) -> str:
    kind, separator, rest = value.partition(";")
    return rest.strip() if separator and re.fullmatch(r"[A-Za-z0-9-]{1,20}", kind.strip()) else value.strip()


def _ip(value: str) -> str:
    return value if _IP.fullmatch(value) else ""


def _count(value: str) -> int:
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) else 1


def _received(values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for value in values[:MOST]:
        if found := _RECEIVED.search(value):
            yield found[1], found[2]
