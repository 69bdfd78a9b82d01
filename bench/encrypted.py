"""Load under TLS: a source and a sink that speak STARTTLS, which smtp-source and smtp-sink do not.

Each is a process of its own with one thread over epoll. The sink takes no mail but under TLS.
"""

import datetime
import gc
import json
import math
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import click
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench import Failed, usage
from bench.load import Sent
from bench.measure import Cell, Run
from bench.servers.base import DOMAIN, HOST, SOURCE, free_port

_PATIENCE = 60.0
"""Seconds for a reply."""

_POLL = 0.01
"""Seconds between two looks at a count."""

_READ = 1 << 17
_BACKLOG = 512

_HEAD = 8192
"""Octets of a content in which a signature must begin: they stand on top."""

_COUNTS = struct.Struct("<QQ")
"""Messages so far, and how many of them were signed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Files: a certificate and its key, and a key to sign with (RSA, 2,048 bits: RFC 8301 3.2)."""

    certificate: Path
    key: Path
    dkim: Path

    @classmethod
    def made(cls, folder: Path) -> "Keys":
        """New ones in this folder."""
        keys = cls(folder / "certificate.pem", folder / "key.pem", folder / "dkim.pem")
        own = new_ec_key(SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mx.{DOMAIN}")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, own.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"mx.{DOMAIN}")]), critical=False)
            .sign(own, SHA256())
        )
        keys.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        for path, key in ((keys.key, own), (keys.dkim, new_rsa_key(65537, 2048))):
            path.touch(mode=0o600)
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return keys


class Counts(NamedTuple):
    """What the sink has taken so far."""

    messages: int
    signed: int


# -- as the benchmark has them


@asynccontextmanager
async def sink(keys: Keys) -> AsyncIterator[tuple[int, Callable[[], Counts]]]:
    """Its port, and what it has taken so far."""
    port = free_port()
    found: deque[Counts] = deque(maxlen=2)
    async with usage.opened("sink") as group, trio.open_nursery() as nursery:
        command = [sys.executable, "-m", "bench.encrypted", "sink", str(port), str(keys.certificate), str(keys.key)]
        process = await group.open(command, stdout=subprocess.PIPE)
        await nursery.start(_hear, process, found)
        yield port, lambda: found[-1]
        nursery.cancel_scope.cancel()


async def _hear(
    process: trio.Process, found: deque[Counts], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    assert process.stdout is not None
    unread = b""
    while octets := await process.stdout.receive_some():
        unread += octets
        whole = len(unread) // _COUNTS.size * _COUNTS.size
        if whole:
            found.append(Counts(*_COUNTS.unpack_from(unread, whole - _COUNTS.size)))
            if len(found) == 1:  # it says so when it listens
                task_status.started()
        unread = unread[whole:]
    raise Failed("the sink under TLS has ended before its time")


async def send(
    cell: Cell, count: int, port: int, arrived: Callable[[], int] | None = None, *, limit: float = math.inf
) -> Sent:
    """As ``load.send``, under TLS. Times begin when all sessions have had their handshake."""
    numbers = map(str, (port, min(cell.sessions, count), cell.size, count))
    with trio.move_on_after(limit):
        command = [sys.executable, "-m", "bench.encrypted", "send", *numbers]
        ended = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
        if ended.returncode:
            raise Failed(f"the source under TLS failed: {ended.stderr.decode(errors='replace').strip()[-500:]}")
        begun, over = json.loads(ended.stdout)
        while arrived is not None and arrived() < count:
            await trio.sleep(_POLL)
        return Sent(over - begun, time.monotonic() - begun)
    so_far = "" if arrived is None else f", {arrived()} did"
    raise Failed(f"{count} messages did not get through within {limit:.0f} s{so_far}; a higher --seconds waits longer")


async def ceiling(keys: Keys, cell: Cell, count: int) -> Run:
    """The source straight into the sink: what this machine and these two do at most."""
    async with sink(keys) as (port, arrived):
        return Run(count, (await send(cell, count, port, lambda: arrived().messages)).arrived)


# -- the sink


class _Dialog:
    """One session of the sink: what it answers, and what it counts."""

    def __init__(self) -> None:
        self.messages = self.signed = 0
        self.encrypted = False
        self.wants_tls = False
        self._unread = b""
        self._content = False
        self._head = b""

    def receive(self, octets: bytes) -> bytes:
        """The replies to what came."""
        self._unread += octets
        replies = []
        while not self.wants_tls:
            if self._content:
                if not self._taken():
                    break
                replies.append(b"250 2.0.0 Ok\r\n")
                continue
            line, end, rest = self._unread.partition(b"\r\n")
            if not end:
                break
            self._unread = rest
            replies.append(self._answer(line[:4].upper()))
        return b"".join(replies)

    def _taken(self) -> bool:
        """Whether the content has come to its end. Only its head is kept."""
        if len(self._head) < _HEAD:
            self._head += self._unread[: _HEAD - len(self._head)]
        end = self._unread.find(b"\r\n.\r\n")
        if end < 0:
            self._unread = self._unread[-4:]
            return False
        self._unread = self._unread[end + 5 :]
        self.messages += 1
        fields = self._head.lower().partition(b"\r\n\r\n")[0]
        self.signed += b"\ndkim-signature:" in b"\n" + fields
        self._content = False
        return True

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            offer = b"250-PIPELINING\r\n250 8BITMIME\r\n"
            return b"250-sink\r\n" + (b"" if self.encrypted else b"250-STARTTLS\r\n") + offer
        if verb == b"STAR":
            self.wants_tls = True
            return b"220 2.0.0 Go ahead\r\n"
        if verb == b"MAIL" and not self.encrypted:
            return b"530 5.7.0 Must issue a STARTTLS command first\r\n"
        self._content, self._head = verb == b"DATA", b""
        return {b"DATA": b"354 End with a dot\r\n", b"QUIT": b"221 2.0.0 Bye\r\n"}.get(verb, b"250 2.0.0 Ok\r\n")


class _Sink:
    """The socket that listens, and all sessions."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._context = context
        self._poll = select.epoll()
        self._listening = socket.create_server((HOST, port), backlog=_BACKLOG)
        self._listening.setblocking(False)
        self._poll.register(self._listening, select.EPOLLIN)
        self._sessions: dict[int, tuple[socket.socket, _Dialog]] = {}
        self._messages = self._signed = 0

    def run(self) -> None:
        """Take mail, and write on standard output what has come, until the process is ended."""
        told: tuple[int, int] | None = None
        while True:
            now = (self._messages, self._signed)
            if now != told:
                os.write(1, _COUNTS.pack(*now))
                told = now
            for descriptor, _ in self._poll.poll():
                if descriptor == self._listening.fileno():
                    self._accept()
                else:
                    self._read(descriptor)

    def _accept(self) -> None:
        with suppress(OSError):  # nobody is left, or who called has given up
            while True:
                connection, _ = self._listening.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sessions[connection.fileno()] = connection, _Dialog()
                self._poll.register(connection, select.EPOLLIN)
                connection.send(b"220 sink ESMTP\r\n")

    def _read(self, descriptor: int) -> None:
        connection, dialog = self._sessions[descriptor]
        try:
            if dialog.wants_tls:
                self._shake(connection, dialog)
            while octets := connection.recv(_READ):
                # Replies are so short that the kernel takes them whole.
                if replies := dialog.receive(octets):
                    connection.send(replies)
                self._note(dialog)
                if dialog.wants_tls:
                    self._wrap(descriptor, dialog)
                    return
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        del self._sessions[descriptor]
        connection.close()

    def _note(self, dialog: _Dialog) -> None:
        self._messages += dialog.messages
        self._signed += dialog.signed
        dialog.messages = dialog.signed = 0

    def _wrap(self, descriptor: int, dialog: _Dialog) -> None:
        plain, _ = self._sessions[descriptor]
        self._poll.unregister(descriptor)
        wrapped = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        del self._sessions[descriptor]
        self._sessions[wrapped.fileno()] = wrapped, dialog
        self._poll.register(wrapped, select.EPOLLIN)

    def _shake(self, connection: socket.socket, dialog: _Dialog) -> None:
        """SSLWantReadError until the handshake is over."""
        assert isinstance(connection, ssl.SSLSocket)
        connection.do_handshake()
        dialog.wants_tls, dialog.encrypted = False, True


# -- the source


class _Session:
    """One connection of the source. Its dialog is a generator that is sent each reply."""

    def __init__(self, source: "_Source", port: int, content: bytes) -> None:
        plain = socket.create_connection((HOST, port), _PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with plain.makefile("rb") as replies:
            _ask(plain, replies.readline, b"", b"220")
            _ask(plain, replies.readline, f"EHLO client.{SOURCE}\r\n".encode(), b"250")
            _ask(plain, replies.readline, b"STARTTLS\r\n", b"220")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(plain)
        self.socket.setblocking(False)
        self._source = source
        self._content = content
        self._unread = b""
        self._unsent = memoryview(b"")
        self._dialog = self._talk()
        next(self._dialog)

    def _talk(self) -> Generator[None, bytes, None]:
        self.write(f"EHLO client.{SOURCE}\r\n".encode())
        _expect((yield), b"250")
        envelope = f"MAIL FROM:<sender@{SOURCE}>\r\nRCPT TO:<u@{DOMAIN}>\r\nDATA\r\n".encode()
        while self._source.another():
            self.write(envelope)
            for code in (b"250", b"250", b"354"):
                _expect((yield), code)
            self.write(self._content)
            _expect((yield), b"250")
        self._source.over(self)
        yield

    def read(self) -> None:
        with suppress(ssl.SSLWantReadError):
            while octets := self.socket.recv(65536):
                *lines, self._unread = (self._unread + octets).split(b"\n")
                for line in lines:
                    if line[3:4] != b"-":  # the last line of a reply, RFC 5321 4.2.1
                        self._dialog.send(line)
            raise ConnectionError("the server hung up")

    def write(self, octets: bytes = b"") -> None:
        """Send this, or go on with what is left. Not all at once where the server reads slowly."""
        self._unsent = memoryview(octets) if octets else self._unsent
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            self._source.watch(self, writing=True)
        else:
            if not octets:
                self._source.watch(self, writing=False)


def _ask(plain: socket.socket, line: Callable[[], bytes], command: bytes, code: bytes) -> None:
    plain.sendall(command)
    while (said := line())[3:4] == b"-":
        pass
    _expect(said, code)


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise ConnectionError(f"expected {code.decode()}, got {line.decode(errors='replace').strip()}")


class _Source:
    """All sessions, and how many messages are still to be sent."""

    def __init__(self, port: int, sessions: int, size: int, messages: int) -> None:
        self._left = messages
        self._poll = select.epoll()
        self._sessions: dict[int, _Session] = {}
        content = _content(size)
        for _ in range(sessions):
            session = _Session(self, port, content)
            self._sessions[session.socket.fileno()] = session
            self._poll.register(session.socket, select.EPOLLIN)

    def another(self) -> bool:
        """Whether one more is to be sent."""
        self._left -= 1
        return self._left >= 0

    def over(self, session: _Session) -> None:
        """It has nothing left to do."""
        self._poll.unregister(session.socket)
        del self._sessions[session.socket.fileno()]

    def watch(self, session: _Session, *, writing: bool) -> None:
        self._poll.modify(session.socket, select.EPOLLIN | (select.EPOLLOUT if writing else 0))

    def run(self) -> None:
        """Until every message has its 250. ConnectionError when one has not."""
        while self._sessions:
            events = self._poll.poll(_PATIENCE)
            if not events:
                raise ConnectionError(f"no reply came for {_PATIENCE:.0f} s")
            for descriptor, event in events:
                session = self._sessions[descriptor]
                if event & select.EPOLLOUT:
                    session.write()
                if event & ~select.EPOLLOUT:
                    session.read()


def _content(size: int) -> bytes:
    """A message of ``size`` octets with the fields that a signature is for, and the end of DATA."""
    head = f"From: Ann <sender@{SOURCE}>\r\nTo: You <u@{DOMAIN}>\r\nSubject: A message\r\nMessage-ID: <1@{SOURCE}>\r\n"
    head += "Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\n"
    line = b"X" * 76 + b"\r\n"
    room = max(size - len(head), 2)
    return head.encode() + (line * (room // len(line) + 1))[: room - 2] + b"\r\n.\r\n"


# -- the processes


@click.group()
def main() -> None:
    """What the benchmarks under TLS start."""


@main.command("sink")
@click.argument("port", type=int)
@click.argument("certificate")
@click.argument("key")
def _sink(port: int, certificate: str, key: str) -> None:
    """Take mail under TLS, and print how much, as octets."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    try:
        taking = _Sink(port, context)
    except OSError as error:
        raise click.ClickException(f"the sink cannot listen: {error}") from error
    taking.run()


@main.command("send")
@click.argument("port", type=int)
@click.argument("sessions", type=int)
@click.argument("size", type=int)
@click.argument("messages", type=int)
def _send(port: int, sessions: int, size: int, messages: int) -> None:
    """Send so many messages; print when it began, behind the handshakes, and when it ended (``time.monotonic``)."""
    gc.disable()
    try:
        source, begun = _Source(port, sessions, size, messages), time.monotonic()
        source.run()
        click.echo(json.dumps((begun, time.monotonic())))
    except OSError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
