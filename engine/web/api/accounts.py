"""Operations about accounts: who has a mailbox here, may log in, and send in which names; and their mailboxes.

A password goes in and never out; so what makes one, app passwords and the secret of an authenticator, is not here: the
owner has it made on the account's page, or an operator by a command.
"""

from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.links.request import Unanswered
from engine.mailbox.names import canonical
from engine.operations import accounts, importing, mailboxes, sharing
from engine.operations.accounts import AccountRow, AppPasswordRow, Found
from engine.operations.importing import Imported, Sheet
from engine.operations.mailboxes import MailboxUsage
from engine.operations.moments import Moment
from engine.operations.sharing import Place, Right
from engine.storage.environment import StorageError
from engine.web.api.jobs import Job, Progress
from engine.web.api.operating import (
    SEGMENT,
    Address,
    Flag,
    Paged,
    ask,
    change,
    embedded,
    mail,
    operator_of,
    page,
    reading,
)
from engine.web.api.operation import Asked, Call, Operation, Page
from engine.web.api.problems import Mistake, Problem, missing, unmeant

Password = Annotated[str, Meta(min_length=1, max_length=1000, description="It is kept as a hash, and never told.")]
Several = Annotated[tuple[Address, ...], Meta(max_length=100)]
Folder = Annotated[str, Meta(min_length=1, max_length=1000, description="As the account calls it: INBOX, Work/2026.")]

_FILE = 4 * 2**20
"""Octets of an import: some 50,000 accounts."""

_MISTAKES = 100
"""Mistakes of a file that are told."""


class Listed(Paged, frozen=True):
    domain: Annotated[str, Meta(max_length=255, description="Only those of this domain.")] = ""


class OneAccount(Asked, frozen=True):
    address: Address


class OneAppPassword(Asked, frozen=True):
    address: Address
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=SEGMENT)]


class Finding(Asked, frozen=True):
    address: Address


class NewAccount(Asked, frozen=True):
    """``password``: without one nobody can log in, until it is set."""

    address: Address
    password: Password | None = None
    admin: Annotated[bool, Meta(description="It gets the postmaster's mail of its domain.")] = False


class NewPassword(Asked, frozen=True):
    password: Password


class Standing(Asked, frozen=True):
    """What is null stays as it is."""

    admin: Annotated[bool | None, Meta(description="It gets the postmaster's mail of its domain.")] = None
    suspended: Annotated[bool | None, Meta(description="Nobody logs in as it; its mail comes.")] = None


class Senders(Asked, frozen=True):
    """Names to send in, besides its own: addresses, or ``@example.org`` for all of a domain."""

    add: Several = ()
    remove: Several = ()


class Removing(Asked, frozen=True):
    keep_mail: Annotated[bool, Meta(description="Its mail stays on disk, until the command erases it.")] = False


class Removed(msgspec.Struct, frozen=True):
    """An account that was removed. ``erased``: whether all its mail is gone; else it is kept, or the server erases it
    within the hour."""

    address: str
    id: int
    erased: bool


class Undeleting(Asked, frozen=True):
    since: Annotated[Moment | None, Meta(description="Only what was removed since then.")] = None
    folder: Annotated[str, Meta(max_length=1000, description="Only what was in this mailbox.")] = ""


class Undeleted(msgspec.Struct, frozen=True):
    """How many messages were brought back."""

    messages: int


class OfFolder(Asked, frozen=True):
    folder: Folder


class Rights(Asked, frozen=True):
    """``who``: an account, ``group:sales@example.org``, or ``anyone``; with ``-`` before it, the rights are kept away.

    ``rights``: letters of RFC 4314, in place of those that they had; with ``+`` before them, besides; with ``-``, no
    longer; empty: none.
    """

    folder: Folder
    who: Annotated[str, Meta(min_length=1, max_length=320)]
    rights: Annotated[str, Meta(max_length=20)]


class Importing(Asked, frozen=True):
    """``csv``: a file as `postroad account import` takes it."""

    csv: Annotated[str, Meta(max_length=_FILE)]
    dry_run: Flag = False


async def list_accounts(call: Call, *, query: Listed) -> Page[AccountRow]:
    """List accounts, by address."""
    rows = await call.blocking(accounts.listed, embedded(call), operator_of(call), query.domain)
    return page(rows, lambda row: row.address, query)


async def find_account(call: Call, *, query: Finding) -> Found:
    """Find who gets mail for an address, as the server does."""
    found = await call.blocking(accounts.find, call.context.directory(), operator_of(call), query.address)
    if found is None:
        raise missing("account or alias that gets mail for this address")
    return found


async def show_account(call: Call, *, path: OneAccount) -> AccountRow:
    """Show an account."""
    return await call.blocking(accounts.shown, embedded(call), operator_of(call), path.address)


async def add_account(call: Call, *, body: NewAccount) -> AccountRow:
    """Add an account."""
    add = partial(accounts.add, embedded(call), operator_of(call), body.address, body.password, admin=body.admin)
    return await call.blocking(add)


async def remove_account(call: Call, *, path: OneAccount, query: Removing) -> Removed:
    """Remove an account, and for ever all that it has: mail, scripts, and the rights that it gave or held."""

    def remove() -> Removed:
        directory, lists = embedded(call), call.context.stores.lists
        gone = accounts.remove(directory, lists, operator_of(call), path.address, keep_mail=query.keep_mail)
        if query.keep_mail:
            return Removed(gone.address, gone.id, erased=False)
        with suppress(Unanswered, StorageError):  # it is a leaver: the server goes on with it
            erased = mailboxes.erase(call.context.data, reading(call), change(call), ask(call), gone.id)
            directory.left(gone.id)
            return Removed(gone.address, gone.id, erased=not erased.held)
        return Removed(gone.address, gone.id, erased=False)

    return await call.blocking(remove)


async def change_account(call: Call, *, path: OneAccount, body: Standing) -> AccountRow:
    """Say whether an account gets the postmaster's mail of its domain, and whether it is suspended."""
    directory, by = embedded(call), operator_of(call)
    if body.admin is not None:
        await call.blocking(accounts.set_admin, directory, by, path.address, body.admin)
    if body.suspended is not None:
        await call.blocking(accounts.suspend, directory, by, path.address, body.suspended)
    return await call.blocking(accounts.shown, directory, by, path.address)


async def set_password(call: Call, *, path: OneAccount, body: NewPassword) -> AccountRow:
    """Set the password of an account."""
    return await call.blocking(accounts.set_password, embedded(call), operator_of(call), path.address, body.password)


async def change_senders(call: Call, *, path: OneAccount, body: Senders) -> AccountRow:
    """Let an account send in other names, or no longer."""
    return await call.blocking(
        accounts.grant, embedded(call), operator_of(call), path.address, body.add, body.remove
    )  # fmt: skip


async def change_delegations(call: Call, *, path: OneAccount, body: Senders) -> AccountRow:
    """Let an account send on behalf of others, or no longer: it stands in Sender then (RFC 5322 3.6.2)."""
    grant = partial(accounts.grant, embedded(call), operator_of(call), path.address, on_behalf=True)
    return await call.blocking(grant, body.add, body.remove)


async def list_app_passwords(call: Call, *, path: OneAccount) -> list[AppPasswordRow]:
    """List the app passwords of an account, and when each was last used."""
    guard = call.context.login.guard
    return await call.blocking(accounts.app_passwords, embedded(call), guard, operator_of(call), path.address)


async def revoke_app_password(call: Call, *, path: OneAppPassword) -> None:
    """Revoke an app password: nobody logs in by it any more."""
    await call.blocking(accounts.revoke_app_password, embedded(call), operator_of(call), path.address, path.name)


async def disable_totp(call: Call, *, path: OneAccount) -> AccountRow:
    """Take the second factor of an account away, as for somebody who has lost the telephone."""
    return await call.blocking(accounts.disable_totp, embedded(call), operator_of(call), path.address)


async def show_usage(call: Call, *, path: OneAccount) -> MailboxUsage:
    """Show what each mailbox of an account holds, and how much removed mail is kept."""

    def read() -> MailboxUsage:
        by = operator_of(call)
        return mailboxes.usage(reading(call), by, accounts.known(call.context.directory(), by, path.address))

    return await call.blocking(read)


async def undelete_mail(call: Call, *, path: OneAccount, body: Undeleting) -> Undeleted:
    """Bring removed mail of an account back, as new messages."""

    def bring() -> int:
        by, since = operator_of(call), round(body.since.timestamp() * 1000) if body.since else 0
        account = accounts.known(call.context.directory(), by, path.address)
        return mailboxes.undelete(change(call), by, account, since=since, folder=_folder(body.folder))

    return Undeleted(await call.blocking(bring))


async def list_rights(call: Call, *, path: OneAccount, query: OfFolder) -> list[Right]:
    """List who has which rights to a mailbox of an account, which itself has all."""

    def read() -> list[Right]:
        by = operator_of(call)
        return sharing.acl(
            mail(call), by, Place(accounts.known(call.context.directory(), by, path.address), query.folder)
        )

    return await call.blocking(read)


async def change_rights(call: Call, *, path: OneAccount, body: Rights) -> Right:
    """Give somebody rights to a mailbox of an account, or take them."""

    def give() -> Right:
        account = accounts.known(call.context.directory(), operator_of(call), path.address)
        return rights_changed(call, Place(account, body.folder), body)

    return await call.blocking(give)


def rights_changed(call: Call, place: Place, body: Rights) -> Right:
    """What they have then. Blocks."""
    by = operator_of(call)
    if not body.rights or body.rights.startswith("-"):
        return sharing.take(mail(call), by, place, body.who, body.rights[1:] or None)
    return sharing.give(mail(call), by, place, body.who, body.rights)


async def import_accounts(call: Call, *, body: Importing) -> Job[Imported]:
    """Add the accounts of a CSV file. Nothing is done while any line has a mistake; what is there stays as it is."""
    sheet = await call.blocking(importing.parsed, StringIO(body.csv, newline=""))
    await call.blocking(_check, call, sheet)

    async def work(progress: Progress) -> None:
        if body.dry_run:
            progress.result = await call.blocking(importing.planned, embedded(call), sheet)
        else:
            await _import(call, sheet, progress)

    return await call.job(work)


def _check(call: Call, sheet: Sheet) -> None:
    found = importing.checked(embedded(call), operator_of(call), sheet)
    if found:
        mistakes = tuple(Mistake(f"body.csv line {one.line}", one.text) for one in found[:_MISTAKES])
        raise Problem(422, f"{len(found)} mistakes in the file; nothing was done", mistakes)


async def _import(call: Call, sheet: Sheet, progress: Progress) -> None:
    """A second at a time, so that others have the threads as well, and it can be stopped."""
    added = there = done = 0
    total = len(sheet.entries)
    while done < total:
        rest = Sheet(sheet.entries[done:], ())
        some = await call.blocking(partial(importing.take_in, embedded(call), operator_of(call), rest, seconds=1.0))
        added, there, done = added + some.added, there + some.there, total - some.left
        progress.result = Imported(added=added, there=there, left=some.left)
        progress.told(done, total)


def _folder(text: str) -> str:
    try:
        return canonical(text) if text else ""
    except ValueError as error:
        raise unmeant("body.folder", str(error)) from error


_READ: dict[str, Any] = {"scope": "accounts:read", "by_domain": True}
_WRITE: dict[str, Any] = {"scope": "accounts:write", "by_domain": True}
_SEE: dict[str, Any] = {"scope": "mailboxes:read", "by_domain": True}
_SHARE: dict[str, Any] = {"scope": "mailboxes:write", "by_domain": True}
_CHANGE: dict[str, Any] = {**_WRITE, "changes": show_account}

ROWS = (
    Operation("GET", "/accounts", function=list_accounts, **_READ, problems=(409,)),
    Operation("POST", "/accounts", function=add_account, **_WRITE, status=201, problems=(404, 409)),
    Operation("GET", "/accounts/find", function=find_account, **_READ, problems=(404,)),
    Operation("POST", "/accounts/import", function=import_accounts, **_WRITE, problems=(409,), body=_FILE * 2),
    Operation("GET", "/accounts/{address}", function=show_account, **_READ, problems=(409,)),
    Operation("PATCH", "/accounts/{address}", function=change_account, **_CHANGE, problems=(409,)),
    Operation(
        "DELETE",
        "/accounts/{address}",
        function=remove_account,
        **_CHANGE,
        problems=(409,),
        seconds=120.0,
    ),
    Operation("PUT", "/accounts/{address}/password", function=set_password, **_CHANGE, problems=(409,)),
    Operation("POST", "/accounts/{address}/send-as", function=change_senders, **_CHANGE, problems=(409,)),
    Operation("POST", "/accounts/{address}/on-behalf", function=change_delegations, **_CHANGE, problems=(409,)),
    Operation("GET", "/accounts/{address}/app-passwords", function=list_app_passwords, **_READ, problems=(409, 422)),
    Operation(
        "DELETE",
        "/accounts/{address}/app-passwords/{name}",
        function=revoke_app_password,
        **_WRITE,
        problems=(409, 422),
    ),
    Operation("DELETE", "/accounts/{address}/totp", function=disable_totp, **_CHANGE, problems=(409, 422)),
    Operation("GET", "/accounts/{address}/usage", function=show_usage, **_SEE),
    Operation("POST", "/accounts/{address}/undelete", function=undelete_mail, **_SHARE, seconds=120.0),
    Operation("GET", "/accounts/{address}/rights", function=list_rights, **_SEE, problems=(409,)),
    Operation("POST", "/accounts/{address}/rights", function=change_rights, **_SHARE, problems=(409,)),
)
