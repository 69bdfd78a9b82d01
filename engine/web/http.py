"""HTTP/1.1 for an ASGI application: one connection at a time, each with limits on its size and its time.

h11 knows the protocol; this drives it. There is no HTTP/2 and no upgrade to anything else: what a stranger can reach is
one parser.
"""

import contextlib
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import h11
import trio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope

from engine.net.connection import Connection, ConnectionLost
from engine.observe.events import event

_RECEIVE = 16 * 1024
_AUTHORITY = re.compile(rb"^https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may take."""

    body: int = 64 * 1024  # octets of what comes behind its header
    seconds: float = 60.0  # from its header to the end of the response; math.inf for what goes on and on


@dataclass(frozen=True, slots=True)
class Terms:
    """What one connection may take."""

    head: int = 16 * 1024  # octets of a request line with its header
    requests: int = 1000
    head_time: float = 15.0  # seconds until a request line with its header is there
    receive_time: float = 30.0  # seconds in which more of a body must come
    send_time: float = 20.0  # seconds in which the client must take what is sent at once
    rest: int = 64 * 1024  # octets of a body that nobody wanted which are read, so that another request may follow


def same(_: Scope) -> Bounds:
    """The same for all requests."""
    return Bounds()


class Http:
    """Serves ``app``, which is ASGI 3 (https://asgi.readthedocs.io/en/latest/specs/www.html).

    ``bounds``: what a request may take, by its scope.
    """

    def __init__(self, app: ASGIApp, terms: Terms = Terms(), bounds: Callable[[Scope], Bounds] = same) -> None:
        self.app = app
        self.terms = terms
        self.bounds = bounds
        self.ending = False
        self._visits = 0
        self._idle: set[trio.CancelScope] = set()

    async def serve(self, connection: Connection, *, scheme: str = "http") -> None:
        """One connection to its end. What breaks in the application is logged, and never raised."""
        self._visits += 1
        try:
            await _Visit(self, connection, scheme).run()
        except ConnectionLost:
            pass
        finally:
            self._visits -= 1
            with trio.CancelScope(shield=True):
                await connection.close_gently()

    async def drain(self) -> None:
        """Let what is being answered be answered, and take nothing more."""
        self.ending = True
        for scope in self._idle:
            scope.cancel()
        while self._visits:
            await trio.sleep(0.02)

    @contextlib.contextmanager
    def idling(self) -> Iterator[None]:
        """In the block nothing is asked for yet, so it may be cut short."""
        with trio.CancelScope() as scope:
            self._idle.add(scope)
            try:
                yield
            finally:
                self._idle.discard(scope)


class _Gone(OSError):
    """What ASGI has ``send`` raise when there is nobody to send to."""


class _Visit:
    """One connection."""

    def __init__(self, http: Http, connection: Connection, scheme: str) -> None:
        self.http = http
        self._connection = connection
        self._scheme = scheme
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=http.terms.head)

    async def run(self) -> None:
        for _ in range(self.http.terms.requests):
            try:
                request = await self._request()
                if request is None:
                    return
                await _Exchange(self, request).run()
            except h11.RemoteProtocolError as error:
                await self.refuse(error.error_status_hint or 400)
                return
            if self.http.ending or self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return
            self._h11.start_next_cycle()

    async def _request(self) -> h11.Request | None:
        """The next one; None when there is none, or not in time. RemoteProtocolError."""
        with trio.move_on_after(self.http.terms.head_time), self.http.idling():
            found = await self.next()
            return found if isinstance(found, h11.Request) else None
        if self._h11.trailing_data[0]:  # it has begun, else it was only idle
            await self.refuse(HTTPStatus.REQUEST_TIMEOUT)
        return None

    async def next(self) -> Any:
        """The next event from the client. RemoteProtocolError, ConnectionLost."""
        while (found := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._connection.receive(_RECEIVE))
        return found

    async def send(self, *events: Any) -> None:
        """ConnectionLost when the client does not take it in time."""
        octets = b"".join(self._h11.send(one) or b"" for one in events)
        with trio.move_on_after(self.http.terms.send_time):
            await self._connection.send(octets)
            return
        raise ConnectionLost("it takes nothing")

    async def refuse(self, status: int) -> None:
        """Say in a word why there is no answer, if nothing else has been said, and nothing more after it."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        text = HTTPStatus(status).phrase.encode()
        headers = [("content-length", str(len(text))), ("content-type", "text/plain"), ("connection", "close")]
        await self.send(h11.Response(status_code=status, headers=headers), h11.Data(data=text), h11.EndOfMessage())

    def scope(self, request: h11.Request) -> Scope | None:
        """What ASGI calls so. None: what is asked for is nothing that we have."""
        target = _AUTHORITY.sub(b"", request.target, count=1) or b"/"  # RFC 9112 3.2.2: it may come whole
        if not target.startswith(b"/"):  # "*", or that of CONNECT
            return None
        path, _, query = target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode("ascii").upper(),
            "scheme": self._scheme,
            "path": urllib.parse.unquote_to_bytes(path).decode(errors="replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": (self._connection.peer, 0),
            "server": (self._connection.own_address, None),
            "extensions": {},
        }


class _Exchange:
    """One request, and the response to it."""

    def __init__(self, visit: _Visit, request: h11.Request) -> None:
        self._visit = visit
        self._request = request
        self._left = 0
        self._read = False  # all that the client has to say
        self._refusal = 0
        self._response: h11.Response | None = None
        self._begun = self._over = False
        self._ended = trio.Event()

    async def run(self) -> None:
        scope = self._visit.scope(self._request)
        if scope is None:
            self._refusal = HTTPStatus.BAD_REQUEST
        else:
            await self._within(self._visit.http.bounds(scope), scope)
        if not self._over:
            await self._visit.refuse(self._refusal or HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _within(self, bounds: Bounds, scope: Scope) -> None:
        self._left = bounds.body
        if self._announced() > bounds.body:
            self._refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return
        with trio.move_on_after(bounds.seconds) as time_left:
            await self._answer(scope)
        if time_left.cancelled_caught:
            self._refusal = self._refusal or HTTPStatus.SERVICE_UNAVAILABLE

    async def _answer(self, scope: Scope) -> None:
        try:
            await self._visit.http.app(scope, self._receive, self._send)
        except (ConnectionLost, h11.RemoteProtocolError):
            raise
        except (_Gone, ClientDisconnect):
            pass
        except Exception as error:
            event.bug("web", error)
        finally:
            self._ended.set()
        await self._rest()

    async def _rest(self) -> None:
        """Read what the application did not want, so that another request may follow."""
        if any(name == b"expect" for name, _ in self._request.headers):
            return  # nobody has said that it may come
        self._left = min(self._left, self._visit.http.terms.rest)
        while self._over and not self._read:
            if (await self._receive())["type"] == "http.disconnect":
                return

    def _announced(self) -> int:
        """Octets of content; h11 has seen to it that it is a number (RFC 9112 6.3)."""
        return next((int(value) for name, value in self._request.headers if name == b"content-length"), 0)

    async def _receive(self) -> Message:
        if self._refusal:
            return {"type": "http.disconnect"}
        if self._read:
            await self._ended.wait()
            return {"type": "http.disconnect"}
        with trio.move_on_after(self._visit.http.terms.receive_time) as time_left:
            found = await self._visit.next()
        if time_left.cancelled_caught:
            self._refusal = HTTPStatus.REQUEST_TIMEOUT
            return {"type": "http.disconnect"}
        if isinstance(found, h11.Data):
            self._left -= len(found.data)
            if self._left >= 0:
                return {"type": "http.request", "body": bytes(found.data), "more_body": True}
            self._refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return {"type": "http.disconnect"}
        self._read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if self._refusal:
            raise _Gone("the client asks for too much")
        if message["type"] == "http.response.start":
            self._response = _response(message, last=self._visit.http.ending)
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._response is None or self._over:
            raise RuntimeError("a body is sent without a response to it")
        events: list[Any] = [] if self._begun else [self._response]
        self._begun = True
        if body and self._request.method != b"HEAD":
            events.append(h11.Data(data=body))
        if not more:
            events.append(h11.EndOfMessage())
            self._over = True
        await self._visit.send(*events)


def _response(message: Message, *, last: bool) -> h11.Response:
    headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
    if last:
        headers.append((b"connection", b"close"))
    date = (b"date", formatdate(usegmt=True).encode())
    return h11.Response(status_code=message["status"], headers=[date, *headers])
