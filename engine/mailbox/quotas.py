"""What accounts may have and what they do have: asked wherever mail is stored, or is to be refused before it comes."""

from collections.abc import Callable
from typing import NamedTuple

from engine.config import Quota as Settings
from engine.directory import UNSAID, Account, Allowed, Directory, Limit, Memory, Said, allowed, asked
from engine.mailbox.quota import Quota
from engine.mailbox.reader import Mailboxes
from engine.mailbox.views import Usage
from engine.storage.environment import StorageError
from engine.verdict import Defer, Reject

NO_QUOTA = Quota()
CONFIGURED = "[quota]"
"""Who says what counts where nothing was said of an account, its groups and its domain."""

_FULL = 100


class Limited(NamedTuple):
    """An account that may be full."""

    account: int
    quota: Quota
    domain: str
    total: Limit | None  # what all accounts of the domain may have together


class Quotas:
    """One a process. Without a directory nothing is limited.

    ``reader`` gives the mailboxes of this process; StorageError when they cannot be read now.
    """

    def __init__(
        self,
        directory: Directory | None = None,
        reader: Callable[[], Mailboxes] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._directory = directory
        self._reader = reader
        self._found: Memory[int, Limited] = Memory()
        self.use(settings or Settings())

    def use(self, settings: Settings) -> None:
        """Other settings are in force, and ``state`` is another one."""
        self.settings = settings
        self.refusal: Defer | Reject = (
            Defer("the mailbox is full", code="4.2.2")
            if settings.full == "defer"
            else Reject("the mailbox is full", code="5.2.2")
        )
        self._warn = tuple(sorted({*settings.warn, _FULL} if settings.tell_postmaster else settings.warn))
        self._found = Memory()
        self.state = object()

    async def limit(self, account: Account) -> Quota:
        """What the account may have now; it may be one that was found long ago. Unavailable."""
        return await asked(self._directory, self._limit_now, account) if self._directory else NO_QUOTA

    async def of(self, account: Account) -> tuple[Usage, Quota]:
        """What the account has, and what it may have now. Unavailable, StorageError."""
        quota = await self.limit(account)
        return self._reader().usage(account.id) if self._reader else Usage(), quota

    def quota(self, account: Account) -> Quota:
        """What an account that was found just now may have. May block where the directory does. Unavailable."""
        if self._directory is None:
            return NO_QUOTA
        found = self._limited(self._directory, account)
        return found.quota if found.total is None else found.quota._replace(closed=self._all_used(found))

    def limited(self, account: Account) -> Limited | None:
        """For ``is_full``, as long as the directory's state and ours are the same; None: it is never full. As above."""
        if self._directory is None:
            return None
        found = self._limited(self._directory, account)
        return found if found.quota.octets or found.quota.messages or found.total else None

    def is_full(self, limited: Limited) -> bool:
        """Whether mail for it would be refused now. False when the mailboxes cannot be read: delivery will tell."""
        if limited.total is not None and self._all_used(limited):
            return True
        try:
            return self._reader is not None and self._reader().is_full(limited.account, limited.quota)
        except StorageError:
            return False

    def allowed(self, account: Account) -> Allowed:
        """What an account may have, and who says so. May block as above. Unavailable."""
        if self._directory is None:
            return Allowed()
        configured = Said(CONFIGURED, Limit(self.settings.size, self.settings.messages))
        return allowed([*self._directory.limits(account), [configured]])

    def _limit_now(self, account: Account) -> Quota:
        assert self._directory is not None
        now = self._directory.account(account.address)
        return self.quota(now if now is not None and now.id == account.id else account)

    def _limited(self, directory: Directory, account: Account) -> Limited:
        state = directory.state
        found = self._found.get(state, account.id)
        if found is None:
            found = self._look_up(directory, account)
            self._found.put(state, account.id, found)
        return found

    def _look_up(self, directory: Directory, account: Account) -> Limited:
        most = self.allowed(account)
        limited = most.octets or most.messages
        warn = self._warn if limited else ()
        quota = Quota(int(most.octets), most.messages, warn=warn, address=account.address)  # not Size: it travels
        domain = account.domain
        return Limited(account.id, quota, domain, directory.totals().get(domain))

    def _all_used(self, limited: Limited) -> bool:
        """Whether the accounts of the domain have all that is for them together."""
        try:
            usage = self._reader().total(limited.domain) if self._reader is not None else Usage()
        except StorageError:
            return False
        octets, messages = limited.total or UNSAID
        return Quota(octets or 0, messages or 0).used_up(usage.size, usage.messages)
