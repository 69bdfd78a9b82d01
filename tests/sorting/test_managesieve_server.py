"""The ManageSieve server over a store of its own: what a client says, and what it hears."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import trio

from engine.directory import Account, Unavailable
from engine.mailbox import MailboxOwner, StorageError
from engine.mailbox.commands import Answer, AnyCommand
from engine.net.connection import Connection
from engine.protocols.sasl import Credentials
from engine.sorting.managesieve import ManageSieveServer, Quota, Times
from tests.support.staying import Staying

ANN, PASSWORD = "ann@example.org", "secret"
LOGIN = base64.b64encode(f"\0{ANN}\0{PASSWORD}".encode()).decode()


class Visitor(Staying):
    mechanisms = ("PLAIN",)

    def __init__(self, peer: str) -> None:
        self.peer = peer

    async def answer(self, question: Credentials) -> Account | None:
        await trio.lowlevel.checkpoint()
        if question.password == "later":
            raise Unavailable("the directory is away")
        return Account(1, ANN, 0.0) if (question.login, question.password) == (ANN, PASSWORD) else None


@dataclass
class Client:
    stream: trio.SocketStream
    received: bytes = b""

    async def line(self) -> str:
        while b"\r\n" not in self.received:
            some = await self.stream.receive_some()
            if not some:
                return ""
            self.received += some
        line, _, self.received = self.received.partition(b"\r\n")
        return line.decode()

    async def hears(self) -> list[str]:
        """Lines up to the reply that ends them."""
        lines = [await self.line()]
        while lines[-1] and not lines[-1].startswith(("OK", "NO", "BYE")):
            lines.append(await self.line())
        return lines

    async def asks(self, command: str, reply: str) -> list[str]:
        """All lines before the reply, which begins as told."""
        await self.stream.send_all(command.encode() + b"\r\n")
        *lines, last = await self.hears()
        assert last.startswith(reply), last
        return lines

    async def log_in(self) -> Self:
        await self.asks(f'AUTHENTICATE "PLAIN" "{LOGIN}"', "OK")
        return self


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        yield owner


@asynccontextmanager
async def connected(owner: MailboxOwner, **options: object) -> AsyncIterator[Client]:
    server = ManageSieveServer(owner.reader, **{"visitor": Visitor, "change": owner.change, **options})  # type: ignore[arg-type]
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()

    async def accept() -> None:
        accepted, _ = await listener.accept()
        await server.serve(Connection.of(accepted))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        stream = await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1])
        client = Client(stream)
        assert (await client.hears())[-1].startswith("OK")
        yield client
        await stream.aclose()
        nursery.cancel_scope.cancel()
    listener.close()


async def test_a_session(owner: MailboxOwner) -> None:
    async with connected(owner) as client:
        capabilities = await client.asks("CAPABILITY", "OK")
        assert '"SASL" "PLAIN"' in capabilities
        assert not any(line.startswith('"STARTTLS"') for line in capabilities)
        await client.asks("LISTSCRIPTS", "NO")
        await client.log_in()
        assert f'"OWNER" "{ANN}"' in await client.asks("CAPABILITY", "OK")
        assert await client.asks("LISTSCRIPTS", "OK") == []
        await client.asks('PUTSCRIPT "a" {5+}\r\nkeep;', "OK")
        await client.asks('PUTSCRIPT "b" {4+}\r\nfly;', "NO")
        await client.asks("CHECKSCRIPT {5+}\r\nstop;", "OK")
        await client.asks("CHECKSCRIPT {4+}\r\nfly;", "NO")
        await client.asks('SETACTIVE "b"', "NO (NONEXISTENT)")
        await client.asks('SETACTIVE "a"', "OK")
        assert await client.asks("LISTSCRIPTS", "OK") == ['"a" ACTIVE']
        assert await client.asks('GETSCRIPT "a"', "OK") == ["{5}", "keep;"]
        await client.asks('GETSCRIPT "b"', "NO (NONEXISTENT)")
        await client.asks('RENAMESCRIPT "a" "c"', "OK")
        await client.asks('DELETESCRIPT "c"', "NO (ACTIVE)")
        await client.asks('SETACTIVE ""', "OK")
        await client.asks('DELETESCRIPT "c"', "OK")
        await client.asks("UNAUTHENTICATE", "OK")
        await client.asks("LISTSCRIPTS", "NO")
        await client.asks("LOGOUT", "OK")
        assert await client.line() == ""


async def test_quotas(owner: MailboxOwner) -> None:
    async with connected(owner, quota=Quota(scripts=2, size=100, total=110)) as client:
        await client.log_in()
        await client.asks('HAVESPACE "a" 101', "NO (QUOTA/MAXSIZE)")
        await client.asks('HAVESPACE "a" 100', "OK")
        await client.asks('PUTSCRIPT "a" {100+}\r\n' + "keep;" * 20, "OK")
        await client.asks('HAVESPACE "b" 11', "NO (QUOTA)")
        await client.asks('PUTSCRIPT "b" {15+}\r\nkeep;keep;keep;', "NO (QUOTA)")
        await client.asks('PUTSCRIPT "b" {10+}\r\nkeep;keep;', "OK")
        await client.asks('HAVESPACE "c" 0', "NO (QUOTA/MAXSCRIPTS)")
        await client.asks('PUTSCRIPT "c" {0+}\r\n', "NO (QUOTA/MAXSCRIPTS)")
        await client.asks('PUTSCRIPT "a" {5+}\r\nkeep;', "OK")


@pytest.mark.parametrize(
    ("password", "reply"), [("guess", "NO"), ("later", "NO (TRYLATER)")], ids=["wrong", "the directory is away"]
)
async def test_logins_that_fail(owner: MailboxOwner, password: str, reply: str) -> None:
    async with connected(owner, times=Times(tries=2)) as client:
        login = base64.b64encode(f"\0{ANN}\0{password}".encode()).decode()
        await client.asks(f'AUTHENTICATE "PLAIN" "{login}"', reply)
        await client.asks(f'AUTHENTICATE "PLAIN" "{login}"', "BYE" if reply == "NO" else reply)


async def test_no_password_in_the_clear_from_elsewhere(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "peer", "192.0.2.1")
    async with connected(owner) as client:
        assert '"SASL" ""' in await client.asks("CAPABILITY", "OK")
        await client.asks(f'AUTHENTICATE "PLAIN" "{LOGIN}"', "NO (ENCRYPT-NEEDED)")
    async with connected(owner, allow_plaintext=True) as client:
        await client.log_in()


@pytest.mark.parametrize("error", [StorageError("the disk"), RuntimeError("a bug")])
async def test_what_goes_wrong_is_said_and_the_session_goes_on(owner: MailboxOwner, error: Exception) -> None:
    async def change(_: AnyCommand) -> Answer:
        raise error

    async with connected(owner, change=change) as client:
        await client.log_in()
        await client.asks('PUTSCRIPT "a" {5+}\r\nkeep;', "NO (TRYLATER)")
        await client.asks("LISTSCRIPTS", "OK")


async def test_who_says_nothing_is_let_go(owner: MailboxOwner, mock_clock: trio.testing.MockClock) -> None:
    async with connected(owner) as client:
        mock_clock.jump(91)
        assert await client.line() == ""
