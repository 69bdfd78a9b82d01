"""Let a server judge and change messages, by JSON over HTTP: MTA hooks."""

import ssl
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from engine import Defer, Duration, Message, Reject, Session, Size, Verdict
from engine.message import Octets
from engine.net.names import Hostname
from engine.net.targets import is_loopback
from engine.net.tls import client_context
from engine.scanning.guard import Guard, Unreachable
from engine.scanning.http import HttpServer
from engine.scanning.mta_hooks import Point, parse, question, question_about, refusal, verdict
from engine.scanning.where import Where
from engine.verdict import Changed

ANSWER = 50 * 2**20
"""Octets of an answer at most: it may hold a whole message."""

PORTS = {"http": 80, "https": 443}


@dataclass
class Hooks:
    """Asks a server that speaks MTA hooks, as Stalwart does. See docs/other-filters.md."""

    asks_others: ClassVar = True
    leaves: ClassVar = ("scan.",)

    hostname: Hostname
    _: KW_ONLY
    url: str
    stages: tuple[Point, ...] = ("data",)
    """When it is asked: as soon as a client has connected, at MAIL, at each RCPT, and about the whole message."""
    name: str = "hooks"
    """What it is called in facts and events."""
    headers_file: Path | None = None
    """Header fields of each request, one a line, such as Authorization."""
    trust: Path | None = None
    """PEM file of authorities, in place of those that the system trusts."""
    max_size: Size = Size("10 MB")
    """Of the body, what is beyond is not sent."""
    time_limit: Duration = Duration("10s")
    """For one answer; as long again a question may wait for its turn."""
    at_once: int = 20
    """So many questions at a time, of each worker."""

    def __post_init__(self) -> None:
        url = urlsplit(self.url)
        target = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
        self._fields = [("Host", url.netloc), ("Content-Type", "application/json"), *self._secrets()]
        where = Where(host=url.hostname or "", port=url.port or PORTS[url.scheme], context=self._context(url))
        self._server = HttpServer(where, target, ANSWER)
        self._guard = Guard(self.name, time_limit=self.time_limit, at_once=self.at_once)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from _flaws_of_url(settings["url"])
        if not settings.get("name", "hooks").isidentifier():
            yield "name may have letters, digits and _"
        if settings.get("at_once", 1) < 1:
            yield "at_once must be at least 1"
        if settings.get("time_limit", 1) <= 0:
            yield "time_limit must be more than nothing"
        for name, read in (("headers_file", fields_of), ("trust", authorities)):
            try:
                if path := settings.get(name):
                    read(path)
            except (OSError, ValueError) as error:
                yield f"{name}: {error}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def at_connect(self, session: Session) -> Reject | Defer | None:
        return await self._early("connect", session)

    async def at_sender(self, session: Session, sender: str) -> Reject | Defer | None:
        return await self._early("mail", session, sender)

    async def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | Defer | None:
        return await self._early("rcpt", session, sender, (recipient,))

    async def __call__(self, message: Message) -> Verdict | Changed:
        if "data" not in self.stages:
            return message
        return await self._guard.call(partial(self._judge, message))

    async def _early(self, point: Point, session: Session, *envelope: Any) -> Reject | Defer | None:
        if point not in self.stages:
            return None
        asked = question(point, self.hostname, session, *envelope)
        return refusal(parse(await self._guard.call(partial(self._post, asked))), self.name)

    async def _judge(self, message: Message) -> Verdict | Changed:
        answer = parse(await self._post(question_about(message, self.hostname, self.max_size)))
        return verdict(message, answer, self.name, whole=message.size <= self.max_size)

    async def _post(self, body: bytes) -> bytes:
        """What the server answers. Unreachable where that is no success."""
        response = await self._server.post(self._fields, Octets(body))
        if response.status != 200:
            raise Unreachable(f"it answers with status {response.status}")
        return response.body

    def _secrets(self) -> list[tuple[str, str]]:
        return fields_of(self.headers_file) if self.headers_file else []

    def _context(self, url: SplitResult) -> ssl.SSLContext | None:
        if url.scheme != "https":
            return None
        return authorities(self.trust) if self.trust else client_context(verify=True)


def _flaws_of_url(text: str) -> Iterator[str]:
    try:
        url = urlsplit(text)
        good = url.scheme in PORTS and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or "@" in url.netloc or not text.isprintable() or not text.isascii() or " " in text:
        yield 'write url = "https://filter.example.org/path"'
    elif url.scheme == "http" and not _is_here(url.hostname or ""):
        yield "plain http is for this machine alone: write https"


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or is_loopback(host)
    except ValueError:  # another name
        return False


def fields_of(path: Path) -> list[tuple[str, str]]:
    """The header fields of requests that a file has, one a line. OSError, ValueError."""
    found = []
    for line in path.read_text().splitlines():
        name, colon, value = line.partition(":")
        if not colon or not name.strip().replace("-", "").isalnum():
            raise ValueError(f"{path} must have lines like Authorization: Bearer TOKEN")
        found.append((name.strip(), value.strip()))
    return found


def authorities(path: Path) -> ssl.SSLContext:
    """Trust in the authorities of a PEM file. OSError, ValueError."""
    context = client_context()
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    context.load_verify_locations(path)
    return context
