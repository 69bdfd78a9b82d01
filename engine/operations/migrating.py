"""Mail from other servers: whose, from where, and how; one account, or the many of a CSV file.

Passwords are in memory for as long as the work takes, and nowhere else: no event, no record and no answer has one.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import trio

from engine.directory import Account, Directory
from engine.exchange.store import Store
from engine.mailbox import Mailboxes
from engine.mailbox.commands import Answer, AnyCommand
from engine.mailbox.quota import Quota
from engine.migration import Login, Pace, Progress, Record, Run, Server, Wishes, key_of, server_at
from engine.operations.accounts import check_over
from engine.operations.operator import Forbidden, Operator
from engine.operations.sheets import LineMistake, rows
from engine.storage.environment import StorageError

COLUMNS = ("address", "server", "user", "password", "password_file", "master")
"""What the first line of a file may name; ``address`` it must. What is left out holds for all, as it was said."""

MOST = 100_000
"""Accounts of one file."""

_LONGEST_SECRET = 64 * 1024
"""Octets of a password's file: a token may be long."""


@dataclass(frozen=True, slots=True)
class Task:
    """Whose mail comes from where. ``line``: of the file, or 0."""

    address: str  # ours
    server: Server
    login: Login
    line: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands in a file, and what is wrong with it."""

    tasks: Sequence[Task]
    mistakes: Sequence[LineMistake]


@dataclass(frozen=True, slots=True)
class Means:
    """What a migration works with. ``quota``: of an account of ours, now."""

    store: Store
    quota: Callable[[Account], Awaitable[Quota]]
    wishes: Wishes = field(default_factory=Wishes)
    pace: Pace = field(default_factory=Pace)


def of_process(
    mailboxes: Mailboxes,
    path: Path,
    change: Callable[[AnyCommand], Awaitable[Answer]],
    quota: Callable[[Account], Awaitable[Quota]],
    wishes: Wishes,
) -> Means:
    """For a process of the server that has the mailboxes open. ``path``: their folder; ``change`` asks their owner."""
    return Means(Store(mailboxes, path, change), quota, wishes)


def secret_in(path: Path) -> Callable[[], str]:
    """Reads the password, or the token, each time it is wanted: another program may renew it meanwhile. OSError."""

    def read() -> str:
        with path.open("rb") as file:
            return file.read(_LONGEST_SECRET).decode(errors="replace").strip("\r\n")

    read()
    return read


def kept(secret: str) -> Callable[[], str]:
    """A secret that is in memory."""
    return lambda: secret


@dataclass(frozen=True, slots=True)
class ForAll:
    """What holds where a line says nothing else. ``at`` reads a server, and who that is there. ``folder``: from which a
    relative ``password_file`` counts; None: there may be none, for whoever has sent the lines has no files here.
    """

    server: Server | None = None
    login: Login | None = None
    at: Callable[[str], tuple[Server, str]] = server_at
    folder: Path | None = None


def parsed(lines: Iterable[str], said: ForAll) -> Sheet:
    """What stands in the lines of a CSV file (RFC 4180), whose first one names columns."""
    tasks: list[Task] = []
    mistakes: list[LineMistake] = []
    for line, names, cells in rows(lines, COLUMNS, MOST, mistakes):
        _take(line, dict(zip(names, cells, strict=False)), said, tasks, mistakes)
    return Sheet(tasks, mistakes)


def checked(directory: Directory, by: Operator, sheet: Sheet) -> list[LineMistake]:
    """All that is wrong: in the file itself, and with accounts that are not there. Unavailable."""
    mistakes, seen = list(sheet.mistakes), dict[tuple[str, str, str], int]()
    for task in sheet.tasks:
        key = task.address, task.server.host, task.login.user
        if key in seen:
            mistakes.append(LineMistake(task.line, f"the same stands in line {seen[key]} already"))
        seen.setdefault(key, task.line)
        try:
            by.check(task.address)
        except Forbidden as error:
            mistakes.append(LineMistake(task.line, str(error)))
            continue
        if directory.account(task.address) is None:
            mistakes.append(LineMistake(task.line, f"there is no account {task.address}"))
    return sorted(mistakes, key=lambda one: one.line)


async def migrated(
    means: Means, by: Operator, account: Account, task: Task, step: Callable[[Progress], None] = lambda _: None
) -> Progress:
    """Take what has not come yet; however it ends, the same again goes on from there. StorageError when another one
    takes the same mail at this moment; OSError.
    """
    check_over(by, account)
    key = key_of(task.server.host, task.login.user)
    run = run_of(means, account, task, step)
    said = {"address": account.address, "server": str(task.server), "user": task.login.user}
    with closing(Record(means.store.path, account.id, key, means.store.mailboxes)) as run.record:
        await by.told("migration-begun", **said)
        try:
            return await run.run()
        finally:
            done = run.done
            await by.told(
                "migration-ended", **said, state="stopped" if done.state in ("running", "waiting") else done.state,
                why=done.why or None, messages=done.taken, before=done.before, size=done.size, left=len(done.left),
            )  # fmt: skip


def run_of(means: Means, account: Account, task: Task, step: Callable[[Progress], None] = lambda _: None) -> Run:
    """A run that has no record yet: good for a look alone."""
    return Run(
        means.store, account.id, server=task.server, login=task.login, wishes=means.wishes, pace=means.pace,
        quota=lambda: means.quota(account), step=step, done=Progress(address=account.address),
    )  # fmt: skip


async def all_migrated(
    means: Means,
    by: Operator,
    pairs: Sequence[tuple[Account, Task]],
    parallel: int,
    step: Callable[[list[Progress]], None] = lambda _: None,
) -> list[Progress]:
    """So many at once; what each comes to, in their order. One that fails keeps no other one."""
    limit = trio.CapacityLimiter(parallel)
    found = [Progress(address=account.address) for account, _ in pairs]

    async def one(number: int) -> None:
        account, task = pairs[number]

        def told(done: Progress) -> None:
            found[number] = done
            step(found)

        async with limit:
            try:
                found[number] = await migrated(means, by, account, task, told)
            except (StorageError, OSError) as error:
                found[number].state, found[number].why = "failed", str(error)

    async with trio.open_nursery() as nursery:
        for number in range(len(pairs)):
            nursery.start_soon(one, number)
    return found


def _take(line: int, values: dict[str, str], said: ForAll, tasks: list[Task], mistakes: list[LineMistake]) -> None:
    try:
        tasks.append(_task(line, values, said))
    except (ValueError, OSError) as error:
        mistakes.append(LineMistake(line, getattr(error, "strerror", None) or str(error)))


def _task(line: int, values: dict[str, str], said: ForAll) -> Task:
    """ValueError, OSError."""
    server, login = said.server, said.login
    address = values.get("address", "").strip()
    if "@" not in address:
        raise ValueError(f"{address!r} is no address")
    user = values.get("user", "").strip()
    if place := values.get("server", "").strip():
        server, named = said.at(place)
        user = user or named
    if server is None:
        raise ValueError("no server is named, here or for all")
    secret = login.secret if login else None
    if values.get("password"):
        secret = kept(values["password"])
    elif path := values.get("password_file", "").strip():
        if said.folder is None:
            raise ValueError("password_file is for the command alone")
        secret = secret_in(said.folder / path)
    if secret is None:
        raise ValueError("no password is given, here or for all")
    master = values.get("master", "").strip() or (login.master if login else "")
    return Task(address, server, Login(user or address, secret, master, login.token if login else False), line)
