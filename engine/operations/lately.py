"""When something last came for an account."""

from engine.mailbox import Mailboxes
from engine.mailbox.names import INBOX_NAME

_STEPS = (2, 100, 5000)
"""UIDs to look back over: the newest message is nearly always there; one that is far down is not worth its search."""


def last_mail(mailboxes: Mailboxes, account: int) -> float | None:
    """When the newest message came into INBOX, of those that are still there: Unix time. None: it is not known.
    StorageError.
    """
    inbox = mailboxes.folder(account, INBOX_NAME)
    if inbox is None or inbox.status is None or not inbox.status.messages:
        return None
    for step in _STEPS:
        found = mailboxes.arrivals(account, inbox.number, max(inbox.status.uidnext - step, 0), step)
        if found:
            return found[-1][1].saved / 1000
    return None
