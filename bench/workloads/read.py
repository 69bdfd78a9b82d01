"""Read: mailboxes of 10,000 messages are fetched whole, and opened and closed."""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import trio

from bench import Failed, boxes, readers
from bench.boxes import PASSWORD, Boxes
from bench.disks import Disk
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import Running, Server, Task, written
from bench.workloads.base import Choice, Work, trial, used
from engine.directory import passwords

MESSAGES = 10_000
"""In each mailbox."""

_SIZE = 4096
_SESSIONS = 8

_SECONDS = 3.0
"""Seconds in which sessions are counted. Checking a password takes most of a session, so this is some dozens."""


# -- what lies in the folder before a server starts


async def _maildirs(folder: Path, made: Boxes) -> None:
    await trio.to_thread.run_sync(boxes.maildirs, folder / "mail", made, "mail")
    stored = passwords.hashed(PASSWORD)
    written(folder / "users", "".join(f"{user}:{{ARGON2ID}}{stored}\n" for user in made.users()))


async def _store(folder: Path, made: Boxes) -> None:
    await boxes.store(folder / "var", made)


_PREPARED: Mapping[str, Callable[[Path, Boxes], Awaitable[None]]] = {
    "postroad": _store,
    "dovecot": _maildirs,
    "dovecot-tuned": _maildirs,
}
"""Server → how its mailboxes are made."""


# -- one run


async def measure(work: Work, count: int) -> Run:
    """``count`` messages, fetched by POP3; and then all else that the server can do, as figures beside it."""
    made = Boxes(work.cell.sessions, count, work.cell.size)
    with tempfile.TemporaryDirectory(prefix=f"{work.server.key}-", dir=work.disk.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # most servers drop their rights
        await _PREPARED[work.server.key](folder, made)
        await work.disk.settled()
        task = Task("read", folder, environment=work.disk.environment)
        with trio.move_on_after(work.limit):
            async with work.server.start(task) as running:
                return await _read(running, made)
    raise Failed(f"not all was read within {work.limit:.0f} s")


async def _read(running: Running, made: Boxes) -> Run:
    if running.pop3 is None:
        raise Failed("it does not say where its POP3 is")
    user, *_ = made.users()
    fetch = partial(readers.pop3_fetch, running.pop3, user, PASSWORD, made.messages)
    await _in_thread(fetch, pipelined=True)  # servers make indexes when a mailbox is first opened
    async with used(running) as figures:
        seconds = await _in_thread(fetch, pipelined=True)
        costs = figures()
    found = {"POP3 one by one, messages/s": made.messages / await _in_thread(fetch, pipelined=False)}
    found["POP3 sessions/s"] = await _sessions(readers.pop3_session, running.pop3, made)
    if running.imap is not None:
        fetch_all = partial(readers.imap_fetch, running.imap, user, PASSWORD, made.messages)
        found["IMAP, messages/s"] = made.messages / await _in_thread(fetch_all)
        openings = partial(readers.imap_openings, running.imap, user, PASSWORD, _SECONDS)
        found["IMAP openings/s"] = await _in_thread(openings)
        found["IMAP sessions/s"] = await _sessions(readers.imap_session, running.imap, made)
    return Run(made.messages, seconds, figures=found, **costs)


async def _in_thread(fetch: Callable[..., float], **options: bool) -> float:
    return await trio.to_thread.run_sync(partial(fetch, **options), abandon_on_cancel=True)


async def _sessions(session: readers.Session, port: int, made: Boxes) -> float:
    for user in made.users():  # each mailbox has its index before sessions are counted
        await trio.to_thread.run_sync(session, port, user, PASSWORD)
    return await readers.sessions(session, port, made.users(), PASSWORD, _SECONDS)


# -- the workload


@dataclass(frozen=True, slots=True)
class Read:
    """Each server that mail is read from. There is no ceiling: smtp-source and smtp-sink do not read."""

    name: str = "read"
    title: str = (
        "a mailbox of 10,000 messages → a client: all by POP3, 50 commands sent together; beside it sessions, "
        "from the login, with a password that argon2id hashed, to the logout"
    )
    place: int = 9
    usual: bool = True
    room: int = 4096
    picture: str = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """One size of message and one number of mailboxes, where no other is asked for."""
        sessions = choice.sessions or (_SESSIONS,)
        return [Cell(*parts) for parts in product(choice.sizes or (_SIZE,), sessions)]

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(300.0, 20 * wanted.seconds)
        found = [
            trial(server, partial(measure, Work(server, cell, disk, limit)), count=wanted.count or MESSAGES)
            for server in servers
            if "read" in server.workloads
        ]
        return [replace(one, durability="only reads") for one in found]


WORKLOAD = Read()
