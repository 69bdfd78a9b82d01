"""The web process."""

import gc
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from importlib import import_module
from typing import Any

import trio
from starlette.responses import PlainTextResponse
from starlette.types import Scope

from engine.config import NOWHERE, WEB, Config, ConfigError, Problem, secrets_in
from engine.figures.recording import Recorder
from engine.links.request import Unanswered, answer_requests
from engine.mailbox import NewsDesk
from engine.net.connection import Connection
from engine.net.crowd import Crowd
from engine.net.targets import is_loopback
from engine.observe.events import event
from engine.observe.measures import Sample
from engine.runtime.canary import InForce
from engine.runtime.places import MAILBOXES, between, processes
from engine.runtime.places import WEB as WEB_PROCESS
from engine.runtime.revision import Here, Revision
from engine.runtime.roles.role import Role
from engine.runtime.services import NEWS, PAGES_SERVICE
from engine.storage.environment import StorageError
from engine.wakeup import Wakeup
from engine.web.application import Access, application
from engine.web.asking import Asking
from engine.web.collecting import Collecting
from engine.web.http import Bounds, Http, Terms

_NICE = 5
"""How much less it is worth to the kernel than the mail."""

_CONNECTIONS, _CONNECTIONS_OF_NETWORK = 200, 50
"""Far more than scrapers and load balancers have, far fewer than would hurt."""

_AGAIN = 10.0
"""Seconds until it is tried again to open what the pages keep."""

_CLOSED = PlainTextResponse("The pages are closed. The log of the server says why.\n", 503, {"retry-after": "60"})


class WebRole(Role):
    """The process that tells by HTTP how the server is, and that serves people's pages."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        os.nice(_NICE)
        self._asking = Asking(here)
        self._access = Access()
        self._tokens: tuple[bytes, ...] = ()  # of the configuration that is being opened
        self._collecting = Collecting(self._asking, self._expected)
        self._metrics = Http(application(self._collecting.now, self._access))
        self._crowd = Crowd(_CONNECTIONS, _CONNECTIONS_OF_NETWORK)
        self._news = NewsDesk()
        self._listening: trio.CancelScope | None = None  # to the news of the mailboxes
        self._site: _Site | None = None
        self._closed = Http(_CLOSED)
        self._why_closed = ""
        self._looked = trio.Event()  # it is known whether there are pages
        self._wanted = Wakeup()
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self._asking.run)
            if self.here.process.index == 0:
                here = self.here
                endpoint = between(here.folder, here.process.name, here.life, PAGES_SERVICE)
                self._nursery.start_soon(answer_requests, here.context, endpoint, {"answer": self._answer})
            task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        nursery.start_soon(self._open)
        if self.here.process.index == 0:  # one writes, and all read
            keep = Recorder(self.figures.opened, self._samples, lambda: self.config.figures.keep)
            nursery.start_soon(keep.run)

    async def _answer(self, *said: Any) -> Any:
        """What came to another web process, and is about what this one alone has."""
        from engine.web.forwarding import answered

        site = await self._pages()
        if site is None:
            raise Unanswered("the pages are closed")
        return await answered(site.app, *said)

    async def _samples(self) -> Mapping[str, Sequence[Sample]]:
        return (await self._collecting.now()).samples

    def services(self, config: Config) -> dict[Any, Any]:
        self._tokens = _tokens(config)
        return super().services(config)

    async def _open(self) -> None:
        """Open the pages: beside the mail, which does not wait for them, and again where that failed."""
        while True:
            if WEB in self.config.listen and self._site is None:
                await trio.to_thread.run_sync(import_module, "engine.web.site")  # slow: the loop goes on meanwhile
                await trio.lowlevel.checkpoint_if_cancelled()  # the server may have ended
                self._site = site = self._opened(self.config)
                if site is not None:
                    site.begin(self._nursery)
                    gc.collect()
                    gc.freeze()  # as what a process has at its start
                self._looked.set()
            with trio.move_on_after(_AGAIN):
                await self._wanted.wait()

    async def _pages(self) -> "_Site | None":
        """The site, once it is known whether there is one."""
        if WEB in self.config.listen:
            await self._looked.wait()
        return self._site

    def _opened(self, config: Config) -> "_Site | None":
        """The site. What the pages keep may be broken: no mail is to wait for that, so all else starts."""
        site: _Site | None
        try:
            site = _Site(self, config, self._asking, self._collecting, self._news)
        except StorageError as error:
            why, site = str(error), None
        else:
            why = ""
        if why and why != self._why_closed:
            event("pages-closed", error=why)
        elif not why and self._why_closed:
            event("pages-open")
        self._why_closed = why
        if site is None:
            gc.collect()  # what had been opened of it is closed by that: LMDB opens nothing twice in a process
        return site

    def switched(self, config: Config) -> None:
        super().switched(config)
        self._access.tokens = self._tokens
        if self._site is not None:
            self._site.use(config)
        self._wanted.wake()

    def _expected(self) -> list[str]:
        return [process.name for process in processes(self.config)]

    def peer_up(self, name: str, life: int) -> None:
        self._asking.up(name, life)
        if name == MAILBOXES:
            self._listening = trio.CancelScope()
            self._nursery.start_soon(self._listen, between(self.here.folder, name, life, NEWS), self._listening)

    def peer_lost(self, name: str) -> None:
        self._asking.lost(name)
        if name == MAILBOXES and self._listening is not None:
            self._listening.cancel()

    async def _listen(self, endpoint: str, scope: trio.CancelScope) -> None:
        with scope:
            await self._news.listen(self.here.context, endpoint)

    async def drain(self, revision: Revision) -> None:
        await super().drain(revision)
        if self._site is not None:
            await self._site.drain()
        await self._metrics.drain()
        await self._closed.drain()

    async def serve(self, listener: str, connection: Connection) -> None:
        site = await self._pages() if listener == WEB else None
        others = self._closed if listener == WEB else self._metrics  # people's listener never has the measures
        crowd, http = (site.crowd, site.http) if site else (self._crowd, others)
        network = self.logins.guard.network(connection.peer) if site else connection.peer
        if refusal := crowd.refusal(network):
            event("connection-refused", peer=connection.peer, why=refusal)
            return
        with crowd.joined(network):
            await self._serve(listener, connection, http)

    async def _serve(self, listener: str, connection: Connection, http: Http) -> None:
        serve = partial(http.serve, connection)
        address = self.config.listen.get(listener)  # none: a reload has just taken it away
        if address is not None and is_loopback(address[0]):
            await serve()
        elif await self._under_tls(connection, listener, people=False):
            await serve(scheme="https")

    def close(self) -> None:
        if self._site is not None:
            self._site.close()
        super().close()


class _Site:
    """What belongs to the listener `web`. What it is made of is slow to import, and is where it is served alone."""

    def __init__(self, role: WebRole, config: Config, asking: Asking, collecting: Collecting, news: NewsDesk) -> None:
        from engine.web.bounds import bounds_of
        from engine.web.context import Context
        from engine.web.sessions.store import Sessions
        from engine.web.site import PARTS, site

        with ExitStack() as opened:
            self._sessions = opened.enter_context(closing(Sessions.open(role.data / "web", config.web)))
            self._context = opened.enter_context(closing(Context(role, asking, collecting.now, self._sessions, news)))
            if role.here.process.index:
                self._context.hand_on = partial(asking.ask, WEB_PROCESS, PAGES_SERVICE, seconds=30)
            self.app = app = site(self._context, PARTS)
            opened.pop_all()
        bounds: Callable[[Scope], Bounds] = partial(bounds_of, app.routes)
        self.http = Http(app, Terms(), bounds)
        self.crowd = Crowd(config.web.max_connections, config.web.max_connections_per_network)

    def begin(self, nursery: trio.Nursery) -> None:
        """Begin what the parts do by themselves, once. What breaks there stops nothing else."""
        while self._context.tasks:
            nursery.start_soon(_carefully, self._context.tasks.pop())

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        self._sessions.settings = config.web
        self.crowd.most = config.web.max_connections
        self.crowd.most_of_network = config.web.max_connections_per_network

    async def drain(self) -> None:
        self._context.ending.set()
        await self.http.drain()

    def close(self) -> None:
        self._context.close()
        self._sessions.close()


async def _carefully(task: Callable[[], Awaitable[None]]) -> None:
    try:
        await task()
    except Exception as error:
        event.bug("web", error)


def _tokens(config: Config) -> tuple[bytes, ...]:
    """Those that [metrics] names. ConfigError."""
    path = config.metrics.token_file
    if path == NOWHERE:
        return ()
    try:
        return secrets_in(path)
    except OSError as error:
        raise ConfigError(config.path, [Problem(0, "[metrics]", f"token_file: {path}: {error.strerror}")]) from error
