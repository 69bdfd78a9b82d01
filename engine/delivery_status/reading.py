"""Reading a message as a report on delivery."""

import re
from collections.abc import Iterator, Sequence

from engine.delivery_status import standard
from engine.delivery_status.notice import ADDRESS_LIMIT, RECIPIENTS, VALUE_LIMIT, Notice, Status, status
from engine.delivery_status.spoken import LINES, spoken
from engine.mime.fields import end_of_header, fields, text
from engine.mime.part import Part
from engine.mime.rewriting import content
from engine.mime.rewriting import text as text_of
from engine.mime.structure import structure

LIMIT = 4 * 2**20
"""Octets of a message that are looked at: who sends a report that begins later wants something else."""

PART_LIMIT = 512 * 1024
"""Octets of one part that are."""

_STATUS = (b"message/delivery-status", b"message/global-delivery-status")
_WHOLE = (b"message/rfc822", b"message/global")
_HEADERS = (b"text/rfc822-headers", b"message/global-headers", b"message/rfc822-headers", b"text/global-headers")
_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[!-;=?-~]{1,250}>)")


def read(octets: bytes) -> Notice | None:
    """The report in a message; None where it is none that we can read."""
    octets = octets[:LIMIT]
    parts = list(_walk(structure([octets])))
    return _standard(octets, parts) or _spoken(octets, parts) or _hinted(octets, parts)


def _walk(part: Part) -> Iterator[Part]:
    """The parts of a report, but not those of the message that it returns."""
    yield part
    if part.is_multipart:
        for inside in part.parts:
            yield from _walk(inside)


def _standard(octets: bytes, parts: Sequence[Part]) -> Notice | None:
    status_part = next((part for part in parts if part.media in _STATUS), None)
    if status_part is None:
        return None
    groups = standard.groups(content(octets, status_part)[:PART_LIMIT])
    recipients = tuple(standard.recipients(groups))[:RECIPIENTS]
    if not recipients:
        return None
    if not all(one.diagnostic for one in recipients):
        why = _reasons(_text(octets, parts))
        recipients = tuple(one if one.diagnostic else _explained(one, why) for one in recipients)
    reporter, envelope_id = standard.about_message(groups)
    return Notice("standard", recipients, reporter, envelope_id, _message_id(octets, parts))


def _reasons(said: str) -> dict[str, str]:
    """What is said of addresses in lines like "ann@example.org: why", as OpenSMTPD has it in the text alone."""
    lines = (line.strip().partition(": ") for line in said.splitlines()[:LINES])
    return {who.strip("<>").lower(): why[:VALUE_LIMIT] for who, _, why in lines if why and "@" in who[:ADDRESS_LIMIT]}


def _explained(one: Status, why: dict[str, str]) -> Status:
    said = why.get(one.recipient.lower())
    if said is None:
        return one
    code = "" if one.status.endswith(".0.0") else one.status  # what the server said is more exact than "5.0.0"
    return status(one.recipient, one.action, code, said, remote=one.remote, original=one.original) or one


def _text(octets: bytes, parts: Sequence[Part]) -> str:
    """The part for people; empty where there is none."""
    return next((text_of(octets, part)[:PART_LIMIT] for part in parts if part.media == b"text/plain"), "")


def _spoken(octets: bytes, parts: Sequence[Part]) -> Notice | None:
    for part in parts:
        if part.media == b"text/plain":
            said = text_of(octets, part)[:PART_LIMIT]
            if found := spoken(said):
                return Notice(found[0], tuple(found[1]), message_id=_message_id(octets, parts) or _quoted(said))
    return None


def _hinted(octets: bytes, parts: Sequence[Part]) -> Notice | None:
    """A letter of a mail system whose header names whom it is about, and whose text has a code somewhere."""
    named = [text(value) for name, value in fields(_header(octets)) if name.lower() == b"x-failed-recipients"]
    said = _text(octets, parts)
    addresses = [each for value in named for each in value.split(",")][:RECIPIENTS]
    found: list[Status] = [told for each in addresses if (told := status(each, "failed", "", _with_code(said)))]
    if not found:
        return None
    return Notice("hint", tuple(found), message_id=_message_id(octets, parts) or _quoted(said))


def _with_code(said: str) -> str:
    """The first line that has a code of a reply; empty without one."""
    lines = (line.strip() for line in said.splitlines()[:500])
    return next((line for line in lines if re.search(r"(?<![\d.])[45](?:\d\d[ -]|\.\d{1,3}\.\d)", line)), "")


def _message_id(octets: bytes, parts: Sequence[Part]) -> str:
    """The Message-ID of the message that came back; else what the report answers to."""
    for part in parts:
        if part.media in _HEADERS or part.media in _WHOLE:
            inside = octets[part.body : part.end] if part.media in _WHOLE else content(octets, part)
            if found := _MESSAGE_ID.search(_header(inside[:PART_LIMIT])):
                return found[1].decode("ascii")
    answered = [value for name, value in fields(_header(octets)) if name.lower() == b"in-reply-to"]
    found = re.search(rb"<[!-;=?-~]{1,250}>", answered[0]) if answered else None
    return found[0].decode("ascii") if found else ""


def _quoted(said: str) -> str:
    """The Message-ID of the copy that a text has at its end."""
    found = _MESSAGE_ID.search(said.encode("utf-8", "replace"))
    return found[1].decode("ascii") if found else ""


def _header(octets: bytes) -> bytes:
    end = end_of_header(octets[:PART_LIMIT])
    return octets[:end] if end >= 0 else octets[:PART_LIMIT]
