"""Reports for programs: message/delivery-status (RFC 3464) and message/global-delivery-status (RFC 6533)."""

import re
from collections.abc import Iterator, Sequence

from engine.delivery_status.notice import RECIPIENTS, VALUE_LIMIT, Status, clean, status
from engine.mime.fields import fields, unfolded
from engine.protocols.orcpt import EMBEDDED, character

Group = dict[str, str]

_BETWEEN = re.compile(rb"(?:\r?\n[ \t]*){2,}")
_TYPED = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]*;(.*)", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")


def groups(octets: bytes) -> list[Group]:
    """The groups of fields, by name in lower case; the first of a name counts (RFC 3464 2.1)."""
    found = []
    for section in _BETWEEN.split(octets.strip(b"\r\n"), RECIPIENTS + 1)[: RECIPIENTS + 1]:
        group: Group = {}
        for name, value in fields(section + b"\n"):
            text = unfolded(value[: 4 * VALUE_LIMIT]).decode("utf-8", "replace")
            group.setdefault(name.decode("ascii").lower(), text)
        if group:
            found.append(group)
    return found


def about_message(found: Sequence[Group]) -> tuple[str, str]:
    """The server that reports, and the envelope id."""
    first = found[0] if found else {}
    return named(first.get("reporting-mta", "")), clean(first.get("original-envelope-id", ""))


def recipients(found: Sequence[Group]) -> Iterator[Status]:
    """Those who are reported on. Also of a report that forgets the line between its groups."""
    for group in found:
        if "final-recipient" in group or "original-recipient" in group:
            told = status(
                _address(group.get("final-recipient", "") or group.get("x-actual-recipient", "")),
                _plain(group.get("action", "")),
                _plain(group.get("status", "")),
                _behind_type(group.get("diagnostic-code", "")),
                remote=named(group.get("remote-mta", "")),
                original=_address(group.get("original-recipient", "")),
            )
            if told is not None:
                yield told


def named(value: str) -> str:
    """The name in "dns; mx.example.org (192.0.2.1)"."""
    return clean(_plain(_behind_type(value)))[:255]


def _address(value: str) -> str:
    """That in "rfc822; ann@example.org", in angle brackets or not, and in "utf-8; …" in any of its forms."""
    found = _TYPED.match(value)
    text = found[2] if found else value
    if found and found[1].lower() == "utf-8":
        text = EMBEDDED.sub(character, text)
    return text.strip() if "(" not in text else _plain(text)


def _behind_type(value: str) -> str:
    found = _TYPED.match(value)
    return (found[2] if found else value).strip()


def _plain(value: str) -> str:
    return _COMMENT.sub("", value).strip()
