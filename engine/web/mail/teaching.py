"""What people say of mail in the webmail teaches the spam filter, exactly as it does by IMAP."""

from collections.abc import Sequence
from typing import NoReturn

from engine.finding.boxes import Box
from engine.runtime.roles.opened import controller_of
from engine.spam import Words
from engine.spam.learning import Learner, flagged, moved
from engine.web.context import Context


class Teaching:
    """One a process. ``run`` must run beside it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._learner = Learner(self._words, self)

    def _words(self) -> Words:
        return self._context.stores.spam.words()

    def part(self, account_id: int, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """For the learner: octets of a message. LookupError, StorageError."""
        return self._context.mailboxes().part(account_id, mailbox, uid, start, length)

    async def run(self) -> NoReturn:
        """Learn what is told, until cancelled."""
        await self._learner.run()

    def moved(self, me: int, box: Box, to: Box, uids: Sequence[int]) -> None:
        """Somebody has moved messages, which have these UIDs now. Only what is done with one's own mail counts."""
        if me == box.account == to.account:
            self._by_the_rules().tell(to.account, to.number, uids, moved(box.use, to.use))

    def labelled(self, me: int, box: Box, label: str, uids: Sequence[int]) -> None:
        """Somebody has given messages a keyword, which may be one that says it."""
        if me == box.account:
            self._by_the_rules().tell(box.account, box.number, uids, flagged((label,)))

    def _by_the_rules(self) -> Learner:
        """As the configuration in force has it."""
        config, learner = self._context.config, self._learner
        learner.whom, learner.controller = config.mailboxes.learn_junk, controller_of(config)
        return learner
