"""Operations about aliases and groups: addresses that stand for others."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from engine.operations import aliases
from engine.operations.aliases import AliasRow
from engine.web.api.operating import SEGMENT, Address, Paged, embedded, operator_of, page
from engine.web.api.operation import Asked, Call, Operation, Page

Targets = Annotated[tuple[Address, ...], Meta(max_length=1000)]
AliasName = Annotated[
    str,
    Meta(
        min_length=2, max_length=320, pattern=SEGMENT, description="An address; or @example.org: all not known there."
    ),
]


class OneAlias(Asked, frozen=True):
    address: AliasName


class NewAlias(Asked, frozen=True):
    address: AliasName
    targets: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=1000)]


class OneGroup(Asked, frozen=True):
    address: Address


class NewGroup(Asked, frozen=True):
    address: Address
    members: Targets = ()


class Members(Asked, frozen=True):
    """Who is to be a member, and who no longer; and who may write to it, and owns it: null for as before."""

    add: Targets = ()
    remove: Targets = ()
    posting: Literal["anybody", "accounts", "members"] | None = None
    owners: Annotated[tuple[Address, ...], Meta(max_length=50)] | None = None


async def list_aliases(call: Call, *, query: Paged) -> Page[AliasRow]:
    """List aliases, by address."""
    rows = await call.blocking(aliases.listed, embedded(call), operator_of(call))
    return page(rows, lambda row: row.address, query)


async def add_alias(call: Call, *, body: NewAlias) -> AliasRow:
    """Let an address stand for others, here or elsewhere."""
    return await call.blocking(aliases.add, embedded(call), operator_of(call), body.address, body.targets)


async def remove_alias(call: Call, *, path: OneAlias) -> None:
    """Remove an alias."""
    await call.blocking(aliases.remove, embedded(call), operator_of(call), path.address)


async def list_groups(call: Call, *, query: Paged) -> Page[AliasRow]:
    """List groups and their members, by address."""
    rows = await call.blocking(aliases.groups, embedded(call), operator_of(call))
    return page(rows, lambda row: row.address, query)


async def add_group(call: Call, *, body: NewGroup) -> AliasRow:
    """Add a group: an address that stands for members who come and go."""
    return await call.blocking(aliases.add_group, embedded(call), operator_of(call), body.address, body.members)


async def show_group(call: Call, *, path: OneGroup) -> AliasRow:
    """Show a group and its members."""
    return await call.blocking(aliases.change_group, embedded(call), operator_of(call), path.address)


async def change_group(call: Call, *, path: OneGroup, body: Members) -> AliasRow:
    """Add members to a group, remove them, and say who may write to it and who owns it."""
    directory, by = embedded(call), operator_of(call)
    changed = await call.blocking(aliases.change_group, directory, by, path.address, body.add, body.remove)
    if body.posting is None and body.owners is None:
        return changed
    return await call.blocking(aliases.rule_group, directory, by, path.address, body.posting, body.owners)


async def remove_group(call: Call, *, path: OneGroup) -> None:
    """Remove a group; its members stay."""
    await call.blocking(aliases.remove_group, embedded(call), operator_of(call), path.address)


_READ: dict[str, Any] = {"scope": "accounts:read", "by_domain": True, "problems": (409, 422)}
_WRITE: dict[str, Any] = {"scope": "accounts:write", "by_domain": True}

ROWS = (
    Operation("GET", "/aliases", function=list_aliases, **_READ),
    Operation("POST", "/aliases", function=add_alias, **_WRITE, status=201, problems=(404, 409)),
    Operation("DELETE", "/aliases/{address}", function=remove_alias, **_WRITE, problems=(409, 422)),
    Operation("GET", "/groups", function=list_groups, **_READ),
    Operation("POST", "/groups", function=add_group, **_WRITE, status=201, problems=(404, 409)),
    Operation("GET", "/groups/{address}", function=show_group, **_READ),
    Operation("PATCH", "/groups/{address}", function=change_group, changes=show_group, **_WRITE, problems=(409,)),
    Operation("DELETE", "/groups/{address}", function=remove_group, changes=show_group, **_WRITE, problems=(409, 422)),
)
