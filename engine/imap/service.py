"""What all IMAP connections of a process share."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from engine.directory import Directory
from engine.imap.columns import Columns
from engine.imap.known import Folders
from engine.imap.views import Views
from engine.index import Index
from engine.login import Visitor
from engine.mailbox import Access, Mailboxes, NewsDesk, Quotas
from engine.mailbox.commands import Answer, AnyCommand
from engine.spam.learning import Learner

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
    appended: int = 1_000  # messages of one APPEND (RFC 3502)
    messages: int = 1_000_000  # that one command is for (RFC 9738)
    floor: int = 0  # free disk space that large ones leave to all others


@dataclass(slots=True, eq=False)
class ImapService:
    """What a connection needs beside its socket.

    A password is taken in the clear from a loopback peer, which nobody can listen to, and from all when
    ``allow_plaintext`` is set; else only under TLS. What may change while connections are served counts for new ones.
    """

    mailboxes: Mailboxes
    _: KW_ONLY
    visitor: Callable[[str], Visitor]  # answers the logins of one peer
    change: Callable[[AnyCommand], Awaitable[Answer]]  # asks the owner of the mailboxes for one
    news: NewsDesk  # hears what has changed
    index: Index
    directory: Directory
    access: Access
    quotas: Quotas
    hostname: str
    learner: Learner | None = None  # hears what people say is spam
    tls: ssl.SSLContext | None = None
    allow_plaintext: bool = False
    limits: ImapLimits = ImapLimits()
    views: Views = field(init=False)
    folders: Folders = field(init=False)
    columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        self.views = Views(self.mailboxes)
        self.folders = Folders(self.mailboxes)
        self.columns = Columns()
