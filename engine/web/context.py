"""What a part of the site gets: the configuration, the directory, logins, mailboxes, and a way to every worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from starlette.requests import HTTPConnection

from engine.config import WEB
from engine.growth import Growth
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.observe.events import event
from engine.runtime.changes import Changes
from engine.runtime.places import MAILBOXES, processes
from engine.runtime.services import CHANGE, REMOVE
from engine.web.asking import PATIENCE, Asking
from engine.web.pace import Pace
from engine.web.troubles import Troubles

if TYPE_CHECKING:
    from engine.config import Config
    from engine.directory import Directory
    from engine.figures.store import Figures
    from engine.login import Logins, RelyingParty
    from engine.mailbox import Mailboxes, NewsDesk, Quotas
    from engine.net.dns import Resolver
    from engine.reports.inbox import Inbox
    from engine.runtime.roles.role import Role
    from engine.shaping.allowances import Allowances
    from engine.web.collecting import Collected
    from engine.web.forwarding import HandOn
    from engine.web.sessions.store import Sessions

T = TypeVar("T")


class Context:
    """One a process."""

    def __init__(
        self,
        role: Role,
        asking: Asking,
        collected: Callable[[], Awaitable[Collected]],
        sessions: Sessions,
        news: NewsDesk,
    ) -> None:
        self._role = role
        self._asking = asking
        self.collected = collected  # what all workers measure, at most a second old
        self.sessions = sessions
        self.news = news  # what has changed in the mailboxes
        self.ending = trio.Event()  # the process ends: what goes on and on is to end
        self.pace = Pace()  # of strangers
        self.troubles = Troubles()  # that everybody meets
        self.changes = Changes(role.data)  # what somebody has changed
        self.growth = Growth.open(role.data)  # what accounts held, day by day
        self.note = self.changes.note(event)  # takes what operations tell of: it comes into the log, and is kept
        self.tasks: list[Callable[[], Awaitable[None]]] = []  # of parts, which run as long as the process
        self.hand_on: HandOn | None = None  # has the first process answer; None: this is the first
        self._providers: dict[str, RelyingParty] = {}
        self._shared: dict[object, Any] = {}
        self.closing: list[Callable[[], None]] = []  # what parts have to close when the process ends

    def one(self, kind: Callable[[Context], T]) -> T:
        """The one thing of this kind in the process, which several parts use; made when it is first wanted."""
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        found: T = self._shared[kind]
        return found

    @property
    def changed(self) -> str:
        """Another one when somebody has changed something, in whatever process."""
        return ":".join(map(str, self.changes.state))

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._role.config

    @property
    def data(self) -> Path:
        return self._role.data

    @property
    def login(self) -> Logins:
        """Who may come in: with the bans and the rates of the mail protocols."""
        return self._role.logins

    def provider(self, name: str) -> RelyingParty | None:
        """One at which people sign in, and what it has told us, for as long as its table stays the same."""
        from engine.login import RelyingParty

        settings, known = self.config.web.oidc.get(name), self._providers.get(name)
        if settings is None:
            self._providers.pop(name, None)
        elif known is None or known.settings != settings:
            self._providers[name] = RelyingParty(name, settings)
        return self._providers.get(name)

    @property
    def quotas(self) -> Quotas:
        return self._role.quotas

    @property
    def stores(self) -> Role:
        """The process, with what it has open besides: rates, tables, lists, suppressions, actions. LMDB opens a store
        once in a process, so nobody else here may."""
        return self._role

    def directory(self) -> Directory:
        return self._role.directory

    def mailboxes(self) -> Mailboxes:
        """To be read in this process. StorageError while they cannot be."""
        return self._role.mailboxes()

    def resolver(self) -> Resolver:
        return self._role.resolver()

    @property
    def inbox(self) -> Inbox:
        """Reports on TLS that others have sent us."""
        return self._role.inbox

    @property
    def figures(self) -> Figures:
        """What the server has measured over time."""
        return self._role.figures

    @property
    def allowances(self) -> Allowances:
        """Rates that all processes take from together."""
        return self._role.allowances

    async def unsubscribe(self, address: str, name: str, peer: str) -> None:
        """Somebody has left the list of that name. Unavailable."""
        await self._role.unsubscribed(address, name, peer)

    def workers(self) -> list[str]:
        """Names of the workers that the configuration in force asks for."""
        return [process.name for process in processes(self.config)]

    async def ask(
        self, worker: str, service: str, question: str, *arguments: Any, octets: bytes = b"", seconds: float = PATIENCE
    ) -> Any:
        """What a service (engine/runtime/services.py) of a worker answers. Unanswered."""
        return await self._asking.ask(worker, service, question, *arguments, octets=octets, seconds=seconds)

    async def change(self, command: AnyCommand) -> Answer:
        """Have the owner of the mailboxes do it. Unanswered: nobody knows whether it was done."""
        return unpack_answer(await self.ask(MAILBOXES, REMOVE, CHANGE, octets=packed(command), seconds=60))

    def close(self) -> None:
        while self.closing:
            self.closing.pop()()

    def peer(self, request: HTTPConnection) -> str:
        """The IP address of whoever asks; of a proxy that has said so, that of its client."""
        return request.client.host if request.client else ""

    def origin(self, request: HTTPConnection) -> str:
        """Where people find the pages (RFC 6454): as it is set, else by our host name; in the clear, where they are."""
        if self.config.web.origin:
            return self.config.web.origin
        if request.url.scheme != "https":
            return f"http://{request.url.netloc}"
        port = self.config.listen[WEB][1] if WEB in self.config.listen else 0
        return f"https://{self.config.server.hostname}" + (f":{port}" if port not in (0, 443) else "")


def context_of(request: HTTPConnection) -> Context:
    """The context of the site that the request came to."""
    found = request.app.state.context
    assert isinstance(found, Context)
    return found
