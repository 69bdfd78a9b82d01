"""What operators see of the queue: messages that are found, listed, counted, and looked at."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias

import msgspec

from engine.config import Basis
from engine.message import TENANT, MessageId
from engine.operations.shards import counted, of_each, opened
from engine.queue.briefs import NAMES
from engine.queue.search import NotBriefly, Seen, Selection, Within, briefly, found, how_many, pages
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard, shard_numbers
from engine.queue.tally import Counted, named, tallied
from engine.storage.environment import StorageError

Chosen: TypeAlias = Mapping[int, Sequence[MessageId]]
"""Ids of messages by their shards."""

SORTED: Mapping[str, tuple[str, Callable[[Seen], Any]]] = {
    "due": ("due", lambda seen: seen.due),
    "size": ("size", lambda seen: -seen.size),
    "age": ("arrived", lambda seen: seen.envelope.arrived),
    "attempts": ("attempts", lambda seen: -seen.envelope.attempts),
    "sender": ("sender", lambda seen: seen.envelope.sender.lower()),
    "reply": ("reason", lambda seen: seen.reason),
    "line": ("line", lambda seen: seen.line),
}
"""By what a list may be sorted, besides ids: the field, and its order; what is much comes first."""

_IS = {WAITING: "it waits", HELD: "it is held", QUARANTINED: "it is parked"}

_TOGETHER = 1000
"""Records that are read whole in one view of the store."""


class Row(msgspec.Struct, frozen=True):
    """A message as it is listed. Times are Unix times; 0: none."""

    id: MessageId
    shard: int
    state: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    arrived: float
    attempts: int
    due: float  # of the next attempt
    line: str
    sites: tuple[str, ...]
    lane: str
    tenant: str
    priority: int
    reply: str


def choose(config: Basis, selection: Selection) -> Chosen:
    """Those that are selected, by their shards, each the oldest first. StorageError."""

    def ids(shard: Shard) -> bytes:
        return b"".join(key for page in found(shard, selection) for key, _ in page)

    joined = of_each(config, ids)
    return {number: list(map(MessageId, _cut(some))) for number, some in joined.items()}


def _cut(joined: bytes) -> Iterator[bytes]:
    return (joined[at : at + 16] for at in range(0, len(joined), 16))


def count(config: Basis, selection: Selection) -> int:
    """How many are selected. StorageError."""
    if selection.is_everything:
        return counted(config)
    return sum(of_each(config, lambda shard: how_many(shard, selection)).values())


def listed(
    config: Basis, selection: Selection, *, limit: int = 0, by: str = "", reverse: bool = False, after: bytes = b""
) -> Iterator[Row]:
    """Those that are selected, in order; 0: however many they are. StorageError.

    ``by``: what they are sorted by, a key of ``SORTED``; empty: by age of their ids. ``after``: an id that is before.
    """
    if not by and not limit and not reverse and not after:
        yield from _all_rows(config, selection)
        return
    picked = of_each(config, lambda shard: _first(shard, selection, limit, by, reverse=reverse, after=after))
    keyed = [(key, identity, number) for number, some in picked.items() for key, identity in some]
    keyed.sort(reverse=reverse)
    chosen = keyed[: limit or None]
    rows: dict[bytes, Row] = {}
    for number in picked:
        with opened(config, number) as shard:
            for record in shard.records([MessageId(identity) for _, identity, where in chosen if where == number]):
                rows[record.id] = row(shard, record)
    yield from (rows[identity] for _, identity, _ in chosen if identity in rows)


def _all_rows(config: Basis, selection: Selection) -> Iterator[Row]:
    """One after the other: nobody waits until all have been read."""
    with ExitStack() as stack:
        numbers = shard_numbers(config.server.data)
        streams = [_rows(stack.enter_context(opened(config, number)), selection) for number in numbers]
        yield from heapq.merge(*streams, key=lambda row: row.id)


def _rows(shard: Shard, selection: Selection) -> Iterator[Row]:
    for page in found(shard, selection):
        for start in range(0, len(page), _TOGETHER):
            for record in shard.records([MessageId(key) for key, _ in page[start : start + _TOGETHER]]):
                yield row(shard, record)


def _first(
    shard: Shard, selection: Selection, limit: int, by: str, *, reverse: bool, after: bytes
) -> list[tuple[Any, bytes]]:
    """The first ones of a shard, with what they are sorted by."""
    if not by:
        ids = chain.from_iterable(page.ids for page in pages(shard, selection, after=after, reverse=reverse))
        return [(identity, identity) for identity in islice(ids, limit or None)]
    name, key = SORTED[by]
    choose = partial(heapq.nlargest if reverse else heapq.nsmallest, limit) if limit else list
    if by in NAMES and selection.is_brief and not after:
        with suppress(NotBriefly):
            return choose(_briefly(shard, selection, by))
    keyed = chain.from_iterable(
        zip(map(key, page.seen), page.ids, strict=True) for page in pages(shard, selection, {name}, after)
    )
    return choose(keyed)


def _briefly(shard: Shard, selection: Selection, by: str) -> Iterator[tuple[Any, bytes]]:
    """By what the indexes say. NotBriefly."""
    name, key = SORTED[by]
    with shard.briefs() as indexes:
        for some, ids, others in briefly(indexes, selection, {name}):
            yield from ((key(one), one.envelope.id) for one in some)
            yield from zip(map(key, others), ids, strict=True)


def row(shard: Shard, record: Record) -> Row:
    """What a list shows of a record."""
    envelope = record.envelope
    return Row(
        id=record.id,
        shard=shard.number,
        state=record.state,
        sender=envelope.sender,
        recipients=tuple(one.address for one in envelope.recipients),
        size=record.size,
        arrived=envelope.arrived,
        attempts=envelope.attempts,
        due=next_attempt(shard, record),
        line=record.line or record.back,
        sites=record.sites,
        lane=record.lane,
        tenant=str(envelope.facts.get(TENANT, "")),
        priority=envelope.timing.priority,
        reply=record.reason,
    )


def next_attempt(shard: Shard, record: Record) -> float:
    """Unix time at which a message is tried again, or its line has its turn; 0 when it does not wait."""
    if record.state != WAITING:
        return 0.0
    turn = shard.turn(record.line) if record.line else None  # what stands in line goes out by itself only at the end
    return max(record.due if turn is None else min(turn, record.due), 0.0)


def find(config: Basis, identity: MessageId) -> tuple[int, Record] | None:
    """The message of that id, and its shard. StorageError."""
    for number in shard_numbers(config.server.data):
        with opened(config, number) as shard:
            for record in shard.records([identity]):
                return number, record
    return None


def counted_by(config: Basis, selection: Selection, group: str) -> tuple[Counted, list[Counted]]:
    """How many are selected in all, and how many for each domain, or whatever else of ``GROUPED``, the most first.

    Messages that are for several count for each of them. StorageError.
    """
    total, groups = Counted(""), dict[str, Counted]()
    for part, some in of_each(config, lambda shard: tallied(shard, selection, group)).values():
        total.add(named("", part))
        for name, sums in some:
            groups.setdefault(name, Counted(name)).add(named(name, sums))
    return total, sorted(groups.values(), key=lambda one: (-one.messages, one.name))


def missing(config: Basis, selection: Selection, chosen: Chosen) -> list[tuple[MessageId, str]]:
    """Of the ids that are named, those that cannot be meant, each with the reason. StorageError."""
    if not selection.ids:
        return []
    there = {identity for identities in chosen.values() for identity in identities}
    return [(one, _why_missing(config, selection, one)) for one in selection.ids if one not in there]


def _why_missing(config: Basis, selection: Selection, identity: MessageId) -> str:
    where = find(config, identity)
    if where is None or not _is_within(selection.within, where[1]):
        return "there is no such message"
    if where[1].state not in selection.states:
        return _IS[where[1].state]
    return "the condition does not hold for it"


def _is_within(within: Within | None, record: Record) -> bool:
    envelope = record.envelope
    return within is None or within(envelope.session.login, [one.address for one in envelope.recipients])


def about(config: Basis, identity: MessageId, within: Within | None = None) -> dict[str, Any] | None:
    """All that is known of a message in the queue; None when it is not there, or not within. StorageError."""
    where = find(config, identity)
    if where is None or not _is_within(within, where[1]):
        return None
    number, record = where
    envelope, session, timing = record.envelope, record.envelope.session, record.envelope.timing
    with opened(config, number) as shard:
        shown = msgspec.structs.asdict(row(shard, record))
        header = _header(shard, record)
    return {
        **shown,
        "id": str(identity),
        "recipients": [msgspec.to_builtins(one) for one in envelope.recipients],
        "session": msgspec.to_builtins(session),
        "timing": msgspec.to_builtins(timing),
        "envid": envelope.envid,
        "requiretls": envelope.requiretls,
        "decided": record.decided,  # when it was put off, parked or held
        "warned": record.warned,
        "expires": envelope.begun + config.queue.expire if record.state == WAITING else 0.0,
        "facts": dict(envelope.facts),
        "header": header,
    }


def _header(shard: Shard, record: Record) -> str:
    """The header section with lines that end in a line feed; why it cannot be read, if its file is lost."""
    try:
        return shard.message(record).header_octets().decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    except StorageError as error:
        return f"({error})"


def content(config: Basis, identity: MessageId) -> Iterator[bytes] | None:
    """The whole message in chunks; None when it is not there. StorageError."""
    where = find(config, identity)
    return None if where is None else _chunks(config, *where)


def _chunks(config: Basis, number: int, record: Record) -> Iterator[bytes]:
    with opened(config, number) as shard:
        yield from shard.message(record).chunks()
