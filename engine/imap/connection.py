"""One IMAP connection: the socket, the deadline, TLS, compression, and the word of each side in its turn."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from engine.directory import Unavailable, asked
from engine.imap import commands, notifying
from engine.imap.appending import Appending
from engine.imap.compression import Deflated
from engine.imap.reply import Bad, No
from engine.imap.service import ImapService
from engine.imap.session import Session
from engine.links.request import Unanswered
from engine.mailbox import Watch
from engine.net.connection import RECEIVE, Connection, ConnectionLost
from engine.observe.events import event
from engine.protocols.imap import append, events
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.session import Unauthenticate
from engine.protocols.imap.table import OFFERED
from engine.protocols.imap.view import May
from engine.protocols.scram import Keys
from engine.storage.environment import StorageError

log = logging.getLogger(__name__)

SLOW = 60.0
"""Seconds in which a client must take the news that it has asked for."""

EXTENDED = 1.0
"""Seconds for which the deadline stays as it was put off."""

GATHERED = 64 * 1024
"""Octets of answers to commands that came together and are sent together."""

MOST = 512 * 1024
"""Octets that are received at once from a client that has ever more to say."""

UNAVAILABLE = b"UNAVAILABLE"

_OFFERED = tuple(name for name in OFFERED if name != "APPENDLIMIT")  # which is said with its number


class Visit:
    """One connection."""

    def __init__(self, service: ImapService, connection: Connection) -> None:
        self._service = service
        self._connection: Connection | Deflated = connection
        self._plain = connection
        self.peer = connection.peer
        self._visitor = service.visitor(self.peer)
        self._scope = trio.CancelScope()
        self._session: Session | None = None
        self._appending: Appending | None = None
        self._idling = False
        self._conversation = trio.CancelScope()
        self._listening = False  # nothing is under way: the client is waited for
        self._leaving = False
        self._most = RECEIVE  # octets that are received at once
        self._sent_away = ""  # why it may not be in any more
        self._heard = -math.inf  # when the deadline was last put off
        self._imap: ImapServer

    async def run(self, *, implicit_tls: bool) -> None:
        service, limits = self._service, self._service.limits
        self._scope.deadline = trio.current_time() + limits.login
        with self._scope:
            if implicit_tls:
                await self._start_tls()
            self._imap = ImapServer(
                service.hostname,
                offered=(*_OFFERED, f"APPENDLIMIT={limits.message}", f"MESSAGELIMIT={limits.messages}"),
                starttls=service.tls is not None,
                plaintext=service.allow_plaintext or self._plain.is_loopback,
                auth=self._visitor.mechanisms,
                tls_active=bool(self._plain.tls),
                channel=self._plain.channel,
                tries=limits.tries,
                mistakes=limits.mistakes,
            )
            self._imap.greet()
            try:
                with self._conversation:
                    await self._converse()
                if self._conversation.cancelled_caught:
                    self._imap.bye(self._sent_away or "The server is going down; come back in a moment")
                    await self._flush()
            finally:
                if self._appending is not None:
                    self._appending.close()
            await self._plain.close_gently()
        # No word to who is sent away in the midst of a command: half a response may stand there.
        if self._scope.cancelled_caught and self._session is not None and not self._sent_away:
            await self._say_good_bye()

    def leave(self) -> None:
        """The server ends: say so once the command under way is done."""
        self._leaving = True
        if self._listening:
            self._conversation.cancel()

    def send_away(self, why: str) -> None:
        """Whoever it is may not be in any more: end it, in the midst of a command too."""
        self._sent_away = f"You are logged out: {why}"
        if self._listening:
            self.leave()
        else:
            self._scope.cancel()

    def close(self) -> None:
        """It is over."""
        self._visitor.leave()

    async def _converse(self) -> None:
        while True:
            match self._imap.next_event():
                case events.NeedData():
                    await self._flush()
                    await self._listen()
                    self._repeat()
                case events.Request() as request:
                    await self._answer(request)
                    self._repeat()
                    if self._imap.unsent > GATHERED:
                        await self._flush()
                case events.Auth() as auth:
                    await self._log_in(auth)
                case events.IdleBegin():
                    self._idling = True
                case events.IdleEnd():
                    self._idling = False
                case events.TlsBegins():
                    await self._flush()
                    await self._start_tls()
                    self._imap.tls_started(self._plain.channel)
                case events.CompressionBegins():
                    await self._flush()
                    self._connection = Deflated(self._plain)
                case events.Closed():
                    await self._flush()
                    return
                case events.Disconnected():
                    return
                case happened:
                    await self._append(happened)

    # The wire.

    async def _listen(self) -> None:
        """Hear the client; cancelled where the server ends."""
        if self._leaving:
            self._conversation.cancel()
        self._listening = True
        octets = await self._receive()
        self._listening = False
        if self._leaving:  # told so after the octets had come: no command begins any more
            await trio.lowlevel.checkpoint()
        self._imap.receive(octets)
        self._extend()

    async def _receive(self) -> bytes:
        """What the client says; news are told while it is awaited, where the client wants them."""
        session = self._session
        if session is None or not (self._idling or notifying.wants(session)):
            octets = await self._connection.receive(self._most)
            self._most = min(2 * self._most, MOST) if len(octets) == self._most else RECEIVE
            return octets
        octets, lost = b"", None
        async with trio.open_nursery() as nursery:

            async def tell() -> None:
                nonlocal lost
                try:
                    await self._tell_news(session)
                except ConnectionLost as error:
                    lost = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(tell)
            try:
                octets = await self._connection.receive()
            except ConnectionLost as error:
                lost = error
            nursery.cancel_scope.cancel()
        if lost is not None:
            raise lost
        return octets

    async def _flush(self) -> None:
        data = self._imap.outgoing()
        if data:
            await self._connection.send(data)
            self._extend()  # it took it

    def _extend(self) -> None:
        """The peer is alive. Before the login that earns it nothing."""
        now = trio.current_time()
        if self._session is not None and now - self._heard > EXTENDED:
            self._heard = now
            self._scope.deadline = now + self._service.limits.idle

    async def _start_tls(self) -> None:
        if self._service.tls is None:
            raise ConnectionLost("a TLS listener without a certificate")
        await self._plain.start_tls(self._service.tls, server_side=True)

    async def _say_good_bye(self) -> None:
        with trio.move_on_after(1):
            self._imap.bye("You have been silent for too long")
            await self._flush()

    # News.

    async def _tell_news(self, session: Session) -> None:
        """Tell them as they come, and a word now and then where there are none. ConnectionLost."""
        with self._service.news.watching(session.account.id) as watch, self._following(session, watch):
            changed: dict[int, int] | None = None  # what came while nobody watched is not known
            while True:
                with _whole():
                    try:
                        await notifying.tell(session, changed, idling=self._idling)
                        await self._send_news()
                    except StorageError as error:
                        log.error("imap %s: %s", self.peer, error)
                changed = await self._changed(watch)

    @contextmanager
    def _following(self, session: Session, watch: Watch) -> Iterator[None]:
        """Hear of the mailbox that is selected too, if it is another account's."""
        selected, news = session.selected, self._service.news
        if selected is None or selected.account == session.account.id:
            yield
            return
        news.follow(watch, selected.account, selected.mailbox)
        try:
            yield
        finally:
            news.unfollow(watch, selected.account, selected.mailbox)

    async def _changed(self, watch: Watch) -> dict[int, int] | None:
        while True:
            with trio.move_on_after(self._service.limits.keepalive):
                return await watch.wait()
            if self._idling:
                self._imap.send(b"* OK Still here\r\n")
                with _whole():
                    await self._send_news()

    async def _send_news(self) -> None:
        """Without more time for the client, which has said nothing."""
        data = self._imap.outgoing()
        if data:
            await self._connection.send(data)

    # Commands.

    async def _answer(self, request: events.Request) -> None:
        session, imap = self._session, self._imap
        try:
            done = await commands.obey(session, imap, request)
            if session is not None:
                await session.catch_up(commands.may_tell(request.command))
            imap.ok(done.text, done.code)
            if isinstance(request.command, Unauthenticate):
                self._forget()
        except No as no:
            if session is not None:
                await session.catch_up(commands.may_tell(request.command))
            imap.no(no.text, no.code)
        except Bad as bad:
            imap.bad(bad.text, bad.code)
        except (StorageError, Unanswered, Unavailable) as error:
            log.error("imap %s: %s", self.peer, error)
            imap.no("That cannot be done now; try again later", UNAVAILABLE)

    def _repeat(self) -> None:
        """Answer what was asked before and is still as it was: then there is nothing to wait for."""
        if self._session is not None:
            self._imap.repeat(self._session.repeats, GATHERED)

    async def _append(self, happened: events.Event) -> None:
        session, imap = self._session, self._imap
        assert session is not None
        try:
            match happened:
                case append.MessageWhole() if self._appending is not None:
                    await self._appending.take_whole(happened)
                    for message in imap.whole_ones():
                        await self._appending.take_whole(message)
                case append.AppendBegin():
                    self._appending = Appending(session, happened)
                    await self._appending.begin()
                    imap.go_on()
                case events.AppendAborted():
                    self._close_appending()
                case append.AppendEnd() if self._appending is not None:
                    done = await self._appending.end()
                    self._close_appending()
                    await session.catch_up(May.ALL)
                    imap.ok(done.text, done.code)
                case _ if self._appending is not None:
                    await self._appending.take(happened)
        except No as no:
            self._close_appending()
            imap.no(no.text, no.code)
        except (StorageError, Unanswered, Unavailable, OSError) as error:
            if isinstance(error, ConnectionLost):
                raise
            log.error("imap %s: %s", self.peer, error)
            self._close_appending()
            imap.no("The message cannot be stored now; try again later", UNAVAILABLE)

    def _close_appending(self) -> None:
        if self._appending is not None:
            self._appending.close()
            self._appending = None

    # Who it is.

    async def _log_in(self, auth: events.Auth) -> None:
        imap = self._imap
        try:
            answer = await self._visitor.answer(auth.question)
            if isinstance(answer, Keys):
                return imap.take_keys(answer)
            if answer is None:
                return imap.no("The name or the password is wrong", b"AUTHENTICATIONFAILED")
            directory = self._service.directory
            me = await asked(directory, self._service.access.identity, directory, answer)
            session = Session(self._service, imap, answer, me, self._flush)
            await session.begin()
        except Unavailable as error:
            event("login-unavailable", peer=self.peer, error=str(error))
            return imap.no("Nobody can log in now; try again later", UNAVAILABLE)
        except Exception:
            log.exception("imap %s: login of %r could not be checked", self.peer, auth.question.login)
            return imap.no("Nobody can log in now; try again later", UNAVAILABLE)
        self._session = session
        self._heard = -math.inf
        self._extend()
        self._visitor.stay(self.send_away)
        return imap.authenticated(answer.address)

    def _forget(self) -> None:
        self._visitor.leave()
        self._session = None
        self._scope.deadline = trio.current_time() + self._service.limits.login


@contextmanager
def _whole() -> Iterator[None]:
    """Not to be broken off: half a response is the end of the conversation. So is a client that does not take it."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + SLOW) as scope:
        yield
    if scope.cancelled_caught:
        raise ConnectionLost("the client does not take the news that it has asked for")
