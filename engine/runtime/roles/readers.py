"""The process that serves the mailboxes' readers: POP3, IMAP and ManageSieve."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import trio

from engine.config import IMPLICIT_TLS, Config, days_of, days_of_all
from engine.directory import Directory, Embedded
from engine.imap import ImapLimits, ImapService, Visits
from engine.index import Index
from engine.links.direct import DirectAsker
from engine.mailbox import (
    Access,
    Limits,
    MailboxLocks,
    NewsDesk,
    Pop3Server,
)
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.net.balance import Balance
from engine.net.connection import Connection
from engine.net.crowd import Crowd
from engine.observe.events import event
from engine.protocols.pop3 import NEVER
from engine.runtime.canary import InForce
from engine.runtime.places import MAILBOXES, READING, between
from engine.runtime.revision import Here, Revision
from engine.runtime.roles.opened import controller_of
from engine.runtime.roles.role import Role
from engine.runtime.services import CHANGE, CHANGE_DIRECTLY, NEWS, REMOVE
from engine.sorting.managesieve import ManageSieveServer, Quota
from engine.spam.learning import Learner


class ReadersRole(Role):
    """The process that serves the mailboxes' readers."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        self._asker = DirectAsker()
        self._asking: trio.CancelScope | None = None
        self._nursery: trio.Nursery
        self.news = NewsDesk()
        self._balance = Balance(Path(here.folder), READING, here.process.index)
        self._crowd = Crowd(config.mailboxes.max_connections, config.mailboxes.max_connections_per_network)
        self._pop3 = Pop3Server(
            self.mailboxes(),
            visitor=partial(self.logins.visitor, "pop3"),
            remove=self._remove,
            locks=MailboxLocks(self.data / "mailbox" / "pop3-locks"),
            hostname=config.server.hostname,
            allow_plaintext=config.mailboxes.plaintext_login,
            limits=Limits(between_logins=config.mailboxes.login_delay),
            expire=partial(_expire, config, self.directory),
        )
        self._learner = Learner(self.spam.words, self.mailboxes(), config.mailboxes.learn_junk, controller_of(config))
        self._imap = Visits(
            ImapService(
                self.mailboxes(),
                visitor=partial(self.logins.visitor, "imap"),
                change=self.change,
                news=self.news,
                index=Index.open(self.data / "index"),
                directory=self.directory,
                quotas=self.quotas,
                access=Access(self.mailboxes(), admin=_administrator(config)),
                hostname=config.server.hostname,
                learner=self._learner,
                allow_plaintext=config.mailboxes.plaintext_login,
                limits=_imap_limits(config),
            )
        )
        self._managesieve = ManageSieveServer(
            self.mailboxes(),
            visitor=partial(self.logins.visitor, "sieve"),
            change=self.change,
            allow_plaintext=config.mailboxes.plaintext_login,
            quota=_script_quota(config),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._learner.run)
            task_status.started()
            await trio.sleep_forever()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        nursery.start_soon(self._balance.take, super().meet)

    async def _remove(self, account: int, uids: Collection[int]) -> None:
        await self._asker.ask(REMOVE, account, list(uids))

    async def change(self, command: AnyCommand) -> Answer:
        """Have the owner of the mailboxes do it. Unanswered: nobody knows whether it was done."""
        return unpack_answer(await self._asker.ask(CHANGE, octets=packed(command)))

    def switched(self, config: Config) -> None:
        super().switched(config)
        self._crowd.most = config.mailboxes.max_connections
        self._crowd.most_of_network = config.mailboxes.max_connections_per_network
        self._pop3.allow_plaintext = config.mailboxes.plaintext_login
        self._pop3.limits = Limits(between_logins=config.mailboxes.login_delay)
        self._pop3.expire = partial(_expire, config, self.directory)
        self._learner.whom, self._learner.controller = config.mailboxes.learn_junk, controller_of(config)
        self._imap.service.allow_plaintext = config.mailboxes.plaintext_login
        self._imap.service.limits = _imap_limits(config)
        self._imap.service.access.admin = _administrator(config)
        self._managesieve.allow_plaintext = config.mailboxes.plaintext_login
        self._managesieve.quota = _script_quota(config)

    def peer_up(self, name: str, life: int) -> None:
        if name == MAILBOXES:
            self._asking = trio.CancelScope()
            self._nursery.start_soon(self._ask, name, life, self._asking)

    def peer_lost(self, name: str) -> None:
        if name == MAILBOXES and self._asking is not None:
            self._asking.cancel()

    async def _ask(self, name: str, life: int, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._asker.serve, between(self.here.folder, name, life, CHANGE_DIRECTLY))
                endpoint = between(self.here.folder, name, life, NEWS)
                nursery.start_soon(self.news.listen, self.here.context, endpoint)

    async def drain(self, revision: Revision) -> None:
        self._balance.leave()
        await super().drain(revision)
        await self._imap.drain()

    def close(self) -> None:
        super().close()
        self._balance.close()

    async def meet(self, listener: str, connection: Connection) -> None:
        if not self._balance.hand_over(listener, connection):
            await super().meet(listener, connection)

    async def serve(self, listener: str, connection: Connection) -> None:
        network = self.logins.guard.network(connection.peer)
        if refusal := self._crowd.refusal(network):
            event("connection-refused", peer=connection.peer, why=refusal)
            return
        with self._crowd.joined(network), self._balance.joined():
            await self._serve(listener, connection)

    async def _serve(self, listener: str, connection: Connection) -> None:
        tls, implicit = self.tls.offered(people=True), listener in IMPLICIT_TLS
        if listener == "managesieve":
            self._managesieve.tls = tls
            await self._managesieve.serve(connection)
        elif listener.startswith("pop3"):
            self._pop3.tls = tls
            await self._pop3.serve(connection, implicit_tls=implicit)
        else:
            self._imap.service.tls = tls
            await self._imap.serve(connection, implicit_tls=implicit)


def _expire(config: Config, directory: Directory, address: str) -> str:
    """What POP3 says of when mail goes by itself (RFC 2449 6.7): by the rules of the directories that these are for."""
    rules = config.retention.values() if isinstance(directory, Embedded) else ()
    days, differs = (days_of(rules, address), False) if address else days_of_all(rules)
    return f"{days}{' USER' * differs}" if days else NEVER


def _imap_limits(config: Config) -> ImapLimits:
    """What people put into their mailboxes stops long before new mail does."""
    return ImapLimits(floor=2 * config.queue.reserve)


def _administrator(config: Config) -> str:
    """Whom people may ask, as a URI (RFC 5464 6.2.1.2)."""
    return f"mailto:postmaster@{config.domains.local[0]}" if config.domains.local else ""


def _script_quota(config: Config) -> Quota:
    sieve = config.sieve
    return Quota(
        scripts=sieve.scripts,
        size=int(sieve.script_size),
        total=int(sieve.total_size),
        redirects=sieve.redirects,
    )
