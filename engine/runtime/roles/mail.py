"""The mail worker."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import trio

from engine.abuse import Habits
from engine.abuse.letters import Letters
from engine.config import Config
from engine.egress.tenants import weights
from engine.links.request import answer_requests
from engine.message import Message, MessageId
from engine.net.dns import Resolver
from engine.observe.events import event
from engine.quarantine.expiry import expire
from engine.queue import bounce
from engine.queue.delivery import Delivery
from engine.queue.orders import Orders, answers_of
from engine.queue.owner import Owner
from engine.queue.standing import Standing
from engine.queue.store import Shard, shard_numbers
from engine.runtime.canary import InForce
from engine.runtime.door import Door
from engine.runtime.journey import Departure
from engine.runtime.people import People
from engine.runtime.places import between
from engine.runtime.revision import Here, Revision
from engine.runtime.roles.role import Role
from engine.runtime.services import QUEUE_SERVICE
from engine.shaping.actions import Action
from engine.shaping.telling import Telling
from engine.storage.environment import StorageError
from engine.storage.ownership import held
from engine.storage.readers import free_readers
from engine.verdict import Verdict
from engine.webhooks.posting import Posters
from engine.wording.letters import LanguageOf

if TYPE_CHECKING:
    from engine.quarantine.sending import Digests
    from engine.reports.sending import Sender


class MailRole(Role):
    """A mail worker: it also owns a shard of the queue."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        number = here.process.index
        self._lock = held(self.data / "queue" / str(number))
        self._shards[number] = Shard(self.data, number, map_size=config.queue.map_size)
        self._owner: Owner | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._owner = Owner(
            self._shards[self.here.process.index], self.config.queue, self.config.server.hostname, self._give_out
        )
        owner, here = self._owner, self.here
        owner.shares.weigh(weights(self.config.tenants))

        async def release(identity: bytes, *to: str) -> str:
            return await owner.parked.release(MessageId(identity), to)

        async def delete(identity: bytes, *to: str) -> str:
            return await owner.parked.delete(MessageId(identity), to)

        answers = {"release": release, "delete": delete, **answers_of(owner)}
        endpoint = between(here.folder, here.process.name, here.life, QUEUE_SERVICE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(free_readers, owner.shard.environment)
            nursery.start_soon(answer_requests, here.context, endpoint, answers)
            task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        assert self._owner is not None
        Standing(self._owner).measure()
        nursery.start_soon(self._owner.run)
        nursery.start_soon(self._owner.straight.run)
        nursery.start_soon(expire, self._owner.parked.expire, self._parked_for)
        self._owner.came_back = lambda envelope, count: (
            nursery.start_soon(self._came_back, envelope.session.login, count) if envelope.session.login else None
        )
        undelivered = self._undelivered
        self._owner.not_delivered = lambda delivery, recipient, verdict: undelivered.heard(
            delivery, recipient, verdict, time.time()
        )
        nursery.start_soon(self.automation.watch, self._lifted)
        if self.here.process.index == 0:
            nursery.start_soon(self.suppressions.run)
            language = People(self.data, lambda: self.config.languages).language
            nursery.start_soon(Telling(self.actions, undelivered.note, self._queued, self._postmaster, language).run)
            nursery.start_soon(Posters(lambda: self.config.webhooks, lambda: undelivered.outbox).run)
            for sender in self._reports_senders():
                nursery.start_soon(sender.run)
            nursery.start_soon(self._digests(language).run)
            nursery.start_soon(Letters(Habits(self.tables), self._queued, language).run)

    async def _lifted(self, actions: Sequence[Action]) -> None:
        """What they have kept back leaves now, and not when it would have been tried again."""
        assert self._owner is not None
        is_held_by = self.automation.is_held_by
        try:
            lines = await Orders(self._owner).let_go(
                lambda line, domain: any(is_held_by(action, line, domain) for action in actions)
            )
            if lines:
                event("lines-let-go", lines=lines, actions=[action.id for action in actions])
        except StorageError as error:
            event("shaping-actions-unknown", error=str(error))

    async def _came_back(self, login: str, recipients: int) -> None:
        try:
            await Habits(self.tables).came_back(login, recipients)
        except StorageError as error:
            event("habits-unknown", login=login, error=str(error))

    async def _queued(self, message: Message) -> Verdict:
        """Take a letter of ours through any lane that has a queue."""
        return await Door(_queuing(self.now()), self.now).submit(message)

    def _postmaster(self) -> str:
        """Who runs this server."""
        local = self.config.domains.local
        return f"postmaster@{local[0] if local else self.config.server.hostname}"

    def _parked_for(self) -> float:
        """Seconds that parked mail is kept; 0: for ever."""
        return self.config.quarantine.expire if self.config.quarantine else 0.0

    def _reports_senders(self) -> "Iterator[Sender]":
        # Needed by one process of all, and with it come all checks of authentication.
        from engine.reports.dmarc import AggregateReports
        from engine.reports.posting import Posting
        from engine.reports.sending import Kind, Office, Sender
        from engine.reports.tls import TlsReports

        def resolver() -> Resolver:
            return self._resolver_for(self.config)

        posting_by = lru_cache(maxsize=1)(Posting)  # it remembers who has just failed

        def posting() -> Posting:
            assert self.config.reports is not None
            return posting_by(resolver(), self.config.reports.allow_networks)

        async def submit(message: Message) -> Verdict:
            assert self.config.reports is not None
            return await Door(self.config.reports.lane, self.now).submit(message)

        kinds: tuple[Kind, ...] = (
            AggregateReports(lambda: self.tally.counts, lambda: resolver().ask),
            TlsReports(lambda: self.sessions.counts, lambda: resolver().ask, posting),
        )
        for kind in kinds:

            def office(name: str = kind.name) -> Office | None:
                reports = self.config.reports
                return Office(reports, self.config.server.hostname) if reports and name in reports.kinds else None

            yield Sender(kind, office, submit)

    def _digests(self, language: LanguageOf) -> "Digests":
        from engine.quarantine.sending import Digests, Post

        async def submit(message: Message) -> Verdict:
            assert self.config.quarantine is not None
            return await Door(self.config.quarantine.lane, self.now).submit(message)

        def shards() -> list[Shard]:
            return [self.shard(number) for number in shard_numbers(self.data)]

        assert self._owner is not None
        post = Post(lambda: self.config.quarantine, shards, self.directory, submit, self._owner.shard.holds, language)
        return Digests(post, self.data / "quarantine" / "told.json")

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._owner is not None:
            self._owner.settings = config.queue
            self._owner.shares.weigh(weights(config.tenants))
            self._owner.letters = bounce.Letters(config.languages, config.delivery_reports.return_whole)

    def admit(self, message: Message, lane: str, done: Callable[[Verdict], None]) -> None:
        assert self._owner is not None
        course = self.now.of(message).courses.get(lane)
        self._owner.admit(message, lane, done, straight=course is not None and course.straight)

    def _give_out(self, delivery: Delivery) -> None:
        assert self._owner is not None
        revision = self.now.of(delivery.message)
        lane = delivery.record.lane
        course = revision.courses.get(lane)
        if course is None or not course.goes_on:  # it was renamed: any that queues will do
            lane = _queuing(revision)
        Departure(revision, self._owner, delivery, lane)

    async def drain(self, revision: Revision) -> None:
        assert self._owner is not None
        await super().drain(revision)
        self._owner.drain()

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
        super().close()
        os.close(self._lock)


def _queuing(revision: Revision) -> str:
    """The first lane that has a `queue`."""
    return next(course.lane for course in revision.courses.values() if course.queued)
