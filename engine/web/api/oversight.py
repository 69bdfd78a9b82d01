"""Operations about oversight of people's mail, for programs that watch: what was done, what is granted and held."""

from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.operations import holding
from engine.operations import oversight as operations
from engine.operations.holding import HoldRow
from engine.operations.moments import Moment
from engine.operations.oversight import GrantRow
from engine.oversight import Entry
from engine.oversight.entries import digest, written
from engine.web.api.operating import operator_of, reading
from engine.web.api.operation import Asked, Call, Operation

MOST = 1000
"""Entries of one answer."""


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
    """List accounts of which nothing is removed for good."""
    return await call.blocking(holding.listed, call.context.stores.oversight, reading(call), operator_of(call))


ROWS = (
    Operation("GET", "/oversight/entries", "oversight:read", list_audit_entries),
    Operation("GET", "/oversight/grants", "oversight:read", list_grants),
    Operation("GET", "/oversight/holds", "oversight:read", list_holds),
)
