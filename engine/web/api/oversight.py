"""Operations about oversight of people's mail: what was done, what is granted, and what is held."""

from functools import partial
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.directory import AUDITOR, Roles
from engine.finding import words
from engine.finding.search import TooLong
from engine.operations import holding, looking
from engine.operations import oversight as operations
from engine.operations.holding import HoldRow
from engine.operations.looking import FoundRows
from engine.operations.moments import Moment
from engine.operations.operator import Operator
from engine.operations.oversight import GrantRow
from engine.oversight import Entry, NoSuchGrant, Refusal, Whose
from engine.oversight.entries import digest, written
from engine.web import means
from engine.web.api.operating import SEGMENT, change, embedded, operator_of, reading
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import Problem, unmeant

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


class OneGrant(Asked, frozen=True):
    number: Annotated[int, Meta(ge=1, le=2**53)]


class Searching(Asked, frozen=True):
    query: Annotated[str, Meta(min_length=1, max_length=words.LONGEST, description="As in the webmail.")]
    after: Annotated[str, Meta(max_length=100, description="`next` of the answer before.")] = ""


async def search_by_grant(call: Call, *, path: OneGrant, body: Searching) -> FoundRows:
    """Search the mail of those whom an open grant is about: one that the token's auditor has asked for.

    The search stands in the audit log, with the token's name, before it is made. No token asks for a grant, consents
    to one, or reads what it has found.
    """
    opened, by, name = call.context.stores.oversight, _auditor(call), call.caller.name
    where = call.context.mailboxes(), means.index(call.context)
    search = partial(looking.search, opened, where, by, path.number, body.query, after=body.after, token=name)
    try:
        return await call.blocking(search)
    except NoSuchGrant as error:
        raise Problem(404, str(error)) from error
    except Refusal as error:
        raise Problem(403, str(error)) from error
    except ValueError as error:
        raise unmeant("body.after", "this is no place of ours") from error
    except TooLong as error:
        raise Problem(503, "the search would take too long: ask for less") from error


def _auditor(call: Call) -> Operator:
    """Whose grants the token may use, if they are an auditor still. Problem."""
    account = embedded(call).account(call.caller.auditor) if call.caller.auditor else None
    if account is None or account.suspended or not Roles(account.roles).has(AUDITOR):
        raise Problem(403, "the token is made for nobody who is an auditor now: postroad token add --auditor")
    return Operator(account.address, note=call.context.note, peer=call.caller.peer)


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
    Operation(
        "POST", "/oversight/grants/{number}/searches", "oversight:look", search_by_grant, problems=(403, 404, 422)
    ),
    Operation("GET", "/oversight/holds", "oversight:read", list_holds),
    Operation("POST", "/oversight/holds", "oversight:write", add_hold, status=201, problems=(404, 409, 422)),
    Operation("DELETE", "/oversight/holds/{which}", "oversight:write", lift_hold, problems=(404, 422)),
)
