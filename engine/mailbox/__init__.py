"""The mailboxes: the LMDB store, its owner, and the servers that read it."""

from engine.mailbox.changes import Outcome
from engine.mailbox.owner import MailboxOwner
from engine.mailbox.pop3 import Limits, Pop3Server
from engine.mailbox.reader import Entry, Mailboxes, MessageGone
from engine.storage.environment import Full, StorageError

__all__ = [
    "Entry",
    "Full",
    "Limits",
    "MailboxOwner",
    "Mailboxes",
    "MessageGone",
    "Outcome",
    "Pop3Server",
    "StorageError",
]
