"""Operations that take mail from other servers. They are jobs: a password is in memory for as long as one runs."""

import hashlib
from dataclasses import replace
from typing import Annotated

import msgspec
import trio
from msgspec import Meta

from engine.mailbox.names import canonical
from engine.migration import LARGEST, Choice, Login, Progress, Wishes, server_at
from engine.operations import accounts, migrating
from engine.operations.migrating import Task, kept
from engine.web.api.jobs import Job, Stopped
from engine.web.api.jobs import Progress as Told
from engine.web.api.operating import Address, Flag, operator_of
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import Problem, unmeant

_LOOK = 0.5
"""Seconds between two looks at whether it is to stop."""

Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=1000)], ...], Meta(max_length=1000)]


class Moving(Asked, frozen=True):
    """``server``: such as imaps://imap.example.com; a token of some domains reaches it at public addresses alone.
    ``user``: as it is known there; empty: ``address``. ``master``: who logs in, if it is somebody who may read others'
    mail. ``token``: whether the password is a token of OAuth. ``folders`` and ``without`` are as they are named there;
    ``*`` and ``?`` stand for others. ``flags``: those of what came earlier are brought up to date.
    """

    address: Address
    server: Annotated[str, Meta(min_length=1, max_length=300)]
    password: Annotated[str, Meta(min_length=1, max_length=16_000, description="It is never told, and not kept.")]
    user: Annotated[str, Meta(max_length=320)] = ""
    master: Annotated[str, Meta(max_length=320)] = ""
    token: Flag = False
    folders: Names = ()
    without: Names = ()
    into: Annotated[str, Meta(max_length=1000, description="The mailbox below which all goes.")] = ""
    largest: Annotated[int, Meta(ge=1, le=2**40, description="Octets of a message that is taken.")] = LARGEST
    flags: Flag = False


class Missed(msgspec.Struct, frozen=True):
    """A message that could not be taken. ``uid`` 0: the whole folder."""

    folder: str
    uid: int
    size: int
    why: str


class Moved(msgspec.Struct, frozen=True):
    """What came of it. ``state``: running, waiting (for the other server), done, full, refused or failed, and ``why``.
    ``before`` had come in an earlier run; ``flags``: of so many they were brought up to date; of what was ``missed``,
    the first thousand. Sizes are octets.
    """

    state: str
    why: str
    taken: int
    size: int
    before: int
    flags: int
    missing: int
    missed: list[Missed]
    notes: list[str]


async def migrate_mail(call: Call, *, body: Moving) -> Job[Moved]:
    """Take the mail of an account from another server, by IMAP. What has come is not taken twice."""
    by = operator_of(call)
    account = await call.blocking(accounts.known, call.context.directory(), by, body.address)
    task = _task(call, body)
    means = migrating.of_process(
        call.context.mailboxes(), call.context.data / "mailbox", call.context.change, call.context.quotas.limit,
        _wishes(body),
    )  # fmt: skip

    async def work(told: Told) -> None:
        def step(done: Progress) -> None:
            told.done, told.total, told.result = done.seen, done.total, _moved(done)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stopped, told, nursery.cancel_scope)
            step(await migrating.migrated(means, by, account, task, step))
            nursery.cancel_scope.cancel()
        if told.stop:
            raise Stopped
        if told.result.state != "done":
            raise Problem(502 if told.result.state != "full" else 507, f"{told.result.state}: {told.result.why}")

    return await call.jobs.begun(call.caller.id, call.name, work, call.key, _digest(body))


async def _stopped(told: Told, scope: trio.CancelScope) -> None:
    """End it when whoever has begun it wants that, also while it waits."""
    while not told.stop:
        await trio.sleep(_LOOK)
    scope.cancel()


def _digest(body: Moving) -> bytes:
    """Of what was asked, without the password: it is kept with the key of the request."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(body, password="-"))).digest()


def _task(call: Call, body: Moving) -> Task:
    try:
        server, named = server_at(body.server)
    except ValueError as error:
        raise unmeant("body.server", str(error)) from error
    server = replace(server, public_only=call.caller.domains is not None)
    login = Login(body.user or named or body.address, kept(body.password), body.master, body.token)
    return Task(body.address, server, login)


def _wishes(body: Moving) -> Wishes:
    try:
        into = canonical(body.into) if body.into else ""
    except ValueError as error:
        raise unmeant("body.into", str(error)) from error
    return Wishes(Choice(body.folders, body.without), into, body.largest, flags=body.flags)


def _moved(done: Progress) -> Moved:
    missed = [Missed(one.folder, one.uid, one.size, one.why) for one in done.left[:1000]]
    return Moved(
        done.state, done.why, done.taken, done.size, done.before, done.flags, len(done.left), missed, done.notes[:100]
    )


ROWS = (
    Operation(
        "POST",
        "/migrations",
        function=migrate_mail,
        scope="mailboxes:write",
        by_domain=True,
        problems=(404, 429, 502, 507),
    ),
)
