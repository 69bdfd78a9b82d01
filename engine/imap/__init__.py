"""IMAP over the mailboxes: what drives `engine.protocols.imap` with sockets, clocks, TLS and the store.

`visits` serves the connections of a process, `service` is what they share, `connection` is one of them, and `session`
is what it knows once somebody has logged in, with `selected` for its mailbox. Every command has its function in one of
`folders`, `listing`, `changes`, `fetching`, `searching`, `appending`, `notifying` and `belongings`; `commands` says
which.
"""

from engine.imap.service import ImapLimits, ImapService
from engine.imap.visits import Visits

__all__ = ["ImapLimits", "ImapService", "Visits"]
