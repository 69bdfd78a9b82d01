"""Operations about configurations: those that were in force, and the way by which another one comes in force."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import trio
from msgspec import Meta

from engine.condition import parse_condition
from engine.config import Problem as Mistake
from engine.operations import replaying, revising
from engine.operations.moments import Moment, moment
from engine.operations.previewing import Wanted
from engine.operations.revising import Revisions
from engine.operations.sampling import SAMPLE
from engine.operations.trying import UNTRIED
from engine.revisions import Kept, changes, in_folder, unified
from engine.runtime.state import Running, State
from engine.web.api import problems
from engine.web.api.jobs import Job, Progress
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import Problem, missing, unmeant
from engine.web.api.trying import by_program

LARGEST = 2**20
"""Octets of a request with a pipeline.toml."""

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500_000, description="A whole pipeline.toml.")]
Share: TypeAlias = Annotated[
    float,
    Meta(
        ge=0, le=100, description="Per cent of what comes in on which it is tried first; else as [server] canary says."
    ),
]
Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**53, description="Of a revision.")]


class OneRevision(Asked, frozen=True):
    number: Number


class Against(Asked, frozen=True):
    against: Annotated[Number | None, Meta(description="The later one; else the one in force.")] = None


class Written(Asked, frozen=True):
    text: Text


class Preview(Asked, frozen=True):
    text: Text
    sample: Annotated[
        int, Meta(ge=0, le=10_000_000, description="Messages of the queue that are looked at, evenly spread; 0: all.")
    ] = SAMPLE
    offline: Annotated[bool, Meta(description="Ask nobody else, such as the DNS.")] = False


class Replay(Asked, frozen=True):
    """Mail of people's mailboxes is not for programs to look through: that is done by the command, on the machine."""

    text: Text
    source: Annotated[Literal["queue", "quarantine"], Meta(description="What waits, or what is parked.")] = "queue"
    where: Annotated[str, Meta(max_length=2000, description="Only messages that meet this condition.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1_000_000, description="So many messages at most.")] = SAMPLE
    offline: Annotated[bool, Meta(description="Ask nobody else, such as the DNS.")] = False


class Change(Asked, frozen=True):
    text: Text
    canary: Share | None = None


class Revision(msgspec.Struct, frozen=True):
    """A configuration that was put in force, or was to be. ``changed``: in the one ``before``, in words."""

    number: int
    when: Moment | None
    by: str
    became: str
    changed: str
    before: int | None


class WholeRevision(Revision, frozen=True):
    """A revision with its texts. ``files``: those that it names, by path."""

    text: str
    files: dict[str, str]


class Changed(msgspec.Struct, frozen=True):
    """One thing that is not as it was."""

    what: str
    name: str
    how: str


class Difference(msgspec.Struct, frozen=True):
    """What a revision changed in another one: in words, and line by line."""

    changes: list[Changed]
    lines: list[str]


class WrongPlace(msgspec.Struct, frozen=True):
    """A mistake in a configuration. ``line``: 0 where it has none."""

    line: int
    place: str
    text: str


class Checked(msgspec.Struct, frozen=True):
    """Whether a configuration could be put in force, and if not, why."""

    good: bool
    problems: list[WrongPlace]


class Previewed(msgspec.Struct, frozen=True):
    """What would be opened, closed and restarted; and what would become of messages in the queue, of which each
    ``every``-th was looked at."""

    stages: dict[str, list[str]]
    listeners: dict[str, list[str]]
    workers: dict[str, list[str]]
    lanes: dict[str, list[str]]
    restart: dict[str, list[str]]
    queue: dict[str, Any]


class Group(msgspec.Struct, frozen=True):
    """Messages that would fare otherwise in the same way. ``values``: how many others there are of before and after."""

    kind: str
    name: str
    before: Any
    after: Any
    messages: int
    values: int
    examples: list[str]


class Replayed(msgspec.Struct, frozen=True):
    """What came of messages by both configurations. ``not_run``: stages that would have asked others."""

    messages: int
    different: int
    groups: list[Group]
    not_run: list[str]
    troubles: list[str]


class InForce(msgspec.Struct, frozen=True):
    """What is in force now, and on trial; null: nothing is."""

    revision: int
    trial: int | None


class Trial(msgspec.Struct, frozen=True):
    """A revision that is tried on a share of the mail: what came of its mail, and of what went by the one in force."""

    revision: int
    share: float
    since: Moment | None
    counts: dict[str, int]
    in_force: int
    beside: dict[str, int]


def _kept(call: Call) -> Revisions:
    return Revisions(call.config.path, call.config.server.data)


def _row(revisions: Revisions, kept: Kept) -> dict[str, Any]:
    row = revisions.row(kept)
    return row._asdict() | {"when": moment(row.when), "before": row.before or None}


async def list_revisions(call: Call) -> list[Revision]:
    """List the configurations that were put in force, the newest last."""

    def read() -> list[Revision]:
        revisions = _kept(call)
        return [Revision(**_row(revisions, kept)) for kept in revisions.all]

    return await call.blocking(read)


async def show_revision(call: Call, *, path: OneRevision) -> WholeRevision:
    """Show a revision with its text."""

    def read() -> WholeRevision:
        revisions = _kept(call)
        kept = revisions.get(path.number)
        return WholeRevision(**_row(revisions, kept), text=kept.text, files=kept.files)

    return await call.blocking(read)


async def show_current(call: Call) -> WholeRevision:
    """Show the configuration in force."""

    def read() -> WholeRevision:
        revisions = _kept(call)
        kept = revisions.current()
        return WholeRevision(**_row(revisions, kept), text=kept.text, files=kept.files)

    return await call.blocking(read)


async def compare_revisions(call: Call, *, path: OneRevision, query: Against) -> Difference:
    """Show what another revision, or the one in force, changed in this one."""

    def read() -> Difference:
        revisions = _kept(call)
        before = revisions.get(path.number)
        after = revisions.get(query.against) if query.against is not None else revisions.current()
        return Difference([Changed(*one) for one in changes(before, after)], unified(before, after))

    return await call.blocking(read)


async def check_text(call: Call, *, body: Written) -> Checked:
    """Say what is wrong with a configuration, without a change."""
    found = await call.blocking(revising.mistakes, body.text, call.config)
    return Checked(not found, list(map(_wrong, found)))


def _wrong(mistake: Mistake) -> WrongPlace:
    return WrongPlace(mistake.line, mistake.place, mistake.text)


async def preview_text(call: Call, *, body: Preview) -> Job[Previewed]:
    """Say what a configuration would change, without a change: of stages and workers, and of what waits."""
    await _look(call, body.text)
    before = await call.blocking(lambda: _kept(call).current())
    files = in_folder(before.files, call.config.path.parent)
    wanted = Wanted(str(call.config.path), before.text, files, body.text, body.sample, body.offline)
    return await call.job(partial(by_program, "engine.operations.previewing", wanted, Previewed, UNTRIED))


async def replay_mail(call: Call, *, body: Replay) -> Job[Replayed]:
    """Take mail that waits, or is parked, through a configuration and the one in force, and say what is different.

    Nothing is sent, stored, counted or learnt. What waits begins behind `queue`, what is parked at the head of its
    lane.
    """
    try:
        parse_condition(body.where) if body.where else None
    except (ValueError, RecursionError) as error:
        raise unmeant("body.where", str(error)) from error
    await _look(call, body.text)
    before = await call.blocking(lambda: _kept(call).current())
    files = in_folder(before.files, call.config.path.parent)
    wanted = replaying.Wanted(
        str(call.config.path), before.text, files, body.text, body.source, body.where, body.limit, body.offline
    )
    return await call.job(partial(by_program, "engine.operations.replaying", wanted, Replayed, UNTRIED))


async def _look(call: Call, text: str) -> None:
    """Problem when it would be no good configuration."""
    found = await call.blocking(revising.mistakes, text, call.config)
    if found:
        raise Problem(422, "the configuration has mistakes; nothing was changed", _mistakes(found))


def _mistakes(found: list[Mistake]) -> tuple[problems.Mistake, ...]:
    return tuple(
        problems.Mistake("body.text", f"{f'line {one.line}: ' if one.line else ''}{one.place}: {one.text}")
        for one in found
    )


async def put_text_in_force(call: Call, *, body: Change) -> Job[InForce]:
    """Put a configuration in force: it is written into pipeline.toml, and the server reloads.

    What stood there is copied beside. A wrong one changes nothing, nor does one that the server cannot open. Code,
    commands and users of the machine that the configuration in force does not name cannot be named by this way.
    """
    await _look(call, body.text)

    upon = await _upon(call)

    def put() -> Running:
        revisions = _kept_as(call, upon)
        kept = revising.written(revisions, body.text, call.caller.by)
        return revising.put_in_force(revisions, kept, call.caller.by, body.canary)

    return await call.job(partial(_put, put))


async def go_back(call: Call, *, path: OneRevision) -> Job[InForce]:
    """Put a revision in force again, with the files that it names. To the one in force: that ends a trial."""

    def look() -> list[Mistake]:
        revisions = _kept(call)
        return revising.kept_mistakes(revisions.get(path.number), revisions.pipeline)

    if found := await call.blocking(look):
        raise Problem(409, "this revision cannot be used any more; nothing was changed", _mistakes(found))

    upon = await _upon(call)

    def put() -> Running:
        revisions = _kept_as(call, upon)
        return revising.put_in_force(revisions, revisions.get(path.number), call.caller.by)

    return await call.job(partial(_put, put))


async def _upon(call: Call) -> int | None:
    """The revision in force, where a change is made upon that alone; None: upon whichever it is."""
    return await call.blocking(lambda: _kept(call).current().number) if call.is_conditional else None


def _kept_as(call: Call, upon: int | None) -> Revisions:
    """What is kept, if that revision is in force still: a job has its turn later than its request. Problem."""
    revisions = _kept(call)
    if upon is not None and revisions.current().number != upon:
        raise Problem(412, "another configuration has come in force meanwhile; nothing was changed")
    return revisions


async def show_trial(call: Call) -> Trial:
    """Show how a revision on trial does beside the one in force."""
    running = await call.blocking(State(call.config.server.data).running)
    if running is None or running.trial is None:
        raise missing("revision on trial")
    found = running.trial
    return Trial(found.revision, found.share, moment(found.since), found.counts, running.revision, found.beside)


async def promote_trial(call: Call) -> Job[InForce]:
    """Put what is on trial in force for all mail."""
    return await _end_trial(call, promote=True)


async def abort_trial(call: Call) -> Job[InForce]:
    """End the trial; all goes on as before it."""
    return await _end_trial(call, promote=False)


async def _end_trial(call: Call, *, promote: bool) -> Job[InForce]:
    await show_trial(call)
    end = partial(revising.end_trial, call.config.server.data, call.caller.by, promote=promote)
    return await call.job(partial(_put, end))


async def _put(change: Callable[[], Running], progress: Progress) -> None:
    """Have the change made, in a thread that is not held against those who only look."""
    running = await trio.to_thread.run_sync(change)
    progress.result = InForce(running.revision, running.trial.revision if running.trial else None)


ROWS = (
    Operation("GET", "/revisions", "revisions:read", list_revisions, problems=(404,)),
    Operation("GET", "/revisions/current", "revisions:read", show_current, problems=(404,)),
    Operation("GET", "/revisions/{number}", "revisions:read", show_revision),
    Operation("GET", "/revisions/{number}/changes", "revisions:read", compare_revisions),
    Operation("POST", "/revisions/checks", "revisions:write", check_text, body=LARGEST),
    Operation("POST", "/revisions/previews", "revisions:write", preview_text, problems=(404, 409), body=LARGEST),
    Operation("POST", "/revisions/replays", "revisions:write", replay_mail, problems=(404, 409), body=LARGEST),
    Operation(
        "POST",
        "/revisions",
        "revisions:write",
        put_text_in_force,
        changes=show_current,
        problems=(404, 409),
        body=LARGEST,
    ),
    Operation("POST", "/revisions/{number}/back", "revisions:write", go_back, changes=show_current, problems=(409,)),
    Operation("GET", "/revisions/trial", "revisions:read", show_trial, problems=(404,)),
    Operation("POST", "/revisions/trial/promotion", "revisions:write", promote_trial, problems=(404, 409)),
    Operation("DELETE", "/revisions/trial", "revisions:write", abort_trial, problems=(404, 409)),
)
