"""A scripted SMTP or LMTP server on loopback: it does what a server does, except where its script says otherwise."""

import contextlib
import itertools
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum

import trio


class Fault(Enum):
    """What a server may do instead of answering."""

    DROP = "closes the connection"
    SILENCE = "says nothing, and keeps the connection"
    TRICKLE = "sends an octet of its reply now and then"
    FLOOD = "sends a reply of a gigabyte, in lines"
    LINE = "sends a reply of a gigabyte, in one line"
    GARBLE = "sends what is no TLS, and closes the connection"


DROP, SILENCE, TRICKLE, FLOOD, LINE, GARBLE = Fault
GIGABYTE = 2**30
NONSENSE = b"\xff\x00 nonsense\r\n"
Answer = str | bytes | Fault

USUAL = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "SIZE 10000000")

_ANSWERS: Mapping[str, str] = {
    "CONNECT": "220 remote.example ESMTP",
    "HELO": "250 remote.example",
    "STARTTLS": "220 2.0.0 Go ahead",
    "AUTH": "235 2.7.0 Welcome",
    "XFORWARD": "250 2.0.0 Ok",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go ahead",
    ".": "250 2.0.0 Ok: queued",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass(frozen=True)
class Received:
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool


@dataclass
class Remote:
    """A server. ``script`` maps a verb ("MAIL", "." for the content, "CONNECT") or a verb with an address
    ("RCPT b@example.net") to an answer, or to several that are given in turn, the last one from then on. What it has
    for "CONTENT" it does when the first octets of a content have come. With ``lmtp`` there is LHLO alone, and a content
    is answered for each recipient (". b@example.net" or "."), and counted as received for each that heard yes.
    """

    script: Mapping[str, Answer | Sequence[Answer]] = field(default_factory=dict)
    extensions: tuple[str, ...] = USUAL
    tls: ssl.SSLContext | None = None
    lmtp: bool = False
    port: int = 0
    delay: float = 0.0  # seconds before a content is answered
    most: int = 0  # recipients of a transaction; 0: without a limit
    too_many: str = "452 4.5.3 Too many recipients"
    commands: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    peers: list[str] = field(default_factory=list)  # from which address each connection came
    _asked: Counter[str] = field(default_factory=Counter)

    def answer(self, *keys: str) -> Answer:
        for key in keys:
            if key in self.script:
                answers = self.script[key]
                if isinstance(answers, str | bytes | Fault):
                    return answers
                self._asked[key] += 1
                return answers[min(self._asked[key], len(answers)) - 1]
        return _ANSWERS[keys[-1]]


class _Dropped(Exception):
    pass


class _Dialogue:
    """One connection to a ``Remote``."""

    def __init__(self, remote: Remote, stream: trio.abc.Stream) -> None:
        self.remote = remote
        self.stream = stream
        self.buffer = b""
        self.sender: str | None = None  # of an open transaction
        self.recipients: list[str] = []
        self.encrypted = False

    async def run(self) -> None:
        await self.say("CONNECT")
        while True:
            line = (await self.line()).decode()
            self.remote.commands.append(line)
            verb = line.split(" ")[0].upper()
            step = getattr(self, f"on_{verb.lower()}", None)
            if step is None:
                await self.write("500 5.5.1 What?")
            else:
                await step(line)

    async def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            await self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    async def more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise _Dropped
        self.buffer += data

    async def say(self, *keys: str) -> bool:
        """Answer; whether it was a yes."""
        answer = self.remote.answer(*keys)
        if isinstance(answer, Fault):
            await self.fail(answer)
            raise _Dropped
        await self.write(answer)
        return bytes(answer[:1], "ascii") in (b"2", b"3") if isinstance(answer, str) else False

    async def fail(self, fault: Fault) -> None:
        match fault:
            case Fault.SILENCE:
                await trio.sleep_forever()
            case Fault.TRICKLE:
                for octet in itertools.cycle(b"250-slow\r\n"):
                    await self.stream.send_all(bytes([octet]))
                    await trio.sleep(0.5)
            case Fault.FLOOD | Fault.LINE:
                piece = b"250-" + 60 * b"x" + (b"\r\n" if fault is FLOOD else b"xx")
                for _ in range(GIGABYTE // (1000 * len(piece))):
                    await self.stream.send_all(1000 * piece)
            case Fault.GARBLE:
                assert isinstance(self.stream, trio.SSLStream)
                await self.stream.transport_stream.send_all(100 * b"no TLS")

    async def write(self, answer: str | bytes) -> None:
        await self.stream.send_all(answer if isinstance(answer, bytes) else answer.encode() + b"\r\n")
        if isinstance(answer, str) and answer.startswith("421"):
            raise _Dropped

    async def on_lhlo(self, line: str) -> None:
        if self.remote.lmtp:
            await self.hello("LHLO")
        else:
            await self.write("500 5.5.1 What?")

    async def on_ehlo(self, line: str) -> None:
        if self.remote.lmtp:
            await self.write("500 5.5.1 What?")
        else:
            await self.hello("EHLO")

    async def hello(self, verb: str) -> None:
        if verb in self.remote.script:
            await self.say(verb)
            return
        offers = [offer for offer in self.remote.extensions if not (self.encrypted and offer == "STARTTLS")]
        lines = ["remote.example", *offers]
        await self.write(
            "\r\n".join(f"250-{line}" for line in lines[:-1]) + ("\r\n" * (len(lines) > 1)) + f"250 {lines[-1]}"
        )

    async def on_helo(self, line: str) -> None:
        await self.say("HELO")

    async def on_starttls(self, line: str) -> None:
        if await self.say("STARTTLS"):
            assert self.remote.tls
            stream = trio.SSLStream(self.stream, self.remote.tls, server_side=True)
            await stream.do_handshake()
            self.stream, self.encrypted, self.buffer = stream, True, b""

    async def on_auth(self, line: str) -> None:
        await self.say("AUTH")

    async def on_xforward(self, line: str) -> None:
        if any(offer.startswith("XFORWARD") for offer in self.remote.extensions):
            await self.say("XFORWARD")
        else:
            await self.write("500 5.5.1 What?")

    async def on_mail(self, line: str) -> None:
        if await self.say(f"MAIL {_address(line)}", "MAIL"):
            self.sender = _address(line)

    async def on_rcpt(self, line: str) -> None:
        if self.sender is None:
            await self.write("503 5.5.1 No sender")
        elif self.remote.most and len(self.recipients) >= self.remote.most:
            await self.write(self.remote.too_many)
        elif await self.say(f"RCPT {_address(line)}", "RCPT"):
            self.recipients.append(_address(line))

    async def on_data(self, line: str) -> None:
        if not self.recipients and "DATA" not in self.remote.script:
            await self.write("503 5.5.1 No recipients")
        elif await self.say("DATA"):
            self.buffer = b"\r\n" + self.buffer
            await self.content_begins()
            while b"\r\n.\r\n" not in self.buffer:
                await self.more()
            content, _, self.buffer = self.buffer.partition(b"\r\n.\r\n")
            await self.take((content + b"\r\n")[2:].replace(b"\r\n..", b"\r\n."))

    async def on_bdat(self, line: str) -> None:
        size = int(line.split(" ")[1])
        await self.content_begins()
        while len(self.buffer) < size:
            await self.more()
        content, self.buffer = self.buffer[:size], self.buffer[size:]
        if self.recipients:
            await self.take(content)
        else:
            await self.write("503 5.5.1 No recipients")

    async def content_begins(self) -> None:
        if "CONTENT" in self.remote.script:
            if len(self.buffer) < 10:
                await self.more()
            await self.say("CONTENT")

    async def take(self, content: bytes) -> None:
        received = Received(self.sender or "", tuple(self.recipients), content, self.encrypted)
        self.reset()
        if self.remote.delay:
            await trio.sleep(self.remote.delay)
        if not received.recipients:
            await self.write("554 5.5.1 No valid recipients")  # RFC 2920 3.1
        elif self.remote.lmtp:
            for recipient in received.recipients:
                if await self.say(f". {recipient}", "."):
                    self.remote.received.append(replace(received, recipients=(recipient,)))
        elif await self.say("."):
            self.remote.received.append(received)

    def reset(self) -> None:
        self.sender, self.recipients = None, []

    async def on_rset(self, line: str) -> None:
        self.reset()
        await self.say("RSET")

    async def on_quit(self, line: str) -> None:
        await self.say("QUIT")
        raise _Dropped


def _address(line: str) -> str:
    found = re.search("<(.*?)>", line)
    return found[1] if found else ""


@asynccontextmanager
async def serving(remote: Remote, address: str = "127.0.0.1") -> AsyncIterator[Remote]:
    """Let ``remote`` listen on a loopback address, on its port or a free one, or on a Unix socket."""
    local = address.startswith("/")
    family = trio.socket.AF_UNIX if local else trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    listener = trio.socket.socket(family)
    await listener.bind(address if local else (address, remote.port))
    listener.listen(100)
    remote.port = 0 if local else listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_accept, listener, remote, nursery)
        yield remote
        nursery.cancel_scope.cancel()
    listener.close()


async def _accept(listener: trio.socket.SocketType, remote: Remote, nursery: trio.Nursery) -> None:
    while True:
        sock, _ = await listener.accept()
        nursery.start_soon(_talk, trio.SocketStream(sock), remote)


async def _talk(stream: trio.SocketStream, remote: Remote) -> None:
    remote.connections += 1
    if stream.socket.family != trio.socket.AF_UNIX:
        remote.peers.append(stream.socket.getpeername()[0])
    remote.open += 1
    remote.most_open = max(remote.most_open, remote.open)
    dialogue = _Dialogue(remote, stream)
    try:
        with contextlib.suppress(_Dropped, trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            await dialogue.run()
    finally:
        remote.open -= 1
        await trio.aclose_forcefully(stream)
