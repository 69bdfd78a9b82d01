"""Tables in a Valkey or Redis that several nodes share.

A change reads, decides here, and writes if nobody else has written meanwhile; otherwise once more. So the server needs
to know nothing of what it keeps.
"""

import contextlib
import random
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from engine.abuse.table import Changes, Decide, Kept
from engine.config import Shared
from engine.login import Excess, rates
from engine.protocols.resp import ErrorReply, Garbled, Reader, Reply, request
from engine.scanning.guard import Guard, Unreachable

T = TypeVar("T")

TIME_LIMIT = 1.0
"""Seconds for a question, of which a client waits for several: it is memory on a network near by."""

AT_ONCE = 16
"""Connections of a process."""

ATTEMPTS = 20
"""Tries of a change. So many processes have written the same entry in between: then something is wrong."""

RATES = "rates"
"""The table in which messages are counted."""

QUIET = 20.0
"""Seconds without a ring after which it is asked whether the server is there."""

_APART = 0.002
"""Seconds by which they step out of each other's way, more with each try."""

_TURNS = 64
_RECEIVE = 64 * 1024

_WRITE = b"""
for i = 1, #KEYS do
  if (redis.call('GET', KEYS[i]) or '') ~= ARGV[i] then return 0 end
end
local at = #KEYS + 1
while at < #ARGV do
  if ARGV[at + 2] == '' then redis.call('DEL', ARGV[at])
  else redis.call('SET', ARGV[at], ARGV[at + 1], 'PX', ARGV[at + 2]) end
  at = at + 3
end
return 1
"""
"""If the values of KEYS are still the first arguments, write what follows: each time key, value, milliseconds."""


class Valkey:
    """Lives as long as its process. OSError for a password that cannot be read. Every method may raise Unreachable."""

    def __init__(self, settings: Shared) -> None:
        self.settings = settings
        self._password = settings.password()
        host, port = settings.place[:2]
        self._guard = Guard(f"shared store {host}:{port}", time_limit=TIME_LIMIT, at_once=AT_ONCE)
        self._idle: list[_Line] = []
        self._turns = [trio.Lock() for _ in range(_TURNS)]

    async def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return await self._guard.call(lambda: self._read(_names(table, keys)))

    async def change(self, table: str, keys: Sequence[bytes], decide: Decide[T]) -> tuple[T, Changes]:
        """The answer, and what was written."""
        names = _names(table, keys)

        async def changed() -> tuple[T, Changes]:
            # Whoever is in this process waits for his turn, so that only other processes can be in between.
            async with self._turns[hash(names[0]) % _TURNS] if names else contextlib.nullcontext():
                return await self._change(table, names, decide)

        return await self._guard.call(changed)

    async def ring(self, who: str) -> bool:
        """Wake a process of any node. Whether it listens."""
        return await self._guard.call(lambda: self._ask(request("PUBLISH", _channel(who), b""))) != 0

    async def hear(self, who: str, heard: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Call ``heard`` for each ring, and once at the beginning, as long as that is ``wanted``."""
        line: _Line | None = None
        try:
            line = await _Line.open(self.settings, self._password)
            await line.must(request("SUBSCRIBE", _channel(who)))
            heard()  # what was rung before
            while wanted():
                with trio.move_on_after(QUIET) as scope:
                    await line.more()
                    heard()
                if scope.cancelled_caught:
                    with trio.fail_after(QUIET):
                        await line.ask(request("PING"))
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.TooSlowError, Garbled) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        finally:
            if line is not None:
                await line.close()

    async def _read(self, names: Sequence[bytes]) -> list[bytes | None]:
        found = await self._ask(request("MGET", *names)) if names else []
        if not isinstance(found, list):
            raise Unreachable(f"it answered {found!r:.80}")
        return [value if isinstance(value, bytes) else None for value in found]

    async def _change(self, table: str, names: Sequence[bytes], decide: Decide[T]) -> tuple[T, Changes]:
        for attempt in range(ATTEMPTS):
            await trio.sleep(random.uniform(0, _APART * attempt))
            values = await self._read(names)
            answer, changes = decide(values)
            if not changes:
                return answer, changes
            before = [value or b"" for value in values]
            written = await self._ask(request("EVAL", _WRITE, len(names), *names, *before, *_triples(table, changes)))
            if written == 1:
                return answer, changes
            if written != 0:
                raise Unreachable(f"it answered {written!r:.80}")
        raise Unreachable(f"others have written in between {ATTEMPTS} times")

    async def _ask(self, octets: bytes) -> Reply:
        """The reply to one request, on a connection that nobody else uses meanwhile."""
        line = self._idle.pop() if self._idle else None
        try:
            if line is None:
                line = await _Line.open(self.settings, self._password)
            reply = await line.ask(octets)
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError, Garbled) as error:
            if line is not None:
                await line.close()
            # What was idle may be just as dead: a server that was started again.
            idle, self._idle = self._idle, []
            for other in idle:
                await other.close()
            raise Unreachable(str(error) or type(error).__name__) from error
        except BaseException:  # cancelled: its reply is still to come, and nobody would know whose it is
            if line is not None:
                await line.close()
            raise
        self._idle.append(line)
        return reply


class _Line:
    """A connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = Reader()

    @classmethod
    async def open(cls, settings: Shared, password: str) -> "_Line":
        host, port, user, database = settings.place
        stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
        if settings.under_tls:
            stream = trio.SSLStream(stream, ssl.create_default_context(), server_hostname=host)
        line = cls(stream)
        try:
            if password:
                await line.must(request("AUTH", *([user] if user else []), password))
            if database:
                await line.must(request("SELECT", database))
        except BaseException:
            await line.close()
            raise
        return line

    async def ask(self, octets: bytes) -> Reply:
        await self._stream.send_all(octets)
        return await self.more()

    async def more(self) -> Reply:
        """What it says next."""
        while True:
            received = await self._stream.receive_some(_RECEIVE)
            if not received:
                raise OSError("it closed the connection")
            if found := self._reader.feed(bytes(received)):
                return found[0]

    async def must(self, octets: bytes) -> None:
        reply = await self.ask(octets)
        if isinstance(reply, ErrorReply):
            raise OSError(f"it does not let us in: {reply}")

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


def counting(store: Valkey) -> rates.Elsewhere:
    """Rates that are counted there. For threads that trio has started."""

    def change(keys: Sequence[bytes], decide: rates.Decide) -> tuple[Excess | None, rates.Changes] | None:
        def kept(values: Sequence[bytes | None]) -> tuple[tuple[Excess | None, rates.Changes], Changes]:
            answer, changes = decide(values)
            return (answer, changes), {key: Kept(*one) for key, one in changes.items()}

        try:
            return trio.from_thread.run(store.change, RATES, keys, kept)[0]
        except Unreachable:
            return None

    return change


def _names(table: str, keys: Sequence[bytes]) -> list[bytes]:
    return [_name(table, key) for key in keys]


def _channel(who: str) -> bytes:
    return b"postroad:bell:%b" % who.encode()


def _name(table: str, key: bytes) -> bytes:
    return b"postroad:%b:%b" % (table.encode(), key.hex().encode())


def _triples(table: str, changes: Changes) -> list[bytes]:
    found = []
    for key, kept in changes.items():
        value, seconds = (kept.value, kept.seconds) if kept is not None else (b"", 0.0)
        found += [_name(table, key), value, b"" if kept is None else b"%d" % max(1, round(seconds * 1000))]
    return found
