"""Operations about the queue: what waits, what is held and parked, and what becomes of it."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from engine.message import MessageId
from engine.operations import orders, snapshots
from engine.operations import queue as operations
from engine.operations.moments import Moment, moment
from engine.operations.orders import Report
from engine.operations.snapshots import Restored, Snapshot, Taken, Verified
from engine.queue.orders import MEANT, RETURNED, RETURNED_CODE, Word
from engine.queue.orders import Order as OrderName
from engine.queue.search import STATES, Selection
from engine.queue.tally import Counted
from engine.web.api.cursors import cursor_of, position_of
from engine.web.api.jobs import Job, Progress
from engine.web.api.operating import operator_of
from engine.web.api.operation import Asked, Call, Operation, Page
from engine.web.api.problems import missing, unmeant
from engine.web.api.trying import by_program

_WHICH = (
    'Ids, and conditions such as `domain == "example.net" and age > 2h`, which must all hold: docs/queue.md says what '
    "they may name."
)
Which: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=2000)], ...], Meta(max_length=1000, description=_WHICH)
]
Few: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=500)], ...], Meta(max_length=8, description=_WHICH)
]
"""The same in a query, of which no more fits in the head of a request."""
Id: TypeAlias = Annotated[
    str, Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$", description="Of a message, such as 01J9ZK3V5Q8W2R7T4Y6N0BCDEF.")
]
SnapshotName: TypeAlias = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Such as 2026-11-29.")
]
Sort: TypeAlias = Literal["due", "size", "age", "attempts", "sender", "reply", "line"]
Group: TypeAlias = Literal["domain", "site", "sender", "sender.domain", "tenant", "reply", "line", "lane", "state"]


class Listed(Asked, frozen=True):
    which: Few = ()
    limit: Annotated[int, Meta(ge=1, le=1000, description="Messages of one page.")] = 100
    cursor: Annotated[
        str, Meta(max_length=64, description="`next` of the page before; not with `sort` or `reverse`.")
    ] = ""
    sort: Annotated[Sort | None, Meta(description="Instead of the oldest first; then there is one page.")] = None
    reverse: Annotated[bool, Meta(description="The last ones first; then there is one page.")] = False


class Chosen(Asked, frozen=True):
    which: Few = ()


class Grouped(Asked, frozen=True):
    which: Few = ()
    by: Annotated[Group, Meta(description="What to count.")] = "domain"
    limit: Annotated[int, Meta(ge=1, le=1000, description="Groups, the largest first.")] = 20


class OneMessage(Asked, frozen=True):
    id: Id


class Message(msgspec.Struct, frozen=True):
    """A message in the queue. ``due``: of the next attempt, or of the turn of its line; null where it does not wait."""

    id: str
    state: Literal["waiting", "held", "quarantined"]
    sender: str
    recipients: list[str]
    size: int
    arrived: Moment
    attempts: int
    due: Moment | None
    line: str
    sites: list[str]
    lane: str
    tenant: str
    priority: int
    reply: str
    shard: int


class Recipient(msgspec.Struct, frozen=True):
    """Somebody whom it is still for. ``original``: the address that the sender gave (RFC 3461)."""

    address: str
    notify: str
    original: str
    lane: str


class Session(msgspec.Struct, frozen=True):
    """The connection that has brought it. ``login``: the account that handed it in."""

    peer: str
    helo: str
    protocol: str
    tls: str
    login: str
    trusted: bool


class WholeMessage(Message, frozen=True):
    """A message in the queue with all that is known of it. ``decided``: when it was put off, held or parked."""

    envid: str = ""
    requiretls: bool = False
    decided: Moment | None = None
    expires: Moment | None = None
    to: list[Recipient] = []
    session: Session | None = None
    facts: dict[str, Any] = {}
    header: str = ""


class Count(msgspec.Struct, frozen=True):
    """How many there are."""

    messages: int


class GroupCount(msgspec.Struct, frozen=True):
    """Messages that have something in common. ``oldest``: seconds. ``ages``: how many are so old at most."""

    name: str
    messages: int
    octets: int
    oldest: int
    ages: dict[str, int]


class Groups(msgspec.Struct, frozen=True):
    """``all``: of all groups. A message for several domains counts for each."""

    all: GroupCount
    groups: list[GroupCount]


class AnyOrder(Asked, frozen=True, tag_field="order"):
    """What all orders have: which messages, or all; and whether they are only to be counted."""

    which: Which = ()
    all: Annotated[bool, Meta(description="All messages for which this can be done; else `which` must say some.")] = (
        False
    )
    dry_run: Annotated[bool, Meta(description="Only count them.")] = False


class Retry(AnyOrder, frozen=True, tag="retry"):
    """Try messages that wait now. All of a line: its first one goes ahead."""


class Hold(AnyOrder, frozen=True, tag="hold"):
    """Hold messages that wait back, until they are released."""


class Release(AnyOrder, frozen=True, tag="release"):
    """Let messages go on: what was held where it was, what was parked from behind `queue`."""


class Reroute(AnyOrder, frozen=True, tag="reroute"):
    """Send messages another way, and try them now. One of ``lane``, ``to_site``, ``by_dns`` must be there."""

    lane: Annotated[str, Meta(max_length=100, description="They go on in this lane.")] = ""
    to_site: Annotated[str, Meta(max_length=300, description="They go to this server: host, or host:port.")] = ""
    by_dns: Annotated[bool, Meta(description="They no longer go to the server that was named.")] = False


class Expire(AnyOrder, frozen=True, tag="expire"):
    """Give messages up; their senders are told that they could not be delivered in time."""


class Bounce(AnyOrder, frozen=True, tag="bounce"):
    """Return messages to their senders at once."""

    text: Annotated[str, Meta(min_length=1, max_length=500, description="What the senders are told.")] = RETURNED
    code: Annotated[str, Meta(pattern=f"^{orders.FAILURE}$", description="RFC 3463.")] = RETURNED_CODE


class Delete(AnyOrder, frozen=True, tag="delete"):
    """Delete messages, whatever they wait for; nobody is told."""


Order: TypeAlias = Retry | Hold | Release | Reroute | Expire | Bounce | Delete


class NotMeant(msgspec.Struct, frozen=True):
    """An id that was named, and why it is left out."""

    id: str
    why: str


class Ordered(msgspec.Struct, frozen=True):
    """What came of an order. ``open``: messages of which nobody knows, for their owner has not answered; others that
    are not done are on their way already, or as they were."""

    order: str
    selected: int
    done: int
    open: int
    dry_run: bool
    left_out: list[NotMeant] = []


class Line(Asked, frozen=True):
    line: Annotated[str, Meta(min_length=1, max_length=300, description="The name of a line: a domain, mostly.")]


class Turns(msgspec.Struct, frozen=True):
    """In how many shards the line has its turn now."""

    turns: int


class NewSnapshot(Asked, frozen=True):
    name: SnapshotName


class OneSnapshot(Asked, frozen=True):
    name: SnapshotName


def _selection(call: Call, which: Sequence[str], states: Sequence[str] = STATES) -> Selection:
    """Problem."""
    reach = call.caller.reach_on(call.context.directory().is_local)
    try:
        return Selection.told(which, time.time(), states, None if reach.is_all else reach.has)
    except (ValueError, RecursionError) as error:
        raise unmeant("which", str(error)) from error


async def list_queue(call: Call, *, query: Listed) -> Page[Message]:
    """List messages in the queue, the oldest first."""
    if query.cursor and (query.sort or query.reverse):
        raise unmeant("query.cursor", "there is one page where sort or reverse are given")
    after = position_of(query.cursor, 16)
    selection = _selection(call, query.which)

    def read() -> list[operations.Row]:
        by, reverse = query.sort or "", query.reverse
        return list(operations.listed(call.config, selection, limit=query.limit, by=by, reverse=reverse, after=after))

    rows = await call.blocking(read)
    more = len(rows) == query.limit and not (query.sort or query.reverse)
    return Page([_message(row) for row in rows], cursor_of(bytes(rows[-1].id)) if more else "")


def _message(row: operations.Row) -> Message:
    return msgspec.convert(_plain(msgspec.structs.asdict(row)), Message)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row, "id": str(row["id"]), "recipients": list(row["recipients"]), "sites": list(row["sites"]),
        "arrived": moment(row["arrived"]), "due": moment(row["due"]),
    }  # fmt: skip


async def count_queue(call: Call, *, query: Chosen) -> Count:
    """Count messages in the queue."""
    return Count(await call.blocking(operations.count, call.config, _selection(call, query.which)))


async def group_queue(call: Call, *, query: Grouped) -> Groups:
    """Count messages by what they have in common, and by age: where most of them wait."""
    selection = _selection(call, query.which)
    total, groups = await call.blocking(operations.counted_by, call.config, selection, query.by)
    return Groups(_group(total), [_group(one) for one in groups[: query.limit]])


_AGES = ("5m", "30m", "1h", "4h", "12h", "1d", "3d", "older")


def _group(one: Counted) -> GroupCount:
    oldest = round(one.oldest) if one.messages else 0
    return GroupCount(one.name, one.messages, one.octets, oldest, dict(zip(_AGES, one.ages, strict=True)))


async def show_message(call: Call, *, path: OneMessage) -> WholeMessage:
    """Show a message in the queue: envelope, facts, header section, and what happens next."""
    within = call.caller.reach_on(call.context.directory().is_local).has
    about = await call.blocking(operations.about, call.config, MessageId.parse(path.id), within)
    if about is None:
        raise missing("message of that id in the queue")
    addresses = [one["address"] for one in about["recipients"]]
    told = _plain({**about, "recipients": addresses}) | {
        "to": [_said(one) for one in about["recipients"]],
        "session": about["session"],
        "decided": moment(about["decided"]),
        "expires": moment(about["expires"]),
        "facts": {name: _fact(value) for name, value in about["facts"].items()},
    }
    return msgspec.convert(told, WholeMessage)


def _said(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one.get(name) or "" for name in ("address", "notify", "original", "lane")}


def _fact(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)


async def order_messages(call: Call, *, body: Order) -> Job[Ordered]:
    """Have something done to messages in the queue, or count those that it would be done to.

    Some hundreds at a time: each message is as it was, or it is done, also when the job stops or fails on its way.
    """
    word = _word(call, body)
    if bool(body.which) == body.all:
        raise unmeant("body.which", "say either which, or all")
    selection = _selection(call, body.which, sorted(MEANT[word.order]))
    word = msgspec.structs.replace(word, by=call.caller.by, which=selection.words or "all")

    async def work(progress: Progress) -> None:
        chosen = await call.blocking(operations.choose, call.config, selection)
        left_out = await call.blocking(operations.missing, call.config, selection, chosen)
        missed = [NotMeant(str(identity), why) for identity, why in left_out]
        report = Report(sum(map(len, chosen.values())))
        try:
            if not body.dry_run and word.order == "retry" and selection.line:
                await orders.take_turn(call.config, selection.line, word.by)
                report.done = report.total
            elif not body.dry_run:
                await orders.carry_out(call.config, word, chosen, report, progress.told)
        finally:
            await orders.noted(operator_of(call), word, report)
            progress.result = Ordered(word.order, report.total, report.done, report.open, body.dry_run, missed)

    return await call.job(work)


def _word(call: Call, order: Order) -> Word:
    """Problem."""
    match order:
        case Reroute():
            return _way(call, order)
        case Bounce():
            if not order.text.strip() or not order.text.isprintable():
                raise unmeant("body.text", "it must be one line")
            return Word("bounce", text=order.text, code=order.code)
    name: OrderName = order.__struct_config__.tag  # type: ignore[assignment]
    return Word(name)


def _way(call: Call, order: Reroute) -> Word:
    if not (order.lane or order.to_site or order.by_dns) or (order.to_site and order.by_dns):
        raise unmeant("body", "say where: lane, and to_site or by_dns")
    try:
        orders.check_way(call.config, order.lane, order.to_site)
    except ValueError as error:
        raise unmeant("body", str(error)) from error
    return Word("reroute", lane=order.lane, to_site="" if order.by_dns else order.to_site or None)


async def take_turn(call: Call, *, body: Line) -> Turns:
    """Let a line have its turn now: its first message goes ahead."""
    turns = await orders.take_turn(call.config, body.line, call.caller.by)
    if not turns:
        raise missing("line of that name")
    return Turns(turns)


async def verify_queue(call: Call) -> Job[Verified]:
    """Check every message in the queue against every index and its content. Nothing is changed."""
    return await _by_program(call, snapshots.wanted(call.config, "verify"), Verified)


async def list_snapshots(call: Call) -> list[Snapshot]:
    """List the snapshots of the queue that the server keeps in its data folder."""
    return await call.blocking(snapshots.kept, call.config.server.data)


async def take_snapshot(call: Call, *, body: NewSnapshot) -> Job[Taken]:
    """Write all messages in the queue into a file in the server's data folder, which the API never hands out."""
    await call.blocking(snapshots.check_room, call.config, body.name)
    return await _by_program(call, snapshots.wanted(call.config, "take", body.name), Taken)


async def remove_snapshot(call: Call, *, path: OneSnapshot) -> None:
    """Remove a snapshot."""
    await call.blocking(snapshots.removed, call.config.server.data, path.name)


async def restore_snapshot(call: Call, *, path: OneSnapshot) -> Job[Restored]:
    """Put back what is in a snapshot and not in the queue; what waited there is held, until it is released.

    What was delivered since the snapshot was taken is in it too, and would be sent again.
    """
    file = snapshots.file_of(call.config.server.data, path.name)
    if not await call.blocking(file.exists):
        raise missing("snapshot of that name")
    return await _by_program(call, snapshots.wanted(call.config, "restore", path.name, call.caller.by), Restored)


async def _by_program(call: Call, wanted: snapshots.Wanted, kind: type[Any]) -> Job[Any]:
    refused = "it could not be done; the log of the server may say why"
    return await call.job(partial(by_program, "engine.operations.snapshots", wanted, kind, refused))


ROWS = (
    Operation("GET", "/queue/messages", "queue:read", list_queue, by_domain=True),
    Operation("GET", "/queue/messages/{id}", "queue:read", show_message, by_domain=True),
    Operation("GET", "/queue/count", "queue:read", count_queue, by_domain=True),
    Operation("GET", "/queue/groups", "queue:read", group_queue, by_domain=True),
    Operation("POST", "/queue/orders", "queue:write", order_messages, by_domain=True),
    Operation("POST", "/queue/turns", "queue:write", take_turn, problems=(404,)),
    Operation("POST", "/queue/verifications", "queue:write", verify_queue),
    Operation("GET", "/queue/snapshots", "queue:read", list_snapshots),
    Operation("POST", "/queue/snapshots", "queue:write", take_snapshot, problems=(404, 409)),
    Operation("DELETE", "/queue/snapshots/{name}", "queue:write", remove_snapshot),
    Operation("POST", "/queue/snapshots/{name}/restoration", "queue:write", restore_snapshot),
)
