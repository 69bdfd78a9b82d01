"""A browser of the least kind: HTTP/1.1 over trio, cookies, and the token of the page. It takes little by itself."""

import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import trio

from bench import Failed
from bench.servers.base import HOST

_PATIENCE = 120.0
"""Seconds for an answer."""

_CSRF = re.compile(rb'name="csrf" content="([0-9a-f]{32})"')
_COOKIE = re.compile(rb"session=([^;]+)")


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes
    seconds: float  # from the first octet of the request to the last one of the answer


class _Ended(Failed):
    """A connection was closed before anything was answered."""


@dataclass
class Browser:
    """Somebody's, with one connection that stays open."""

    port: int
    cookie: str = ""
    token: str = ""
    _stream: trio.SocketStream | None = field(default=None, init=False)
    _unread: bytes = field(default=b"", init=False)

    async def sign_in(self, address: str, password: str) -> float:
        """Seconds that it took, the first page not counted. Failed."""
        form = urllib.parse.urlencode({"address": address, "password": password, "next": "/mail/"}).encode()
        answer = await self.ask("POST", "/sign-in", form, {"content-type": "application/x-www-form-urlencoded"})
        found = _COOKIE.search(answer.head)
        if answer.status != 303 or found is None:
            raise Failed(f"{address} cannot sign in: {answer.status}")
        self.cookie = found[1].decode()
        return answer.seconds

    async def get(self, path: str) -> Answer:
        answer = await self.ask("GET", path)
        if answer.status != 200:
            raise Failed(f"{path} is answered with {answer.status}")
        if found := _CSRF.search(answer.body):
            self.token = found[1].decode()
        return answer

    async def post(self, path: str, value: Any) -> Answer:
        headers = {"content-type": "application/json", "x-csrf-token": self.token}
        answer = await self.ask("POST", path, json.dumps(value).encode(), headers)
        if answer.status != 200:
            raise Failed(f"{path} is answered with {answer.status}: {answer.body[:200]!r}")
        return answer

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Failed when the server hangs up, or takes too long."""
        with trio.move_on_after(_PATIENCE):
            try:
                if self._stream is not None:
                    try:
                        return await self._ask(method, path, body, headers)
                    except _Ended:  # the server did not know that it is asked: browsers ask again, too
                        await self.close()
                return await self._ask(method, path, body, headers)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise Failed(f"{path}: {error!r}") from error
        raise Failed(f"{path} is not answered within {_PATIENCE:.0f} s")

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream(HOST, self.port)
        said = {"host": f"localhost:{self.port}", "accept": "text/html", "origin": f"http://localhost:{self.port}"}
        said |= {"cookie": f"session={self.cookie}"} if self.cookie else {}
        said |= {"content-length": str(len(body)), **headers} if method == "POST" else headers
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        began = time.perf_counter()
        try:
            await self._stream.send_all(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            await self._more()
        except (trio.BrokenResourceError, Failed) as error:
            raise _Ended("the server hung up") from error
        answered = await self._until(b"\r\n\r\n")
        low = answered.lower()
        if b"transfer-encoding: chunked" in low:
            octets = await self._until(b"0\r\n\r\n")  # nothing here holds such octets within
        else:
            length = re.search(rb"content-length: (\d+)", low)
            octets = await self._exactly(int(length[1]) if length else 0)
        if b"connection: close" in low:
            await self.close()
        return Answer(int(answered.split()[1]), answered, octets, time.perf_counter() - began)

    async def listen(self, path: str) -> None:
        """Hear the news of a page that lies open, until cancelled."""
        stream = await trio.open_tcp_stream(HOST, self.port)
        async with stream:
            request = f"GET {path} HTTP/1.1\r\nhost: localhost:{self.port}\r\ncookie: session={self.cookie}\r\n\r\n"
            await stream.send_all(request.encode())
            while await stream.receive_some(65536):
                pass

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        self._stream, self._unread = None, b""

    async def _until(self, end: bytes) -> bytes:
        while (at := self._unread.find(end)) < 0:
            await self._more()
        found, self._unread = self._unread[: at + len(end)], self._unread[at + len(end) :]
        return found

    async def _exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            await self._more()
        found, self._unread = self._unread[:count], self._unread[count:]
        return found

    async def _more(self) -> None:
        assert self._stream is not None
        octets = await self._stream.receive_some(1 << 20)
        if not octets:
            raise Failed("the server hung up")
        self._unread += octets
