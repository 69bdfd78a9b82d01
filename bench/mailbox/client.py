"""The reader as a process of its own, so that its CPU time can be told, and nothing else holds it up.

It is asked for one thing after another, a line of JSON each, and answers with one. So one client can hold its
sessions while the server's memory is looked at.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from bench import Failed
from bench.mailbox import crowd, wire
from bench.mailbox.letters import Letter, letter
from bench.mailbox.stock import sizes_in

_AROUND = 200
"""Octets that a server may say around a message, or for one without its content."""

_LETTERS = 64
_SERIES = 1 << 20
"""Of the messages that are appended: none of the mailboxes has it."""


@dataclass(frozen=True, slots=True)
class Took:
    """What was done in which time."""

    done: int
    seconds: float
    cpu: float  # seconds of this process


# -- what a client can be asked for


def pop3(port: int, user: str, password: str, *, folder: str, at_once: int, seconds: float) -> Took:
    """RETR from the first message on, so many commands sent together, until the time is over or all have come."""
    sizes = sizes_in(Path(folder))
    with wire.pop3(port, user, password) as connection:
        connection.send(b"STAT\r\n")
        connection.line(b"+OK %d " % len(sizes))
        watch, done = _Watch(seconds), 0
        while done < len(sizes) and not watch.over():
            batch = range(done, min(done + at_once, len(sizes)))
            connection.send(b"".join(b"RETR %d\r\n" % (number + 1) for number in batch))
            counted = connection.dotted(len(batch))
            _check_octets(counted.octets, sum(sizes[batch.start : batch.stop]), len(batch))
            done = batch.stop
        took = watch.took(done)
        connection.send(b"QUIT\r\n")
        connection.line(b"+OK")
    return took


def imap(
    port: int,
    user: str,
    password: str,
    *,
    commands: Sequence[Sequence[str]],
    words: Mapping[str, int],
    each: int,
    seconds: float,
    before: Sequence[str] = ("SELECT INBOX",),
    after: Sequence[str] = (),
    octets: int = 0,
) -> Took:
    """These commands, those of a list together, again and again until the time is over.

    Each answer must hold each word so many times.

    ``each``: what one command does, counted. ``octets``: of messages in each answer.
    """
    rendered = [wire.command(*texts) for texts in commands]
    expected = {word.encode(): count for word, count in words.items()}
    with wire.imap(port, user, password, *before) as connection:
        watch, done = _Watch(seconds), 0
        while not watch.over() or done % len(rendered):
            connection.send(rendered[done % len(rendered)])
            counted = connection.tagged(tuple(expected))
            if counted.words != expected:
                raise Failed(f"{commands[done % len(rendered)][-1][:80]}: {counted.words}, where {expected} should be")
            if octets:
                _check_octets(counted.octets, octets, each)
            done += 1
        took = watch.took(done * each)
        _all(connection, after)
    return took


def append(port: int, user: str, password: str, *, at_once: int, seconds: float) -> Took:
    """Append messages, so many with a command, to a folder that is gone afterwards."""
    with wire.imap(port, user, password, "CREATE Appended") as connection:
        fresh = _fresh()
        watch, done = _Watch(seconds), 0
        while not watch.over():
            connection.send(wire.append("Appended", [next(fresh) for _ in range(at_once)]))
            connection.tagged()
            done += at_once
        took = watch.took(done)
        connection.send(wire.command("STATUS Appended (MESSAGES)"))
        if connection.tagged((b"(MESSAGES %d)" % done,)).words != {b"(MESSAGES %d)" % done: 1}:
            raise Failed(f"the folder does not hold the {done} messages that were appended")
        _all(connection, ("DELETE Appended",))
    return took


def capabilities(port: int, user: str, password: str) -> str:
    """As they are told once one is logged in."""
    with wire.imap(port, user, password) as connection:
        connection.send(wire.command("CAPABILITY"))
        return connection.line(b"* CAPABILITY ").decode().partition("\r\n")[0]


def logins(port: int, passwords: Mapping[str, str], *, sessions: int, seconds: float) -> Took:
    """LOGIN, SELECT and LOGOUT, so many sessions at once."""
    watch = _Watch(seconds)
    return watch.took(crowd.logins(port, list(passwords.items()), sessions, watch.over))


_idle = crowd.Idle()


def idle(port: int, passwords: Mapping[str, str], *, sessions: int) -> None:
    """Open sessions that wait in IDLE, for each user in turn; they stay until ``awake``."""
    _idle.open(port, list(passwords.items()), sessions)


def news(port: int, *, users: Sequence[str]) -> list[float]:
    """Deliver one message to each user by LMTP: for each the seconds until all of that user's sessions know of it."""
    return _idle.news(port, users)


def awake() -> None:
    """End them."""
    _idle.close()


def _all(connection: wire.Connection, commands: Sequence[str]) -> None:
    for text in commands:
        connection.send(wire.command(text))
        connection.tagged()


def _fresh() -> Iterator[Letter]:
    """Messages no two of which have the same content. To make each from the ground would take the client too long."""
    made = [letter(number, series=_SERIES) for number in range(_LETTERS)]
    began = time.time_ns()
    return (
        Letter(b"X-Number: %d.%d\r\n%s" % (began, number, one.content), one.received, one.seen)
        for number, one in enumerate(itertools.cycle(made))
    )


def _check_octets(got: int, content: int, messages: int) -> None:
    if not content <= got <= content + messages * _AROUND:
        raise Failed(f"{got} octets came, where {messages} messages with {content} octets should be")


class _Watch:
    """Runs from when it is made: then all clients are ready, and it is told that they are."""

    def __init__(self, seconds: float) -> None:
        _say("ready")
        sys.stdin.readline()
        self._cpu = time.process_time()
        self._started = time.perf_counter()
        self._until = self._started + seconds

    def over(self) -> bool:
        return time.perf_counter() >= self._until

    def took(self, done: int) -> Took:
        took = Took(done, time.perf_counter() - self._started, time.process_time() - self._cpu)
        _say("over")
        return took


def _say(kind: str, value: Any = None) -> None:
    sys.stdout.buffer.write(msgspec.json.encode((kind, value)) + b"\n")
    sys.stdout.buffer.flush()


# -- the process, and who asks it

_DO: Mapping[str, Callable[..., Any]] = {
    function.__name__: function for function in (pop3, imap, append, capabilities, logins, idle, news, awake)
}


class Client:
    """A process that reads. Made by ``started``."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""
        self._last = "done"  # what it has said

    async def ask(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Have one of the functions of this module called there. Failed."""
        await self._send(json.dumps([function.__name__, arguments, options]))
        return await self._answer("done")

    async def prepare(self, function: Callable[..., Took], *arguments: Any, **options: Any) -> None:
        """The same for what takes its time, up to its start: all is made, and the session is open."""
        await self._send(json.dumps([function.__name__, arguments, options]))
        await self._answer("ready")

    async def go(self) -> None:
        """From the start to the end."""
        await self._send("go")
        await self._answer("over")

    async def took(self) -> Took:
        """What came of it, once all is put back as it was."""
        return Took(**await self._answer("done"))

    async def drain(self) -> None:
        """Let what was prepared come to its end, whatever that is: it stands before all that is asked next."""
        with suppress(Failed):
            if self._last == "ready":
                await self.go()
            if self._last == "over":
                await self.took()

    async def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line.encode() + b"\n")

    async def _answer(self, expected: str) -> Any:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            octets = await self._process.stdout.receive_some()
            if not octets:
                raise Failed("the client ended")
            self._unread += octets
        line, _, self._unread = self._unread.partition(b"\n")
        self._last, value = json.loads(line)
        if self._last == "failed":
            raise Failed(value)
        assert self._last == expected
        return value


@asynccontextmanager
async def started() -> AsyncIterator[Client]:
    """A client, which is ended with the block. Ctrl-C does not reach it."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def main() -> None:
    """Do what is asked for, until nobody asks any more."""
    while line := sys.stdin.readline():
        name, arguments, options = json.loads(line)
        try:
            _say("done", _DO[name](*arguments, **options))
        except Failed as error:
            _say("failed", str(error))


if __name__ == "__main__":
    main()
