"""The lines of the workload: what clients do, and how its answers are checked."""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench import Failed
from bench.mailbox import client
from bench.mailbox.client import Client, Took
from bench.mailbox.letters import IN_SUBJECT, IN_TEXT, found
from bench.mailbox.stock import KEEPER, READER, Stock, sizes_in
from bench.mailbox.wire import quoted
from bench.measure import Part
from bench.servers.base import Running

_COPIED = 1000
"""Messages that one COPY is for, at most."""

_AT_ONCE = 50
"""Commands of POP3, or messages of one APPEND, that are sent together."""

_SESSIONS = 20
"""At once, where sessions come and go."""

_TOLD = 20
"""Users whose sessions wait for the news of a delivery, one after the other."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A server that runs, with its mailboxes, and those who read them."""

    running: Running
    folder: Path  # where the mailboxes are
    stock: Stock
    passwords: Mapping[str, str]
    clients: Sequence[Client]
    seconds: float  # of a line, about
    idle: int  # sessions in IDLE
    calm: float  # seconds until memory is looked at

    @property
    def octets(self) -> int:
        """Of all messages of the large mailbox."""
        return sum(sizes_in(self.folder))

    @property
    def pop3(self) -> int:
        return _listening(self.running.pop3, "POP3")

    @property
    def imap(self) -> int:
        return _listening(self.running.imap, "IMAP")

    def login(self, user: str) -> tuple[int, str, str]:
        """By IMAP."""
        return self.imap, user, self.passwords[user]

    async def timed(self, function: Callable[..., Took], *arguments: Any, clients: int = 1, **options: Any) -> Part:
        """What so many clients do at once, each for itself: the rate of all, and the CPU time that it takes."""
        asked = self.clients[:clients]
        await _each(asked, lambda one: one.prepare(function, *arguments, seconds=self.seconds, **options))
        before = self.running.group.cpu()
        await _each(asked, lambda one: one.go())
        cpu = self.running.group.cpu() - before
        took: list[Took] = []

        async def took_by(one: Client) -> None:
            took.append(await one.took())

        await _each(asked, took_by)
        return Part(
            sum(one.done / one.seconds for one in took),
            cpu=cpu / sum(one.done for one in took) * 1000,
            client=max(one.cpu / one.seconds for one in took),
        )

    async def commands(
        self, commands: Sequence[str], words: Mapping[str, int], *, each: int = 0, user: str = READER, **options: Any
    ) -> Part:
        """As ``client.imap``; each is for all messages, where nothing else is said."""
        asked = [[one] for one in commands]
        each = each or self.stock.messages
        return await self.timed(client.imap, *self.login(user), commands=asked, words=words, each=each, **options)


async def _each(clients: Sequence[Client], do: Callable[[Client], Awaitable[None]]) -> None:
    """With all at once. Failed when one has failed, once all have come to their end."""
    failed: list[Failed] = []

    async def one(each: Client) -> None:
        try:
            await do(each)
        except Failed as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        for each in clients:
            nursery.start_soon(one, each)
    if failed:
        for each in clients:
            await each.drain()
        raise failed[0]


def _listening(port: int | None, name: str) -> int:
    if port is None:
        raise Failed(f"it has no {name}")
    return port


# -- what is done


async def _pop3(bench: Bench, at_once: int) -> Part:
    login = bench.pop3, READER, bench.passwords[READER]
    return await bench.timed(client.pop3, *login, folder=str(bench.folder), at_once=at_once)


async def _bodies(bench: Bench, clients: int) -> Part:
    words = {" FETCH (": bench.stock.messages}
    return await bench.commands(["FETCH 1:* (BODY.PEEK[])"], words, octets=bench.octets, clients=clients)


async def _fetch(bench: Bench, items: str, word: str) -> Part:
    return await bench.commands(
        [f"FETCH 1:* ({items})"], {word: bench.stock.messages, " FETCH (": bench.stock.messages}
    )


async def _select(bench: Bench) -> Part:
    return await bench.commands(["SELECT INBOX"], {f"* {bench.stock.messages} EXISTS\r\n": 1}, each=1)


async def _status(bench: Bench) -> Part:
    names, messages = bench.stock.folder_names, bench.stock.in_folder
    together = [[f"STATUS {quoted(name)} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)" for name in names]]
    words = {"* STATUS ": len(names), f"(MESSAGES {messages} ": len(names)}
    return await bench.timed(
        client.imap, *bench.login(KEEPER), commands=together, words=words, each=len(names), before=()
    )


async def _list_status(bench: Bench) -> Part:
    folders = bench.stock.folders
    words = {f"(MESSAGES {bench.stock.in_folder} ": folders}
    asked = ['LIST "" "Folder*" RETURN (STATUS (MESSAGES UNSEEN))']
    return await bench.commands(asked, words, each=folders, user=KEEPER, before=())


async def _search(bench: Bench, key: str, word: str) -> Part:
    numbers = [str(number) for number in found(word, bench.stock.messages)]
    line = f"* SEARCH {' '.join(numbers)}\r\n"
    words = {line[:2000]: 1, line[-100:]: 1}
    return await bench.commands([f"SEARCH {key} {word}"], words, octets=len(line))


async def _store(bench: Bench) -> Part:
    asked = ["STORE 1:* +FLAGS (\\Flagged)", "STORE 1:* -FLAGS (\\Flagged)"]
    return await bench.commands(asked, {" FETCH (": bench.stock.messages})


async def _append(bench: Bench, at_once: int) -> Part:
    if at_once > 1 and "MULTIAPPEND" not in await bench.clients[0].ask(client.capabilities, *bench.login(READER)):
        raise Failed("it has no MULTIAPPEND")
    return await bench.timed(client.append, *bench.login(READER), at_once=at_once)


async def _copy(bench: Bench) -> Part:
    many, folder = min(_COPIED, bench.stock.messages), quoted(f"Copied {time.time_ns()}")
    before, after = ("SELECT INBOX", f"CREATE {folder}"), (f"DELETE {folder}",)
    return await bench.commands([f"COPY 1:{many} {folder}"], {"COPYUID": 1}, each=many, before=before, after=after)


async def _sessions(bench: Bench) -> Part:
    passwords = {user: bench.passwords[user] for user in bench.stock.users}
    return await bench.timed(client.logins, bench.imap, passwords, sessions=_SESSIONS)


async def _idle(bench: Bench) -> Sequence[Part]:
    """Memory of a session as PSS, that of it which no file stands behind, and how soon news comes."""
    one, group = bench.clients[0], bench.running.group
    users = bench.stock.users
    passwords = {user: bench.passwords[user] for user in users}
    lmtp = _listening(bench.running.lmtp, "LMTP")
    await one.ask(client.news, lmtp, users=users[:1])
    await trio.sleep(bench.calm)
    before = group.memory(), group.anonymous()
    try:
        await one.ask(client.idle, bench.imap, passwords, sessions=bench.idle)
        await trio.sleep(bench.calm)
        after = group.memory(), group.anonymous()
        seconds = await one.ask(client.news, lmtp, users=users[:_TOLD])
    except Failed:
        await one.ask(client.awake)
        raise
    await one.ask(client.awake)
    memory = [Part((now - then) / bench.idle / 1024) for now, then in zip(after, before, strict=True)]
    return [*memory, Part(statistics.median(seconds) * 1000), Part(max(seconds) * 1000)]


# -- the lines


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is done, and the figures that come of it: each with its unit."""

    names: Sequence[str]
    run: Callable[[Bench], Awaitable[Part | Sequence[Part]]]
    floor: float = 0.5  # × the best other's
    most: Sequence[float] = ()  # of the figures, where less is better


LINES = (
    Line(["POP3 RETR, messages/s"], partial(_pop3, at_once=1)),
    Line(["POP3 RETR, 50 together, messages/s"], partial(_pop3, at_once=_AT_ONCE)),
    Line(["FETCH BODY[], messages/s"], partial(_bodies, clients=1)),
    Line(["FETCH BODY[] on 2 connections, messages/s"], partial(_bodies, clients=2)),
    Line(["FETCH FLAGS ENVELOPE, messages/s"], partial(_fetch, items="FLAGS ENVELOPE", word="ENVELOPE (")),
    Line(["FETCH FLAGS, messages/s"], partial(_fetch, items="FLAGS", word="FLAGS (")),
    Line(["SELECT, a second"], _select),
    Line(["STATUS of 200 folders, folders/s"], _status, floor=1.0),
    Line(["LIST-STATUS of 200 folders, folders/s"], _list_status, floor=1.0),
    Line(["SEARCH SUBJECT, messages/s"], partial(_search, key="SUBJECT", word=IN_SUBJECT)),
    Line(["SEARCH TEXT, messages/s"], partial(_search, key="TEXT", word=IN_TEXT), floor=1.0),
    Line(["STORE FLAGS, messages/s"], _store),
    Line(["APPEND, messages/s"], partial(_append, at_once=1), floor=1.0),
    Line(["APPEND, 50 together, messages/s"], partial(_append, at_once=_AT_ONCE), floor=1.0),
    Line(["COPY, messages/s"], _copy),
    Line(["login, SELECT, LOGOUT, sessions/s"], _sessions, floor=1.0),
    Line(
        ["IDLE, KiB each", "IDLE, KiB each without files", "IDLE, news, ms", "IDLE, slowest news, ms"],
        _idle, floor=0.0, most=[100, 100, 100, 100],
    ),
)  # fmt: skip


def picked(lines: Sequence[Line], words: Sequence[str]) -> list[Line]:
    """Those of the lines that have one of the words in a name; without words, all. Failed where a word picks none."""
    for word in words:
        if not any(_named(line, word) for line in lines):
            names = ", ".join(name for line in lines for name in line.names)
            raise Failed(f"no line of mailbox has {word!r} in its name: {names}")
    return [line for line in lines if not words or any(_named(line, word) for word in words)]


def _named(line: Line, word: str) -> bool:
    return any(word.casefold() in name.casefold() for name in line.names)


async def measured(bench: Bench, lines: Sequence[Line] = LINES) -> Mapping[str, Part]:
    """The figures of all lines; a line that a server cannot do, or does wrong, has the reason instead."""
    figures: dict[str, Part] = {}
    for line in lines:
        try:
            outcome = await line.run(bench)
            parts = [outcome] if isinstance(outcome, Part) else outcome
        except Failed as error:
            parts = [Part(failure=str(error))] * len(line.names)
        most = line.most or [0.0] * len(line.names)
        for name, part, limit in zip(line.names, parts, most, strict=True):
            figures[name] = replace(part, floor=line.floor, most=limit)
    return figures
