"""What all IMAP connections of a process share."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from engine.directory import Directory
from engine.imap.connection import Visit
from engine.imap.known import Folders
from engine.imap.views import Views
from engine.index import Index
from engine.login import Visitor
from engine.mailbox import Access, Mailboxes, NewsDesk, Quotas
from engine.mailbox.commands import Answer, AnyCommand
from engine.net.connection import Connection, ConnectionLost

log = logging.getLogger(__name__)

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapLimits:
    """What one connection may take. Times are seconds, sizes octets."""

    login: float = 90.0  # from the greeting to a successful login, all tries together
    idle: float = 1_800.0  # RFC 9051 5.4: at least thirty minutes
    keepalive: float = 120.0  # between two words to a client that idles: routers forget silent connections
    tries: int = 3  # failed logins
    mistakes: int = 20  # commands that make no sense, in a row
    message: int = 100 * MIB  # what APPEND takes (RFC 7889)
    appended: int = 500  # messages of one APPEND (RFC 3502)


class ImapService:
    """Serves IMAP connections.

    ``visitor`` answers the logins of one peer, ``change`` asks the owner of the mailboxes for a change, ``news`` hears
    what has changed. A password is taken in the clear from a loopback peer, which nobody can listen to, and from all
    when ``allow_plaintext`` is set; else only under TLS.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        *,
        visitor: Callable[[str], Visitor],
        change: Callable[[AnyCommand], Awaitable[Answer]],
        news: NewsDesk,
        index: Index,
        directory: Directory,
        access: Access,
        quotas: Quotas,
        hostname: str,
        tls: ssl.SSLContext | None = None,
        allow_plaintext: bool = False,
        limits: ImapLimits = ImapLimits(),
    ) -> None:
        self.mailboxes = mailboxes
        self.visitor = visitor
        self.change = change
        self.news = news
        self.index = index
        self.directory = directory
        self.access = access
        self.quotas = quotas
        self.hostname = hostname
        self.tls = tls  # may be replaced at any time: new connections take the new one
        self.allow_plaintext = allow_plaintext
        self.limits = limits
        self.views = Views(mailboxes)
        self.folders = Folders(mailboxes)
        self._visits: set[Visit] = set()

    async def serve(self, connection: Connection, *, implicit_tls: bool = False) -> None:
        """Serve one connection to its end and close it. Never raises, but for cancellation."""
        visit = Visit(self, connection)
        self._visits.add(visit)
        try:
            await visit.run(implicit_tls=implicit_tls)
        except ConnectionLost as error:
            log.info("imap %s: %s", visit.peer, error)
        except Exception:
            log.exception("imap %s: connection given up", visit.peer)
        finally:
            self._visits.discard(visit)
            connection.close()

    async def drain(self, grace: float = 2.0) -> None:
        """Have all clients told that the server ends, and wait for those that take it in time."""
        for visit in self._visits:
            visit.leave()
        with trio.move_on_after(grace):
            while self._visits:
                await trio.sleep(0.02)
