"""The mailboxes: the LMDB store, its owner, and the servers that read it."""

from engine.mailbox.access import Access, Identity
from engine.mailbox.deliver import TO_INBOX, TO_JUNK, Outcome, Place, Recipient
from engine.mailbox.leavers import Leavers
from engine.mailbox.locks import MailboxLocks
from engine.mailbox.news import NewsDesk, Watch
from engine.mailbox.opened import News
from engine.mailbox.owner import MailboxOwner
from engine.mailbox.pop3 import Limits, Pop3Server
from engine.mailbox.posting import Posting
from engine.mailbox.quota import Quota
from engine.mailbox.quotas import Limited, Quotas
from engine.mailbox.reader import Entry, Kept, Mailboxes, MessageGone
from engine.mailbox.rows import MailboxRow
from engine.mailbox.totals import Totals
from engine.mailbox.views import Changes, Folder, Usage, View
from engine.mailbox.warnings import Warnings
from engine.storage.environment import Full, StorageError

__all__ = [
    "TO_INBOX",
    "TO_JUNK",
    "Access",
    "Changes",
    "Entry",
    "Folder",
    "Full",
    "Identity",
    "Kept",
    "Leavers",
    "Limited",
    "Limits",
    "MailboxLocks",
    "MailboxOwner",
    "MailboxRow",
    "Mailboxes",
    "MessageGone",
    "News",
    "NewsDesk",
    "Outcome",
    "Place",
    "Pop3Server",
    "Posting",
    "Quota",
    "Quotas",
    "Recipient",
    "StorageError",
    "Totals",
    "Usage",
    "View",
    "Warnings",
    "Watch",
]
