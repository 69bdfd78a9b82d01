"""rspamd, asked over HTTP as its protocol has it: /checkv2, with the envelope and the session in header fields."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from engine.message import Message
from engine.net.tls import client_context
from engine.scanning.finding import Finding
from engine.scanning.guard import Unreachable
from engine.scanning.http import HttpServer
from engine.scanning.rspamd_answer import parsed
from engine.scanning.scanner import Terms
from engine.scanning.where import Where

PATH = "/checkv2"

RECIPIENTS_LIMIT = 48 * 1024
"""Octets of recipients that are told: rspamd takes no more than 80 KiB of header fields."""

_PORTS = {"http": 11333, "https": 443}


class RspamdSettings(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rspamd = {…}` of a stage."""

    url: str  # "http://127.0.0.1:11333", "https://…", "unix:/run/rspamd/worker.sock"; a path in it replaces /checkv2
    password_file: Path | None = None  # its first line is sent as the password
    trust: Path | None = None  # who vouches for an https server, where the system does not

    def __post_init__(self) -> None:
        super().__post_init__()
        _target(self.url)


def _target(url: str) -> tuple[Where, str]:
    """Where it listens, and the path of the request. ValueError."""
    hint = 'write it like "http://127.0.0.1:11333" or "unix:/run/rspamd/worker.sock"'
    if url.startswith("unix:/"):
        return Where.parse(url.replace("unix:///", "unix:/", 1)), PATH
    try:
        parts = urlsplit(url)
        scheme, host, port, path = parts.scheme, parts.hostname, parts.port, parts.path
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}; {hint}") from error
    if scheme not in _PORTS or not host or parts.query or parts.fragment or parts.username is not None or " " in url:
        raise ValueError(f"{url!r} is no URL of rspamd; {hint}")
    return Where(host=host, port=port or _PORTS[scheme]), path if path not in ("", "/") else PATH


def _context(trust: Path | None) -> ssl.SSLContext:
    context = client_context(verify=True)
    if trust is not None:
        try:
            context.load_verify_locations(trust)
        except OSError as error:
            raise ValueError(
                f"{trust} holds no certificate that could be trusted: {error.strerror or error}"
            ) from error
    return context


class Rspamd:
    """One rspamd: its normal worker, its proxy, or its controller."""

    name = "rspamd"

    def __init__(self, settings: RspamdSettings, hostname: str) -> None:
        """OSError or ValueError when a file that is named cannot be used."""
        where, path = _target(settings.url)
        if settings.url.startswith("https:"):
            where = Where(host=where.host, port=where.port, context=_context(settings.trust))
        self._always = [("Host", "localhost" if where.path else str(where)), ("MTA-Name", hostname)]
        if settings.password_file is not None:
            self._always.append(("Password", settings.password_file.read_text().partition("\n")[0].strip()))
        self._server = HttpServer(where, path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()

    async def scan(self, message: Message) -> Finding:
        """Unreachable."""
        response = await self._server.post([*self._always, *_fields(message)], message)
        if response.status != 200:
            said = response.body[:200].decode("utf-8", "replace").strip()
            raise Unreachable(f"it answers with status {response.status}: {said}")
        return parsed(response.body, utf8=message.envelope.smtputf8)


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    session = message.session
    yield "Queue-Id", str(message.id)
    yield "From", f"<{message.sender}>"
    told = 0
    for recipient in message.recipients:
        told += len(recipient) + 10
        if told > RECIPIENTS_LIMIT:
            break
        yield "Rcpt", f"<{recipient}>"
    if session.peer:
        yield "IP", session.peer.partition("%")[0]
    if session.helo:
        yield "Helo", session.helo
    name = message.fact("iprev.name")
    if isinstance(name, str) and name:
        yield "Hostname", name
    if session.login:
        yield "User", session.login
    if session.tls:
        version, _, cipher = session.tls.partition(" ")
        yield "TLS-Version", version
        yield "TLS-Cipher", cipher
