"""A small HTTP server of the test's own, which remembers what it was asked."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Asked"], bytes]


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 200  # of the response


class HttpServer:
    """``answer`` gives the body of each response, and may be replaced; ``status`` is that of all."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.status = 200
        self.fields: dict[str, str] = {}  # of each response, besides its length
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self.open: set[socket.socket] = set()

    @contextlib.contextmanager
    def serving(self, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator["HttpServer"]:
        """Serve on a loopback port meanwhile; then break off, whatever is under way."""
        server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            for one in list(self.open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _handler(outer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections += 1
                outer.open.add(self.connection)

            def finish(self) -> None:
                outer.open.discard(self.connection)
                with contextlib.suppress(OSError):  # it was broken off
                    super().finish()

            def do_GET(self) -> None:
                self.respond(b"")

            def do_POST(self) -> None:
                self.respond(self.rfile.read(int(self.headers["Content-Length"])))

            def respond(self, body: bytes) -> None:
                outer.asked.append(asked := Asked(self.path, dict(self.headers), body, outer.status))
                said = outer.answer(asked)
                self.send_response(asked.status)
                self.send_header("Content-Length", str(len(said)))
                for name, value in outer.fields.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
