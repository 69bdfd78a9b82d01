"""The pages of a running server: TLS, what is on which listener, and how they end."""

import contextlib
import http.client
import os
import signal
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates
from tests.support.server import PASSWORD, PATIENCE, Postroad, blind, letter, until

ANN = "ann@example.org"


class Visitor:
    """Somebody with cookies, who says what a browser would."""

    def __init__(self, port: int, *, tls: bool = False) -> None:
        self._port = port
        self._tls = tls
        self.cookies: dict[str, str] = {}

    def connected(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection("localhost", self._port, timeout=PATIENCE, context=blind())
        return http.client.HTTPConnection("localhost", self._port, timeout=PATIENCE)

    @contextlib.contextmanager
    def asked(self, path: str, form: dict[str, str] | None = None) -> Iterator[http.client.HTTPResponse]:
        with contextlib.closing(self.connected()) as client:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            body = urllib.parse.urlencode(form) if form else None
            if form:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            client.request("POST" if form else "GET", path, body, headers)
            response = client.getresponse()
            for one in response.headers.get_all("Set-Cookie", []):
                name, _, value = one.partition(";")[0].partition("=")
                self.cookies[name] = value
            yield response

    def status(self, path: str, form: dict[str, str] | None = None) -> int:
        with self.asked(path, form) as response:
            response.read()
            return response.status

    def sign_in(self) -> "Visitor":
        assert self.status("/sign-in", {"address": ANN, "password": PASSWORD}) == 303
        return self


def served(folder: Path, **settings: object) -> Postroad:
    server = Postroad(folder, {"listen": {"web": "127.0.0.1:0", "metrics": "127.0.0.1:0"}, **settings}).account(ANN)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    return server


def test_neither_listener_has_what_the_other_has(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        site, metrics = Visitor(server.ports["web"]), Visitor(server.ports["metrics"])
        for path in ("/metrics", "/health/live", "/health/ready"):
            assert site.status(path) == 404
            assert metrics.status(path) == 200
        assert site.status("/sign-in") == 200
        assert metrics.status("/sign-in") == 404


@pytest.mark.parametrize("store", ["web", "jobs"])  # the first and the last that they open
def test_what_the_pages_keep_may_be_broken_and_mail_flows(tmp_path: Path, store: str) -> None:
    with served(tmp_path) as server:
        Visitor(server.ports["web"]).sign_in()
        assert server.stop() == 0
        kept = tmp_path / "var" / store / "data.mdb"
        kept.write_bytes(b"\0" * kept.stat().st_size)
        server.start()
        closed = server.wait_for("pages-closed")
        assert str(kept.parent) in closed["error"]
        assert "docs/operating.md" in closed["error"]
        with Visitor(server.ports["web"]).asked("/sign-in") as response:
            assert (response.status, b"log of the server" in response.read()) == (503, True)
        assert Visitor(server.ports["web"]).status("/metrics") == 503  # nor is anything else there
        assert Visitor(server.ports["metrics"]).status("/health/live") == 200
        server.send(letter("still flows"), ANN)
        assert server.mail_for(ANN)
        kept.unlink()
        server.wait_for("pages-open")
        Visitor(server.ports["web"]).sign_in()


def test_beyond_this_machine_it_speaks_tls(tmp_path: Path) -> None:
    issued = Certificates(tmp_path / "tls")
    tls = {"certificate": str(issued.certificate), "key": str(issued.key)}
    listen = {"web": "0.0.0.0:0", "metrics": "127.0.0.1:0"}
    with served(tmp_path, listen=listen, tls=tls) as server:
        visitor = Visitor(server.ports["web"], tls=True)
        with visitor.asked("/sign-in", {"address": ANN, "password": PASSWORD}) as response:
            cookie = response.headers["Set-Cookie"]
            assert response.headers["Strict-Transport-Security"]
        assert cookie.startswith("__Host-session=")
        assert "Secure" in cookie
        assert visitor.status("/account") == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            Visitor(server.ports["web"]).status("/sign-in")


def test_a_stream_ends_with_the_server_and_holds_nothing_up(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        visitor = Visitor(server.ports["web"]).sign_in()
        with visitor.asked("/admin/overview/live") as stream:
            assert stream.readline().startswith(b"retry:")
            while b"event: now" not in (line := stream.readline()):
                assert line, "it ended before there was any news"
            assert server.stop() == 0
            stream.read()  # to its end, which came as it should: else this raises


def test_sessions_outlive_their_process(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        visitor = Visitor(server.ports["web"]).sign_in()
        os.kill(server.workers()["web"], signal.SIGKILL)
        server.wait_for("worker-restarted", worker="web")
        until(lambda: visitor.status("/account") == 200, "the pages to be there again")


def test_a_reload_begins_and_ends_the_pages(tmp_path: Path) -> None:
    with served(tmp_path, listen={"metrics": "127.0.0.1:0"}) as server:
        server.change({"listen": {"web": "127.0.0.1:0"}})
        assert server.reload().returncode == 0
        server.wait_for("reloaded")
        until((tmp_path / "var" / "web" / "data.mdb").exists, "the store of sessions")
