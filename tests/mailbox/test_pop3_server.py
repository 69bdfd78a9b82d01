"""POP3 over real sockets: whole sessions, TLS, time limits, locks, a large message, and a foreign client."""

import contextlib
import logging
import poplib
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from mailbox_samples import HEADING, Endless, written
from trio.testing import wait_all_tasks_blocked

from engine.directory import Account, Unavailable
from engine.mailbox import Limits, MailboxLocks, MailboxOwner, Pop3Server, StorageError
from engine.net.connection import Connection
from engine.protocols.sasl import Credentials
from tests.support.programs import needs
from tests.support.staying import Staying

ANN, ADDRESS, PASSWORD = 1, "ann@example.org", "s3cret word"


class Visitor(Staying):
    """Lets Ann in by her password."""

    mechanisms = ("PLAIN",)

    def __init__(self, peer: str) -> None:
        self.peer = peer

    async def answer(self, question: Credentials) -> Account | None:
        await trio.lowlevel.checkpoint()
        right = (question.login, question.password) == (ADDRESS, PASSWORD)
        return Account(ANN, ADDRESS, 0.0) if right else None


def pop3_server(owner: MailboxOwner, limits: Limits | None = None, **options: object) -> Pop3Server:
    arguments = {
        "visitor": Visitor, "remove": owner.remove, "hostname": "mx.example.org",
        "locks": MailboxLocks(owner.path / "pop3-locks"), **options,
    }  # fmt: skip
    arguments |= {"limits": limits} if limits else {}
    return Pop3Server(owner.reader, **arguments)


@asynccontextmanager
async def listening(server: Pop3Server, *, implicit_tls: bool = False) -> AsyncIterator[int]:
    """The port on which ``server`` is served."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()

    async def accept() -> None:
        while True:
            accepted, _ = await listener.accept()
            nursery.start_soon(partial(server.serve, Connection.of(accepted), implicit_tls=implicit_tls))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        yield listener.getsockname()[1]
        nursery.cancel_scope.cancel()
    listener.close()


class Client:
    """The other end of a connection, line by line."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def says(self, *lines: str) -> None:
        await self.stream.send_all("".join(f"{line}\r\n" for line in lines).encode())

    async def hears(self) -> str:
        while b"\n" not in self._received:
            data = await self.stream.receive_some()
            if not data:
                return "(closed)"
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        return line.decode().rstrip("\r")

    async def asks(self, line: str) -> str:
        await self.says(line)
        return await self.hears()

    async def logs_in(self) -> None:
        await self.hears()
        await self.says(f"USER {ADDRESS}", f"PASS {PASSWORD}")
        assert (await self.hears(), (await self.hears())[:3]) == ("+OK now the password", "+OK")


@asynccontextmanager
async def visiting(server: Pop3Server) -> AsyncIterator[Client]:
    """A connection to ``server``; leaving it breaks it off."""
    async with listening(server) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            yield Client(stream)


async def in_thread(work: Callable[[], object]) -> object:
    return await trio.to_thread.run_sync(work)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def whole_session(client: poplib.POP3) -> None:
    client.user(ADDRESS)
    client.pass_(PASSWORD)
    assert client.stat()[0] == 3
    numbers = [line.split() for line in client.list()[1]]
    assert [number for number, _ in numbers] == [b"1", b"2", b"3"]
    assert len({line.split()[1] for line in client.uidl()[1]}) == 3
    lines = client.retr(2)[1]
    assert lines == (HEADING + b"Subject: 2\r\n\r\n.\r\n..dot\r\nlast").split(b"\r\n")
    assert client.top(2, 1)[1][-2:] == [b"", b"."]
    client.dele(2)
    assert client.stat()[0] == 2
    client.rset()
    client.dele(1)
    client.quit()


async def fill(owner: MailboxOwner) -> None:
    for number in (1, 2, 3):
        await owner.deliver(written(f"Subject: {number}\r\n\r\n.\r\n..dot\r\nlast".encode()), {ANN: ADDRESS})


async def test_a_whole_session_with_poplib(owner: MailboxOwner) -> None:
    await fill(owner)
    server = pop3_server(owner)
    async with listening(server) as port:
        await in_thread(lambda: whole_session(poplib.POP3("127.0.0.1", port, timeout=20)))
    assert [entry.uid for entry in owner.reader.messages(ANN)] == [2, 3]
    assert server.locks.held == set()


async def test_with_stls(owner: MailboxOwner, context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    await fill(owner)

    def session() -> None:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        assert "STLS" in client.capa()
        client.stls(trusting)
        assert "STLS" not in client.capa()
        whole_session(client)

    async with listening(pop3_server(owner, tls=context)) as port:
        await in_thread(session)


async def test_with_implicit_tls(owner: MailboxOwner, context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    await fill(owner)
    async with listening(pop3_server(owner, tls=context), implicit_tls=True) as port:
        await in_thread(lambda: whole_session(poplib.POP3_SSL("127.0.0.1", port, timeout=20, context=trusting)))


@pytest.mark.parametrize(
    ("peer", "allowed", "reply"),
    [
        ("127.0.0.1", False, "+OK now the password"),
        ("::1", False, "+OK now the password"),
        ("192.0.2.7", False, "-ERR [AUTH] no password without TLS; begin with STLS"),
        ("2001:db8::7", False, "-ERR [AUTH] no password without TLS; begin with STLS"),
        ("", False, "-ERR [AUTH] no password without TLS; begin with STLS"),
        ("192.0.2.7", True, "+OK now the password"),
    ],
)
async def test_who_may_log_in_without_tls(owner, monkeypatch, peer: str, allowed: bool, reply: str) -> None:
    monkeypatch.setattr(Connection, "peer", peer)
    async with visiting(pop3_server(owner, allow_plaintext=allowed)) as client:
        await client.hears()
        assert await client.asks("USER ann@example.org") == reply


async def test_a_second_session_finds_the_mailbox_in_use(owner: MailboxOwner) -> None:
    server = pop3_server(owner)
    async with visiting(server) as first:
        await first.logs_in()
        async with visiting(server) as second:
            await second.hears()
            await second.says(f"USER {ADDRESS}", f"PASS {PASSWORD}")
            await second.hears()
            assert (await second.hears()).startswith("-ERR [IN-USE]")
            await first.asks("QUIT")
            assert await first.hears() == "(closed)"
            await second.says(f"USER {ADDRESS}", f"PASS {PASSWORD}")
            await second.hears()
            assert (await second.hears()).startswith("+OK")


async def test_a_broken_connection_deletes_nothing_and_frees_the_mailbox(owner: MailboxOwner) -> None:
    await fill(owner)
    server = pop3_server(owner)
    async with listening(server) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        client = Client(stream)
        await client.logs_in()
        assert (await client.asks("DELE 1")).startswith("+OK")
        await stream.aclose()
        while server.locks.held:
            await trio.sleep(0.001)
    assert len(owner.reader.messages(ANN)) == 3


async def test_a_removal_that_fails_is_said(owner: MailboxOwner, caplog) -> None:
    await fill(owner)

    async def remove(account_id: int, uids: Collection[int]) -> None:
        raise StorageError("the owner is away")

    async with visiting(pop3_server(owner, remove=remove)) as client:
        await client.logs_in()
        await client.asks("DELE 1")
        assert await client.asks("QUIT") == "-ERR [SYS/TEMP] some deleted messages not removed"
    assert "the owner is away" in caplog.text


async def test_a_login_that_cannot_be_checked_is_temporary(owner: MailboxOwner, caplog) -> None:
    class Helpless(Visitor):
        async def answer(self, question: Credentials) -> Account | None:
            raise OSError("no directory")

    async with visiting(pop3_server(owner, visitor=Helpless)) as client:
        await client.hears()
        await client.says("USER a", "PASS hidden")
        await client.hears()
        assert (await client.hears()).startswith("-ERR [SYS/TEMP]")
    assert "no directory" in caplog.text
    assert "hidden" not in caplog.text


async def test_a_login_that_cannot_be_checked_now_is_no_bug(owner: MailboxOwner, caplog, capfd) -> None:
    class Waiting(Visitor):
        async def answer(self, question: Credentials) -> Account | None:
            raise Unavailable("the issuer is away")

    async with visiting(pop3_server(owner, visitor=Waiting)) as client:
        await client.hears()
        await client.says("USER a", "PASS hidden")
        await client.hears()
        assert (await client.hears()).startswith("-ERR [SYS/TEMP]")
    assert caplog.text == ""
    assert "the issuer is away" in capfd.readouterr().err


async def test_a_mailbox_that_cannot_be_read_is_temporary_and_not_held(owner: MailboxOwner, monkeypatch) -> None:
    def messages(account_id: int) -> None:
        raise StorageError("broken")

    monkeypatch.setattr(owner.reader, "messages", messages)
    server = pop3_server(owner)
    async with visiting(server) as client:
        await client.hears()
        await client.says(f"USER {ADDRESS}", f"PASS {PASSWORD}")
        await client.hears()
        assert (await client.hears()).startswith("-ERR [SYS/TEMP]")
        assert server.locks.held == set()


async def test_a_message_that_is_gone_is_said_and_the_session_goes_on(owner: MailboxOwner) -> None:
    await fill(owner)
    async with visiting(pop3_server(owner)) as client:
        await client.logs_in()
        await owner.remove(ANN, [2])
        assert await client.asks("RETR 2") == "-ERR the message is gone"
        assert (await client.asks("NOOP")).startswith("+OK")


async def test_a_bug_ends_one_connection_and_is_logged(owner: MailboxOwner, monkeypatch, caplog) -> None:
    await fill(owner)
    monkeypatch.setattr(owner.reader, "small", lambda *_: 1 / 0)
    server = pop3_server(owner)
    async with listening(server) as port:
        for _ in range(2):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                client = Client(stream)
                await client.logs_in()
                assert await client.asks("RETR 1") == "(closed)"
    assert "ZeroDivisionError" in caplog.text


async def test_the_third_failed_login_is_the_last(owner: MailboxOwner, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with visiting(pop3_server(owner)) as client:
        await client.hears()
        replies = []
        for user in (ADDRESS, "nobody@example.org", ADDRESS):
            await client.says(f"USER {user}", "PASS wrong")
            replies += [await client.hears(), await client.hears()]
        assert set(replies) == {"+OK now the password", "-ERR [AUTH] wrong user name or password"}
        assert await client.hears() == "(closed)"
    assert "wrong" not in caplog.text


async def test_ninety_seconds_to_log_in_however_busy(owner: MailboxOwner, autojump_clock) -> None:
    async with visiting(pop3_server(owner, Limits(mistakes=1000))) as client:
        await client.hears()
        start, reply = trio.current_time(), ""
        with contextlib.suppress(trio.BrokenResourceError):
            while reply != "(closed)":
                await trio.sleep(1)
                reply = await client.asks("CAPA X")
        assert 88 <= trio.current_time() - start <= 92


async def test_ten_minutes_of_silence_end_the_session_without_deleting(owner: MailboxOwner, mock_clock) -> None:
    await fill(owner)
    server = pop3_server(owner)
    async with visiting(server) as client:
        await client.logs_in()
        await client.asks("DELE 1")
        for _ in range(3):  # each command starts the time anew
            await wait_all_tasks_blocked()
            mock_clock.jump(599)
            assert (await client.asks("NOOP")).startswith("+OK")
        await wait_all_tasks_blocked()
        mock_clock.jump(601)
        assert await client.hears() == "(closed)"
    assert server.locks.held == set()
    assert len(owner.reader.messages(ANN)) == 3


def retrieved(port: int) -> int:
    """Octets that RETR 1 sends, counted and dropped."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(f"USER {ADDRESS}\r\nPASS {PASSWORD}\r\nRETR 1\r\n".encode())
        buffer, tail, size = bytearray(65536), b"", 0
        while not tail.endswith(b"\r\n.\r\n"):
            count = client.recv_into(buffer)
            assert count
            size += count
            tail = (tail + bytes(buffer[:count]))[-5:]
    return size


async def test_thirty_megabytes_stream_in_bounded_memory(owner: MailboxOwner) -> None:
    await owner.deliver(written(Endless(30_000_000)), {ANN: ADDRESS})
    async with listening(pop3_server(owner)) as port:
        tracemalloc.start()
        size = await trio.to_thread.run_sync(retrieved, port)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 30_000_000 < size < 30_001_000
    assert peak < 3_000_000


async def test_small_answers_to_pipelined_commands_share_a_send(owner: MailboxOwner, monkeypatch) -> None:
    await fill(owner)
    sends = []
    send = Connection.send

    async def counted(self: Connection, data: bytes) -> None:
        sends.append(data)
        await send(self, data)

    monkeypatch.setattr(Connection, "send", counted)
    async with visiting(pop3_server(owner)) as client:
        await client.logs_in()
        sends.clear()
        await client.says("STAT", "LIST", "UIDL", "RETR 1", "RETR 2", "TOP 3 0", "DELE 1", "NOOP")
        while await client.hears() != "+OK done":
            pass
    assert len(sends) == 1


async def test_messages_asked_for_together_are_those_asked_for_one_by_one(owner: MailboxOwner) -> None:
    """Small and large ones, one in UTF-8, for which there is a surrogate, one that there is not, and one that goes."""
    await fill(owner)
    for content in ("Subject: Grüße\r\n\r\nx\r\n", f"\r\n{'.line' * 20_000}", "Subject: last\r\n"):
        await owner.deliver(written(content.encode()), {ANN: ADDRESS})
    numbers = [1, 2, 3, 4, 5, 6, 7, 4, 4, 2]

    async def answer(client: Client) -> list[str]:
        lines = [await client.hears()]
        while lines[-1] != "." and not lines[-1].startswith("-ERR"):
            lines.append(await client.hears())
        return lines

    async def said(*, together: bool, gone: Collection[int] = ()) -> list[list[str]]:
        async with visiting(pop3_server(owner)) as client:
            await client.logs_in()
            await owner.remove(ANN, gone)
            if together:
                await client.says(*(f"RETR {number}" for number in numbers))
                return [await answer(client) for _ in numbers]
            found = []
            for number in numbers:
                await client.says(f"RETR {number}")
                found.append(await answer(client))
            return found

    each = await said(together=False)
    assert [len(lines) > 1 for lines in each] == [number < 7 for number in numbers]
    assert await said(together=True) == each
    lacking = await said(together=True, gone=[3])
    assert lacking[2] == ["-ERR the message is gone"]
    assert lacking[:2] + lacking[3:] == each[:2] + each[3:]


@needs("mpop")
@pytest.mark.parametrize("tls", ["off", "stls", "implicit"])
async def test_mpop_fetches_and_deletes(owner, context, authority, tmp_path: Path, tls: str) -> None:
    await fill(owner)
    await owner.deliver(written(Endless(300_000)), {ANN: ADDRESS})
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    maildir = tmp_path / "maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    async with listening(pop3_server(owner, tls=context), implicit_tls=tls == "implicit") as port:
        arguments = [
            *("mpop", "--host=127.0.0.1", f"--port={port}", f"--user={ADDRESS}", "--auth=user", "--pipelining=on"),
            *(f"--passwordeval=echo '{PASSWORD}'", f"--delivery=maildir,{maildir}", "--keep=off", "--timeout=20"),
            *(f"--uidls-file={tmp_path / 'uidls'}", f"--tls={'off' if tls == 'off' else 'on'}"),
            *(f"--tls-starttls={'on' if tls == 'stls' else 'off'}", f"--tls-trust-file={tmp_path / 'ca.pem'}"),
            "--received-header=off",
        ]
        result = await trio.run_process(arguments, capture_stdout=True, capture_stderr=True, check=False)
        assert result.returncode == 0, result.stderr.decode()
    fetched = sorted(path.read_bytes() for path in (maildir / "new").iterdir())
    assert len(fetched) == 4
    assert b"\n\n.\n..dot\nlast" in fetched[0]
    assert owner.reader.messages(ANN) == []
