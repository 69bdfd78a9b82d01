"""The process that owns the mailboxes."""

from functools import partial
from typing import Any

import trio

from engine.config import Config, ConfigError, Problem
from engine.directory import may_send_as
from engine.links.direct import answer_directly
from engine.links.publish import Publisher
from engine.links.request import Function, answer_requests
from engine.mailbox import (
    Leavers,
    Mailboxes,
    MailboxOwner,
    Totals,
    Warnings,
)
from engine.mailbox.owner import RESERVE
from engine.oversight.holding import Holding
from engine.oversight.notices import Notices
from engine.oversight.noting import Noting
from engine.oversight.retention import Retaining
from engine.revisions.archive import Archive
from engine.runtime.canary import InForce
from engine.runtime.people import People
from engine.runtime.places import between
from engine.runtime.revision import Here
from engine.runtime.roles.role import Role
from engine.runtime.services import CHANGE, CHANGE_DIRECTLY, NEWS, REMOVE
from engine.sieve import ScriptError
from engine.sorting.sorter import Rules, Sorter
from engine.storage.readers import free_readers


class MailboxesRole(Role):
    """The process that owns the mailboxes."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        self._owner: MailboxOwner | None = None
        self._sorter: Sorter | None = None
        self._opened_rules = Rules()
        self._noting = Noting(lambda: self.oversight, lambda: self.config, self._revision)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._owner = owner = MailboxOwner(
            self.data / "mailbox",
            map_size=self.config.mailboxes.map_size,
            reserve=_mailbox_reserve(self.config),
            keep_expunged=self.config.mailboxes.keep_expunged,
        )
        language = People(self.data, lambda: self.config.languages).language
        self._sorter = Sorter(
            owner, self.config.server.hostname, partial(may_send_as, self.directory), language=language
        )  # fmt: skip
        here = self.here
        endpoint = between(here.folder, here.process.name, here.life, REMOVE)
        directly = between(here.folder, here.process.name, here.life, CHANGE_DIRECTLY)
        publisher = Publisher(here.context, between(here.folder, here.process.name, here.life, NEWS))
        owner.tell = lambda news: publisher.tell(*news)
        functions: dict[str, Function] = {REMOVE: owner.remove, CHANGE: owner.answer}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            nursery.start_soon(Leavers(owner, self.directory).run)
            nursery.start_soon(Warnings(owner, self.directory, self.quotas, language).run)
            nursery.start_soon(Holding(owner, lambda: self.oversight, self.directory).run)
            nursery.start_soon(Notices(owner, lambda: self.oversight, lambda: self.config.oversight).run)
            nursery.start_soon(Retaining(owner, self.directory, lambda: self.config.retention).run)
            nursery.start_soon(self._noting.run)
            nursery.start_soon(Totals(owner, self.directory).run)
            nursery.start_soon(free_readers, owner.environment)
            nursery.start_soon(answer_requests, here.context, endpoint, functions)
            nursery.start_soon(answer_directly, directly, functions, {CHANGE: owner.answer_at_once})
            nursery.start_soon(publisher.serve)
            task_status.started()

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._owner is not None:
            self._owner.reserve = _mailbox_reserve(config)
            self._owner.keep_expunged = config.mailboxes.keep_expunged
        if self._sorter is not None:
            self._sorter.rules = self._opened_rules
        self._noting.switched()

    def _revision(self) -> tuple[int, str]:
        """The number of the one in force, and who has put it in force."""
        number = self.now().number
        kept = Archive(self.data).get(number)
        return number, kept.by if kept is not None else ""

    def mailboxes(self) -> Mailboxes:
        assert self._owner is not None
        return self._owner.reader

    def services(self, config: Config) -> dict[Any, Any]:
        self._opened_rules = _rules(config)
        return super().services(config) | {MailboxOwner: self._owner, Sorter: self._sorter}

    def close(self) -> None:
        super().close()
        if self._owner is not None:
            self._owner.close()


def _mailbox_reserve(config: Config) -> int:
    """Far less than the reserve below which no new mail is taken: what is queued must still flow into the mailboxes."""
    return min(RESERVE, config.queue.reserve // 4)


def _rules(config: Config) -> Rules:
    try:
        return Rules.of(config)
    except (OSError, ScriptError) as error:
        raise ConfigError(config.path, [Problem(0, "[sieve]", str(error))]) from error
