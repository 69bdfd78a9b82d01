"""Operations about shaping: how mail leaves for a destination, and what is done, for a time, about a site."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from engine.operations import shaping
from engine.operations.moments import Moment, moment
from engine.shaping import actions
from engine.web.api.operating import operator_of
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import missing, unmeant

_ACTION = "action of that id in force"

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]


class Destination(Asked, frozen=True):
    domain: Annotated[str, Meta(min_length=1, max_length=255, description="That mail is for.")]
    source: Annotated[str, Meta(max_length=100, description="As for mail that leaves from this source.")] = ""
    mx: Annotated[tuple[Name, ...], Meta(max_length=50, description="Its hosts, in place of a look into the DNS.")] = ()


class OneAction(Asked, frozen=True):
    id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$", description="Of an action.")]


class Suspension(Asked, frozen=True):
    """Nothing is sent to a site for a time; what is for it waits."""

    site: Annotated[
        str,
        Meta(min_length=1, max_length=255, description="A site, or a pattern of its hosts or of domains."),
    ]
    seconds: Annotated[float, Meta(gt=0, le=31_536_000, description="How long.")] = 3600.0
    source: Annotated[str, Meta(max_length=100, description="Only mail that leaves from this source.")] = ""
    tenant: Annotated[str, Meta(max_length=100, description="Only mail of this tenant.")] = ""


class Value(msgspec.Struct, frozen=True):
    """A value with the rule that gives it, and the file and line where that is written. Times are in seconds."""

    name: str
    value: bool | int | float | str | list[str | float] | None
    rule: str
    place: str


class Explained(msgspec.Struct, frozen=True):
    """How mail leaves for a domain, by these hosts."""

    domain: str
    hosts: list[str]
    providers: list[str]
    source: str
    values: list[Value]


class Action(msgspec.Struct, frozen=True):
    """What is done about mail for a site until a time; what reply has led to it, or that it was set by hand."""

    id: str
    action: Literal["suspend", "slow", "use_source", "expire", "notify"]
    site: str
    source: str
    tenant: str
    since: Moment | None
    until: Moment | None
    name: str
    rate: float
    connections: float
    use: str
    reply: str


async def explain_shaping(call: Call, *, query: Destination) -> Explained:
    """Tell each value that holds for mail to a domain, and the rule that gives it."""
    try:
        found = await shaping.explained(call.config, query.domain, query.mx, query.source, call.context.resolver().ask)
    except ValueError as error:
        raise unmeant("query.domain", str(error)) from error
    return msgspec.convert(found._asdict(), Explained)


async def list_actions(call: Call) -> list[Action]:
    """List the actions in force: what replies have led to, and what was set by hand."""
    return list(map(_action, await call.blocking(call.context.stores.actions.all)))


def _action(one: actions.Action) -> Action:
    return Action(
        one.id, one.act, one.site, one.source, one.tenant, moment(one.since), moment(one.until), one.name, one.rate,
        one.connections, one.use, one.reply,
    )  # fmt: skip


async def show_action(call: Call, *, path: OneAction) -> Action:
    """Show an action in force."""
    for one in await call.blocking(call.context.stores.actions.all):
        if one.id == path.id:
            return _action(one)
    raise missing(_ACTION)


async def suspend_site(call: Call, *, body: Suspension) -> Action:
    """Send nothing to a site for a time."""
    try:
        action = shaping.suspension(body.site, body.seconds, source=body.source, tenant=body.tenant)
    except ValueError as error:
        raise unmeant("body.site", str(error)) from error
    await call.blocking(shaping.suspend, call.context.stores.actions, operator_of(call), action)
    return _action(action)


async def lift_action(call: Call, *, path: OneAction) -> None:
    """End an action at once."""
    if await call.blocking(shaping.lift, call.context.stores.actions, operator_of(call), path.id) is None:
        raise missing(_ACTION)


ROWS = (
    Operation("GET", "/shaping", "shaping:read", explain_shaping, problems=(404, 409)),
    Operation("GET", "/shaping/actions", "shaping:read", list_actions),
    Operation("POST", "/shaping/actions", "shaping:write", suspend_site, status=201),
    Operation("GET", "/shaping/actions/{id}", "shaping:read", show_action),
    Operation("DELETE", "/shaping/actions/{id}", "shaping:write", lift_action, changes=show_action),
)
