"""Certificates by ACME, from Debian's pebble: all three challenges, renewal, and what is said when it fails."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pebble import Pebble, pebble
from tests.support.programs import needs
from tests.support.server import PATIENCE, Postroad, letter, until

with_pebble = needs("pebble", "pebble-challtestsrv")

BOB = "bob@example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with pebble(tmp_path_factory.mktemp("authority") / "pebble") as found:
        yield found


def shown(server: Postroad, name: str, trusting: ssl.SSLContext) -> bytes:
    """The certificate for a name, which must be good; b"" while there is none."""
    try:
        with (
            socket.create_connection(("127.0.0.1", server.ports["submissions"]), PATIENCE) as plain,
            trusting.wrap_socket(plain, server_hostname=name) as under_tls,
        ):
            return under_tls.getpeercert(binary_form=True) or b""
    except (ssl.SSLError, OSError):
        return b""


def offers_starttls(server: Postroad) -> bool:
    """Whether the worker that takes a new connection offers STARTTLS; where it does, the handshake succeeds."""
    with server.smtp() as client:
        client.ehlo_or_helo_if_needed()
        offered = client.has_extn("starttls")
        if offered:
            client.starttls()
        return offered


def configured(folder: Path, authority: Pebble, challenge: str, *domains: str) -> Postroad:
    settings: dict[str, Any] = {**authority.settings(challenge, *domains)}
    settings["listen"] = {**settings["listen"], "submissions": "127.0.0.1:0"}
    settings["lane"] = {"inbound": {"listen": ["smtp", "submissions"]}}
    return Postroad(folder, settings)


@with_pebble
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01", "dns-01"])
def test_a_server_gets_what_it_lacks_and_renews_it(tmp_path: Path, authority: Pebble, challenge: str) -> None:
    """Its first certificate comes while mail flows in the clear; STARTTLS is offered from then on."""
    domains = [f"mx.{challenge}.example", *(["*.wild.example"] if challenge == "dns-01" else [])]
    with configured(tmp_path, authority, challenge, *domains) as server:
        server.account(BOB)
        with server.dialogue() as early:
            early.start(BOB)
            for domain in domains:
                server.wait_for("certificate-issued", names=[domain])
            trusting = authority.trusting()
            first = until(lambda: shown(server, domains[0], trusting), "the certificate")
            for domain in domains:
                name = domain.replace("*", "any")
                until(lambda name=name: shown(server, name, trusting), f"the certificate of {name}")
            early.content(letter("begun before"))
        until(lambda: offers_starttls(server), "STARTTLS")  # each worker reads the certificate by itself
        assert server.all("certificate-failed") == []
        done = server.command("cert", "renew")
        assert (done.returncode, done.stdout) == (0, "Nothing is due.\n"), done.stderr
        done = server.command("cert", "renew", "--force")
        assert done.returncode == 0, done.stderr
        until(lambda: shown(server, domains[0], trusting) not in (b"", first), "the renewed certificate")
        assert server.all("worker-died") == server.all("bug") == []
    key = tmp_path / "var" / "certificates" / domains[0] / "privkey.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "var" / "acme" / challenge).exists()  # no answer is left
    if challenge == "dns-01":
        said = authority.log.read_text().split("\n")
        assert sorted(line.replace("add", "") for line in said if line.startswith("add")) == sorted(
            line.replace("remove", "") for line in said if line.startswith("remove")
        )


@with_pebble
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_the_command_alone(tmp_path: Path, authority: Pebble, challenge: str) -> None:
    """Where no server runs it listens itself; one certificate may have several names."""
    server = configured(tmp_path, authority, challenge)
    names = [f"{word}.{challenge}.example" for word in ("one", "two")]
    done = server.command("cert", "issue", *names)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "var" / "certificates" / names[0] / "fullchain.pem") in done.stdout
    listed = server.command("cert", "list").stdout.split("\t")
    assert sorted(listed[0].split(", ")) == names
    assert listed[1] == "EC"
    with server:
        for name in names:
            assert shown(server, name, authority.trusting())


@with_pebble
def test_what_cannot_be_proven(tmp_path: Path, authority: Pebble) -> None:
    """Said by the event and by the command, in the authority's words; all else goes on."""
    with configured(tmp_path, authority, "dns-01", "broken.example") as server:
        server.account(BOB)
        failed = server.wait_for("certificate-failed", names=["broken.example"])
        assert "ended with 1: no such zone" in failed["error"]
        assert failed["again"] == 60
        server.send(letter("all the same"), BOB)
        done = server.command("cert", "issue")
        assert done.returncode == 1
        assert "broken.example: the hook" in done.stderr
        assert "Traceback" not in done.stderr


@with_pebble
def test_nobody_answers(tmp_path: Path, authority: Pebble) -> None:
    server = configured(tmp_path, authority, "http-01", "mx.example.org")
    server.change({"acme": {"challenge": "tls-alpn-01"}, "listen": {"acme_tls": "127.0.0.1:0"}})
    done = server.command("cert", "issue")
    assert done.returncode == 1
    assert "mx.example.org: " in done.stderr
    assert "unauthorized: Failed to connect" in done.stderr
    assert "Traceback" not in done.stderr
    server.change({"acme": {"directory": "https://localhost:9/dir"}})
    done = server.command("cert", "issue")
    assert (done.returncode, done.stderr) == (
        1,
        "postroad: mx.example.org: cannot ask localhost:9: Connection refused\n",
    )
    server.change({"acme": {"trust": None, "directory": authority.settings("dns-01")["acme"]["directory"]}})
    assert "certificate verify failed" in server.command("cert", "issue").stderr


@with_pebble
def test_strangers_get_nothing(tmp_path: Path, authority: Pebble) -> None:
    """The listeners answer a challenge that is under way, and nothing else."""
    settings = authority.settings("http-01")
    listen = {**settings["listen"], "acme_tls": "127.0.0.1:0"}
    with Postroad(tmp_path, {**settings, "listen": listen}) as server:
        (tmp_path / "var" / "acme" / "http-01").mkdir(parents=True)
        (tmp_path / "var" / "acme" / "secret").write_text("secret")
        for target in ("/", "/.well-known/acme-challenge/absent", "/.well-known/acme-challenge/../secret"):
            with socket.create_connection(("127.0.0.1", server.ports["acme_http"]), PATIENCE) as client:
                client.sendall(f"GET {target} HTTP/1.1\r\nHost: mx.example.org\r\n\r\n".encode())
                assert client.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n", target
        (tmp_path / "var" / "acme" / "http-01" / "token").write_text("answer")
        with socket.create_connection(("127.0.0.1", server.ports["acme_http"]), PATIENCE) as client:
            client.sendall(b"GET /.well-known/acme-challenge/token HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"\r\n\r\nanswer")
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        for name in ("mx.example.org", "x/tls", None):
            client = socket.create_connection(("127.0.0.1", server.ports["acme_tls"]), PATIENCE)
            with client, pytest.raises((ssl.SSLError, ConnectionError)):
                blind.wrap_socket(client, server_hostname=name)
        assert server.all("bug") == []
