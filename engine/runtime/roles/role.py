"""What every kind of worker has besides legs: the services for stages."""

import socket
import threading
from collections.abc import Awaitable, Sequence
from functools import cached_property
from typing import Any

import trio

from engine.abuse import Tables
from engine.abuse.valkey import Valkey, counting
from engine.config import IMPLICIT_TLS, Config
from engine.deadline import Watch
from engine.directory import Directory
from engine.egress import Egress, Plan
from engine.figures.store import Figures
from engine.history import history
from engine.history.shelf import FOLDER, Terms
from engine.lanes import MAIL
from engine.lists import Lists
from engine.login import Guard, Issuer, Logins, Rates
from engine.mailbox import (
    Mailboxes,
    Posting,
    Quotas,
)
from engine.net.connection import Connection, ConnectionLost
from engine.net.dns import Resolver
from engine.net.introduction import introduced
from engine.net.names import Hostname
from engine.net.targets import Network
from engine.net.tls import ServerTls
from engine.observe.events import event
from engine.oversight import Oversight
from engine.oversight.journaling import Journals
from engine.policies.results import TlsResults
from engine.policies.seen import SeenTls
from engine.policies.store import StsMemory, StsStore
from engine.queue.store import Shard
from engine.reports.inbox import Inbox
from engine.reports.sessions import SessionTally
from engine.reports.tally import Tally
from engine.return_path import ReturnPaths
from engine.return_path.hearing import Bounce, Complaint, Hearing
from engine.runtime.canary import InForce
from engine.runtime.certificates import EXPIRES, LATE, Watcher, expiries, lates, server_tls
from engine.runtime.handing import Handing
from engine.runtime.places import Process
from engine.runtime.revision import Admit, Here, Revision
from engine.runtime.roles.opened import (
    check_local_domains,
    classifier_of,
    directory_of,
    plan_of,
    resolver_of,
    return_paths_of,
    shared_of,
)
from engine.runtime.undelivered import Undelivered
from engine.shaping.actions import ActionStore
from engine.shaping.allowances import Allowances
from engine.shaping.automation import Actions
from engine.shaping.claims import Claims
from engine.shaping.counts import Counts
from engine.shaping.shaping import Shaping
from engine.shaping.sites import Sites
from engine.signing import Keyring
from engine.spam import Spam
from engine.stage import Rehearsed
from engine.storage import sizes
from engine.suppression import Suppressions
from engine.traces.export import Export

_HANDSHAKE = 30.0
"""Seconds for a TLS handshake on a listener that begins with it."""


class Role:
    """A process that only runs stages; the base of all others."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        self.config = config
        self.here = here
        self.now = now
        self.data = config.server.data
        self.directory = directory_of(config)
        self.logins = Logins(self.directory, Guard.open(self.data / "logins", config.login))
        self.tally = Tally(self.data / "reports")
        self.sessions = SessionTally(self.data / "tls-reports", lambda: self._resolver_for(self.config).ask)
        self.inbox = Inbox(self.data)
        self.rates = Rates.open(self.data / "rates")
        self.tables = Tables.open(self.data / "abuse")
        self._opened_shared: Valkey | None = None
        self.allowances = allowances = Allowances(self.tables)
        self.egress = Egress(self.tables, allowances)
        self._opened_plan = Plan()
        self.shaping = Shaping(
            config.rules, allowances=allowances, claims=Claims(self.tables), sites=Sites(self.tables)
        )
        self.lists = Lists.open(self.data)
        self.sts, self.seen_tls = StsStore.open(self.data), SeenTls.open(self.data)
        self.tls_results = TlsResults()
        self.tls_results.takers += [self.sessions.heard, self.seen_tls.heard]
        self.suppressions = Suppressions.open(self.data)
        self.actions = ActionStore.open(self.data)
        node = f"{socket.gethostname()} {self.data.resolve()}"  # for what several of them count together
        self.automation = Actions(
            self.actions,
            config.rules.automation,
            providers=config.rules.providers,
            known=classifier_of(config),
            counts=Counts(self.tables, node),
        )
        self._opened_issuer: Issuer | None = None
        self.quotas = Quotas(self.directory, self.mailboxes, config.quota)
        self._mailboxes: Mailboxes | None = None
        self._opening = threading.Lock()
        self.returns = ReturnPaths()
        self._opened_returns = ReturnPaths()
        self.hearing = Hearing([self._returned], [self._complained])  # of what came back
        self._shards: dict[int, Shard] = {}
        self._resolver: Resolver | None = None
        self._dns = config.dns
        self._opened_tls = self.tls = ServerTls()
        self._watch = Watch()
        self._keyring = Keyring(self.data)
        self.spam = Spam(self.data, self.directory)
        self._keep_history(config)
        self._export: Export | None = None
        self._tell_traces(config)

    @cached_property
    def figures(self) -> Figures:
        """What is measured over time."""
        return Figures(self.data)

    @cached_property
    def _undelivered(self) -> Undelivered:
        """Who notes what is not delivered; here, where mail is owned, or a stage reads what came back."""
        return Undelivered(self.config, self.suppressions)

    async def _returned(self, bounce: Bounce) -> None:
        await self._undelivered.returned(bounce)

    async def _complained(self, complaint: Complaint) -> None:
        await self._undelivered.complained(complaint)

    async def unsubscribed(self, address: str, name: str, peer: str) -> None:
        """Somebody has left a list by a link of ours. Unavailable."""
        await self._undelivered.unsubscribed(address, name, peer)

    @property
    def oversight(self) -> Oversight:
        """The audit log, grants and holds; opened where they are asked for. StorageError."""
        with self._opening:
            if self._oversight is None:
                self._oversight = Oversight.open(self.data)
            return self._oversight

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What must run from before the first revision is opened until the process ends."""
        task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        """The first revision is in force: begin."""
        nursery.start_soon(self._watch.run)
        nursery.start_soon(self.logins.stays.run)
        nursery.start_soon(self.tally.run)
        nursery.start_soon(self.sessions.run)
        nursery.start_soon(self.seen_tls.run)
        nursery.start_soon(self.shaping.run)
        nursery.start_soon(self.shaping.claims.run)
        nursery.start_soon(self.automation.run)
        nursery.start_soon(Handing(self.here, self._hand_in).run)
        is_first = self.here.process == Process(f"{MAIL}-0", MAIL)
        nursery.start_soon(Watcher(lambda: self.tls, says=is_first).run)
        if is_first:
            history.begin()  # though nothing happens, what is too old goes
            nursery.start_soon(self.tables.run)
            sizes.measure(self.data, lambda: int(self.config.queue.reserve))
            EXPIRES.reads(lambda: expiries(self.tls))
            LATE.reads(lambda: lates(self.tls))

    def switched(self, config: Config) -> None:
        """Another revision is in force."""
        self.config = config
        self.tls = self._opened_tls
        self.directory.set_local(config.domains.local)
        self._keep_history(config)
        self._tell_traces(config)
        self.logins.guard.settings = config.login
        self.logins.issuer = self._opened_issuer
        self.tables.server = shared = self._opened_shared
        self.rates.elsewhere = counting(shared) if shared is not None else None
        self.quotas.use(config.quota)
        self.shaping.use(config.rules)
        self.automation.use(config.rules.automation, config.rules.providers, classifier_of(config))
        kinds = config.reports.kinds if config.reports is not None else ()
        self.tally.on, self.sessions.on = "dmarc" in kinds, "tls" in kinds
        if "_undelivered" in self.__dict__:
            self._undelivered.use(config)
        self.egress.plan = self._opened_plan
        self.returns.use(self._opened_returns)

    def _keep_history(self, config: Config) -> None:
        kept = config.history
        terms = Terms(kept.keep, kept.size, config.queue.reserve)
        on, refusals = kept.level != "off", kept.level == "all"
        history.use(self.data / FOLDER, self.here.process.name, terms, on=on, refusals=refusals)

    def _tell_traces(self, config: Config) -> None:
        """Have what the history is told go to the collector as well, for as long as [traces] stays the same."""
        before, wanted = self._export, config.traces
        if before is not None and before.settings == wanted:
            return
        self._export = Export(wanted, self.here.process.name) if wanted is not None else None
        history.tell(self._export)
        if before is not None:
            before.end()

    def services(self, config: Config) -> dict[Any, Any]:
        """What stages may ask for, by the annotation of their positional parameters.

        ConfigError for what only shows when it is used. It must show here: once all have gone over to a configuration,
        it is too late to refuse it.
        """
        check_local_domains(config)
        self._opened_tls = server_tls(config, self.tls)
        self._opened_issuer = self._issuer_for(config)
        self._opened_returns = return_paths_of(config)
        self._opened_shared = shared_of(config, self._opened_shared)
        self._opened_plan = plan_of(config)
        return {
            Hostname: Hostname(config.server.hostname),
            Resolver: self._resolver_for(config),
            Directory: self.directory,
            Logins: self.logins,
            Rates: self.rates,
            Tables: self.tables,
            Lists: self.lists,
            Egress: self.egress,
            Suppressions: self.suppressions,
            Actions: self.automation,
            Quotas: self.quotas,
            Posting: Posting(self.directory, self.mailboxes),
            Journals: Journals(config.journals),
            ReturnPaths: self.returns,
            Hearing: self.hearing,
            ServerTls: self._opened_tls,
            Watch: self._watch,
            Tally: self.tally,
            Shaping: self.shaping,
            Keyring: self._keyring,
            Spam: self.spam,
            TlsResults: self.tls_results,
            Inbox: self.inbox,
            StsMemory: self.sts,
            Rehearsed: Rehearsed(False),
        }

    def mailboxes(self) -> Mailboxes:
        """The mailboxes, to be read in this process. StorageError while they cannot be."""
        with self._opening:  # by one thread: LMDB cannot be opened twice in one process
            if self._mailboxes is None:
                self._mailboxes = Mailboxes.open(self.data / "mailbox", map_size=self.config.mailboxes.map_size)
            return self._mailboxes

    def resolver(self) -> Resolver:
        """That of the configuration in force."""
        return self._resolver_for(self.config)

    def _resolver_for(self, config: Config) -> Resolver:
        """One resolver, and its cache, for as long as [dns] stays the same."""
        if self._resolver is None or config.dns != self._dns:
            self._resolver, self._dns = resolver_of(config), config.dns
        return self._resolver

    def _issuer_for(self, config: Config) -> Issuer | None:
        """One issuer, and what it has told us, for as long as [oidc] stays the same."""
        now = self.logins.issuer
        if now is not None and now.settings == config.oidc:
            return now
        return Issuer(config.oidc) if config.oidc else None

    admit: Admit | None = None
    _oversight: Oversight | None = None

    def peer_up(self, name: str, life: int) -> None:
        """Another process is there."""

    def peer_lost(self, name: str) -> None:
        """Another process is gone."""

    def meet(self, listener: str, connection: Connection) -> Awaitable[None]:
        """A connection came to one of this process's listeners: serve it, once it is known from whom it is.

        A coroutine only where there is something to wait for, as ``serve``: each turn of a session goes through all
        that stand around it.
        """
        proxies = self.config.proxied.get(listener)
        if proxies is None:
            return self.serve(listener, connection)
        return self._serve_introduced(listener, connection, proxies)

    async def _serve_introduced(self, listener: str, connection: Connection, proxies: Sequence[Network]) -> None:
        if await introduced(connection, proxies, listener):
            await self.serve(listener, connection)

    def serve(self, listener: str, connection: Connection) -> Awaitable[None]:
        """Serve a connection that came to one of this process's listeners."""
        stage = self.now.source(listener)
        if stage is None:
            return trio.lowlevel.checkpoint()
        if listener in IMPLICIT_TLS:
            return self._serve_under_tls(listener, connection, stage.instance)
        served: Awaitable[None] = stage.instance.serve(connection, listener)
        return served

    async def _serve_under_tls(self, listener: str, connection: Connection, source: Any) -> None:
        if await self._under_tls(connection, listener, people=getattr(source, "people", False)):
            await source.serve(connection, listener)

    async def _hand_in(self, listener: str, connection: Connection) -> None:
        """Serve a connection by which another process hands mail in, as one to the listener that nobody can read."""
        stage = self.now.source(listener)
        if stage is not None:
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
        history.close()
        if self._export is not None:
            self._export.close()
        self.shaping.keep()
        self.tally.close()
        self.sessions.close()
        self.inbox.close()
        if "figures" in self.__dict__:
            self.figures.close()
        if "_undelivered" in self.__dict__:
            self._undelivered.close()
        self.automation.close()
        self.spam.close()
        self.sts.close()
        self.seen_tls.close()
        if self._mailboxes is not None:
            self._mailboxes.close()
        if self._oversight is not None:
            self._oversight.close()
        for shard in self._shards.values():
            shard.close()
