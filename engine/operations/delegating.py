"""Who else works in the mailbox of an account: who reads it, who files there, who sends in its name.

Rights are those of RFC 4314, given for each mailbox that the account has; names to send in are the directory's. So an
IMAP client shows, and can change, the same.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Final, Literal, TypeAlias

import msgspec

from engine.directory import Account, Alias, Embedded, Group, Invalid, NotFound, split
from engine.mailbox import Access, Mailboxes
from engine.mailbox.commands import Begin, DeleteAcl, SetAcl
from engine.mailbox.rights import GROUP, MINUS
from engine.operations import accounts
from engine.operations.operator import Operator
from engine.operations.sharing import Mail, done

NOTHING, READ, WRITE, PARTLY = "nothing", "read", "write", "partly"

LEVELS: Mapping[str, str] = {NOTHING: "", READ: "lrs", WRITE: "lrswiptke"}
"""What can be said of a person, with the rights to each mailbox. To have read something (``s``) is told to all who
read there: they work together. Nobody deletes mailboxes, or lets in others."""


Sends: TypeAlias = Literal["", "as", "behalf"]
"""Whether somebody sends in the name of the account: not, with nothing else to be seen, or with their own in Sender."""

AS: Final = "as"
ON_BEHALF: Final = "behalf"
SENDS: Final[tuple[Sends, ...]] = ("", AS, ON_BEHALF)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who works in a mailbox that is not their own: an account, or all members of a group.

    ``level``: "read", "write", "nothing", or "partly", when it is not the same in all mailboxes. ``is_everybody``: all
    who have an account here, as an IMAP client may have said; ``address`` is the word for it.
    """

    address: str
    level: str
    sends: bool = False
    on_behalf: bool = False  # it sends, and stands in Sender
    is_group: bool = False
    is_everybody: bool = False


def people(mail: Mail, directory: Embedded, by: Operator, account: Account) -> list[Person]:
    """All who do, by address. StorageError."""
    return everybody(mail, directory, by, [account])[0]


def everybody(mail: Mail, directory: Embedded, by: Operator, accounts: Sequence[Account]) -> list[list[Person]]:
    """The same of several accounts. StorageError."""
    by.check(*(one.address for one in accounts))
    senders: dict[str, set[str]] = {one.address: set() for one in accounts}
    agents: dict[str, set[str]] = {one.address: set() for one in accounts}
    for sender in directory.accounts():
        for found, granted in ((senders, sender.send_as), (agents, sender.on_behalf)):
            for address in set(granted) & found.keys():
                found[address].add(sender.address)
    with mail.read() as mailboxes:
        return [_people(mailboxes, one, senders[one.address], agents[one.address]) for one in accounts]


def _people(mailboxes: Mailboxes, account: Account, senders: Set[str], agents: Set[str]) -> list[Person]:
    access, held = Access(mailboxes), dict[str, list[str]]()
    numbers = [one.number for one in mailboxes.folders(account.id) if one.number]
    for number in numbers:
        for who, rights in access.acl(account.id, number):
            held.setdefault(who, []).append(rights)
    named = {name for name in held if not name.startswith(MINUS)} | senders | agents
    found = [
        Person(
            address=name.removeprefix(GROUP),
            level=_level(held.get(name, ()), len(numbers)),
            sends=name in senders,
            on_behalf=name in agents,
            is_group=name.startswith(GROUP),
            is_everybody="@" not in name,
        )
        for name in named
    ]
    return sorted(found, key=lambda one: one.address)


def let(
    mail: Mail, directory: Embedded, by: Operator, account: Account, who: str, *, level: str, sends: Sends = ""
) -> None:
    """Say what somebody may do in the mailbox, an account or a group, in place of what they might. Invalid, NotFound,
    Unanswered, StorageError.
    """
    if sends not in SENDS:
        raise Invalid(f"{sends!r} is none of {', '.join(filter(None, SENDS))}")
    by.check(account.address, who)
    accounts.check_change(directory, by, account.address)
    grantee = _grantee(directory, account, who)
    if level not in LEVELS:
        raise Invalid(f"{level!r} is none of {', '.join(LEVELS)}")
    if isinstance(grantee, Alias) and sends:
        raise Invalid(f"{who} is a group: its members may send in its name, and a group in none")
    _give(mail, account, grantee, LEVELS[level])
    name = GROUP + grantee.address if isinstance(grantee, Alias) else grantee.address
    by.tell("rights-set", address=account.address, folder="*", who=name, rights=LEVELS[level])
    if isinstance(grantee, Account):
        names = [account.address]
        for how, granted in ((AS, grantee.send_as), (ON_BEHALF, grantee.on_behalf)):
            if (sends == how) != (account.address in granted):
                given, taken = (names, ()) if sends == how else ((), names)
                accounts.grant(directory, by, grantee.address, given, taken, on_behalf=how == ON_BEHALF)


def _grantee(directory: Embedded, account: Account, who: str) -> Account | Alias:
    """An account or a group of exactly this address. Invalid, NotFound."""
    found = directory.find(who, subaddress="")
    if found is None or isinstance(found, Alias) != isinstance(found, Group) or split(found.address) != split(who):
        raise NotFound(f"there is no account or group {who}")
    if isinstance(found, Account) and found.id == account.id:
        raise Invalid(f"{account.address} may do everything in its own mailbox")
    return found


def _give(mail: Mail, account: Account, grantee: Account | Alias, rights: str) -> None:
    """The same rights to every mailbox of the account."""
    who = grantee.address if isinstance(grantee, Account) else GROUP + grantee.address
    number = grantee.id if isinstance(grantee, Account) else 0
    numbers = _numbers(mail, account)
    with mail.read() as mailboxes:
        held = {one: dict(Access(mailboxes).acl(account.id, one)) for one in numbers}
    for mailbox, given in held.items():
        if rights:
            command = SetAcl(
                account=account.id, mailbox=mailbox, identifier=who, rights=rights, grantee=number,
                owner=account.address,
            )  # fmt: skip
            done(mail.change(command), account.address)
        elif who in given:
            done(mail.change(DeleteAcl(account=account.id, mailbox=mailbox, identifier=who)), account.address)


def _numbers(mail: Mail, account: Account) -> list[int]:
    """The mailboxes of the account. One that has none yet gets its first ones."""
    with mail.read() as mailboxes:
        found = [one.number for one in mailboxes.folders(account.id) if one.number]
    if found:
        return found
    done(mail.change(Begin(account=account.id)), account.address)
    with mail.read() as mailboxes:
        return [one.number for one in mailboxes.folders(account.id) if one.number]


def _level(rights: Sequence[str], mailboxes: int) -> str:
    """What somebody may do, by their rights to those of so many mailboxes to which they have any."""
    if not rights:
        return NOTHING
    for level in (WRITE, READ):
        if len(rights) == mailboxes and all(set(LEVELS[level]) <= set(one) for one in rights):
            return level
    return PARTLY
