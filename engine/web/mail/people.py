"""Whom somebody may mean, to complete what is typed: contacts, people whom they write to, colleagues.

Whom somebody writes to is learnt from what comes into Sent, whichever program has put it there.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from engine.directory import Account, Embedded
from engine.finding.words import plain
from engine.imap.letters import Shelf
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.mime import fields
from engine.web.mail.contacts import Contact, Contacts, Learnt, Owner
from engine.web.mail.opened import Person, persons
from engine.web.mail.settings import settings

LATELY: Final = 500
"""Messages in Sent that are looked at in one go, and at first: the last ones."""

TOLD: Final = 8
"""Proposals for what is typed."""

MEMBERS: Final = 200
"""Of a group that is proposed as a whole."""

COLLEAGUES: Final = 2000
"""Accounts of a domain of whom the names are known; of others, the addresses alone."""

FRESH: Final = 300.0
"""Seconds for which the colleagues of a domain are remembered."""

FADES: Final = 30 * 86_400.0
"""Seconds after which that somebody was written to counts half."""

_FIELDS: Final = frozenset({b"to", b"cc", b"bcc"})


class Proposal(NamedTuple):
    """What a field may be completed to."""

    name: str
    addresses: tuple[str, ...]  # one, or those of a group
    kind: str  # "contact", "group", "written", "colleague"


def sent_since(mailboxes: Mailboxes, index: Index, place: tuple[int, int], after: int) -> tuple[dict[str, Learnt], int]:
    """Those to whom the messages in Sent behind a UID are, and up to where that was looked at. It blocks."""
    status = mailboxes.status(*place)
    if status is None:
        return {}, after
    after = after or max(status.uidnext - 1 - LATELY, 0)
    uids = [uid for uid, _ in mailboxes.arrivals(*place, after, LATELY)]
    found: dict[str, Learnt] = {}
    for letter in Shelf(mailboxes, index, *place).letters(uids, headers=_FIELDS):
        with suppress(MessageGone):
            for person in _people(letter.header):
                before = found.get(person.address, Learnt(person.address, "", 0, 0.0))
                last = max(before.last, letter.received / 1000)
                found[person.address] = Learnt(person.address, person.name or before.name, before.count + 1, last)
    return found, uids[-1] if uids else after


def _people(header: bytes) -> Iterable[Person]:
    for name, value in fields.fields(header):
        if name.lower() in _FIELDS:
            yield from (Person(one.name[:200], one.address.lower()) for one in persons(value) if len(one.address) < 321)


def learn(store: Contacts, mailboxes: Mailboxes, index: Index, account: Account, sent: int | None) -> None:
    """Take in what has come into Sent, the mailbox of that number, since it was looked at. It blocks. StorageError."""
    before = store.owner(account.id)
    mailbox, after = (before.mailbox, before.uid) if before is not None else (0, 0)
    found: dict[str, Learnt] = {}
    if sent is not None:
        mailbox, after = sent, after if mailbox == sent else 0
        found, after = sent_since(mailboxes, index, (account.id, sent), after)
        found.pop(account.address, None)
    now = Owner(account.address, mailbox, after)
    if now != before:
        store.learn(account.id, before, now, found)


class Colleagues:
    """Who else has an account in a domain, where the directory is ours. One a process."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[Person]]] = {}

    def of(self, directory: object, mailboxes: Mailboxes, domain: str) -> list[Person]:
        """With the names that they have given themselves. It blocks."""
        if not isinstance(directory, Embedded):
            return []
        now = time.monotonic()
        since, found = self._known.get(domain, (-FRESH, []))
        if now - since >= FRESH:
            accounts = directory.accounts_of(domain)
            found = [Person(settings(mailboxes, one.id).name, one.address) for one in accounts[:COLLEAGUES]]
            found += [Person("", one.address) for one in accounts[COLLEAGUES:]]
            self._known = {**dict(list(self._known.items())[-50:]), domain: (now, found)}
        return found


def proposals(
    contacts: Iterable[Contact], learnt: Iterable[Learnt], colleagues: Iterable[Person], typed: str, now: float
) -> list[Proposal]:
    """The best ones for what was typed: who is written to most comes first."""
    wanted = plain(typed.strip())
    if not wanted:
        return []
    contacts = list(contacts)
    weights = {one.address: one.count * 0.5 ** ((now - one.last) / FADES) for one in learnt}
    found: dict[str, tuple[float, Proposal]] = {}
    for weight, proposal in (
        *((weights.get(one.addresses[0], 0.0) + 0.5, one) for one in _contacts(contacts)),
        *((weights[one.address], Proposal(one.name, (one.address,), "written")) for one in learnt),
        *((0.1, Proposal(one.name, (one.address,), "colleague")) for one in colleagues),
    ):
        if proposal.addresses[0] not in found and fits(proposal.name, proposal.addresses[0], wanted):
            found[proposal.addresses[0]] = weight, proposal
    ranked = sorted(found.values(), key=lambda one: (-one[0], one[1].name, one[1].addresses))
    groups = [one for one in groups_in(contacts) if plain(one.name).startswith(wanted)]
    return [*groups[: TOLD // 2], *(proposal for _, proposal in ranked)][:TOLD]


def _contacts(contacts: Iterable[Contact]) -> Iterator[Proposal]:
    """Each of their addresses."""
    for contact in contacts:
        yield from (Proposal(contact.name, (address,), "contact") for address in contact.addresses)


def groups_in(contacts: Iterable[Contact]) -> list[Proposal]:
    """The groups, each with the first addresses of those who are in it."""
    found: dict[str, list[str]] = {}
    for contact in sorted(contacts, key=lambda one: one.name):
        for group in contact.groups:
            if contact.addresses:
                found.setdefault(group, []).append(contact.addresses[0])
    return [Proposal(name, tuple(some[:MEMBERS]), "group") for name, some in sorted(found.items())]


def fits(name: str, address: str, wanted: str) -> bool:
    """Whether the address, the name or a word of it begins so."""
    known = plain(name)
    return any(text.startswith(wanted) for text in (address, known, *known.split()))
