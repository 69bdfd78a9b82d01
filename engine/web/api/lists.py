"""Operations about lists: senders that are allowed or blocked, recipients who are not written to, public folders."""

from collections.abc import Sequence
from functools import partial
from io import StringIO
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine.lists import scope_of
from engine.operations import lists, sharing, suppressions
from engine.operations.lists import ListRow
from engine.operations.moments import Moment, moment
from engine.operations.sharing import Place, PublicFolder, Right
from engine.suppression import Row, Suppressions, entry_of
from engine.web.api.accounts import Folder, Rights, rights_changed
from engine.web.api.operating import SEGMENT, Paged, mail, operator_of, page, reading
from engine.web.api.operation import Asked, Call, Operation, Page
from engine.web.api.problems import missing

Whose = Annotated[
    str, Meta(max_length=320, description="Whose list: an account, @example.org, or empty: that of the server.")
]
Entry = Annotated[str, Meta(min_length=1, max_length=320)]
Entries = Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=1000)]
Tenant = Annotated[str, Meta(max_length=50, description="The list of this tenant; empty: that for all.")]
Class = Annotated[str, Meta(max_length=40, description="A class of replies, or complaint.")]

_FILE = 4 * 2**20


# Allow and block lists


class OfList(Paged, frozen=True, rename={"whose": "for"}):
    whose: Annotated[Whose | None, Meta(description="Of this list alone.")] = None


class NewEntries(Asked, frozen=True, rename={"whose": "for"}):
    """Addresses, domains (with all below them), or networks."""

    word: Literal["allow", "block"]
    entries: Entries
    whose: Whose = ""


class OneEntry(Asked, frozen=True, rename={"whose": "for"}):
    entry: Entry
    whose: Whose = ""


async def list_entries(call: Call, *, query: OfList) -> Page[ListRow]:
    """List who is allowed or blocked: for all, for a domain, for an account."""
    scope = None if query.whose is None else _scope(query.whose)
    rows = await call.blocking(lists.listed, call.context.stores.lists, operator_of(call), scope)
    return page(rows, lambda row: f"{row.scope} {row.entry}", query)


async def put_entries(call: Call, *, body: NewEntries) -> list[ListRow]:
    """Allow or block senders. Whoever is allowed is only where it is proved that mail comes from there."""
    opened, by, scope = call.context.stores.lists, operator_of(call), _scope(body.whose)
    return await call.blocking(partial(lists.put, opened, by, scope, body.word, body.entries))


async def remove_entry(call: Call, *, query: OneEntry) -> None:
    """Take an entry away."""
    opened, by, scope = call.context.stores.lists, operator_of(call), _scope(query.whose)
    _check(await call.blocking(lists.remove, opened, by, scope, [query.entry]))


def _scope(whose: str) -> str:
    return scope_of(domain=whose[1:]) if whose.startswith("@") else scope_of(address=whose)


def _check(gone: dict[str, bool]) -> None:
    if not any(gone.values()):
        raise missing("such entry")


# The suppression list


class OfSuppressions(Paged, frozen=True, rename={"which": "class"}):
    tenant: Tenant = ""
    all: Annotated[bool, Meta(description="The lists of all tenants too.")] = False
    which: Annotated[str, Meta(max_length=40, description="Only of this class.")] = ""


class NewSuppressions(Asked, frozen=True, rename={"which": "class"}):
    """Addresses, or domains with all who are there. ``until``: null for ever."""

    entries: Entries
    which: Class = "unknown"
    until: Moment | None = None
    note: Annotated[str, Meta(max_length=200)] = ""
    tenant: Tenant = ""


class OneSuppression(Asked, frozen=True):
    entry: Annotated[str, Meta(min_length=1, max_length=320, pattern=SEGMENT)]


class OfTenant(Asked, frozen=True):
    tenant: Tenant = ""


class Taking(Asked, frozen=True, rename={"which": "class"}):
    """``text``: CSV with a line of names, lines of JSON, or an entry a line. ``class``: of entries that have none."""

    text: Annotated[str, Meta(max_length=_FILE)]
    which: Annotated[str, Meta(max_length=40)] = ""
    tenant: Tenant = ""


class Suppressed(msgspec.Struct, frozen=True, rename={"which": "class"}):
    """Who is not written to again, for all or for a tenant, why, and until when; null: for ever."""

    entry: str
    which: str
    tenant: str
    since: Moment | None
    until: Moment | None
    note: str


class Taken(msgspec.Struct, frozen=True):
    """How many entries were added."""

    entries: int


async def list_suppressions(call: Call, *, query: OfSuppressions) -> Page[Suppressed]:
    """List recipients who are not written to again."""

    def read() -> Sequence[Row]:
        tenant = None if query.all else query.tenant
        return list(suppressions.listed(_suppressions(call), operator_of(call), tenant, query.which))

    found = page(await call.blocking(read), lambda row: f"{row.tenant}\0{row.entry}", query)
    return Page(list(map(_suppressed, found.items)), found.next)


async def add_suppressions(call: Call, *, body: NewSuppressions) -> list[Suppressed]:
    """Put recipients onto the suppression list."""
    add = partial(
        suppressions.add, _suppressions(call), operator_of(call), body.entries, which=body.which,
        until=body.until.timestamp() if body.until else 0.0, note=body.note, tenant=body.tenant,
    )  # fmt: skip
    return list(map(_suppressed, await call.blocking(add)))


async def import_suppressions(call: Call, *, body: Taking) -> Taken:
    """Put all who are in a file onto the suppression list; what stands before a line that is wrong has been added."""
    opened, by, text = _suppressions(call), operator_of(call), StringIO(body.text)
    take = partial(suppressions.take_in, opened, by, text, which=body.which, tenant=body.tenant)
    return Taken(await call.blocking(take))


async def check_suppression(call: Call, *, path: OneSuppression, query: OfTenant) -> Suppressed:
    """Show what keeps mail to an address away."""
    entry_of(path.entry)
    found = await call.blocking(suppressions.says, _suppressions(call), operator_of(call), path.entry, query.tenant)
    if found is None:
        raise missing("entry that keeps mail to this address away")
    return _suppressed(found)


async def remove_suppression(call: Call, *, path: OneSuppression, query: OfTenant) -> None:
    """Take a recipient off the suppression list, and forget what was said of them."""
    entry_of(path.entry)
    _check(
        await call.blocking(suppressions.remove, _suppressions(call), operator_of(call), [path.entry], query.tenant)
    )  # fmt: skip


def _suppressions(call: Call) -> Suppressions:
    return call.context.stores.suppressions


def _suppressed(row: Row) -> Suppressed:
    return Suppressed(row.entry, row.which, row.tenant, moment(row.since), moment(row.until), row.note)


# Public folders


class OneFolder(Asked, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=1000, description="Within the public folders: News/local.")]


class FolderRights(Asked, frozen=True):
    folder: Folder


async def list_folders(call: Call, *, query: Paged) -> Page[PublicFolder]:
    """List public folders, how much is in them, and who has which rights."""
    rows = await call.blocking(sharing.folders, reading(call), operator_of(call))
    return page(rows, lambda row: row.name, query)


async def make_folder(call: Call, *, body: OneFolder) -> PublicFolder:
    """Make a public folder, and those above it. It has the rights of the one above it, else nobody sees it."""
    return await call.blocking(sharing.create, mail(call), operator_of(call), body.name)


async def delete_folder(call: Call, *, query: OneFolder) -> None:
    """Delete a public folder with all that is in it; folders below it stay."""
    await call.blocking(sharing.delete, mail(call), operator_of(call), query.name)


async def list_folder_rights(call: Call, *, query: FolderRights) -> list[Right]:
    """List who has which rights to a public folder."""
    return await call.blocking(sharing.acl, mail(call), operator_of(call), Place(None, query.folder))


async def change_folder_rights(call: Call, *, body: Rights) -> Right:
    """Give somebody rights to a public folder, or take them."""
    return await call.blocking(rights_changed, call, Place(None, body.folder), body)


_READ: dict[str, Any] = {"scope": "lists:read", "by_domain": True}
_WRITE: dict[str, Any] = {"scope": "lists:write", "by_domain": True}
_SEE: dict[str, Any] = {"scope": "suppressions:read"}
_CHANGE: dict[str, Any] = {"scope": "suppressions:write"}

ROWS = (
    Operation("GET", "/lists", function=list_entries, **_READ),
    Operation("POST", "/lists", function=put_entries, **_WRITE),
    Operation("DELETE", "/lists", function=remove_entry, **_WRITE, problems=(404,)),
    Operation("GET", "/suppressions", function=list_suppressions, **_SEE),
    Operation("POST", "/suppressions", function=add_suppressions, **_CHANGE),
    Operation("POST", "/suppressions/import", function=import_suppressions, **_CHANGE, body=_FILE * 2),
    Operation("GET", "/suppressions/{entry}", function=check_suppression, **_SEE),
    Operation("DELETE", "/suppressions/{entry}", function=remove_suppression, **_CHANGE),
    Operation("GET", "/folders", "mailboxes:read", list_folders),
    Operation("POST", "/folders", "mailboxes:write", make_folder, status=201, problems=(404, 409)),
    Operation("DELETE", "/folders", "mailboxes:write", delete_folder, problems=(404, 409)),
    Operation("GET", "/folders/rights", "mailboxes:read", list_folder_rights, problems=(404,)),
    Operation("POST", "/folders/rights", "mailboxes:write", change_folder_rights, problems=(404, 409)),
)
