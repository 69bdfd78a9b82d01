"""The IMAP service over a store of its own, and clients that talk to it over socket pairs."""

import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

import trio

from engine.directory import Account
from engine.imap import ImapLimits, ImapService, Visits
from engine.index import Index
from engine.index.builder import Builder
from engine.mailbox import Access, MailboxOwner, NewsDesk, Place, Quotas, Recipient
from engine.mailbox.commands import Begin
from engine.net.connection import Connection
from engine.protocols.sasl import Credentials
from tests.mailbox.mailbox_samples import written
from tests.support.staying import Staying

START = 1_800_000_000.0
"""What the clock of the store says: UIDVALIDITY and dates are the same each time."""

PASSWORD = "s3cret"
ACCOUNTS = {"ann@example.org": 1, "bob@example.org": 2}


class Visitor(Staying):
    """Lets everyone in who knows the password."""

    mechanisms = ("PLAIN",)

    def __init__(self, peer: str) -> None:
        self.peer = peer

    async def answer(self, question: Credentials) -> Account | None:
        await trio.lowlevel.checkpoint()
        number = ACCOUNTS.get(question.login)
        if number is None or question.password != PASSWORD:
            return None
        return Account(number, question.login, 0.0)


class People:
    """A directory of Ann and Bob, without groups."""

    limiter = None

    def account(self, address: str) -> Account | None:
        number = ACCOUNTS.get(address)
        return Account(number, address, 0.0) if number is not None else None

    def find(self, address: str, *, subaddress: str = "+") -> Account | None:
        return self.account(address)


class Client:
    """The other end of a connection, response by response."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""
        self._commands = 0

    async def says(self, octets: bytes) -> None:
        await self.stream.send_all(octets)

    async def begins(self, command: bytes) -> str:
        """Send a command; its tag."""
        self._commands += 1
        tag = f"a{self._commands}"
        await self.says(b"%b %b\r\n" % (tag.encode(), command))
        return tag

    async def hears(self) -> bytes:
        """The next response, with the literals in it; empty when the connection is closed."""
        octets = await self._line()
        while (literal := re.search(rb"\{(\d+)\}\r\n\Z", octets)) is not None:
            octets += await self._exactly(int(literal[1])) + await self._line()
        return octets.removesuffix(b"\r\n")

    async def ends(self, tag: str) -> list[bytes]:
        """What is said up to the tagged response, which is the last one, its tag left out."""
        said = []
        while True:
            said.append(await self.hears())
            assert said[-1], f"closed after {said}"
            if said[-1].startswith(tag.encode() + b" "):
                said[-1] = said[-1][len(tag) + 1 :]
                return said

    async def does(self, command: str | bytes) -> list[bytes]:
        """A command, and all that is said of it."""
        return await self.ends(await self.begins(command.encode() if isinstance(command, str) else command))

    async def ok(self, command: str | bytes) -> list[bytes]:
        """The same of a command that succeeds; what is said before its OK."""
        *said, last = await self.does(command)
        assert last.startswith(b"OK"), (command, last)
        return said

    async def append(self, content: bytes, *, mailbox: str = "INBOX", flags: str = "") -> list[bytes]:
        return await self.ok(b"APPEND %b (%b) {%d+}\r\n%b" % (mailbox.encode(), flags.encode(), len(content), content))

    async def logs_in(self, login: str = "ann@example.org") -> Self:
        await self.hears()
        await self.ok(f"LOGIN {login} {PASSWORD}")
        return self

    async def _line(self) -> bytes:
        while b"\r\n" not in self._received:
            if not await self._more():
                return b""
        end = self._received.index(b"\r\n") + 2
        line, self._received = self._received[:end], self._received[end:]
        return line

    async def _exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            if not await self._more():
                break
        octets, self._received = self._received[:count], self._received[count:]
        return octets

    async def _more(self) -> bool:
        data = await self.stream.receive_some()
        self._received += data
        return bool(data)


class Post:
    """A store that is served."""

    def __init__(self, owner: MailboxOwner, nursery: trio.Nursery, limits: ImapLimits) -> None:
        news = NewsDesk()
        owner.tell = news.tell
        self.owner = owner
        self.service = ImapService(
            owner.reader, visitor=Visitor, change=owner.change, news=news, index=Index.open(owner.path / "index"),
            directory=People(), access=Access(owner.reader), quotas=Quotas(),
            hostname="imap.example.org", allow_plaintext=True, limits=limits,
        )  # fmt: skip
        self.visits = Visits(self.service)
        self._nursery = nursery
        self._delivered = 0

    async def visit(self, **options: Any) -> Client:
        """A connection, its greeting not heard yet."""
        ours, theirs = socket.socketpair()
        self._nursery.start_soon(lambda: self.visits.serve(Connection(theirs), **options))
        return Client(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))

    async def client(self, login: str = "ann@example.org", *, selects: str = "", enables: str = "") -> Client:
        """A connection that has logged in."""
        client = await (await self.visit()).logs_in(login)
        if enables:
            await client.ok(f"ENABLE {enables}")
        if selects:
            await client.ok(f"SELECT {selects}")
        return client

    def build_index(self, *, full_text: bool = True) -> None:
        """Let the index know all that is there."""
        with closing(Builder(self.owner.reader, self.owner.path / "index", full_text=full_text)) as builder:
            while builder.work():
                pass

    async def deliver(self, mailbox: str = "INBOX", flags: int = 0, keywords: Sequence[str] = ()) -> None:
        """Mail from outside."""
        self._delivered += 1
        recipient = Recipient("ann@example.org", (Place(mailbox, flags, tuple(keywords)),))
        await self.owner.deliver(written(b"Subject: %d\r\n\r\nbody\r\n" % self._delivered), {1: recipient})


@asynccontextmanager
async def serving(path: Path, *, limits: ImapLimits | None = None, **options: Any) -> AsyncIterator[Post]:
    """A store in ``path``; Ann and Bob have their mailboxes. Checked at the end."""
    with MailboxOwner(path, clock=lambda: START, **options) as owner:
        for account in ACCOUNTS.values():
            await owner.change(Begin(account=account))
        async with trio.open_nursery() as nursery:
            yield Post(owner, nursery, limits or ImapLimits())
            nursery.cancel_scope.cancel()
        assert owner.reader.verify() == []
        incoming = path / "incoming"
        assert not incoming.exists() or list(incoming.iterdir()) == []
