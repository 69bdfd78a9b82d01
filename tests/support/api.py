"""The admin API in this process, over real stores, and programs that use it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import trio
from starlette.routing import BaseRoute

from engine.config import parse
from engine.operations.scopes import SCOPES
from engine.web.api import Api
from engine.web.context import Context
from tests.support.queued import fill
from tests.support.site import BASIC, Site, site_of

BASE = "/api/v1"

CONFIG = BASIC.replace('["example.org"]', '["example.org", "example.net"]')


class ApiSite:
    """The site with the API alone, and those who have tokens for it."""

    def __init__(self, site: Site, api: Api) -> None:
        self.site = site
        self.api = api
        self.app = site.app

    def token(self, *scopes: str, name: str = "", **limits: Any) -> str:
        """The text of a new token; of all scopes, if none are named."""
        number = len(self.api.tokens.all())
        return self.api.tokens.add(name or f"t{number}", scopes or tuple(SCOPES), **limits)[1]

    def program(self, token: str = "", *, peer: str = "192.0.2.1") -> httpx2.AsyncClient:
        """Somebody who shows this token, or none. A fault of the API is raised where it is asked."""
        transport = httpx2.ASGITransport(self.app, client=(peer, 40_000))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(transport=transport, base_url=f"http://localhost:8080{BASE}", headers=headers)

    def with_scopes(self, *scopes: str, **limits: Any) -> httpx2.AsyncClient:
        return self.program(self.token(*scopes, **limits))


class _Part:
    """Keeps what the site has made."""

    api: Api

    def routes(self, context: Context) -> Sequence[BaseRoute]:
        self.api = Api(context)
        return self.api.routes()


@contextlib.asynccontextmanager
async def api_of(folder: Path, text: str = CONFIG, messages: int = 0) -> AsyncIterator[ApiSite]:
    """The API by that configuration, with so many messages in its queue."""
    config = parse(text, folder / "pipeline.toml")
    (folder / "pipeline.toml").write_text(text)
    if messages:
        fill(config.server.data, messages)
    part = _Part()
    async with site_of(folder, text, [part]) as site:
        try:
            yield ApiSite(site, part.api)
        finally:
            part.api.close()


async def ended(program: httpx2.AsyncClient, answer: httpx2.Response) -> dict[str, Any]:
    """The job that an answer tells of, once it has ended."""
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    while found["state"] == "running":
        await trio.sleep(0.05)
        found = (await program.get(answer.headers["location"].removeprefix(BASE))).json()
    return found
