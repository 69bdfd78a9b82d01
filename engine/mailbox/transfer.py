"""Messages from one mailbox into another, with the flags and dates that they have: copy and move."""

from collections.abc import Iterable

from engine.mailbox.commands import Answer, Copy, Move, Problem
from engine.mailbox.opened import OpenAccount, OpenMailbox
from engine.mailbox.rows import MessageRow


def copy(account: OpenAccount, command: Copy) -> Answer:
    mailbox, other = account.mailbox(command.mailbox), account.beside(command.to_account)
    to = other.mailbox(command.to) if other is not None else None
    if mailbox is None or other is None or to is None:
        return Answer(Problem.NONEXISTENT)
    found = present(mailbox, command.uids)
    rows = [row for _, row in found]
    if not other.fits(command.quota, [row.size for row in rows]):
        return Answer(Problem.OVERQUOTA)
    translated = _translated(mailbox, to, rows)
    if translated is None:
        return Answer(Problem.LIMIT)
    account.share(rows)
    return _put(account, to, [uid for uid, _ in found], translated)


def move(account: OpenAccount, command: Move) -> Answer:
    mailbox, other = account.mailbox(command.mailbox), account.beside(command.to_account)
    to = other.mailbox(command.to) if other is not None else None
    if mailbox is None or other is None or to is None:
        return Answer(Problem.NONEXISTENT)
    if other is not account and not other.fits(command.quota, [row.size for _, row in present(mailbox, command.uids)]):
        return Answer(Problem.OVERQUOTA)
    return transfer(account, mailbox, to, command.uids, keep=other is not account and account.held)


def transfer(
    account: OpenAccount, mailbox: OpenMailbox, to: OpenMailbox, uids: Iterable[int], *, keep: bool = False
) -> Answer:
    """Take messages out of one mailbox and put them into another. ``keep``: as well as if they were expunged."""
    found = present(mailbox, uids)
    translated = _translated(mailbox, to, [row for _, row in found])
    if translated is None:
        return Answer(Problem.LIMIT)
    for uid, row in found:
        mailbox.take(uid, row)
        if keep:
            account.share([row])
            mailbox.keep(uid, row)
    return _put(account, to, [uid for uid, _ in found], translated)


def present(mailbox: OpenMailbox, uids: Iterable[int]) -> list[tuple[int, MessageRow]]:
    """Those of the messages that are there, each once, in ascending order."""
    rows = ((uid, mailbox.get(uid)) for uid in sorted(set(uids)))
    return [(uid, row) for uid, row in rows if row is not None]


def _translated(mailbox: OpenMailbox, to: OpenMailbox, rows: Iterable[MessageRow]) -> list[MessageRow] | None:
    """The rows with the bits that their keywords have in another mailbox; None: it has no bits left."""
    known: dict[int, int] = {0: 0}
    for row in rows:
        if row.keywords not in known:
            bits = to.bits(mailbox.keywords(row.keywords))
            if bits is None:
                return None
            known[row.keywords] = bits
    return [row._replace(keywords=known[row.keywords]) for row in rows]


def _put(account: OpenAccount, to: OpenMailbox, sources: Iterable[int], rows: Iterable[MessageRow]) -> Answer:
    uids = tuple(to.add(row) for row in rows)
    return Answer(None, to.number, to.uidvalidity, tuple(sources), uids, modseq=account.modseq)
