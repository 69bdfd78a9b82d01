"""Whom somebody writes to, to complete what is typed: the people in what was sent lately."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from engine.imap.letters import Shelf
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.mime import fields
from engine.mime.search import folded
from engine.web.mail.opened import Person, persons

LATELY: Final = 500
"""Messages that are looked at, the last ones."""

TOLD: Final = 8

_FIELDS: Final = frozenset({b"to", b"cc", b"bcc"})


def written_to(mailboxes: Mailboxes, index: Index, place: tuple[int, int]) -> list[Person]:
    """Those in a mailbox of sent messages, who was written to most first. It blocks."""
    status = mailboxes.status(*place)
    if status is None:
        return []
    after = max(status.uidnext - 1 - LATELY, 0)
    uids = [uid for uid, _ in mailboxes.arrivals(*place, after, LATELY)]
    counts, names = Counter[str](), dict[str, str]()
    for letter in Shelf(mailboxes, index, *place).letters(uids, headers=_FIELDS):
        with suppress(MessageGone):
            for person in _people(letter.header):
                counts[person.address] += 1
                names[person.address] = person.name or names.get(person.address, "")
    return [Person(names[address], address) for address, _ in counts.most_common()]


def _people(header: bytes) -> Iterable[Person]:
    for name, value in fields.fields(header):
        if name.lower() in _FIELDS:
            yield from (Person(one.name, one.address.lower()) for one in persons(value))


def fitting(people: Iterable[Person], typed: str) -> list[Person]:
    """Those of whom a word of the name, or the address, begins so; TOLD at most."""
    wanted = folded(typed.strip())
    if not wanted:
        return []
    found = [one for one in people if any(map(wanted.__eq__, _beginnings(one, len(wanted))))]
    return found[:TOLD]


def _beginnings(one: Person, length: int) -> Iterable[str]:
    """The first letters of the address, the name, and each of its words."""
    name = folded(one.name)
    yield from (text[:length] for text in (one.address, name, *name.split()))
