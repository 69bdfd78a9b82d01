"""What operators do with rights to mailboxes (RFC 4314), those of accounts and public ones, and with public folders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from engine.directory import (
    Account,
    Alias,
    AlreadyThere,
    Directory,
    DirectoryError,
    Embedded,
    InUse,
    Invalid,
    NotFound,
)
from engine.mailbox import Access
from engine.mailbox.commands import Answer, Begin, Create, Delete, DeleteAcl, Problem, SetAcl
from engine.mailbox.layout import PUBLIC
from engine.mailbox.names import INBOX_NAME, canonical
from engine.mailbox.rights import GROUP, MINUS, identifier, plain
from engine.operations.accounts import check_over
from engine.operations.operator import Operator
from engine.operations.reading import Change, Reading

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mail:
    """The mailboxes, and who there is."""

    directory: Directory
    read: Reading
    change: Change


class Place(NamedTuple):
    """A mailbox of an account, by its name there; without an account (None), a public folder."""

    account: Account | None
    folder: str

    @property
    def number(self) -> int:
        return PUBLIC if self.account is None else self.account.id

    @property
    def address(self) -> str:
        return self.account.address if self.account else ""

    def check_change(self, by: Operator) -> None:
        """Forbidden unless they may change it: who may read in a mailbox is what its account has."""
        self.check(by)
        if self.account is not None:
            check_over(by, self.account)

    def check(self, by: Operator) -> None:
        """Forbidden when it is not for them."""
        if self.account is None:
            by.check_all()
        else:
            by.check(self.account.address)


class Right(msgspec.Struct, frozen=True):
    """Who has which rights to a mailbox: letters of RFC 4314. With ``-`` before ``who``: those that are kept away."""

    who: str
    rights: str


class PublicFolder(msgspec.Struct, frozen=True):
    """A public folder, who may do what there, and how much is in it; ``size`` in octets."""

    name: str
    messages: int
    size: int
    rights: tuple[Right, ...]


def give(mail: Mail, by: Operator, place: Place, who: str, rights: str) -> Right:
    """Give somebody these rights to a mailbox, in place of those that they had; with ``+`` before them, besides. What
    they have then. Invalid, NotFound, Unanswered.
    """
    place.check_change(by)
    operation, letters = ("+", rights[1:]) if rights.startswith("+") else ("", rights)
    name, letters = _read(identifier, who), _read(plain, letters)
    grantee = _grantee(mail.directory, by, name)
    if grantee and grantee == place.number:
        raise Invalid(f"{place.address} has all rights to its own mailboxes")
    command = SetAcl(
        account=place.number, mailbox=_mailbox(mail, place), identifier=name, rights=letters, operation=operation,
        grantee=grantee, owner=place.address,
    )  # fmt: skip
    done(mail.change(command), place.folder)
    return _told(mail, by, place, command.mailbox, name)


def take(mail: Mail, by: Operator, place: Place, who: str, rights: str | None = None) -> Right:
    """Take these rights, or all, from somebody. What they have then. Invalid, NotFound, Unanswered."""
    place.check_change(by)
    name, mailbox = _read(identifier, who), _mailbox(mail, place)
    if not _held(mail, place, mailbox, name):
        raise NotFound(f"{name} has no rights on {place.folder}")
    command: SetAcl | DeleteAcl = DeleteAcl(account=place.number, mailbox=mailbox, identifier=name)
    if rights is not None:
        command = SetAcl(
            account=place.number, mailbox=mailbox, identifier=name, rights=_read(plain, rights), operation=MINUS,
            grantee=_grantee(mail.directory, by, name),
        )  # fmt: skip
    done(mail.change(command), place.folder)
    return _told(mail, by, place, mailbox, name)


def acl(mail: Mail, by: Operator, place: Place) -> list[Right]:
    """Who has which rights to the mailbox. The account itself has all. Invalid, NotFound."""
    place.check(by)
    mailbox = _mailbox(mail, place)
    with mail.read() as mailboxes:
        return [Right(who, rights) for who, rights in Access(mailboxes).acl(place.number, mailbox)]


# Public folders


def folders(read: Reading, by: Operator) -> list[PublicFolder]:
    """All public folders. StorageError."""
    by.check_all()
    with read() as mailboxes:
        access = Access(mailboxes)
        return [
            PublicFolder(one.name, one.status.messages, one.status.size, _rights(access, one.number))
            for one in mailboxes.folders(PUBLIC)
            if one.status is not None and one.name != INBOX_NAME
        ]


def create(mail: Mail, by: Operator, name: str) -> PublicFolder:
    """Make a public folder, and those above it. It has the rights of the one above it, else none. Invalid,
    AlreadyThere, Unanswered.
    """
    by.check_all()
    name = public_name(name)
    answer = done(mail.change(Create(account=PUBLIC, name=name)), name)
    by.tell("folder-added", folder=name)
    with mail.read() as mailboxes:
        return PublicFolder(name, 0, 0, _rights(Access(mailboxes), answer.mailbox))


def delete(mail: Mail, by: Operator, name: str) -> None:
    """Delete a public folder with all that is in it; folders below it stay. Invalid, NotFound, InUse, Unanswered."""
    by.check_all()
    name = public_name(name)
    done(mail.change(Delete(account=PUBLIC, name=name)), name)
    by.tell("folder-removed", folder=name)


def give_address(directory: Embedded, read: Reading, by: Operator, name: str, address: str) -> tuple[str, bool]:
    """Let mail for an address go to a public folder: it becomes an account without a password. The address, and whether
    anybody may post. Invalid, AlreadyThere, NotFound.
    """
    by.check_all()
    name = public_name(name)
    with read() as mailboxes:
        found = mailboxes.folder(PUBLIC, name)
        rights = _rights(Access(mailboxes), found.number) if found is not None else ()
    if found is None or not found.number:
        raise NotFound(f"there is no mailbox {name}")
    added = directory.add_account(address, folder=found.number)
    by.tell("account-added", address=added.address, account=added.id, folder=name)
    return added.address, any("p" in one.rights for one in rights)


def public_name(name: str) -> str:
    """The name within the public folders, as it is stored. Invalid."""
    name = _read(canonical, name) if name else ""
    if name in ("", INBOX_NAME):
        raise Invalid("a public folder has a name of its own")
    return name


def done(answer: Answer, folder: str) -> Answer:
    """The answer, unless the owner of the mailboxes has a problem with it."""
    problems: dict[Problem, DirectoryError] = {
        Problem.NONEXISTENT: NotFound(f"there is no mailbox {folder}"),
        Problem.ALREADYEXISTS: AlreadyThere(f"there is a mailbox {folder} already"),
        Problem.CANNOT: InUse(f"no mailbox can be called {folder}, or nobody that"),
        Problem.HASCHILDREN: InUse(f"there are mailboxes below {folder}, and none of that name"),
        Problem.LIMIT: InUse("too many have rights on it; make a group of them"),
        Problem.GONE: NotFound("the account was removed"),
    }
    if answer.problem is not None:
        raise problems.get(answer.problem, InUse(answer.problem.value))
    return answer


def _told(mail: Mail, by: Operator, place: Place, mailbox: int, who: str) -> Right:
    held = _held(mail, place, mailbox, who)
    by.tell("rights-set", address=place.address or None, folder=place.folder, who=who, rights=held)
    return Right(who, held)


def _mailbox(mail: Mail, place: Place) -> int:
    """The mailbox of that name. An account that has none yet gets its first ones."""
    name = public_name(place.folder) if place.account is None else _read(canonical, place.folder)
    with mail.read() as mailboxes:
        found = mailboxes.folder(place.number, name)
        known = mailboxes.folders(place.number)
    if found is None and not known:
        done(mail.change(Begin(account=place.number)), place.folder)
        return _mailbox(mail, place)
    if found is None or not found.number:
        raise NotFound(f"there is no mailbox {place.folder}")
    return found.number


def _held(mail: Mail, place: Place, mailbox: int, name: str) -> str:
    with mail.read() as mailboxes:
        return dict(Access(mailboxes).acl(place.number, mailbox)).get(name, "")


def _rights(access: Access, mailbox: int) -> tuple[Right, ...]:
    return tuple(Right(who, rights) for who, rights in access.acl(PUBLIC, mailbox))


def _grantee(directory: Directory, by: Operator, name: str) -> int:
    """The account that an identifier means; 0: many. NotFound."""
    address = name.removeprefix(MINUS)
    if "@" not in address:
        by.check_all()  # "anyone" is in all domains
        return 0
    by.check(address)
    found = directory.find(address.removeprefix(GROUP), subaddress="")
    if address.startswith(GROUP):
        if not isinstance(found, Alias) or GROUP + found.address != address:
            raise NotFound(f"there is no group {address.removeprefix(GROUP)}")
        return 0
    if not isinstance(found, Account) or found.address != address:
        raise NotFound(f"there is no account {address}")
    return found.id


def _read(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise Invalid(str(error)) from error
