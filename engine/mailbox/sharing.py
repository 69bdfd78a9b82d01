"""Changes to who holds which rights to a mailbox (RFC 4314 3.1, 3.2)."""

from engine.mailbox import grants
from engine.mailbox.commands import Answer, DeleteAcl, Problem, SetAcl
from engine.mailbox.opened import OpenAccount, OpenMailbox
from engine.mailbox.rights import MINUS, Grant, changed, identifier, plain

MOST = 100
"""Identifiers in one mailbox's list of rights: it is read whole to know what somebody holds."""


def set_acl(account: OpenAccount, command: SetAcl) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    try:
        name, named = identifier(command.identifier), plain(command.rights)
    except ValueError:
        return Answer(Problem.CANNOT)
    if command.grantee and command.grantee == account.id:  # whose rights are all, whatever is said
        return Answer(Problem.CANNOT if name[:1] == MINUS else None)
    if command.owner:
        grants.introduce(account.batch, account.databases, account.id, command.owner)
    known = account.grants(mailbox.number)
    before = known.get(name, Grant(name, ""))
    grantee = command.grantee or before.who
    rights = before.rights if before.who == grantee else ""  # an earlier account of that address leaves nothing
    after = Grant(name, changed(rights, command.operation, named), grantee)
    if after.rights and before == after:
        return Answer()
    if not after.rights:
        return _removed(account, mailbox, before)
    if name not in known and len(known) >= MOST:
        return Answer(Problem.LIMIT)
    grants.put(account.batch, account.databases, account.id, mailbox.number, after)
    mailbox.changed = True
    for who in {before.who, after.who} if before.rights else {after.who}:
        account.tell(who)
    return Answer(modseq=account.modseq)


def delete_acl(account: OpenAccount, command: DeleteAcl) -> Answer:
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    try:
        name = identifier(command.identifier)
    except ValueError:
        return Answer(Problem.CANNOT)
    return _removed(account, mailbox, account.grants(mailbox.number).get(name, Grant(name, "")))


def _removed(account: OpenAccount, mailbox: OpenMailbox, grant: Grant) -> Answer:
    if not grant.rights:
        return Answer()
    grants.take(account.batch, account.databases, account.id, mailbox.number, grant.identifier)
    mailbox.changed = True
    account.tell(grant.who)
    return Answer(modseq=account.modseq)
