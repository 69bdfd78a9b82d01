"""The mailboxes behind a site in this process, with their real owner in it as well."""

import contextlib
from collections.abc import Iterator

from engine.mailbox import MailboxOwner
from tests.support.site import Site


@contextlib.contextmanager
def owned_mailboxes(site: Site) -> Iterator[MailboxOwner]:
    """Read and changed here: LMDB opens them once in a process."""
    with MailboxOwner(site.role.data / "mailbox") as owner:
        site.role._mailboxes = owner.reader
        site.context.change = owner.change  # type: ignore[method-assign]
        try:
            yield owner
        finally:
            site.role._mailboxes = None
