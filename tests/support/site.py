"""The site in this process, over a real directory, real logins and real sessions, and those who visit it."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
from starlette.applications import Starlette

from engine.abuse import Tables
from engine.config import Config, parse
from engine.directory import Embedded
from engine.figures.store import Figures
from engine.links.request import Unanswered
from engine.lists import Lists
from engine.login import Guard, Logins, Rates
from engine.mailbox import Mailboxes, MailboxOwner, NewsDesk, Quotas
from engine.net.dns import Resolver
from engine.oversight import Oversight
from engine.policies.seen import SeenTls
from engine.policies.store import StsStore
from engine.reports.inbox import Inbox
from engine.runtime.places import WEB, Process
from engine.shaping.actions import ActionStore
from engine.shaping.allowances import Allowances
from engine.spam import Spam
from engine.suppression import Suppressions
from engine.web.collecting import Collected
from engine.web.context import Context
from engine.web.sessions.store import Sessions
from engine.web.site import PARTS, Part, site

PASSWORD = "correct horse battery"

OWNER, AUDITOR = "owner@example.org", "auditor@example.org"
ADMIN, HELPER = "admin@example.org", "helper@example.org"
"""Those who have a role, once ``Site.staff`` has been there."""

PEER = "192.0.2.1"
"""Where a browser comes from, unless another address is said."""

BASIC = """
[server]
hostname = "mx.example.org"
data = "var"

[domains]
local = ["example.org"]

[listen]
web = "127.0.0.1:0"

[lane.inbound]
stages = ["accept", "queue", "route"]

[lane.local]
stages = ["enqueue"]

[[route]]
to = "*"
lane = "local"
"""


class Alone:
    """What a worker has of which the site makes use, without the worker."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data = config.server.data
        self.directory = Embedded.open(self.data / "directory", config.domains.local)
        self.logins = Logins(self.directory, Guard.open(self.data / "logins", config.login))
        self.quotas = Quotas(self.directory, self.mailboxes, config.quota)
        self.tables = Tables.open(self.data / "abuse")
        self.allowances = Allowances(self.tables)
        self.left: list[tuple[str, str, str]] = []  # address, list and peer of those who have unsubscribed
        self.owner = MailboxOwner(self.data / "mailbox")
        self.here = SimpleNamespace(process=Process(WEB, WEB))
        self.rates = Rates.open(self.data / "rates")
        self.lists = Lists.open(self.data)
        self.suppressions = Suppressions.open(self.data)
        self.actions = ActionStore.open(self.data)
        self.inbox = Inbox(self.data)
        self.figures = Figures(self.data)
        self.spam = Spam(self.data, self.directory)
        self.sts = StsStore.open(self.data)
        self.seen_tls = SeenTls.open(self.data)
        self.oversight = Oversight.open(self.data)

    def mailboxes(self) -> Mailboxes:
        return self.owner.reader

    async def unsubscribed(self, address: str, name: str, peer: str) -> None:
        self.left.append((address, name, peer))

    def resolver(self) -> Resolver:
        return Resolver(self.config.dns.servers)

    def close(self) -> None:
        self.inbox.close()
        self.figures.close()
        self.spam.close()
        self.oversight.close()
        for store in (
            self.sts,
            self.seen_tls,
            self.rates,
            self.tables,
            self.lists,
            self.suppressions,
            self.actions,
            self.logins.guard,
        ):
            store.close()
        self.directory.close()


class Answers:
    """What workers answer: a function for each service and question. Nobody else answers."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Callable[..., Any]] = {}
        self.asked: list[tuple[Any, ...]] = []

    async def ask(self, worker: str, service: str, question: str, *arguments: Any, **_: Any) -> Any:
        self.asked.append((worker, service, question, *arguments))
        if (service, question) not in self.known:
            raise Unanswered(f"there is no worker {worker} now")
        return self.known[service, question](worker, *arguments)


class Site:
    """The site, and what is behind it."""

    def __init__(self, app: Starlette, context: Context, role: Alone, answers: Answers) -> None:
        self.app = app
        self.context = context
        self.role = role
        self.answers = answers
        self.collected = Collected([], {}, {})

    @property
    def directory(self) -> Embedded:
        return self.role.directory

    def account(self, address: str, *roles: str, password: str | None = PASSWORD) -> None:
        """Somebody with a password, if any, and with these roles."""
        self.directory.add_account(address, password)
        if roles:
            self.directory.set_roles(address, roles)

    def staff(self, domain: str = "example.org") -> None:
        """Somebody for each role: an owner, an auditor and, of that domain, an administrator and a helpdesk."""
        self.account(OWNER, "owner", password=None)
        self.account(AUDITOR, "auditor", password=None)
        self.account(f"admin@{domain}", f"administrator@{domain}", password=None)
        self.account(f"helper@{domain}", f"helpdesk@{domain}", password=None)

    def browser(self, *, peer: str = PEER, language: str = "en", agent: str = "a test") -> httpx2.AsyncClient:
        """Somebody who visits it. A fault of the site is raised where it is asked."""
        transport = httpx2.ASGITransport(self.app, client=(peer, 40_000))
        headers = {"accept": "text/html", "accept-language": language, "user-agent": agent}
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers)

    def known(self, address: str, **browser: str) -> httpx2.AsyncClient:
        """Somebody who has a session, without having asked for it: no password is hashed."""
        account = self.directory.account(address)
        assert account is not None
        client = self.browser(**browser)
        token = self.context.sessions.begin(account.id, account.address, peer="", agent="", how="password")
        client.headers["cookie"] = f"session={token}"
        return client

    async def signed_in(self, address: str, password: str = PASSWORD, **browser: str) -> httpx2.AsyncClient:
        """Somebody who has signed in."""
        client = self.browser(**browser)
        response = await client.post("/sign-in", data={"address": address, "password": password})
        assert response.status_code == 303, response.text
        return client


@contextlib.asynccontextmanager
async def site_of(folder: Path, text: str = BASIC, only: Iterable[Part] | None = None) -> AsyncIterator[Site]:
    """The site by that configuration, with all of its parts, or with these alone."""
    config = parse(text, folder / "pipeline.toml")
    role, answers = Alone(config), Answers()
    with role.owner:
        async with _site(role, answers, only) as found:
            yield found


@contextlib.asynccontextmanager
async def _site(role: Alone, answers: Answers, only: Iterable[Part] | None) -> AsyncIterator[Site]:
    config = role.config
    sessions = Sessions.open(role.data / "web", config.web)

    async def collected() -> Collected:
        return found.collected

    context = Context(role, answers, collected, sessions, NewsDesk())  # type: ignore[arg-type]
    context.change = role.owner.change  # type: ignore[method-assign]
    found = Site(site(context, PARTS if only is None else only), context, role, answers)
    try:
        yield found
    finally:
        context.close()
        sessions.close()
        role.close()


def csrf(response: httpx2.Response) -> str:
    """The token in a page."""
    token = re.search(r'name="csrf" (?:content|value)="([0-9a-f]{32})"', response.text)
    assert token, response.text
    return token[1]


async def posted(browser: httpx2.AsyncClient, path: str, /, **values: Any) -> httpx2.Response:
    """A form, as a page would send it, of somebody who has a session."""
    token = csrf(await browser.get("/account"))
    return await browser.post(path, data={"csrf": token, **values})
