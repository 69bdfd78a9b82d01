"""Reports in words: those that programs write without the part for programs, or that lost it on the way.

Each form is known by what it begins with, and read line by line: whom it names, and what is said of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from engine.delivery_status.notice import RECIPIENTS, Form, Status, address, status

LINES = 2000
"""Lines of a text that are read."""

LINE_LIMIT = 2000
"""Characters of one that are."""

BEGINNING = 20
"""Lines within which a form shows, and whether it is about a delay."""

_BELOW = re.compile(
    r"-{2,}[ ]*(?:Below this line is a copy|This is a copy of the message|The body of the message|"
    r"Original message|Returned message|Enclosed is a copy|This is a copy)",
    re.IGNORECASE,
)
_LATE = re.compile(r"(?:has|have) (?:not yet been|been delayed)|not yet been delivered|delayed|WARNING", re.IGNORECASE)


def _is_late(lines: list[str]) -> bool:
    return any(_LATE.search(line) for line in lines[:BEGINNING])


# -- qmail's QSBMF and Postfix: "<ann@example.org>: why", and more lines of why

_BRACKETED = re.compile(r"<([^<>\s]{1,320})>(?:[ ]\(expanded from <([^<>\s]{1,320})>\))?:(.*)")


def _bracketed(lines: list[str]) -> Iterator[Status | None]:
    late = "delayed" if _is_late(lines) else "failed"
    who, original, why = "", "", list[str]()
    for line in [*lines, ""]:
        if found := _BRACKETED.match(line):
            if who:
                yield status(who, late, "", " ".join(why), original=original)
            who, original, why = found[1], found[2] or "", [found[3].strip()]
        elif not line.strip():
            if who:
                yield status(who, late, "", " ".join(why), original=original)
            who, why = "", []
        elif who:
            why.append(line.strip())


# -- Exim: two spaces before an address, four before what is said of it

_EXIM_WHO = re.compile(r"[ ]{2}(?![ ])(\S{1,322})")
_EXIM_FROM = re.compile(r"[ ]{4,}\((?:ultimately )?generated from (\S{1,320})\)")


def _exim(lines: list[str]) -> Iterator[Status | None]:
    late = "delayed" if _is_late(lines) else "failed"
    who, original, why = "", "", list[str]()
    for line in [*lines, "  "]:
        found = _EXIM_WHO.fullmatch(line.rstrip()) if line.strip() else None
        if (found and address(found[1])) or not line.strip():
            if who and (why or found):
                yield status(who, late, "", " ".join(why), original=original)
                who, original, why = "", "", []
            if found:
                who = found[1]
        elif who and (origin := _EXIM_FROM.match(line)):
            original = origin[1]
        elif who:
            why.append(line.strip())


# -- Exchange: an address on a line, and below it "#550 5.1.1 … ##" or "550 5.1.1 …"

_EXCHANGE_WHO = re.compile(
    r"(?:[^<>]{0,200}<)?['\"]?([^\s<>'\"()@]{1,256}@[^\s<>'\"()@]{1,255})['\"]?>?(?:\son\s.{0,60})?"
)
_EXCHANGE_WHY = re.compile(r"(?:\S{1,255} )??(?:Remote Server returned ')?[#<]?\s?(?=[45]\d\d[ -]|[45]\.\d)(.*)")


def _exchange(lines: list[str]) -> Iterator[Status | None]:
    late = "delayed" if _is_late(lines) else "failed"
    who = ""
    for line in lines:
        if found := _EXCHANGE_WHO.fullmatch(line.strip()):
            who = found[1]
        elif who and (why := _EXCHANGE_WHY.match(line.strip())):
            yield status(who, late, "", why[1].replace("##", "").strip(" #<>'"))
            who = ""


# -- Sendmail: addresses between two rulers, each with its reason in parentheses

_SENDMAIL_WHO = re.compile(r"<?([^\s<>@]{1,256}@[^\s<>@]{1,255})>?")
_SENDMAIL_WHY = re.compile(r"\(reason: (.*)")


def _sendmail(lines: list[str]) -> Iterator[Status | None]:
    late, who, why, inside = "failed", "", "", False
    for line in [*lines, "-----"]:
        if line.lstrip().startswith("-----"):
            if who:
                yield status(who, late, "", why)
            who, why, inside = "", "", "addresses had" in line
            late = "delayed" if "transient" in line else "failed"
        elif inside and (found := _SENDMAIL_WHO.fullmatch(line.strip())):
            if who:
                yield status(who, late, "", why)
            who, why = found[1], ""
        elif who and (said := _SENDMAIL_WHY.match(line.strip())):
            why = said[1].rstrip(")")


_KNOWN: Mapping[Form, tuple[re.Pattern[str], Callable[[list[str]], Iterator[Status | None]]]] = {
    "qmail": (re.compile(r"Hi\. This is the "), _bracketed),
    "postfix": (re.compile(r"This is the (?:mail system|Postfix program) at host "), _bracketed),
    "exim": (
        re.compile(r"This message was created automatically by (?:the )?mail(?: delivery)? (?:software|system)"),
        _exim,
    ),
    "exchange": (
        re.compile(
            r"Delivery has failed to these recipients|Your message\s*$|Your message did not reach some|"
            r"Diagnostic information for administrators|could ?n[o']t be delivered to the following recipients"
        ),
        _exchange,
    ),
    "sendmail": (re.compile(r"The original message was received at "), _sendmail),
}  # fmt: skip
"""What a text begins with (within its first lines), and who can read it."""


def spoken(text: str) -> tuple[Form, list[Status]] | None:
    """The form of a text and whom it reports on; None where it is no report that we know."""
    lines = _before_copy([line[:LINE_LIMIT] for line in text.splitlines()[:LINES]])
    beginning = [line.strip().lstrip("#").strip() for line in lines[:BEGINNING]]
    for form, (mark, reader) in _KNOWN.items():
        if any(mark.match(line) for line in beginning):
            found = {one.recipient: one for one in reader(lines) if one is not None}
            if found:
                return form, list(found.values())[:RECIPIENTS]
    return None


def _before_copy(lines: list[str]) -> list[str]:
    """The lines before the copy of the message that many have at their end."""
    end = next((number for number, line in enumerate(lines) if _BELOW.match(line.strip())), len(lines))
    return lines[:end]
