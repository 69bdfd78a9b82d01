"""Operations about whoever asks: what its token allows, and the jobs that it has begun."""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from engine.web.api.jobs import Job
from engine.web.api.operation import Asked, Call, Operation

Id: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{21}$", description="Of a job.")]


class OneJob(Asked, frozen=True):
    id: Id


class Token(msgspec.Struct, frozen=True):
    """What a token allows. ``domains``: those that it is limited to; empty: it is not."""

    name: str
    scopes: list[str]
    domains: list[str]


async def show_token(call: Call) -> Token:
    """Show what the token allows."""
    caller = call.caller
    return Token(caller.name, sorted(caller.scopes), sorted(caller.domains or ()))


async def list_jobs(call: Call) -> list[Job[Any]]:
    """List the jobs of the last day, the newest first."""
    return await call.blocking(call.jobs.all, call.caller.id)


async def show_job(call: Call, *, path: OneJob) -> Job[Any]:
    """Show how far a job is, and what came of it."""
    return await call.blocking(call.jobs.get, call.caller.id, path.id)


async def stop_job(call: Call, *, path: OneJob) -> None:
    """Stop a job where it can be. What it has done until then is done, and its result says how much."""
    await call.blocking(call.jobs.stop, call.caller.id, path.id)


ROWS = (
    Operation("GET", "/token", "", show_token, by_domain=True),
    Operation("GET", "/jobs", "", list_jobs, by_domain=True),
    Operation("GET", "/jobs/{id}", "", show_job, by_domain=True),
    Operation("DELETE", "/jobs/{id}", "", stop_job, by_domain=True),
)
