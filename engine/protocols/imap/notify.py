"""NOTIFY (RFC 5465): of what a session wants to hear."""

from typing import Final

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.fetch import Item, fetch_item

_NAMES: Final = (
    "MessageNew", "MessageExpunge", "FlagChange", "MailboxName", "SubscriptionChange", "MailboxMetadataChange",
    "ServerMetadataChange",
)  # fmt: skip
EVENTS: Final = {name.upper(): name for name in _NAMES}
"""By the name in capitals."""

FILTERS: Final = frozenset(
    {"SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED", "SUBTREE", "MAILBOXES"}
)


class Group(Struct, frozen=True):
    """Events of some mailboxes; the first group that a mailbox is in counts (RFC 5465 3.1)."""

    where: str  # of FILTERS
    mailboxes: tuple[str, ...]  # for SUBTREE and MAILBOXES
    events: frozenset[str]  # of EVENTS, or none
    items: tuple[Item, ...] = ()  # what a FETCH response to a new message in the selected mailbox says


class Notify(Struct, frozen=True):
    groups: tuple[Group, ...]  # empty: NONE
    status: bool = False  # begin with a STATUS response for each mailbox


def notify(cursor: Cursor) -> Notify:
    cursor.space()
    if cursor.accept_word(b"NONE"):
        return Notify(())
    if not cursor.accept_word(b"SET "):
        raise Malformed("NOTIFY SET or NOTIFY NONE")
    status = cursor.accept_word(b"STATUS ")
    groups = [_group(cursor)]
    while cursor.accept(b" ") and not cursor.at_end:
        groups.append(_group(cursor))
    return Notify(tuple(groups), status)


def _group(cursor: Cursor) -> Group:
    cursor.expect(b"(")
    where = cursor.word("A filter of mailboxes")
    if where not in FILTERS:
        raise Malformed(f"The filter {where} is unknown here")
    cursor.space()
    mailboxes: tuple[str, ...] = ()
    if where in ("SUBTREE", "MAILBOXES"):
        mailboxes = cursor.one_or_more(cursor.mailbox)
        cursor.space()
    items: list[Item] = []
    events = frozenset() if cursor.accept_word(b"NONE") else frozenset(cursor.items(lambda: _event(cursor, items)))
    cursor.expect(b")")
    _check(where, events, items)
    return Group(where, mailboxes, events, tuple(dict.fromkeys(items)))


def _event(cursor: Cursor, items: list[Item]) -> str:
    name = cursor.word("An event")
    if name not in EVENTS:
        raise Malformed("An event is unknown here", code=b"BADEVENT (%b)" % " ".join(_NAMES).encode(), status=b"NO")
    if name == "MESSAGENEW" and cursor.sees(b" ("):
        cursor.space()
        items.extend(cursor.items(lambda: fetch_item(cursor)))
    return EVENTS[name]


def _check(where: str, events: frozenset[str], items: list[Item]) -> None:
    """RFC 5465 5.1 to 5.3 and 6."""
    coming_and_going = events & {"MessageNew", "MessageExpunge"}
    if len(coming_and_going) == 1 or ("FlagChange" in events and not coming_and_going):
        raise Malformed("MessageNew and MessageExpunge go together, and FlagChange goes with them")
    if where in ("SELECTED", "SELECTED-DELAYED"):
        if not events <= {"MessageNew", "MessageExpunge", "FlagChange"}:
            raise Malformed("The selected mailbox has events of messages only")
    elif items:
        raise Malformed("Fetch items are for the selected mailbox")
