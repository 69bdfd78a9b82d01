"""ManageSieve over the scripts of accounts: the driver that owns the socket, the deadline and the TLS (RFC 5804)."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from engine.directory import Account, Unavailable
from engine.login import Visitor, tried
from engine.mailbox import Mailboxes, StorageError
from engine.mailbox.commands import (
    ActivateScript,
    Answer,
    AnyCommand,
    DeleteScript,
    Problem,
    PutScript,
    RenameScript,
)
from engine.mailbox.scripts import Script
from engine.net.connection import Connection
from engine.net.serving import to_its_end
from engine.protocols import managesieve, managesieve_events
from engine.protocols.asking import Closed, Login, StartTls
from engine.protocols.managesieve_events import Code
from engine.protocols.scram import Keys
from engine.sieve import EXTENSIONS, Limits, ScriptError, compile_script

log = logging.getLogger(__name__)

IMPLEMENTATION = "Postroad"
NOTIFY = ("mailto",)

_LAST_WORDS = 1.0
"""Seconds in which a client that is sent away can take that."""

_CODES = {
    Problem.NONEXISTENT: (Code.NONEXISTENT, "there is no such script"),
    Problem.ALREADYEXISTS: (Code.ALREADYEXISTS, "there is such a script"),
    Problem.ACTIVE: (Code.ACTIVE, "the active script cannot be deleted"),
    Problem.LIMIT: (Code.MAXSCRIPTS, "there are as many scripts as there may be"),
    Problem.OVERQUOTA: (Code.QUOTA, "there is no room for the script"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What the scripts of one account may take; sizes in octets."""

    scripts: int = 32
    size: int = 256 * 1024  # of one
    total: int = 1024 * 1024  # of all
    redirects: int = 4  # that one run of a script may ask for

    def problem(self, scripts: Sequence[Script], name: str, size: int) -> Problem | None:
        """Why a script of so many octets cannot be put beside these, or in place of the one that has its name."""
        others = [one.size for one in scripts if one.name != name]
        if len(others) >= self.scripts:
            return Problem.LIMIT
        return Problem.OVERQUOTA if sum(others) + size > self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that one connection may take, and its tries."""

    login: float = 90.0  # from the greeting to a successful login, all tries together
    idle: float = 1800.0  # RFC 5804 1.2: at least 30 minutes
    tries: int = 3  # failed logins
    mistakes: int = 20  # commands that make no sense, in a row


class ManageSieveServer:
    """Serves ManageSieve connections.

    ``visitor`` answers the logins of one peer. ``change`` asks the owner of the mailboxes to do something. An exception
    of either is logged, and the client is told to come again. Passwords in the clear are taken as by POP3.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        visitor: Callable[[str], Visitor],
        change: Callable[[AnyCommand], Awaitable[Answer]],
        *,
        tls: ssl.SSLContext | None = None,
        allow_plaintext: bool = False,
        quota: Quota = Quota(),
        times: Times = Times(),
    ) -> None:
        self.mailboxes = mailboxes
        self.visitor = visitor
        self.change = change
        self.tls = tls  # may be replaced at any time, as may the next two: new connections take the new one
        self.allow_plaintext = allow_plaintext
        self.quota = quota
        self.times = times

    async def serve(self, connection: Connection) -> None:
        """Serve one connection to its end and close it. Never raises, but for cancellation."""
        with to_its_end(connection, "managesieve"):
            await _Visit(self, connection).run()


class _Visit:
    """One connection."""

    def __init__(self, server: ManageSieveServer, connection: Connection) -> None:
        self._server = server
        self._connection = connection
        self.peer = connection.peer
        self._visitor = server.visitor(self.peer)
        self._quota = server.quota
        self._account: Account | None = None
        self._sent_away = ""  # why
        self._scope = trio.CancelScope()
        self._session = managesieve.Session(
            IMPLEMENTATION,
            extensions=sorted(EXTENSIONS),
            notify=NOTIFY,
            redirects=self._quota.redirects,
            script_limit=self._quota.size,
            starttls=server.tls is not None,
            plaintext=server.allow_plaintext or connection.is_loopback,
            tries=server.times.tries,
            mistakes=server.times.mistakes,
            auth=self._visitor.mechanisms,
        )

    async def run(self) -> None:
        self._scope.deadline = trio.current_time() + self._server.times.login
        try:
            with self._scope:
                await self._converse()
                await self._connection.close_gently()
            if self._sent_away:
                await self._say_good_bye()
        finally:
            self._visitor.leave()

    def _send_away(self, why: str) -> None:
        """Whoever it is may not be in any more."""
        self._sent_away = why
        self._scope.cancel()

    async def _say_good_bye(self) -> None:
        with trio.move_on_after(_LAST_WORDS):
            self._session.bye(f"you are logged out: {self._sent_away}")
            await self._connection.send(self._session.outgoing())

    async def _converse(self) -> None:
        while True:
            match self._session.next_event():
                case managesieve_events.Signal():
                    await self._flush()
                    data = await self._connection.receive()
                    if not data:
                        return
                    self._extend()
                    self._session.receive(data)
                case Login() as login:
                    await self._log_in(login)
                case StartTls():
                    await self._start_tls()
                case Closed():
                    await self._flush()
                    return
                case managesieve_events.Unauthenticate():
                    self._account = None
                    self._visitor.leave()
                    self._session.done()
                case asked:
                    await self._answer(asked)

    async def _flush(self) -> None:
        data = self._session.outgoing()
        if data:
            await self._connection.send(data)
            self._extend()

    def _extend(self) -> None:
        """The peer is alive. Before the login that earns it nothing."""
        if self._account is not None:
            self._scope.deadline = trio.current_time() + self._server.times.idle

    async def _start_tls(self) -> None:
        await self._flush()
        assert self._server.tls is not None  # or it would not have been offered
        await self._connection.start_tls(self._server.tls, server_side=True)
        self._session.tls_started(self._connection.channel)

    async def _log_in(self, login: Login) -> None:
        answer = await tried(self._visitor, login.question, protocol="managesieve", peer=self.peer)
        if isinstance(answer, Unavailable):
            self._session.refused("logins cannot be checked now", temporary=True)
        elif isinstance(answer, Keys):
            self._session.take_keys(answer)
        elif answer is None:
            self._session.refused()
        else:
            self._account = answer
            self._extend()
            self._session.logged_in(answer.address)
            self._visitor.stay(self._send_away)

    async def _answer(self, asked: managesieve_events.Event) -> None:
        assert self._account is not None
        try:
            await self._obey(self._account.id, asked)
        except StorageError as error:
            log.error("managesieve %s: %s", self.peer, error)
            self._session.failed("the scripts cannot be had now", Code.TRYLATER)
        except Exception:
            log.exception("managesieve %s: %s", self.peer, type(asked).__name__)
            self._session.failed("this cannot be done now", Code.TRYLATER)

    async def _obey(self, account: int, asked: managesieve_events.Event) -> None:
        mailboxes = self._server.mailboxes
        match asked:
            case managesieve_events.ListScripts():
                found = await trio.to_thread.run_sync(mailboxes.scripts, account)
                active = next((one.name for one in found if one.active), "")
                self._session.listed([one.name for one in found], active)
            case managesieve_events.GetScript(name):
                text = await trio.to_thread.run_sync(mailboxes.script, account, name)
                if text is None:
                    self._tell(Problem.NONEXISTENT)
                else:
                    self._session.script(text)
            case managesieve_events.CheckScript(content):
                if await self._is_good(content):
                    self._session.done("the script is good")
            case managesieve_events.HaveSpace(name, size):
                self._tell(self._quota.problem(await trio.to_thread.run_sync(mailboxes.scripts, account), name, size))
            case managesieve_events.PutScript(_, content) if not await self._is_good(content):
                pass  # the client has heard why
            case _:
                self._tell((await self._server.change(self._command(account, asked))).problem)

    def _command(self, account: int, asked: managesieve_events.Event) -> AnyCommand:
        match asked:
            case managesieve_events.PutScript(name, content):
                most, room = self._quota.scripts, self._quota.total
                return PutScript(account=account, name=name, content=content, most=most, room=room)
            case managesieve_events.SetActive(name):
                return ActivateScript(account=account, name=name)
            case managesieve_events.DeleteScript(name):
                return DeleteScript(account=account, name=name)
            case managesieve_events.RenameScript(name, new):
                return RenameScript(account=account, name=name, to=new)
        raise AssertionError(f"{asked} is no change")

    async def _is_good(self, content: bytes) -> bool:
        """Whether it compiles; else the client is told why not."""
        limits = Limits(script=self._quota.size)
        try:
            await trio.to_thread.run_sync(compile_script, content, limits)
        except ScriptError as error:
            self._session.failed(str(error))
            return False
        return True

    def _tell(self, problem: Problem | None) -> None:
        if problem is None:
            self._session.done()
        else:
            code, text = _CODES.get(problem, (Code.TRYLATER, "the account is gone"))
            self._session.failed(text, code)
