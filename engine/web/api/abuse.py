"""Operations about who is kept out, who has sent how much, and who sends unlike themselves."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from engine.login.guard import ACCOUNT
from engine.login.guard import Ban as Guess
from engine.login.rates import Sent
from engine.operations import abuse
from engine.operations.moments import Moment, moment
from engine.web.api.operating import operator_of
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import missing, unmeant

Who: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=320, description="An IP address, a network, or the address of an account.")
]


class Somebody(Asked, frozen=True):
    who: Who


class NewBan(Asked, frozen=True):
    """Who is kept out for a time, whatever they have guessed."""

    who: Who
    seconds: Annotated[float, Meta(gt=0, le=31_536_000, description="How long.")] = 86_400.0


class Senders(Asked, frozen=True):
    limited: Annotated[bool, Meta(description="Only those who were refused because they had sent too much.")] = False


class OneAccount(Asked, frozen=True):
    account: Annotated[str, Meta(min_length=3, max_length=320, description="Its address.")]


class Ban(msgspec.Struct, frozen=True):
    """Who is kept out for guessing: a network, or an account for networks that it is not known from."""

    kind: Literal["network", "account"]
    name: str
    guesses: int
    until: Moment | None


class Rate(msgspec.Struct, frozen=True):
    """What somebody has sent within a time that is not over: ``count`` of ``what`` in ``seconds``."""

    kind: Literal["account", "network", "sender", "domain", "recipient"]
    name: str
    what: str
    count: int
    seconds: float
    until: Moment | None
    limited: bool


class Suspect(msgspec.Struct, frozen=True):
    """An account whose mail is parked because it sends unlike itself, and in what."""

    account: str
    since: Moment | None
    peer: str
    reasons: list[str]


def _may_know(call: Call, kind: str, name: str) -> bool:
    """Networks have no domain."""
    if call.caller.domains is None:
        return True
    return kind != "network" and call.caller.may_know(name.rpartition("@")[2])


async def list_bans(call: Call) -> list[Ban]:
    """List the bans that are in force."""
    found = await call.blocking(call.context.login.guard.bans)
    return [_ban(one) for one in found if _may_know(call, one.kind, one.name)]


def _ban(one: Guess) -> Ban:
    return Ban("account" if one.kind == ACCOUNT else "network", one.name, one.guesses, moment(one.until))


async def add_ban(call: Call, *, body: NewBan) -> list[Ban]:
    """Keep an address, a network (each part of a wider one), or an account (from where it is not known) out."""
    guard, by = call.context.login.guard, operator_of(call)
    try:
        return list(map(_ban, await call.blocking(abuse.ban, guard, by, body.who, body.seconds)))
    except ValueError as error:
        raise unmeant("body.who", str(error)) from error


async def lift_bans(call: Call, *, query: Somebody) -> list[Ban]:
    """End the bans of a network, or of an account, at once; those that were in force."""
    guard, by = call.context.login.guard, operator_of(call)
    found = await call.blocking(abuse.lift_bans, guard, by, query.who) if _may_lift(call, query.who) else []
    if not found:
        raise missing("ban of that name")
    return list(map(_ban, found))


def _may_lift(call: Call, who: str) -> bool:
    return _may_know(call, ACCOUNT if "@" in who else "network", who)


async def list_rates(call: Call, *, query: Senders) -> list[Rate]:
    """List who has sent how much lately, for each span of time that is limited."""
    found = await call.blocking(call.context.stores.rates.sent)
    return [_rate(one) for one in found if (one.limited or not query.limited) and _may_know(call, one.kind, one.name)]


def _rate(one: Sent) -> Rate:
    return msgspec.convert(
        {
            "kind": one.kind, "name": one.name, "what": one.what, "count": one.count, "seconds": one.period,
            "until": moment(one.until), "limited": one.limited,
        },
        Rate,
    )  # fmt: skip


async def lift_rates(call: Call, *, query: Somebody) -> list[Rate]:
    """Forget what an account or a network has sent, so that it may send on at once; that which counted."""
    found: list[Sent] = []
    if _may_lift(call, query.who):
        found = await abuse.lift_rates(call.config, call.context.stores.rates, operator_of(call), query.who)
    if not found:
        raise missing("rate of that name")
    return list(map(_rate, found))


async def list_suspects(call: Call) -> list[Suspect]:
    """List accounts whose mail is parked because they send unlike themselves."""
    found = await call.blocking(abuse.suspects, call.context.stores.tables)
    return [
        Suspect(one.account, moment(one.since), one.peer, list(one.reasons))
        for one in found
        if _may_know(call, ACCOUNT, one.account)
    ]


async def clear_suspect(call: Call, *, path: OneAccount) -> None:
    """Let an account send again. What is parked stays so, and can be released in the queue."""
    tables, by = call.context.stores.tables, operator_of(call)
    if not _may_know(call, ACCOUNT, path.account) or not await abuse.let_send(tables, by, path.account):
        raise missing("suspected account of that address")


ROWS = (
    Operation("GET", "/bans", "abuse:read", list_bans, by_domain=True),
    Operation("POST", "/bans", "abuse:write", add_ban, by_domain=True, status=201),
    Operation("DELETE", "/bans", "abuse:write", lift_bans, by_domain=True, problems=(404,)),
    Operation("GET", "/rates", "abuse:read", list_rates, by_domain=True),
    Operation("DELETE", "/rates", "abuse:write", lift_rates, by_domain=True, problems=(404, 502)),
    Operation("GET", "/suspects", "abuse:read", list_suspects, by_domain=True),
    Operation("DELETE", "/suspects/{account}", "abuse:write", clear_suspect, by_domain=True, problems=(502,)),
)
