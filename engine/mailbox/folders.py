r"""Changes to the names of mailboxes: create, delete, rename, subscribe (RFC 9051 6.3.4 to 6.3.8)."""

from engine.mailbox.commands import Answer, Create, Delete, Problem, Rename, Subscribe
from engine.mailbox.content import keys
from engine.mailbox.layout import account_key, dropping_key, name_key
from engine.mailbox.names import INBOX_NAME, LONGEST, USES, above, below, canonical, is_reserved
from engine.mailbox.opened import OpenAccount, OpenMailbox
from engine.mailbox.rows import EntryRow
from engine.mailbox.transfer import transfer


def create(account: OpenAccount, command: Create) -> Answer:
    name = _canonical(command.name)
    if name is None or is_reserved(name):
        return Answer(Problem.CANNOT)
    if account.named(name) is not None:
        return Answer(Problem.ALREADYEXISTS)
    use = USES.index(command.use) if command.use in USES else -1
    if use < 0 or (use and use in _uses(account)):
        return Answer(Problem.USEATTR)
    mailbox = account.made(name, use)
    return Answer(None, mailbox.number, mailbox.uidvalidity, modseq=mailbox.modseq)


def delete(account: OpenAccount, command: Delete) -> Answer:
    name = _canonical(command.name)
    entry = account.entry(name) if name is not None else None
    if name is None or entry is None:
        return Answer(Problem.NONEXISTENT)
    if name == INBOX_NAME:
        return Answer(Problem.CANNOT)
    parent = _has_below(account, name)
    mailbox = account.mailbox(entry.mailbox)
    if mailbox is None:  # a level of the hierarchy: there is something below it, else it would have gone
        return Answer(Problem.HASCHILDREN)
    _tell_holders(account, mailbox)
    mailbox.gone, mailbox.changed = 1, True
    account.batch.put(account.databases.meta, dropping_key(account.id, mailbox.number), b"")
    account.enter(name, EntryRow() if parent else None)
    _tidy_above(account, name)
    return Answer(None, mailbox.number, modseq=account.modseq)


def rename(account: OpenAccount, command: Rename) -> Answer:
    name, to = _canonical(command.name), _canonical(command.to)
    if name is None or account.entry(name) is None:
        return Answer(Problem.NONEXISTENT)
    if to is None or is_reserved(to) or (to.startswith(below(name)) and name != INBOX_NAME):
        return Answer(Problem.CANNOT)
    if account.entry(to) is not None:
        return Answer(Problem.ALREADYEXISTS)
    if name == INBOX_NAME:
        return _empty_inbox(account, to)
    moved = [name, *_below(account, name)]
    if any(len((to + old[len(name) :]).encode()) > LONGEST for old in moved):
        return Answer(Problem.CANNOT)
    account.make_above(to)
    for old in moved:
        _rename(account, old, to + old[len(name) :])
    _tidy_above(account, name)
    return Answer(modseq=account.modseq)


def subscribe(account: OpenAccount, command: Subscribe) -> Answer:
    name = _canonical(command.name)
    if name is None:
        return Answer(Problem.CANNOT)
    key = name_key(account.id, name)
    account.subscriptions = True
    if command.on:
        account.batch.put(account.databases.subscribed, key, b"")
    else:
        account.batch.delete(account.databases.subscribed, key)
    return Answer()


def _empty_inbox(account: OpenAccount, to: str) -> Answer:
    inbox = account.named(INBOX_NAME)
    assert inbox is not None
    return transfer(account, inbox, account.made(to), inbox.uids())


def _rename(account: OpenAccount, old: str, new: str) -> None:
    entry = account.entry(old)
    assert entry is not None
    account.enter(old, None)
    account.enter(new, entry)
    mailbox = account.mailbox(entry.mailbox)
    if mailbox is not None:
        mailbox.name, mailbox.changed = new, True
        _tell_holders(account, mailbox)


def _tell_holders(account: OpenAccount, mailbox: OpenMailbox) -> None:
    """Whoever holds rights to it finds it under another name, or no more."""
    for grant in account.grants(mailbox.number).values():
        account.tell(grant.who)


def _tidy_above(account: OpenAccount, name: str) -> None:
    """Levels of the hierarchy that hold no mail go with the last name below them."""
    for parent in above(name):
        entry = account.entry(parent)
        if entry is None or entry.mailbox or _has_below(account, parent):
            return
        account.enter(parent, None)


def _below(account: OpenAccount, name: str, limit: int | None = None) -> list[str]:
    found = keys(account.batch, account.databases.entry, name_key(account.id, below(name)), limit)
    return [key[8:].decode() for key in found]


def _has_below(account: OpenAccount, name: str) -> bool:
    return bool(_below(account, name, 1))


def _uses(account: OpenAccount) -> set[int]:
    names = keys(account.batch, account.databases.entry, account_key(account.id))
    entries = (account.entry(key[8:].decode()) for key in names)
    return {entry.use for entry in entries if entry is not None}


def _canonical(name: str) -> str | None:
    try:
        return canonical(name)
    except ValueError:
        return None
