"""Operations about oversight of people's mail: what was done, what is granted, and what is held."""

from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.operations import holding
from engine.operations import oversight as operations
from engine.operations.holding import HoldRow
from engine.operations.moments import Moment
from engine.operations.oversight import GrantRow
from engine.oversight import Entry, Refusal, Whose
from engine.oversight.entries import digest, written
from engine.web.api.operating import SEGMENT, change, embedded, operator_of, reading
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import Problem

MOST = 1000
"""Entries of one answer."""

Which = Annotated[
    str, Meta(min_length=1, max_length=320, pattern=SEGMENT, description="An account, a group, or a domain.")
]
Reason = Annotated[
    str, Meta(min_length=1, max_length=2000, pattern=r"\S", description="Why; it stands in the audit log for good.")
]


class Following(Asked, frozen=True):
    after: Annotated[int, Meta(ge=0, le=2**53, description="The number of the last entry that is known.")] = 0
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many entries at most.")] = 100


class AuditEntry(msgspec.Struct, frozen=True):
    """An entry of the audit log. ``hash``: the SHA-256 of its line in an export; ``before``: that of the entry before
    it.
    """

    number: int
    time: Moment
    what: str
    by: str
    peer: str
    about: tuple[str, ...]
    details: dict[str, Any]
    before: str
    hash: str


async def list_audit_entries(call: Call, *, query: Following) -> list[AuditEntry]:
    """List entries of the audit log, the oldest first: those behind a number."""
    opened = call.context.stores.oversight
    return await call.blocking(lambda: [_row(one) for one in islice(opened.entries(query.after), query.limit)])


def _row(one: Entry) -> AuditEntry:
    return AuditEntry(
        one.number, one.time, one.what, one.by, one.peer, one.about, dict(one.details), one.before,
        digest(written(one)),
    )  # fmt: skip


async def list_grants(call: Call) -> list[GrantRow]:
    """List all grants to look at people's mail that there ever were, the newest first."""
    return await call.blocking(operations.listed, call.context.stores.oversight, operator_of(call))


async def list_holds(call: Call) -> list[HoldRow]:
    """List accounts, domains and groups of which nothing is removed for good."""
    return await call.blocking(holding.listed, call.context.stores.oversight, reading(call), operator_of(call))


class NewHold(Asked, frozen=True):
    which: Which
    reason: Reason


class OneHold(Asked, frozen=True):
    which: Which


class Lifting(Asked, frozen=True):
    reason: Reason


async def add_hold(call: Call, *, body: NewHold) -> list[HoldRow]:
    """Hold an account, or all of a domain or a group, those too who come to it later: nothing of it is removed for
    good. All holds that there are then.
    """
    opened, by, directory = call.context.stores.oversight, operator_of(call), embedded(call)

    def begin() -> None:
        account = directory.account(body.which)
        if account is not None:
            holding.hold(opened, change(call), by, Whose(account.id, account.address), body.reason)
        else:
            holding.hold_wide(opened, directory, change(call), by, body.which, reason=body.reason)

    try:
        await call.blocking(begin)
    except Refusal as error:
        raise Problem(409, str(error)) from error
    return await list_holds(call)


async def lift_hold(call: Call, *, path: OneHold, query: Lifting) -> None:
    """End a hold. What it kept, and no other hold keeps, goes as if it had been removed when it was."""
    opened, by = call.context.stores.oversight, operator_of(call)

    def end() -> None:
        which = holding.found(opened, path.which)
        if isinstance(which, str):
            holding.lift_wide(opened, change(call), by, which, query.reason)
        elif which is not None:
            holding.lift(opened, holding.Ways(reading(call), change(call)), by, which, query.reason)
        else:
            raise Refusal(f"{path.which} is not held")

    try:
        await call.blocking(end)
    except Refusal as error:
        raise Problem(404, str(error)) from error


ROWS = (
    Operation("GET", "/oversight/entries", "oversight:read", list_audit_entries),
    Operation("GET", "/oversight/grants", "oversight:read", list_grants),
    Operation("GET", "/oversight/holds", "oversight:read", list_holds),
    Operation("POST", "/oversight/holds", "oversight:write", add_hold, status=201, problems=(404, 409, 422)),
    Operation("DELETE", "/oversight/holds/{which}", "oversight:write", lift_hold, problems=(404, 422)),
)
