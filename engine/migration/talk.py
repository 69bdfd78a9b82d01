"""One connection to the source, over trio: signed in, and asked."""

import base64
import errno
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import trio

from engine.migration.pace import Pace
from engine.migration.server import Login, Security, Server
from engine.net.certificates import CertificateError
from engine.net.connection import Connection
from engine.net.targets import permitted
from engine.net.tls import client_context
from engine.observe.visible import visible
from engine.protocols.imap_client.answers import Continue, ImapError, Item, Status, Untagged
from engine.protocols.imap_client.client import ImapClient, quoted
from engine.protocols.sasl_bearer import OAuthBearer, XOAuth2
from engine.protocols.sasl_client import Exchange, LoginError, Password, Plain, begin

PATIENCE = 300.0
"""Seconds in which a server says something: some look through a large folder before they do."""

_CONNECT = 30.0
"""Seconds for a connection and its TLS."""

_MOST = 20_000
"""Responses to one command that are kept: folders, mostly."""

_LATER = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "THROTTLED", "SERVERBUG", "OVERQUOTA"})
"""Codes that say that it may go well another time (RFC 5530, RFC 9738, and what Gmail says)."""


class Lost(Exception):
    """The connection is gone, or the server does not want us now; another time it may. The text says why."""


class SignInRefused(Exception):
    """The server does not let us in; the text says why."""


class Denied(Exception):
    """The server does not do what a command asks for; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The command of that number, from 0, has ended."""

    number: int
    status: Status

    def check(self) -> None:
        """Denied, or Lost where it may go well another time."""
        _check(self.status)


class Talk:
    """Not for use by two tasks at once."""

    def __init__(self, connection: Connection, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace
        self._client = ImapClient()

    @property
    def capabilities(self) -> frozenset[str]:
        """In capitals."""
        return self._client.capabilities

    async def ask(self, words: bytes) -> list[Untagged]:
        """What a command is answered with. Lost, Denied."""
        tag, found = await self._begin(words), list[Untagged]()
        while True:
            item = await self._next()
            if isinstance(item, Status) and item.tag == tag:
                _check(item)
                return found
            if isinstance(item, Untagged):
                _keep(found, item)

    async def ask_kindly(self, words: bytes) -> list[Untagged]:
        """The same of a command that not every server knows: then nothing. Lost."""
        try:
            return await self.ask(words)
        except Denied:
            return []

    async def selected(self, raw: bytes) -> list[Untagged | Status]:
        """Open a folder to be read alone, so that nothing is changed at the source. Lost, Denied."""
        found: list[Untagged | Status] = []
        tag = await self._begin(b"EXAMINE " + quoted(raw))
        while True:
            item = await self._next()
            if isinstance(item, Status) and item.tag == tag:
                _check(item)
                return found
            if isinstance(item, Untagged | Status):
                _keep(found, item)

    async def each(self, commands: Iterable[bytes], ahead: int = 2) -> AsyncGenerator[Item | Ended, None]:
        """All that comes of commands, of which so many are under way at once. Lost."""
        waiting, tags = enumerate(commands), dict[str, int]()

        async def begin() -> None:
            for number, words in waiting:
                tags[await self._begin(words)] = number
                return

        for _ in range(ahead):
            await begin()
        while tags:
            item = await self._next()
            if isinstance(item, Status) and item.tag in tags:
                ended = Ended(tags.pop(item.tag), item)
                await begin()
                yield ended
            else:
                yield item

    async def _begin(self, words: bytes) -> str:
        await self._send(self._client.command(words))
        return self._client.under_way[-1]

    async def _send(self, octets: bytes) -> None:
        try:
            with trio.fail_after(PATIENCE):
                await self._connection.send(octets)
        except (OSError, trio.TooSlowError) as error:
            raise Lost(_said(error)) from error

    async def _next(self) -> Item:
        """What comes next. Lost."""
        try:
            while (item := self._client.next()) is None:
                with trio.fail_after(PATIENCE):
                    octets = await self._connection.receive()
                if not octets:
                    raise Lost("the server has closed the connection")
                self._client.receive(octets)
                await self._pace.took(len(octets))
        except (OSError, trio.TooSlowError, ImapError) as error:
            raise Lost(_said(error)) from error
        if isinstance(item, Status) and item.kind == "BYE":
            raise Lost(f"the server says goodbye: {visible(item.text)}")
        return item

    # Signing in

    async def start(self, server: Server, login: Login) -> None:
        """Greet, and sign in. Lost, SignInRefused."""
        try:
            await self._start(server, login)
        except Denied as error:
            raise SignInRefused(str(error)) from error

    async def _start(self, server: Server, login: Login) -> None:
        greeting = await self._next()
        if not isinstance(greeting, Status) or greeting.tag != "*" or greeting.kind == "PREAUTH":
            raise SignInRefused("what it greets with is no greeting of IMAP to somebody who has not signed in")
        if greeting.kind != "OK":
            raise Lost(visible(greeting.text))
        if server.security is not Security.TLS:
            await self._secure(server)
        if not self.capabilities:
            await self.ask(b"CAPABILITY")
        await self._sign_in(server, login)
        await self.ask_kindly(b"CAPABILITY")  # RFC 9051 6.2.2: there may be others now

    async def _secure(self, server: Server) -> None:
        """TLS by STARTTLS; without it only where nobody can listen, or somebody has said so."""
        if not self.capabilities:
            await self.ask(b"CAPABILITY")
        if "STARTTLS" in self.capabilities:
            await self.ask(b"STARTTLS")
            try:
                self._client.encrypted()
            except ImapError as error:
                raise SignInRefused(str(error)) from error
            await encrypt(self._connection, server)
        elif server.security is not Security.CLEAR and not self._connection.is_loopback:
            raise SignInRefused("it offers no STARTTLS, and a password is not said in the clear")

    async def _sign_in(self, server: Server, login: Login) -> None:
        offered = {one.removeprefix("AUTH=") for one in self.capabilities if one.startswith("AUTH=")}
        secret = await trio.to_thread.run_sync(login.secret)
        chosen = _exchange(server, login, secret, offered, self._connection.server_bindings)
        try:
            if chosen is not None:
                await self._authenticate(*chosen)
            elif login.token or login.master or "LOGINDISABLED" in self.capabilities:
                raise SignInRefused(f"it offers no login of this kind, but {', '.join(sorted(offered)) or 'none'}")
            else:
                await self.ask(b"LOGIN %b %b" % (quoted(login.user.encode()), quoted(secret.encode())))
        except Denied as error:
            raise SignInRefused(str(error)) from error
        except (LoginError, ValueError) as error:
            raise SignInRefused(f"the login cannot go on: {error}") from error

    async def _authenticate(self, name: str, exchange: Exchange) -> None:
        """Denied, LoginError."""
        words, first = f"AUTHENTICATE {name}".encode(), exchange.initial()
        if first is not None and "SASL-IR" in self.capabilities:
            words += b" " + (_base64(first) or b"=")
            first = None
        tag = await self._begin(words)
        while True:
            item = await self._next()
            if isinstance(item, Status) and item.tag == tag:
                _check(item)
                if not exchange.is_proven:
                    raise LoginError("the server has not proved that it knows the password")
                return
            if isinstance(item, Continue):
                said, first = first, None
                if said is None:
                    said = await trio.to_thread.run_sync(partial(exchange.answer, _decoded(item.text)))
                await self._send(_base64(said) + b"\r\n")


@asynccontextmanager
async def talking(server: Server, login: Login, pace: Pace) -> AsyncIterator[Talk]:
    """A connection that is signed in. Lost, SignInRefused."""
    connection = await _connected(server)
    try:
        talk = Talk(connection, pace)
        if server.security is Security.TLS:
            await encrypt(connection, server)
        await talk.start(server, login)
        yield talk
        with suppress(Lost, Denied), trio.move_on_after(2):
            await talk.ask(b"LOGOUT")
    finally:
        connection.close()


async def encrypt(connection: Connection, server: Server) -> None:
    """TLS, with a certificate that is for this host and can be believed. Lost, SignInRefused."""
    try:
        context = client_context(verify=True, trust=server.trust)
        with trio.fail_after(_CONNECT):
            await connection.start_tls(context, server_side=False, hostname=server.host)
    except CertificateError as error:
        raise SignInRefused(str(error)) from error
    except OSError as error:
        if "CERTIFICATE" in str(error).upper():
            raise SignInRefused(f"its certificate is not believed: {error.strerror}") from error
        raise Lost(_said(error)) from error
    except trio.TooSlowError as error:
        raise Lost(_said(error)) from error


async def _connected(server: Server) -> Connection:
    """Lost, SignInRefused."""
    try:
        found = await trio.socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Lost(f"{server.host} has no address: {error}") from error
    places = [(family, str(address[0])) for family, _, _, _, address in found]
    if server.public_only:
        places = [place for place in places if permitted(place[1])]
        if not places:
            raise SignInRefused(f"{server.host} is at no public address")
    last: Exception = OSError(errno.EHOSTUNREACH, "no address")
    for family, address in places[:8]:
        try:
            with trio.fail_after(_CONNECT):
                return await _dialled(family, address, server.port)
        except (OSError, trio.TooSlowError) as error:
            last = error
    raise Lost(f"{server.host} cannot be reached: {_said(last)}") from last


async def _dialled(family: int, address: str, port: int) -> Connection:
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await sock.connect((address, port))
        return Connection.of(sock)
    except BaseException:
        sock.close()
        raise


def _exchange(
    server: Server, login: Login, secret: str, offered: set[str], bindings: dict[str, bytes]
) -> tuple[str, Exchange] | None:
    """The best login that the server offers; None: none of this kind."""
    if login.token:
        who = Password(login.user, secret)
        if "OAUTHBEARER" in offered:
            return "OAUTHBEARER", OAuthBearer(who, server.host, server.port)
        return ("XOAUTH2", XOAuth2(who)) if "XOAUTH2" in offered else None
    if login.master:
        return ("PLAIN", Plain(Password(login.master, secret), login.user)) if "PLAIN" in offered else None
    return begin(Password(login.user, secret), offered, bindings)


def _check(status: Status) -> None:
    """Denied, or Lost where it may go well another time."""
    if status.kind == "OK":
        return
    text = visible(" ".join(filter(None, (f"[{status.code}]" if status.code else "", status.text)))) or status.kind
    raise Lost(text) if is_for_later(status) else Denied(text)


def is_for_later(status: Status) -> bool:
    """Whether it says that the same may go well another time."""
    return status.code in _LATER or "too many" in status.text.lower() or "throttl" in status.text.lower()


def _keep(found: list[Untagged] | list[Untagged | Status], item: Untagged | Status) -> None:
    if len(found) >= _MOST:
        raise Lost(f"more than {_MOST:,} responses to one command")
    found.append(item)  # type: ignore[arg-type]


def _base64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def _decoded(text: bytes) -> bytes:
    """A challenge. LoginError."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise LoginError("a challenge that is no base64") from error


def _said(error: BaseException) -> str:
    if isinstance(error, trio.TooSlowError):
        return "the server has said nothing for too long"
    if isinstance(error, ConnectionError | TimeoutError) and error.errno:
        return os.strerror(error.errno)  # Trio's own words show the address as Python writes it.
    return getattr(error, "strerror", None) or str(error)
