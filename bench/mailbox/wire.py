"""One connection of a reader: commands rendered beforehand, and answers that are counted by C code, not parsed."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

from bench import Failed
from bench.mailbox.letters import Letter
from bench.servers.base import HOST

TAG = b"T9"
"""Of the command that is waited for. No line of the mail begins with it."""

_PATIENCE = 300.0
"""Seconds that a reply may take: a search through all of a large mailbox is one."""

_KEPT = 4096
"""Octets that are looked at again with the next ones: no last line or word is longer."""

_BUFFER = 1 << 20


class Counted(NamedTuple):
    """What an answer held."""

    octets: int
    words: Mapping[bytes, int]  # how often each of those that were asked for came


class Connection:
    """A socket to a server of POP3, IMAP or LMTP. Every method says Failed when the server refuses or hangs up."""

    def __init__(self, port: int, buffer: int = _BUFFER) -> None:
        try:
            self.socket = socket.create_connection((HOST, port), _PATIENCE)
        except OSError as error:
            raise Failed(f"no connection: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(buffer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, octets: bytes) -> None:
        try:
            self.socket.sendall(octets)
        except OSError as error:
            raise Failed(f"the server does not read on: {error}") from error

    def line(self, begin: bytes) -> bytes:
        """Read lines, which are all that the server has to say, until one is over. Failed unless they begin so."""
        end = 0
        while not (end and self._buffer[end - 1] == 10):
            end += self._receive(end)
        if not self._buffer.startswith(begin, 0, end):
            raise Failed(f"refused: {_shown(self._buffer[:end])}")
        return bytes(self._buffer[:end])

    def tagged(self, words: Sequence[bytes] = ()) -> Counted:
        """Read until the line with the TAG, which is the last."""

        def over(_: Mapping[bytes, int], stop: int) -> bool:
            begin = self._buffer.rfind(b"\n", 0, stop - 1) + 1
            if self._buffer[stop - 1] != 10 or not self._buffer.startswith(TAG + b" ", begin, stop):
                return False
            if not self._buffer.startswith(TAG + b" OK", begin, stop):
                raise Failed(f"refused: {_shown(self._buffer[begin:stop])}")
            return True

        return self._count(words, over)

    def dotted(self, many: int) -> Counted:
        """Read so many answers of POP3 that end with a line that is a lone dot."""
        end = b"\n.\r\n"

        def over(counts: Mapping[bytes, int], stop: int) -> bool:
            if self._buffer.startswith(b"-ERR", 0, stop):
                raise Failed(f"refused: {_shown(self._buffer[:stop])}")
            return counts[end] >= many

        return self._count((end,), over)

    def _count(self, words: Sequence[bytes], over: Callable[[Mapping[bytes, int], int], bool]) -> Counted:
        """Count words until it is over. What is read is not copied but for the end, in which a word may be cut."""
        counts = dict.fromkeys(words, 0)
        octets = kept = 0
        while True:
            got = self._receive(kept)
            octets += got
            stop = kept + got
            for word in words:
                counts[word] += self._buffer.count(word, max(kept - len(word) + 1, 0), stop)
            if over(counts, stop):
                return Counted(octets, counts)
            kept = min(stop, _KEPT)
            self._buffer[:kept] = self._buffer[stop - kept : stop]

    def _receive(self, begin: int) -> int:
        try:
            with memoryview(self._buffer) as view:
                got = self.socket.recv_into(view[begin:])
        except OSError as error:
            raise Failed(f"no reply: {error}") from error
        if not got:
            raise Failed("the server hung up")
        return got


def _shown(octets: bytes | bytearray) -> str:
    return bytes(octets[:200]).decode(errors="replace").strip()


# -- POP3


def pop3(port: int, user: str, password: str) -> Connection:
    """Logged in."""
    connection = Connection(port)
    connection.line(b"+OK")
    for command in (f"USER {user}", f"PASS {password}"):
        connection.send(f"{command}\r\n".encode())
        connection.line(b"+OK")
    return connection


# -- IMAP


def command(*texts: str) -> bytes:
    """Commands that are sent together, the last of which is waited for."""
    *others, last = texts
    return "".join([*(f"T8 {text}\r\n" for text in others), f"{TAG.decode()} {last}\r\n"]).encode()


def quoted(text: str) -> str:
    return f'"{text}"'


def imap(port: int, user: str, password: str, *commands: str, buffer: int = _BUFFER) -> Connection:
    """Logged in, and these commands done."""
    connection = Connection(port, buffer)
    connection.line(b"* OK")
    for text in (f"LOGIN {user} {quoted(password)}", *commands):
        connection.send(command(text))
        connection.tagged()
    return connection


def append(folder: str, letters: Sequence[Letter]) -> bytes:
    """APPEND of one message, or of several (RFC 3502), without waiting to be asked for them (RFC 7888)."""
    parts = [b"%s APPEND %s" % (TAG, quoted(folder).encode())]
    for one in letters:
        date = datetime.fromtimestamp(one.received, UTC).strftime('"%d-%b-%Y %H:%M:%S +0000"').encode()
        flags = b"(\\Seen)" if one.seen else b"()"
        parts.append(b" %s %s {%d+}\r\n%s" % (flags, date, len(one.content), one.content))
    return b"".join([*parts, b"\r\n"])


# -- LMTP


def lmtp(port: int) -> Connection:
    """Greeted."""
    connection = Connection(port)
    connection.line(b"220")
    connection.send(b"LHLO source.test\r\n")
    connection.line(b"250")
    return connection


def deliver(connection: Connection, user: str, content: bytes) -> float:
    """Hand in one message; the moment (``time.perf_counter``) at which its last octets were written."""
    for text, reply in (("MAIL FROM:<sender@source.test>", b"250"), (f"RCPT TO:<{user}>", b"250"), ("DATA", b"354")):
        connection.send(f"{text}\r\n".encode())
        connection.line(reply)
    connection.send(content + b".\r\n")
    written = time.perf_counter()
    connection.line(b"250")
    return written
