"""Operations about quotas: how much mailboxes may hold, how much they do, and who says so."""

from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from engine.directory import Limit
from engine.operations import filling, quotas
from engine.operations.filling import FillingRow
from engine.operations.quotas import QuotaPart, QuotaRow
from engine.web.api.operating import SEGMENT, Paged, embedded, operator_of, page, reading
from engine.web.api.operation import Asked, Call, Operation, Page

Share = Annotated[int, Meta(ge=0, le=1000)]
Most = Annotated[int, Meta(ge=0, le=2**53 - 1, description="0: as much as it likes.")]


class Fullness(Paged, frozen=True):
    over: Annotated[Share | None, Meta(description="Only those so many per cent full, or fuller.")] = None


class Ahead(Asked, frozen=True):
    within: Annotated[int, Meta(ge=0, le=3650, description="Days.")] = int(filling.SOON)


class OneQuota(Asked, frozen=True):
    name: Annotated[
        str, Meta(min_length=1, max_length=320, pattern=SEGMENT, description="An account, a group, or a domain.")
    ]


class NewQuota(Asked, frozen=True):
    """How much the account, each member of the group, or each account of the domain may hold; ``total_``: all accounts
    of a domain together. What is null stays as it is."""

    octets: Most | None = None
    messages: Most | None = None
    total_octets: Most | None = None
    total_messages: Most | None = None


async def list_quotas(call: Call, *, query: Fullness) -> Page[QuotaRow]:
    """List what accounts hold and may hold, by address."""
    directory, by = embedded(call), operator_of(call)
    rows = await call.blocking(quotas.listed, directory, reading(call), call.config.quota, by, query.over)
    return page(rows, lambda row: row.address, query)


async def forecast_quotas(call: Call, *, query: Ahead) -> list[FillingRow]:
    """List who will be full, and in how many days, by a straight line through the last weeks; who comes first first.

    It rests on what was written down day by day. Nothing is said of accounts of which less than a week is known.
    """
    directory, growth, by = embedded(call), call.context.growth, operator_of(call)
    return await call.blocking(filling.soon, directory, growth, call.config.quota, by, query.within)


async def show_quota(call: Call, *, path: OneQuota) -> list[QuotaPart]:
    """Show what an account holds, what it may hold, and who says so; or what was said for a group or a domain."""
    directory, by = call.context.directory(), operator_of(call)
    return await call.blocking(quotas.shown, directory, reading(call), call.config.quota, by, path.name)


async def set_quota(call: Call, *, path: OneQuota, body: NewQuota) -> None:
    """Say how much an account, each member of a group, or each account of a domain may hold."""
    each, total = Limit(body.octets, body.messages), Limit(body.total_octets, body.total_messages)
    await call.blocking(partial(quotas.say, embedded(call), operator_of(call), path.name, each, total))


async def unset_quota(call: Call, *, path: OneQuota) -> None:
    """Take back what was said of this very name; what is said elsewhere counts again."""
    await call.blocking(quotas.unset, embedded(call), operator_of(call), path.name)


_READ: dict[str, Any] = {"scope": "accounts:read", "by_domain": True}
_WRITE: dict[str, Any] = {"scope": "accounts:write", "by_domain": True, "problems": (409, 422)}

ROWS = (
    Operation("GET", "/quotas", function=list_quotas, **_READ, problems=(409,)),
    Operation("GET", "/quotas/forecast", function=forecast_quotas, **_READ, problems=(409,)),
    Operation("GET", "/quotas/{name}", function=show_quota, **_READ, problems=(422,)),
    Operation("PUT", "/quotas/{name}", function=set_quota, **_WRITE),
    Operation("DELETE", "/quotas/{name}", function=unset_quota, **_WRITE),
)
