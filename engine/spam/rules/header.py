"""Rules about the header section."""

import re
from datetime import datetime
from typing import Final

from engine.mime.addresses import addresses
from engine.mime.dates import sent
from engine.spam.rules.case import Case, Rule
from engine.spam.tokens import INVISIBLE, readable, unlike
from engine.spam.urls import named_site

DAY: Final = 86_400

_MESSAGE_ID = re.compile(r"<[^\s<>@]+@[^\s<>@]+>")
_IP = re.compile(r"\[(?:IPv6:)?(\d{1,6})\.(\d{1,6})\.(\d{1,6})\.(\d{1,6})\]")
_SPACED = re.compile(r"(?:\b\w[ ._*-]){5,}\w\b")
_TAIL = re.compile(r"\S\s{6,}\S{3,20}\Z")
_REPLY = re.compile(r"(?i)\A(?:re|aw|sv|antw)\s*:")
_BEFORE_AT = re.compile(r"[\w.+-]{4,}(?=@)")


def _date(case: Case) -> datetime | None:
    return next((sent(value) for key, value in case.letter.fields if key.lower() == b"date"), None)


def no_date(case: Case) -> bool:
    return case.is_from_outside and not case.letter.has(b"date")


def wrong_date(case: Case) -> bool:
    return case.letter.has(b"date") and _date(case) is None


def date_in_future(case: Case) -> bool:
    date = _date(case)
    return bool(case.arrived and date) and date.timestamp() > case.arrived + DAY / 2  # type: ignore[union-attr]


def date_in_past(case: Case) -> bool:
    date = _date(case)
    return bool(case.arrived and date) and date.timestamp() < case.arrived - 7 * DAY  # type: ignore[union-attr]


def no_message_id(case: Case) -> bool:
    return case.is_from_outside and not case.letter.has(b"message-id")


def wrong_message_id(case: Case) -> bool:
    return case.letter.has(b"message-id") and not _MESSAGE_ID.search(case.letter.first(b"message-id"))


def no_from(case: Case) -> bool:
    return not case.author.address


def many_from(case: Case) -> bool:
    return len(case.letter.all(b"from")) > 1


def no_subject(case: Case) -> bool:
    return not case.subject.strip()


def no_recipient(case: Case) -> bool:
    return not (case.letter.has(b"to") or case.letter.has(b"cc"))


def many_recipients(case: Case) -> bool:
    named = (len(addresses(value)) for key, value in case.letter.fields if key.lower() in {b"to", b"cc"})
    return sum(named) >= 20


def reply_elsewhere(case: Case) -> bool:
    """Answers go to a domain that is not the author's; lists may do that."""
    reply, author = case.reply_to.site, case.author.site
    return bool(reply and author) and reply != author and not case.letter.has(b"list-id")


def name_is_other_address(case: Case) -> bool:
    """The name in From is an address of another domain: many programs show the name alone."""
    name = case.author.name
    return "@" in name and (named_site(name.rpartition("@")[2]) or case.author.site) != case.author.site


def impossible_received(case: Case) -> bool:
    """A Received field names an IPv4 address that there cannot be."""
    received = " ".join(case.letter.all(b"received")[:20])
    return any(max(map(int, found)) > 255 for found in _IP.findall(received))


def capitals_in_subject(case: Case) -> bool:
    letters = [one for one in case.subject if one.isalpha()]
    return len(letters) >= 10 and case.subject.upper() == case.subject and case.subject.lower() != case.subject


def spaced_subject(case: Case) -> bool:
    """L i k e  t h i s, so that no filter finds the word."""
    return bool(_SPACED.search(case.subject))


def subject_with_tail(case: Case) -> bool:
    """Ends in a number or the like, far behind where it is read: no two messages are the same."""
    return bool(_TAIL.search(case.subject))


def disguised_subject(case: Case) -> bool:
    """Letters of other scripts among Latin ones, or characters without width."""
    if case.subject.isascii():
        return False
    plain = readable(case.subject)
    return any(ord(one) in INVISIBLE for one in case.subject) or any(unlike(word) != word for word in plain.split())


def false_reply(case: Case) -> bool:
    letter = case.letter
    return bool(_REPLY.match(case.subject)) and not (letter.has(b"in-reply-to") or letter.has(b"references"))


def recipient_in_subject(case: Case) -> bool:
    names = {name.lower() for value in case.letter.all(b"to")[:1] for name in _BEFORE_AT.findall(value)}
    return bool(names & set(case.subject.lower().replace(",", " ").split()))


def bulk_without_unsubscribe(case: Case) -> bool:
    """Says that it is sent to many, but not how to be left alone (RFC 2369)."""
    is_bulk = any(value.strip().lower() in {"bulk", "junk"} for value in case.letter.all(b"precedence"))
    return is_bulk and not (case.letter.has(b"list-unsubscribe") or case.letter.has(b"list-id"))


RULES: Final = (
    Rule("NO_DATE", 1.2, no_date),
    Rule("WRONG_DATE", 1.0, wrong_date),
    Rule("DATE_IN_FUTURE", 1.5, date_in_future),
    Rule("DATE_IN_PAST", 0.8, date_in_past),
    Rule("NO_MESSAGE_ID", 1.0, no_message_id),
    Rule("WRONG_MESSAGE_ID", 1.0, wrong_message_id),
    Rule("NO_FROM", 2.0, no_from),
    Rule("MANY_FROM", 2.0, many_from),
    Rule("NO_SUBJECT", 0.8, no_subject),
    Rule("NO_RECIPIENT", 0.8, no_recipient),
    Rule("MANY_RECIPIENTS", 0.8, many_recipients),
    Rule("REPLY_ELSEWHERE", 0.8, reply_elsewhere),
    Rule("NAME_IS_OTHER_ADDRESS", 2.0, name_is_other_address),
    Rule("IMPOSSIBLE_RECEIVED", 2.0, impossible_received),
    Rule("CAPITALS_IN_SUBJECT", 1.0, capitals_in_subject),
    Rule("SPACED_SUBJECT", 1.0, spaced_subject),
    Rule("SUBJECT_WITH_TAIL", 1.2, subject_with_tail),
    Rule("DISGUISED_SUBJECT", 2.0, disguised_subject),
    Rule("FALSE_REPLY", 0.8, false_reply),
    Rule("RECIPIENT_IN_SUBJECT", 0.8, recipient_in_subject),
    Rule("BULK_WITHOUT_UNSUBSCRIBE", 0.6, bulk_without_unsubscribe),
)
