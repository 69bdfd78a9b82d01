"""Operations about parked mail: it is looked for and looked at, let go on, deleted, and learnt from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine.message import MessageId
from engine.operations import quarantine as operations
from engine.operations.moments import Moment
from engine.operations.quarantine import Parked, ParkedRow
from engine.operations.shards import opened
from engine.quarantine.held import Wanted
from engine.queue.store import Shard, shard_numbers
from engine.spam import Kind
from engine.web.api.operating import Paged, ask, operator_of, page
from engine.web.api.operation import Asked, Call, Operation, Page
from engine.web.api.problems import missing, unmeant
from engine.web.api.queue import Id

Text = Annotated[str, Meta(max_length=320)]
Who = Annotated[str, Meta(max_length=320, description="An address, or a domain with all who are there.")]
Score = Annotated[float, Meta(ge=-1e6, le=1e6)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=1000)]


class Parking(Paged, frozen=True, rename={"sender": "from"}):
    to: Who = ""
    sender: Who = ""
    reason: Annotated[str, Meta(max_length=320, description="With this in the reason.")] = ""
    stage: Annotated[str, Meta(max_length=100, description="Parked by this stage.")] = ""
    after: Annotated[Moment | None, Meta(description="Parked later than this.")] = None
    before: Annotated[Moment | None, Meta(description="Parked earlier than this.")] = None
    score: Annotated[Score | None, Meta(description="With at least this scan.score.")] = None


class OneParked(Asked, frozen=True):
    id: Id


class Deciding(Asked, frozen=True, rename={"sender": "from"}):
    """Which messages: those of these ``ids``, or all that ``to``, ``from``, ``reason``, ``stage`` and ``score`` say, of
    which one must be there. With ``to`` it is decided for these recipients alone. ``train``: the spam filter learns
    that they are wanted, or that they are spam."""

    decision: Literal["release", "delete"]
    ids: Ids = ()
    to: Who = ""
    sender: Who = ""
    reason: Text = ""
    stage: Annotated[str, Meta(max_length=100)] = ""
    score: Score | None = None
    train: bool = False


class Learning(Asked, frozen=True):
    ids: Annotated[Ids, Meta(min_length=1)]
    kind: Literal["spam", "ham"]


class Undone(msgspec.Struct, frozen=True):
    """A message of which nothing came, and why."""

    id: str
    why: str


class Decided(msgspec.Struct, frozen=True):
    """What was done, and what was not."""

    done: list[str]
    undone: list[Undone]


class Learnt(msgspec.Struct, frozen=True):
    """Messages that were learnt: new ones, those that had been taken for the other kind, and those known already."""

    new: int
    changed: int
    known: int


async def list_parked(call: Call, *, query: Parking) -> Page[ParkedRow]:
    """List parked messages, by their ids, which grow with the time at which they came."""
    wanted = Wanted(
        to=query.to, sender=query.sender, reason=query.reason, stage=query.stage, score=query.score,
        after=query.after.timestamp() if query.after else 0.0,
        until=query.before.timestamp() if query.before else 2.0**40,
    )  # fmt: skip

    def read() -> list[ParkedRow]:
        with _shards(call) as shards:
            return operations.listed(shards, operator_of(call), wanted)

    return page(await call.blocking(read), lambda row: row.id, query)


async def show_parked(call: Call, *, path: OneParked) -> Parked:
    """Show a parked message: its envelope, what stages found, its header section, and how its text begins."""

    def read() -> Parked | None:
        with _shards(call) as shards:
            return operations.shown(shards, operator_of(call), MessageId.parse(path.id))

    found = await call.blocking(read)
    if found is None:
        raise missing("parked message of that id")
    return msgspec.structs.replace(found, facts=msgspec.to_builtins(found.facts, enc_hook=str))


async def decide_parked(call: Call, *, body: Deciding) -> Decided:
    """Release or delete parked messages. Of a token for some domains, it is for the recipients there alone."""
    if not (body.ids or body.to or body.sender or body.reason or body.stage or body.score is not None):
        raise unmeant("body", "name ids, or say which: to, from, reason, stage, score")
    if body.train:
        operator_of(call).check_all()
    wanted = Wanted(to=body.to, sender=body.sender, reason=body.reason, stage=body.stage, score=body.score)

    def decide() -> Decided:
        by = operator_of(call)
        with _shards(call) as shards:
            chosen, absent = operations.choose(shards, by, map(MessageId.parse, body.ids), wanted)
            kind: Kind = "ham" if body.decision == "release" else "spam"
            lessons = operations.lessons(by, kind, chosen) if body.train else {}
        said = {one.id: operations.decide(ask(call), by, body.decision, one) for one in chosen}
        done = [identity for identity, why in said.items() if not why]
        if body.train:
            operations.learn(call.context.stores.spam.words(), by, [lessons[identity] for identity in done])
        undone = [Undone(str(identity), why) for identity, why in said.items() if why]
        undone += [Undone(str(identity), "it is not parked") for identity in absent]
        return Decided(list(map(str, done)), undone)

    return await call.blocking(decide)


async def train_parked(call: Call, *, body: Learning) -> Learnt:
    """Teach the spam filter what parked messages are. They stay parked."""

    def learn() -> Learnt:
        by = operator_of(call)
        with _shards(call) as shards:
            chosen, _ = operations.choose(shards, by, map(MessageId.parse, body.ids))
            lessons = operations.lessons(by, body.kind, chosen)
        done = operations.learn(call.context.stores.spam.words(), by, lessons.values())
        return Learnt(done.new, done.changed, done.known)

    return await call.blocking(learn)


@contextmanager
def _shards(call: Call) -> Iterator[list[Shard]]:
    """All shards, to be read for a moment."""
    with ExitStack() as stack:
        yield [stack.enter_context(opened(call.config, number)) for number in shard_numbers(call.context.data)]


_READ: dict[str, Any] = {"scope": "quarantine:read", "by_domain": True}
_WRITE: dict[str, Any] = {"scope": "quarantine:write", "by_domain": True}

ROWS = (
    Operation("GET", "/quarantine", function=list_parked, **_READ),
    Operation("POST", "/quarantine/decisions", function=decide_parked, **_WRITE, seconds=120.0),
    Operation("POST", "/quarantine/train", "quarantine:write", train_parked),
    Operation("GET", "/quarantine/{id}", function=show_parked, **_READ),
)
