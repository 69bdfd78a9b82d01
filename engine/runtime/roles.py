"""What the kinds of worker have besides legs: shards, mailboxes, readers' servers, and the services for stages."""

import os
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from engine.config import IMPLICIT_TLS, Config, ConfigError, Problem
from engine.deadline import Watch
from engine.directory import Directory, Invalid, open_directory, valid_domain
from engine.imap import ImapService
from engine.index import Index
from engine.index.background import Background
from engine.index.builder import Builder
from engine.lanes import MAIL
from engine.links.publish import Publisher
from engine.links.request import Asker, Function, answer_requests
from engine.login import Guard, Issuer, Logins, Rates
from engine.mailbox import (
    Access,
    Leavers,
    Limits,
    Mailboxes,
    MailboxLocks,
    MailboxOwner,
    NewsDesk,
    Pop3Server,
    Posting,
    Quotas,
    Totals,
    Warnings,
)
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.mailbox.owner import RESERVE
from engine.message import Message, MessageId
from engine.net.connection import Connection, ConnectionLost
from engine.net.dns import Resolver
from engine.net.names import Hostname
from engine.net.tls import ServerTls
from engine.observe.events import event
from engine.queue.owner import Delivery, Owner
from engine.queue.store import Shard
from engine.reports.tally import Tally
from engine.return_path import ReturnPaths
from engine.runtime.certificates import Watcher, server_tls
from engine.runtime.door import Door
from engine.runtime.journey import Departure
from engine.runtime.places import CERTIFICATES, INDEX, MAILBOXES, READING, Process, between
from engine.runtime.revision import Admit, Here, Revision
from engine.runtime.services import CHANGE, NEWS, QUEUE_SERVICE, REBUILD, REMOVE
from engine.sieve import ScriptError
from engine.signing import Keyring
from engine.sorting.managesieve import ManageSieveServer, Quota
from engine.sorting.sorter import Rules, Sorter
from engine.storage.ownership import held
from engine.storage.readers import free_readers
from engine.verdict import Verdict

if TYPE_CHECKING:
    from engine.acme.challenges import Responder
    from engine.reports.sending import Sender

_INDEX_NICE = 10
"""How much less the index's process is worth to the kernel: it gets a tenth of what another one that is busy gets."""

_HANDSHAKE = 30.0
"""Seconds for a TLS handshake on a listener that begins with it."""


class Role:
    """A process that only runs stages; the base of all others."""

    def __init__(self, config: Config, here: Here, now: Callable[[], Revision]) -> None:
        self.config = config
        self.here = here
        self.now = now
        self.data = config.server.data
        self.directory = directory_of(config)
        self.logins = Logins(self.directory, Guard.open(self.data / "logins", config.login))
        self.tally = Tally(self.data / "reports")
        self.rates = Rates.open(self.data / "rates")
        self._opened_issuer: Issuer | None = None
        self.quotas = Quotas(self.directory, self.mailboxes, config.quota)
        self._mailboxes: Mailboxes | None = None
        self._opening = threading.Lock()
        self.returns = ReturnPaths()
        self._opened_returns = ReturnPaths()
        self._shards: dict[int, Shard] = {}
        self._resolver: Resolver | None = None
        self._dns = config.dns
        self._opened_tls = self.tls = ServerTls()
        self._watch = Watch()
        self._keyring = Keyring(self.data)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What must run from before the first revision is opened until the process ends."""
        task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        """The first revision is in force: begin."""
        nursery.start_soon(self._watch.run)
        nursery.start_soon(self.tally.run)
        says = self.here.process == Process(f"{MAIL}-0", MAIL)
        nursery.start_soon(Watcher(lambda: self.tls, says=says).run)

    def switched(self, config: Config) -> None:
        """Another revision is in force."""
        self.config = config
        self.tls = self._opened_tls
        self.directory.set_local(config.domains.local)
        self.logins.guard.settings = config.login
        self.logins.issuer = self._opened_issuer
        self.quotas.use(config.quota)
        self.tally.on = config.reports is not None
        self.returns.srs, self.returns.batv = self._opened_returns.srs, self._opened_returns.batv

    def services(self, config: Config) -> dict[Any, Any]:
        """What stages may ask for, by the annotation of their positional parameters.

        ConfigError for what only shows when it is used. It must show here: once all have gone over to a configuration,
        it is too late to refuse it.
        """
        _local_domains(config)
        self._opened_tls = server_tls(config, self.tls)
        self._opened_issuer = self._issuer_for(config)
        self._opened_returns = _return_paths(config)
        return {
            Hostname: Hostname(config.server.hostname),
            Resolver: self._resolver_for(config),
            Directory: self.directory,
            Logins: self.logins,
            Rates: self.rates,
            Quotas: self.quotas,
            Posting: Posting(self.directory, self.mailboxes),
            ReturnPaths: self.returns,
            ServerTls: self._opened_tls,
            Watch: self._watch,
            Tally: self.tally,
            Keyring: self._keyring,
        }

    def mailboxes(self) -> Mailboxes:
        """The mailboxes, to be read in this process. StorageError while they cannot be."""
        with self._opening:  # by one thread: LMDB cannot be opened twice in one process
            if self._mailboxes is None:
                self._mailboxes = Mailboxes.open(self.data / "mailbox", map_size=self.config.mailboxes.map_size)
            return self._mailboxes

    def _resolver_for(self, config: Config) -> Resolver:
        """One resolver, and its cache, for as long as [dns] stays the same."""
        if self._resolver is None or config.dns != self._dns:
            self._resolver, self._dns = _resolver(config), config.dns
        return self._resolver

    def _issuer_for(self, config: Config) -> Issuer | None:
        """One issuer, and what it has told us, for as long as [oidc] stays the same."""
        now = self.logins.issuer
        if now is not None and now.settings == config.oidc:
            return now
        return Issuer(config.oidc) if config.oidc else None

    admit: Admit | None = None

    def peer_up(self, name: str, life: int) -> None:
        """Another process is there."""

    def peer_lost(self, name: str) -> None:
        """Another process is gone."""

    async def serve(self, listener: str, connection: Connection) -> None:
        """Serve a connection that came to one of this process's listeners."""
        stage = self.now().source(listener)
        if stage is None:
            return
        people = getattr(stage.instance, "people", False)
        if listener in IMPLICIT_TLS and not await self._under_tls(connection, listener, people=people):
            return
        await stage.instance.serve(connection, listener)

    async def _under_tls(self, connection: Connection, listener: str, *, people: bool) -> bool:
        try:
            context = self.tls.offered(people=people)
            if context is None:
                raise ConnectionLost("there is no certificate yet")
            with trio.fail_after(_HANDSHAKE):
                await connection.start_tls(context, server_side=True)
        except (ConnectionLost, trio.TooSlowError) as error:
            event("handshake-failed", listener=listener, peer=connection.peer, error=str(error))
            return False
        return True

    async def drain(self, revision: Revision) -> None:
        """Let clients finish what they are at, and take nothing new."""
        for stage in revision.stages.values():
            if stage.stage.spec.source and hasattr(stage.instance, "drain"):
                await stage.instance.drain()

    def shard(self, number: int) -> Shard:
        """A shard whose content is to be read; another process may own it."""
        shard = self._shards.get(number)
        if shard is None:
            shard = Shard(self.data, number, map_size=self.config.queue.map_size, read_only=True)
            self._shards[number] = shard
        return shard

    def close(self) -> None:
        self.tally.close()
        if self._mailboxes is not None:
            self._mailboxes.close()
        for shard in self._shards.values():
            shard.close()


class MailRole(Role):
    """A mail worker: it also owns a shard of the queue."""

    def __init__(self, config: Config, here: Here, now: Callable[[], Revision]) -> None:
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

        async def release(identity: bytes) -> str:
            return await owner.release(MessageId(identity))

        async def delete(identity: bytes) -> str:
            return await owner.delete(MessageId(identity))

        endpoint = between(here.folder, here.process.name, here.life, QUEUE_SERVICE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(free_readers, owner.shard.environment)
            nursery.start_soon(answer_requests, here.context, endpoint, {"release": release, "delete": delete})
            task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        assert self._owner is not None
        nursery.start_soon(self._owner.run)
        if self.here.process.index == 0:
            nursery.start_soon(self._reports_sender().run)

    def _reports_sender(self) -> "Sender":
        # Needed by one process of all, and with it come all checks of authentication.
        from engine.reports.dmarc import AggregateReports
        from engine.reports.sending import Office, Sender

        def office() -> Office | None:
            reports = self.config.reports
            return Office(reports, self.config.server.hostname) if reports else None

        async def submit(message: Message) -> Verdict:
            assert self.config.reports is not None
            return await Door(self.config.reports.lane, self.now).submit(message)

        kind = AggregateReports(lambda: self.tally.counts, lambda: self._resolver_for(self.config).ask)
        return Sender(kind, office, submit)

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._owner is not None:
            self._owner.settings = config.queue

    def admit(self, message: Message, lane: str, done: Callable[[Verdict], None]) -> None:
        assert self._owner is not None
        self._owner.admit(message, lane, done)

    def _give_out(self, delivery: Delivery) -> None:
        assert self._owner is not None
        revision = self.now()
        lane = delivery.record.lane
        if lane not in revision.courses or not revision.courses[lane].queued:  # it was renamed: any that queues will do
            lane = next(course.lane for course in revision.courses.values() if course.queued)
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


class MailboxesRole(Role):
    """The process that owns the mailboxes."""

    def __init__(self, config: Config, here: Here, now: Callable[[], Revision]) -> None:
        super().__init__(config, here, now)
        self._owner: MailboxOwner | None = None
        self._sorter: Sorter | None = None
        self._opened_rules = Rules()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._owner = owner = MailboxOwner(
            self.data / "mailbox",
            map_size=self.config.mailboxes.map_size,
            reserve=_mailbox_reserve(self.config),
            keep_expunged=self.config.mailboxes.keep_expunged,
        )
        self._sorter = Sorter(owner, self.config.server.hostname)
        here = self.here
        endpoint = between(here.folder, here.process.name, here.life, REMOVE)
        publisher = Publisher(here.context, between(here.folder, here.process.name, here.life, NEWS))
        owner.tell = lambda news: publisher.tell(*news)
        functions: dict[str, Function] = {REMOVE: owner.remove, CHANGE: owner.answer}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            nursery.start_soon(Leavers(owner, self.directory).run)
            nursery.start_soon(Warnings(owner, self.directory, self.quotas).run)
            nursery.start_soon(Totals(owner, self.directory).run)
            nursery.start_soon(free_readers, owner.environment)
            nursery.start_soon(answer_requests, here.context, endpoint, functions)
            nursery.start_soon(publisher.serve)
            task_status.started()

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._owner is not None:
            self._owner.reserve = _mailbox_reserve(config)
            self._owner.keep_expunged = config.mailboxes.keep_expunged
        if self._sorter is not None:
            self._sorter.rules = self._opened_rules

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


class ReadersRole(Role):
    """The process that serves the mailboxes' readers."""

    def __init__(self, config: Config, here: Here, now: Callable[[], Revision]) -> None:
        super().__init__(config, here, now)
        self._asker = Asker(here.context)
        self._asking: trio.CancelScope | None = None
        self._nursery: trio.Nursery
        self.news = NewsDesk()
        self._pop3 = Pop3Server(
            self.mailboxes(),
            visitor=partial(self.logins.visitor, "pop3"),
            remove=self._remove,
            locks=MailboxLocks(self.data / "mailbox" / "pop3-locks"),
            hostname=config.server.hostname,
            allow_plaintext=config.mailboxes.plaintext_login,
            limits=Limits(between_logins=config.mailboxes.login_delay),
        )
        self._imap = ImapService(
            self.mailboxes(),
            visitor=partial(self.logins.visitor, "imap"),
            change=self.change,
            news=self.news,
            index=Index.open(self.data / "index"),
            directory=self.directory,
            quotas=self.quotas,
            access=Access(self.mailboxes(), admin=_administrator(config)),
            hostname=config.server.hostname,
            allow_plaintext=config.mailboxes.plaintext_login,
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
            task_status.started()
            await trio.sleep_forever()

    async def _remove(self, account: int, uids: Collection[int]) -> None:
        await self._asker.ask(REMOVE, account, list(uids))

    async def change(self, command: AnyCommand) -> Answer:
        """Have the owner of the mailboxes do it. Unanswered: nobody knows whether it was done."""
        return unpack_answer(await self._asker.ask(CHANGE, packed(command)))

    def switched(self, config: Config) -> None:
        super().switched(config)
        self._pop3.allow_plaintext = config.mailboxes.plaintext_login
        self._pop3.limits = Limits(between_logins=config.mailboxes.login_delay)
        self._imap.allow_plaintext = config.mailboxes.plaintext_login
        self._imap.access.admin = _administrator(config)
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
                nursery.start_soon(self._asker.serve, between(self.here.folder, name, life, REMOVE))
                endpoint = between(self.here.folder, name, life, NEWS)
                nursery.start_soon(self.news.listen, self.here.context, endpoint)

    async def drain(self, revision: Revision) -> None:
        await super().drain(revision)
        await self._imap.drain()

    async def serve(self, listener: str, connection: Connection) -> None:
        tls = self.tls.offered(people=True)
        if listener == "managesieve":
            self._managesieve.tls = tls
            await self._managesieve.serve(connection)
            return
        server = self._pop3 if listener.startswith("pop3") else self._imap
        server.tls = tls
        await server.serve(connection, implicit_tls=listener in IMPLICIT_TLS)


class IndexRole(Role):
    """The process that builds the index of the mailboxes, when nobody else wants the processor."""

    def __init__(self, config: Config, here: Here, now: Callable[[], Revision]) -> None:
        super().__init__(config, here, now)
        os.nice(_INDEX_NICE)
        self._builder: Builder | None = None
        self._background: Background
        self._hearing: trio.CancelScope | None = None
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._builder = Builder(
            self.mailboxes(),
            self.data / "index",
            full_text=self.config.mailboxes.full_text,
            reserve=self.config.queue.reserve,
        )
        self._background = Background(self._builder)
        here = self.here
        endpoint = between(here.folder, here.process.name, here.life, REBUILD)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(answer_requests, here.context, endpoint, {REBUILD: self._background.rebuild})
            task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        nursery.start_soon(self._background.run)

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._builder is not None:
            self._builder.reserve, self._builder.full_text = config.queue.reserve, config.mailboxes.full_text

    def peer_up(self, name: str, life: int) -> None:
        if name == MAILBOXES:
            self._hearing = trio.CancelScope()
            self._nursery.start_soon(self._hear, between(self.here.folder, name, life, NEWS), self._hearing)

    def peer_lost(self, name: str) -> None:
        if name == MAILBOXES and self._hearing is not None:
            self._hearing.cancel()

    async def _hear(self, endpoint: str, scope: trio.CancelScope) -> None:
        with scope:
            await self._background.listen(self.here.context, endpoint)

    def close(self) -> None:
        super().close()
        if self._builder is not None:
            self._builder.close()


class CertificatesRole(Role):
    """The process that gets certificates by ACME, and answers the authority's challenges."""

    _responder: "Responder"

    def start(self, nursery: trio.Nursery) -> None:
        # Slow to import, and not for every worker.
        from engine.acme.challenges import Responder
        from engine.acme.store import Store
        from engine.runtime.renewal import Renewal

        super().start(nursery)
        self._responder = Responder(Store(self.data))
        nursery.start_soon(Renewal(lambda: self.config).run)

    async def serve(self, listener: str, connection: Connection) -> None:
        await self._responder.serve(listener, connection)


def role_of(config: Config, here: Here, now: Callable[[], Revision]) -> Role:
    """The role that belongs to the process's place."""
    roles: dict[str, type[Role]] = {
        MAIL: MailRole,
        MAILBOXES: MailboxesRole,
        READING: ReadersRole,
        INDEX: IndexRole,
        CERTIFICATES: CertificatesRole,
    }
    return roles.get(here.process.place, Role)(config, here, now)


def directory_of(config: Config) -> Directory:
    """The directory that the configuration names, open. ConfigError for files that cannot be used; Unavailable."""
    try:
        return open_directory(config)
    except (Invalid, OSError) as error:
        raise ConfigError(config.path, [Problem(0, "[directory]", str(error))]) from error


def _mailbox_reserve(config: Config) -> int:
    """Far less than the reserve below which no new mail is taken: what is queued must still flow into the mailboxes."""
    return min(RESERVE, config.queue.reserve // 4)


def _administrator(config: Config) -> str:
    """Whom people may ask, as a URI (RFC 5464 6.2.1.2)."""
    return f"mailto:postmaster@{config.domains.local[0]}" if config.domains.local else ""


def _rules(config: Config) -> Rules:
    try:
        return Rules.of(config)
    except (OSError, ScriptError) as error:
        raise ConfigError(config.path, [Problem(0, "[sieve]", str(error))]) from error


def _script_quota(config: Config) -> Quota:
    sieve = config.sieve
    return Quota(
        scripts=sieve.scripts,
        size=int(sieve.script_size),
        total=int(sieve.total_size),
        redirects=sieve.redirects,
    )


def _resolver(config: Config) -> Resolver:
    try:
        return Resolver(config.dns.servers, timeout=config.dns.timeout)
    except ValueError as error:
        raise ConfigError(config.path, [Problem(0, "[dns] servers", str(error))]) from error


def _return_paths(config: Config) -> ReturnPaths:
    try:
        return ReturnPaths.of(config)
    except OSError as error:
        text = f"cannot read {error.filename}: {error.strerror}"
        raise ConfigError(config.path, [Problem(0, "secret_file", text)]) from error


def _local_domains(config: Config) -> tuple[str, ...]:
    try:
        return tuple(map(valid_domain, config.domains.local))
    except Invalid as error:
        raise ConfigError(config.path, [Problem(0, "[domains] local", str(error))]) from error
